"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tasb_qdrant.settings import StoreSettings, Transport

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where the collection lives."""

    url: str | None
    path: Path | None
    api_key: str | None
    transport: Transport
    grpc_port: int | None
    timeout: float
    allow_plain_http_key: bool

    def __repr__(self) -> str:
        return f"StoreOptions(url={self.url!r}, path={self.path!r})"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which encoder, and where it runs."""

    model: str | None
    revision: str | None
    allow_pickle: bool
    device: str
    precision: str


def store_options(command: F) -> F:
    """--url, --path, the key and the transport, as one `store: StoreOptions`."""
    return bundled(
        command,
        "store",
        StoreOptions,
        [
            click.option("--url", help="Qdrant server, such as http://localhost:6333. [default: $QDRANT_URL]"),
            click.option(
                "--path",
                type=click.Path(path_type=Path, file_okay=False),
                help="Folder of the embedded store. [default, without a server: ./tasb_qdrant_data]",
            ),
            click.option(
                "--api-key-file",
                "api_key",
                type=click.File("r"),
                callback=_read_key,
                help="File that holds the server's API key. [default: $QDRANT_API_KEY]",
            ),
            click.option(
                "--transport",
                type=click.Choice(["auto", "grpc", "rest"]),
                default="auto",
                show_default=True,
                help="auto: gRPC where its port answers, else REST.",
            ),
            click.option("--grpc-port", type=click.IntRange(1, 65535), help="[default: the REST port + 1]"),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                default=60.0,
                show_default=True,
                help="Seconds a single request to the server may take.",
            ),
            click.option(
                "--allow-plain-http-key",
                is_flag=True,
                help="Send the API key over http:// to another host, where the network is your own.",
            ),
        ],
    )


def model_options(*, default: str | None) -> Callable[[F], F]:
    """--model and what goes with it, as one `model: ModelOptions`."""
    what = "[default: the one that made the collection]" if default is None else f"[default: {default}]"

    def decorate(command: F) -> F:
        return bundled(
            command,
            "encoder",
            ModelOptions,
            [
                click.option("--model", default=default, help=f"Hub id or folder of the encoder, or tas-b. {what}"),
                click.option("--revision", help="Branch, tag or commit of the model on the hub."),
                click.option(
                    "--allow-pickle",
                    is_flag=True,
                    help="Load weights that aren't safetensors, as tensors only, and convert them once.",
                ),
                click.option(
                    "--device",
                    default="auto",
                    show_default=True,
                    help="auto, cpu, cuda (every GPU), cuda:N, or a list: cuda:0,cuda:1.",
                ),
                click.option(
                    "--precision",
                    type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
                    default="auto",
                    show_default=True,
                    help="auto: fp16 on a GPU, bf16 on a CPU that has it, else fp32. int8 (CPU only) loses more.",
                ),
            ],
        )

    return decorate


def source_options(command: F) -> F:
    """--format and the names of fields, as `format_name`, `id_field`, `text_field` and `title_field`."""
    decorated: Any = command
    for option in reversed(
        [
            click.option(
                "--format",
                "format_name",
                type=click.Choice(["msmarco", "jsonl", "csv", "tsv", "parquet"]),
                help="Needed for standard input; else seen from the file.",
            ),
            click.option(
                "--id-field", help="Field or column of the id; dots reach into objects. [default: recognised]"
            ),
            click.option("--text-field", help="The same for the text."),
            click.option("--title-field", help="The same for the title."),
        ]
    ):
        decorated = option(decorated)
    result: F = decorated
    return result


collection_option = click.option("--collection", required=True, metavar="NAME", help="The collection's name.")
peer_option = click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="URL",
    help="Another node of the cluster, to compare its replicas too. Repeatable. [default: looked for]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def settings_of(store: StoreOptions) -> StoreSettings:
    """The options as settings, the environment taken into account. Raises SettingsError."""
    from tasb_qdrant.settings import store_settings

    return store_settings(
        url=store.url,
        path=store.path,
        api_key=store.api_key,
        transport=store.transport,
        grpc_port=store.grpc_port,
        timeout=store.timeout,
        allow_plain_http_key=store.allow_plain_http_key,
    )


def bundled(command: F, name: str, kind: Callable[..., Any], options: list[Callable[[Any], Any]]) -> F:
    """`command` with these options, handed to it as one object named `name`."""
    import functools

    @functools.wraps(command)
    def wrapper(*args: Any, **values: Any) -> Any:
        own = {field: values.pop(field) for field in kind.__dataclass_fields__}  # type: ignore[attr-defined]
        return command(*args, **{name: kind(**own)}, **values)

    decorated: Any = wrapper
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


def _read_key(_: click.Context, parameter: click.Parameter, file: Any) -> str | None:
    if file is None:
        return None
    try:
        key = str(file.read()).strip()
    except UnicodeDecodeError:
        raise click.BadParameter(f"the file {file.name} is no text", param=parameter) from None
    if not key:
        raise click.BadParameter(f"the file {file.name} is empty", param=parameter)
    return key
