"""A settings file is found from the working folder upward, and holds known keys of the right type, and no secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings.file import KEYS, find_settings


def test_the_nearest_file_is_taken_and_its_own_goes_before_the_project_s(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_settings(below).file is None
    (tmp_path / "pyproject.toml").write_text('[tool.tasb-qdrant]\ncollection = "top"\n')
    assert find_settings(below).values == {"collection": "top"}
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "x"\n')  # of another tool: passed over
    assert find_settings(below).file == tmp_path / "pyproject.toml"
    (tmp_path / "a" / "tasb-qdrant.toml").write_text('collection = "middle"\ngrpc_port = 7000\nretry-seconds = 1\n')
    found = find_settings(below)
    assert found.file == tmp_path / "a" / "tasb-qdrant.toml"
    assert found.values == {"collection": "middle", "grpc_port": 7000, "retry_seconds": 1}
    assert found.keys == ("collection", "grpc-port", "retry-seconds")
    (tmp_path / "a" / "pyproject.toml").write_text('[tool.tasb-qdrant]\ncollection = "other"\n')
    assert find_settings(below).values["collection"] == "middle"
    (tmp_path / "a" / "tasb-qdrant.toml").unlink()
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.tasb-qdrant]\n")
    assert find_settings(below).values == {}


def test_the_working_folder_is_where_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_settings().file is None
    (tmp_path / "tasb-qdrant.toml").write_text("limit = 3")
    assert find_settings().values == {"limit": 3}


def test_folders_are_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "models" / "own").mkdir(parents=True)
    (tmp_path / "sub").mkdir()
    file = tmp_path / "tasb-qdrant.toml"
    file.write_text('path = "data"\nstate = "/var/state"\nmodel = "models/own"\n')
    assert find_settings(tmp_path / "sub").values == {
        "path": str(tmp_path / "data"),
        "state": "/var/state",
        "model": str(tmp_path / "models" / "own"),
    }
    for name in ("minilm", "sentence-transformers/all-mpnet-base-v2"):
        file.write_text(f'model = "{name}"')
        assert find_settings(tmp_path).values == {"model": name}
    file.write_text('model = "./nowhere"')
    assert find_settings(tmp_path).values == {"model": str(tmp_path / "nowhere")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('colection = "x"', "there is no key 'colection'; did you mean collection?"),
        ("Limit = 3", "there is no key 'Limit'; did you mean limit?"),
        ('zzz = "x"', "there is no key 'zzz'; the keys are collection, url, "),
        ("[search]\nlimit = 3", "there is no key 'search'"),
        ("allow-pickle = true", "there is no key 'allow-pickle'"),
        ("allow-plain-http-key = true", "there is no key 'allow-plain-http-key'"),
        ('payload-model = "m:C"', "there is no key 'payload-model'"),
        ("sync = true", "there is no key 'sync'"),
        ('limit = "3"', "limit must be a whole number, got '3'; correct it"),
        ("limit = true", "limit must be a whole number, got True"),
        ("timeout = false", "timeout must be a number"),
        ('read-timeout = "5"', "read-timeout must be a number, got '5'"),
        ("collection = 3", "collection must be a string, got 3"),
        ("normalize = 1", "normalize must be true or false"),
        ("limit = ", "can't be read (Invalid value"),
    ],
)
def test_what_it_may_not_hold_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "tasb-qdrant.toml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        find_settings(tmp_path)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["api-key", "api_key", "API_KEY", "apikey", "api-key-file", "hf-token", "password"])
def test_secrets_are_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.tasb-qdrant]\n{key} = "canary"\n')
    with pytest.raises(SettingsError, match=r"is not accepted in a file.*QDRANT_API_KEY") as caught:
        find_settings(tmp_path)
    assert "canary" not in str(caught.value)


def test_a_file_that_is_not_text_or_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tasb-qdrant.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"tasb-qdrant\.toml can't be read .*correct it, or move it away"):
        find_settings(tmp_path)
    (tmp_path / "tasb-qdrant.toml").unlink()
    (tmp_path / "tasb-qdrant.toml").mkdir()
    with pytest.raises(SettingsError, match="Is a directory"):
        find_settings(tmp_path)


def test_a_working_folder_that_is_gone_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_settings().file is None
    os.chdir(tmp_path)


def test_every_key_is_an_option_and_documented() -> None:
    import click

    from tasb_qdrant.cli.main import main

    def options(group: click.Group) -> set[str]:
        context = click.Context(group)
        found: set[str] = set()
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found |= {one for each in command.params for one in each.opts}
            found |= options(command) if isinstance(command, click.Group) else set()
        return found

    page = (Path(__file__).parents[2] / "docs" / "environment.md").read_text()
    assert {f"--{key}" for key in KEYS} <= options(main)
    assert [key for key in KEYS if f"`{key}`" not in page] == []
