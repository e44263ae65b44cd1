"""Settings: where they come from, what is refused, and that keys are never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings import (
    DEFAULT_STORE,
    CollectionSettings,
    PayloadKeys,
    StoreSettings,
    parse_indexes,
    store_settings,
    user_state_folder,
)

SECRET = "s3cret-k3y"


def test_without_anything_named_the_embedded_store_is_used() -> None:
    settings = store_settings()
    assert (settings.path, settings.url, settings.api_key) == (DEFAULT_STORE, None, None)
    assert settings.location == "tasb_qdrant_data"


def test_the_environment_names_the_server_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "http://localhost:1234")
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    settings = store_settings()
    assert (settings.url, settings.path, settings.location) == ("http://localhost:1234", None, "http://localhost:1234")
    assert settings.api_key == SecretStr(SECRET)


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "http://localhost:1234")
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    given = store_settings(url="https://example.org", api_key="mine")
    assert (given.url, given.api_key) == ("https://example.org", SecretStr("mine"))
    folder = store_settings(path="some/folder")
    assert (folder.path, folder.url) == (Path("some/folder"), None)
    assert folder.api_key is None  # a folder needs none


def test_empty_variables_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "")
    monkeypatch.setenv("QDRANT_API_KEY", "")
    assert store_settings().path == DEFAULT_STORE
    assert store_settings(url="http://localhost").api_key is None


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_settings().url is None
    monkeypatch.setenv("QDRANT_URL", "http://localhost:1")
    assert store_settings().url == "http://localhost:1"


def test_a_server_and_a_folder_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"both a server \(http://x\) and a folder \(d\).*one of --url and --path"):
        store_settings(url="http://x", path="d")
    for places in ({}, {"url": "http://x", "path": Path("d")}):
        with pytest.raises(SettingsError, match=r"either a server \(url\) or a folder \(path\)"):
            StoreSettings(**places)  # type: ignore[arg-type]  # none, or both


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must start with http:// or https://"),
        ("localhost:6333", "must start with http:// or https://"),
        ("ftp://host", "must start with http:// or https://"),
        (" http://host", "must start with http:// or https://"),
        ("http://", "must be like http://localhost:6333"),
        ("http:///path", "must be like http://localhost:6333"),
        ("http://ho st", "must be like http://localhost:6333"),
        ("http://host\n", "must be like http://localhost:6333"),
        ("http://host\\x", "must be like http://localhost:6333"),
        ("http://host:port", "no valid host and port"),
        ("http://host:99999", "no valid host and port"),
        ("http://[::1", "no valid host and port"),
        ("http://host/?x=1", "end before"),
        ("http://host/#x", "end before"),
    ],
)
def test_urls_that_can_not_be_a_servers_are_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"^url: the url .*{said}"):
        store_settings(url=url)


@pytest.mark.parametrize(
    "url", ["http://localhost", "https://x.cloud.qdrant.io:6333", "http://[::1]:6333", "http://10.0.0.1:80/prefix/"]
)
def test_urls_of_servers_are_kept_as_they_are(url: str) -> None:
    assert store_settings(url=url).location == url


@pytest.mark.parametrize("shape", ["http://u:{}@host", "http://u:{}@host:nan", "http://u:{}@[::1", "http://h/?key={}"])
def test_a_password_in_a_url_is_refused_and_not_shown(shape: str) -> None:
    with pytest.raises(SettingsError, match="goes into QDRANT_API_KEY") as caught:
        store_settings(url=shape.format(SECRET))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET} x", f"{SECRET}é", f"\r\nHost: {SECRET}", f"{SECRET}\0"])
def test_a_key_that_fits_no_header_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="must be printable ASCII") as caught:
        store_settings(url="http://localhost", api_key=key)
    with pytest.raises(SettingsError) as direct:
        StoreSettings(url="http://localhost", api_key=key)  # type: ignore[arg-type]  # pydantic takes it
    for error in (caught.value, direct.value):
        assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    for settings in (store_settings(url="http://x", api_key=SECRET), store_settings(url="http://x")):
        assert settings.api_key is not None
        assert settings.api_key.get_secret_value() == SECRET
        shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.model_dump())
        assert SECRET not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"timeout": 86_401},
        {"retry_seconds": -1},
        {"retry_seconds": float("inf")},
        {"retry_seconds": float("nan")},
        {"retry_seconds": 86_401},
        {"grpc_port": 0},
        {"grpc_port": 65536},
        {"transport": "x"},
    ],
)
def test_numbers_and_names_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"^{name}: .*, got {wrong[name]!r}$") as caught:
        store_settings(url="http://x", **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "apikey", "api_key_", "url"])
def test_what_was_found_is_not_shown_where_it_may_be_a_secret(name: str) -> None:
    given: dict[str, Any] = {"path": Path("d"), name: f" {SECRET}" if name == "api_key" else f"http://u:{SECRET}@x"}
    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        StoreSettings(**given)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_settings_can_not_be_changed_or_misspelt() -> None:
    settings = store_settings(path="d")
    with pytest.raises(ValidationError, match="frozen"):
        settings.timeout = 1
    with pytest.raises(SettingsError, match=r"^shard: Extra inputs are not permitted"):
        CollectionSettings(shard=3)  # type: ignore[call-arg]  # on purpose


def test_payload_keys_must_differ_and_not_be_empty() -> None:
    assert PayloadKeys() == PayloadKeys(id="passage_id", text="text", title="title")
    with pytest.raises(SettingsError, match="must differ"):
        PayloadKeys(id="text")
    with pytest.raises(SettingsError, match=r"^title: .*at least 1 character, got ''"):
        PayloadKeys(title="")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quantization": "int4"}, "quantization: Input should be 'none', 'int8', 'binary' or 'turbo4'"),
        ({"hnsw_m": 1}, "hnsw_m: "),
        ({"hnsw_ef_construct": 5000}, "hnsw_ef_construct: "),
        ({"shards": 0}, "shards: "),
        ({"keys": {"id": "x", "text": "x"}}, "payload keys of id, text and title must differ"),
    ],
)
def test_collection_settings_that_make_no_sense_are_one_line_errors(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        CollectionSettings(**wrong)
    assert "\n" not in str(caught.value)


def test_index_specifications_are_read() -> None:
    assert parse_indexes([]) == {}
    assert parse_indexes(["year:integer", "a.b[]:keyword", "odd:name:text", "year:integer"]) == {
        "year": "integer",
        "a.b[]": "keyword",
        "odd:name": "text",
    }


@pytest.mark.parametrize("wrong", ["year", "year:", ":integer", "year:int", "", "year:Integer"])
def test_index_specifications_without_field_or_type_are_refused(wrong: str) -> None:
    with pytest.raises(SettingsError, match="--index takes FIELD:TYPE with TYPE one of keyword, integer, float, bool"):
        parse_indexes([wrong])


def test_a_field_indexed_in_two_ways_is_refused() -> None:
    with pytest.raises(SettingsError, match="names 'year' twice, as integer and as keyword"):
        parse_indexes(["year:integer", "year:keyword"])


def test_the_state_folder_is_the_users_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert user_state_folder() == tmp_path / "tasb-qdrant"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for meaningless in ("", "relative/folder"):
        monkeypatch.setenv("XDG_STATE_HOME", meaningless)
        assert user_state_folder() == tmp_path / "home" / ".local" / "state" / "tasb-qdrant"
