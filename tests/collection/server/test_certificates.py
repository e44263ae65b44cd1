"""Servers that prove themselves by certificates of an authority of one's own, and want one of the client's: real TLS."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import AsyncSearcher, Passage, Searcher, ingest
from tasb_qdrant.cli.failures import UNREACHABLE
from tasb_qdrant.collection.open import open_store
from tasb_qdrant.errors import ServerUnreachableError, SettingsError
from tasb_qdrant.settings import store_settings
from tests.cli.conftest import Run, run
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer, free_port

__all__ = ["run"]  # the fixture

TRANSPORTS = ("grpc", "rest")


@dataclass(frozen=True)
class Papers:
    """An authority, and what it made for a server and a client, each PEM."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """`papers.ca`, `papers.client`, `papers.client_key` …"""
        return self.folder / f"{name}.pem"


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]
    for name in ("ca", "other"):
        uses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl(folder, "req", "-x509", *key, f"{name}_key.pem", "-out", f"{name}.pem", "-subj", f"/CN={name}", *uses)
    (folder / "uses").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        _openssl(folder, "req", *key, f"{name}_key.pem", "-out", "request", "-subj", f"/CN={name}")
        made_by = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}_key.pem", "-CAcreateserial"]
        _openssl(folder, "x509", "-req", "-in", "request", *made_by, "-out", f"{name}.pem", "-extfile", "uses")
    papers = Papers(folder)
    papers.both.write_bytes(papers.client.read_bytes() + papers.client_key.read_bytes())
    return papers


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def server(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """One that speaks to nobody without a certificate of the authority's."""
    own = ssl.create_default_context(cafile=papers.ca)
    own.load_cert_chain(papers.client, papers.client_key)
    config: dict[str, Any] = {
        "service": {"enable_tls": True, "verify_https_client_certificate": True},
        "tls": {"cert": str(papers.server), "key": str(papers.server_key), "ca_cert": str(papers.ca)},
    }
    folder = tmp_path_factory.mktemp("secured")
    with QdrantServer.start("1.17.0", folder, config=config, tls=own) as started:
        yield started


def _place(server: QdrantServer, transport: str = "auto", **files: Any) -> dict[str, Any]:
    return {"url": server.url, "grpc_port": server.grpc_port, "transport": transport, "read_timeout": 20.0, **files}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ingest_and_both_searchers_prove_themselves(
    server: QdrantServer, papers: Papers, transport: str, tmp_path: Path
) -> None:
    place = _place(server, transport, ca_file=papers.ca, client_cert=papers.client, client_key=papers.client_key)
    loading = {name: value for name, value in place.items() if name != "read_timeout"}
    passages = [Passage(f"p{n}", f"text number {n}") for n in range(3)]
    report = ingest(passages, collection=f"c-{transport}", encoder=StubEncoder(), state=tmp_path, **loading)
    assert report.stored == 3
    with Searcher(f"c-{transport}", encoder=StubEncoder(), **place) as searcher:
        assert searcher.search("text number 1", limit=1)[0].id == "p1"
        assert f"({transport})" in searcher.info().store

    async def ask() -> str:
        async with AsyncSearcher(f"c-{transport}", encoder=StubEncoder(), **place) as searcher:
            return (await searcher.search("text number 2", limit=1))[0].id

    assert asyncio.run(ask()) == "p2"


def test_the_environment_names_them_on_loopback_too(
    server: QdrantServer, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("QDRANT_CLIENT_CERT", str(papers.client))
    monkeypatch.setenv("QDRANT_CLIENT_KEY", str(papers.client_key))
    for variable in ("QDRANT_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(papers.folder if variable.endswith("DIR") else papers.ca))
            for transport in TRANSPORTS:
                open_store(**_place(server, transport)).close()
    with pytest.raises(ServerUnreachableError, match="certificate verify failed"):
        open_store(**_place(server))


def test_the_command_line_and_its_settings_file_name_them(
    server: QdrantServer, papers: Papers, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--url", server.url, "--grpc-port", str(server.grpc_port))
    given = ("--ca-file", str(papers.ca), "--client-cert", str(papers.both))
    assert run("collection", "list", *where, *given).code == 0
    assert run("collection", "list", *where, "--ca-file", str(papers.ca)).code == UNREACHABLE
    monkeypatch.chdir(papers.folder)
    papers.folder.joinpath("tasb-qdrant.toml").write_text('ca-file = "ca.pem"\nclient-cert = "both.pem"\n')
    (papers.folder / "below").mkdir()
    monkeypatch.chdir(papers.folder / "below")
    try:
        assert run("collection", "list", *where).code == 0
        # What is in the file is for a server of https.
        assert "certificates are for https" not in run("collection", "list", "--url", "http://127.0.0.1:1").err
        typed = run("collection", "list", "--url", "http://127.0.0.1:1", "--ca-file", "x.pem")
        assert "ca_file: certificates are for https, and the url is 'http://127.0.0.1:1'" in typed.err
    finally:
        (papers.folder / "tasb-qdrant.toml").unlink()


def test_what_is_missing_or_wrong_is_named_at_once(server: QdrantServer, papers: Papers, tmp_path: Path) -> None:
    client = {"client_cert": papers.client, "client_key": papers.client_key}
    refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ServerUnreachableError, r"certificate verify failed.*--ca-file \(or \$SSL_CERT_FILE\)", client),
        (ServerUnreachableError, r"certificate verify failed", {"ca_file": papers.other, **client}),
        (ServerUnreachableError, r"wants a certificate of the client's.*--client-cert", {"ca_file": papers.ca}),
        (
            ServerUnreachableError,
            r"wants a certificate of the client's that it trusts",
            {"ca_file": papers.ca, "client_cert": papers.stranger, "client_key": papers.stranger_key},
        ),
        (SettingsError, r"--ca-file .*gone.pem can't be read \(No such file", {"ca_file": papers.gone}),
        (SettingsError, r"--client-cert .*gone.pem can't be read", {"client_cert": papers.gone}),
        (SettingsError, r"--ca-file .*uses can't be used", {"ca_file": papers.folder / "uses"}),
        (
            SettingsError,
            r"--client-cert .*client.pem with --client-key .*server_key.pem can't be used",
            {"client_cert": papers.client, "client_key": papers.server_key},
        ),
        (SettingsError, "client_key is the key of a client_cert, and there is none", {"client_key": papers.client_key}),
    ]
    for error, said, files in refused:
        for transport in TRANSPORTS:
            with pytest.raises(error, match=said):
                open_store(**_place(server, transport, **files))


def test_http_to_a_server_of_https_says_so(server: QdrantServer) -> None:
    with pytest.raises(ServerUnreachableError, match=r"not in HTTP .*correct http:// or https://"):
        open_store(url=server.url.replace("https", "http"))


def test_a_url_without_a_port_names_the_one_that_was_tried() -> None:
    settings = store_settings(url="https://search.example/qdrant")
    assert (settings.location, settings.address) == (
        "https://search.example/qdrant",
        "https://search.example:6333/qdrant",
    )
    port = free_port()
    assert store_settings(url=f"http://127.0.0.1:{port}").address == f"http://127.0.0.1:{port}"


def test_nothing_at_the_usual_port_says_which_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr("tasb_qdrant.settings.store.DEFAULT_PORT", port)
    monkeypatch.setattr("tasb_qdrant.collection.server.address.DEFAULT_PORT", port)
    said = rf"https://127.0.0.1:{port}/qdrant, connecting: nothing answers .* such as https://127.0.0.1:443/qdrant"
    with pytest.raises(ServerUnreachableError, match=said) as caught:
        open_store(url="https://127.0.0.1/qdrant")
    assert "443" in caught.value.remedy
