"""Proxies and certificates of the environment that can't be used are named, without their values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasb_qdrant.collection.open import open_store_at
from tasb_qdrant.collection.server.address import async_http_client, http_client
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import store_settings
from tasb_qdrant.sources import open_sources
from tasb_qdrant.sources.remote import http

SERVER = "https://192.0.2.1:6333"


def _fails_named(variable: str) -> None:
    settings = store_settings(url=SERVER)
    for make in (
        lambda: open_store_at(settings),
        lambda: http_client(settings),
        lambda: async_http_client(settings),
        lambda: open_sources(["https://192.0.2.1/a.jsonl"]).__enter__(),
    ):
        with pytest.raises(SettingsError, match=f"192.0.2.1.*{variable.upper()}.*unset it") as caught:
            make()
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://u:s3cret@127.0.0.1:9"),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:9"),
        ("https_proxy", "ftp://u:s3cret@127.0.0.1:9"),
        ("HTTPS_PROXY", "http://u:s3cret"),
        ("all_proxy", "http://[::1"),
        ("NO_PROXY", "\udcff"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    _fails_named(variable)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_can_not_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    http._certificates.cache_clear()
    try:
        _fails_named("SSL_CERT_FILE")
    finally:
        http._certificates.cache_clear()
