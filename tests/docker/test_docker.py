"""The container files, as far as they can be shown right without a container engine."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.reading import (
    DOCKER,
    ROOT,
    VARIABLE,
    compose,
    instructions,
    interpolated,
    readme_commands,
    services,
    stages,
)
from tests.qdrant_binaries import RELEASES
from tests.qdrant_servers import QdrantServer, free_port
from tests.waiting import PATIENCE

FILES = sorted(path for path in DOCKER.iterdir() if path.is_file() and path.name != ".env")
COMPOSE_FILES = ("compose.yaml", "compose.gpu.yaml")
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")
SECRET_VALUE = re.compile(r"\bhf_[A-Za-z0-9]{20,}|-----BEGIN|\b[0-9a-fA-F]{32,}\b|\beyJ[\w-]{20,}")


def _tool(name: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a program of this environment says; its absence is an error."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert program is not None, f"{name} is missing: install the extra 'dev'"
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = _tool("hadolint", str(DOCKER / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something() -> None:
    assert "DL3007" in _tool("hadolint", "-", stdin="FROM debian:latest\n").stdout


def test_no_hadolint_rule_is_switched_off() -> None:
    assert "hadolint" not in (DOCKER / "Dockerfile").read_text()
    assert not [*ROOT.glob(".hadolint.*"), *DOCKER.glob(".hadolint.*")]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_compose_file_meets_the_compose_specification(name: str) -> None:
    done = _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / name))
    assert done.returncode == 0, done.stdout


def test_the_compose_specification_would_refuse_a_misspelt_field(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("depends_on:", "depend_on:"))
    done = _tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong))
    assert done.returncode == 1
    assert "depend_on" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    assert SECRET_VALUE.findall(path.read_text()) == []


def test_secrets_are_empty_in_the_example_without_default_in_compose_and_unknown_to_the_image() -> None:
    for line in (DOCKER / "env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if SECRET_NAME.search(name) and not line.startswith("#"):
            assert value == "", name
    for service in services("compose.yaml").values():
        for name, value in service["environment"].items():
            if SECRET_NAME.search(name):
                assert re.fullmatch(r"\$\{\w+(:-|:\?[^}]*)\}", value), name
    for name, arguments in instructions():
        if name in {"ARG", "ENV"}:
            assert not SECRET_NAME.search(arguments), arguments


def test_git_ignores_the_file_with_the_key() -> None:
    assert ".env" in (DOCKER / ".gitignore").read_text().splitlines()


def test_no_address_outside_is_written_into_the_files() -> None:
    for path in FILES:
        hosts = re.findall(r"https?://([\w.-]+)", path.read_text())
        assert set(hosts) <= {"qdrant", "localhost"}, path.name


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_images_run_as_a_fixed_user_that_is_not_root(target: str) -> None:
    user = stages()[target].last("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_images_start_the_program_and_check_its_health(target: str) -> None:
    stage = stages()[target]
    assert stage.last("ENTRYPOINT") == '["tasb-qdrant"]'
    assert stage.last("HEALTHCHECK").endswith('CMD ["tasb-qdrant", "--version"]')
    assert "org.opencontainers.image.licenses" in stage.last("LABEL")


def test_every_image_from_outside_is_pinned_by_tag() -> None:
    names = {stage.base for stage in stages().values()} - set(stages())
    names |= {service["image"] for service in services("compose.yaml").values() if "build" not in service}
    assert names
    for name in names:
        tag = name.partition(":")[2]
        assert re.search(r"\d+\.\d+", tag), name


def test_the_server_in_compose_is_one_that_the_tests_run() -> None:
    image = services("compose.yaml")["qdrant"]["image"]
    assert image in {f"qdrant/qdrant:v{version}" for version in RELEASES}


def test_what_the_dockerfile_copies_is_there_and_let_into_the_build() -> None:
    rules = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert next(rule for rule in rules if not rule.startswith("#")) == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for name, arguments in instructions()
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied == allowed
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []
    assert not [source for source in copied if fnmatch(source, "*.env*")]


def test_every_port_is_bound_to_loopback() -> None:
    published = [
        str(port) for file in COMPOSE_FILES for service in services(file).values() for port in service.get("ports", [])
    ]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in "".join((DOCKER / file).read_text() for file in COMPOSE_FILES)


def test_the_example_settings_are_exactly_what_the_compose_files_use() -> None:
    used = {
        match["name"]
        for file in COMPOSE_FILES
        for match in VARIABLE.finditer((DOCKER / file).read_text())
        if match["name"]
    }
    settings = (DOCKER / "env.example").read_text().splitlines()
    offered = [line.partition("=")[0] for line in settings if line and not line.startswith("#")]
    assert sorted(used) == sorted(offered)


def test_the_defaults_in_compose_are_those_of_the_example() -> None:
    settings = (DOCKER / "env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in settings if line and not line.startswith("#"))
    for file in COMPOSE_FILES:
        for match in VARIABLE.finditer((DOCKER / file).read_text()):
            if match["default"] is not None:
                assert match["default"] == example[match["name"]], match["name"]


def test_the_gpu_file_changes_every_built_service_and_adds_none() -> None:
    base, gpu = services("compose.yaml"), services("compose.gpu.yaml")
    assert set(gpu) == {name for name, service in base.items() if "build" in service}
    for name, service in gpu.items():
        assert service["build"]["target"] == "cuda"
        assert service["image"] != base[name]["image"]
        assert set(service["build"]["args"]) == set(base[name]["build"]["args"])
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_compose_builds_targets_and_arguments_that_the_dockerfile_has() -> None:
    arguments = {rest.partition("=")[0] for name, rest in instructions() if name == "ARG"}
    for file in COMPOSE_FILES:
        for service in services(file).values():
            if "build" in service:
                assert service["build"]["target"] in stages()
                assert set(service["build"]["args"]) <= arguments
    for service in services("compose.yaml").values():
        if "build" in service:
            context = DOCKER / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).resolve() == DOCKER / "Dockerfile"


def test_the_commands_wait_for_a_healthy_server_and_cannot_write_to_the_corpus() -> None:
    for name in ("ingest", "cli"):
        service = services("compose.yaml")[name]
        assert service["profiles"] == [name]
        assert service["depends_on"] == {"qdrant": {"condition": "service_healthy"}}
        corpus = next(volume for volume in service["volumes"] if volume["target"] == "/corpus")
        assert corpus["read_only"] is True


def test_every_volume_that_a_service_names_is_declared() -> None:
    named = {
        volume["source"]
        for service in services("compose.yaml").values()
        for volume in service["volumes"]
        if volume["type"] == "volume"
    }
    assert named == set(compose("compose.yaml")["volumes"])


def _health_check(port: int) -> subprocess.CompletedProcess[str]:
    kind, *command = services("compose.yaml")["qdrant"]["healthcheck"]["test"]
    assert kind == "CMD"
    command[-1] = interpolated(command[-1], {}).replace("/6333", f"/{port}")
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_the_health_check_of_the_server_passes_where_a_key_is_needed(keyed_server: QdrantServer) -> None:
    done = _health_check(keyed_server.http_port)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_health_check_of_the_server_fails_where_nothing_listens() -> None:
    assert _health_check(free_port()).returncode != 0


def test_the_readme_names_files_services_and_targets_that_there_are() -> None:
    commands = readme_commands()
    assert len(commands) > 8
    for command in commands:
        for option, value in itertools.pairwise(command):
            if option in {"-f", "--file"}:
                assert (ROOT / value).is_file(), value
            if option == "--target":
                assert value in stages()
        if command[:2] == ["docker", "compose"]:
            rest = [word for word in command[2:] if not word.startswith("-") and ".yaml" not in word]
            assert rest[0] in {"up", "build", "run", "down"}
            assert rest[0] == "down" or rest[1] in services("compose.yaml")


def test_a_setting_that_must_be_given_is_asked_for_in_words() -> None:
    environment: dict[str, Any] = services("compose.yaml")["cli"]["environment"]
    with pytest.raises(KeyError, match=r"env\.example"):
        interpolated(environment["QDRANT_API_KEY"], {})
    assert interpolated(environment["QDRANT_API_KEY"], {"QDRANT_API_KEY": "k"}) == "k"
    assert yaml.safe_load(interpolated("[a, ${B:-b}, $$c]", {})) == ["a", "b", "$c"]
