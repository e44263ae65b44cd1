"""Options that mean the same in every command. Each group is said once, and handed to commands as one value."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tasb_qdrant.cli.complete import collection_names, files
from tasb_qdrant.cli.defaults import log_defaults, nearer, remember, without_defaults
from tasb_qdrant.cli.payload_model import model_named

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tasb_qdrant.ingest.source.open import SourceOptions
    from tasb_qdrant.sources.record.fields import IdFrom

_KEY_CHARS: Final = 64 * 1024
"""More than any key has, and than any server takes as a header."""

F = TypeVar("F", bound=Callable[..., Any])


def grouped(name: str, make: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[[F], F]:
    """A decorator: the command takes these options as its one argument `name`, which `make(**values)` gives."""

    def decorate(command: F) -> F:
        names = _names(options)

        @functools.wraps(command)
        def wrapper(*args: Any, **values: Any) -> Any:
            own = {each: values.pop(each) for each in names}
            return command(*args, **{name: make(**own)}, **values)

        decorated: Any = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        result: F = decorated
        return result

    return decorate


def _names(options: tuple[Callable[[Any], Any], ...]) -> list[str]:
    """Under which names click hands the values of these options over."""

    def probe() -> None: ...

    for option in options:
        option(probe)
    parameters: list[click.Parameter] = probe.__click_params__  # type: ignore[attr-defined]  # click puts it there
    return [str(parameter.name) for parameter in parameters]


class _Workers(click.IntRange):
    """A number of processes, or auto."""

    name = "processes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or "auto" itself."""
        return value if value == "auto" else super().convert(value, param, ctx)


def _read_key(_: click.Context, parameter: click.Parameter, name: str | None) -> SecretStr | None:
    """The key in the file. What was given may be the key itself: no message repeats it."""
    if name is None:
        return None
    from pydantic import SecretStr

    try:
        with click.open_file(name) as file:
            key = SecretStr(file.read(_KEY_CHARS).strip())
    except OSError as error:
        raise click.BadParameter(
            f"it can't be read ({error.strerror}); name a file that holds the key, not the key", param=parameter
        ) from None
    except ValueError:  # bytes that are no text, and a NUL in the name
        raise click.BadParameter("it is not text; name a file that holds the key", param=parameter) from None
    if not key.get_secret_value():
        raise click.BadParameter("the file is empty", param=parameter)
    return key


def _store(**values: Any) -> dict[str, Any]:
    log_defaults()
    values = nearer(values, "url", "path")
    if not str(values["url"] or "").startswith("https:"):
        # Those of a settings file are for its own server, and of no use to one without https, or to a folder.
        values = without_defaults(values, "ca_file", "client_cert", "client_key")
    return values


_store_options = (
    click.option(
        "--url",
        envvar="QDRANT_URL",
        callback=remember,
        help="Qdrant server, such as http://localhost:6333. [default: $QDRANT_URL]",
    ),
    click.option(
        "--path",
        type=click.Path(path_type=Path, file_okay=False),
        callback=remember,
        help="Folder of the embedded store. [default, without a server: ./tasb_qdrant_data]",
    ),
    click.option(
        "--api-key-file",
        "api_key",
        metavar="FILENAME",
        shell_complete=files,
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
        "--ca-file",
        type=click.Path(path_type=Path),
        callback=remember,
        help="PEM file of the authorities that prove an https server. [default: $QDRANT_CA_FILE, else $SSL_CERT_FILE]",
    ),
    click.option(
        "--client-cert",
        type=click.Path(path_type=Path),
        callback=remember,
        help="PEM file of the client's certificate, for a server that wants one. [default: $QDRANT_CLIENT_CERT]",
    ),
    click.option(
        "--client-key",
        type=click.Path(path_type=Path),
        callback=remember,
        help="PEM file of its key, if that isn't in the same file. [default: $QDRANT_CLIENT_KEY]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        help="Seconds a single request to the server may take.",
    ),
    click.option(
        "--retry-seconds",
        type=click.FloatRange(min=0),
        default=120.0,
        show_default=True,
        help="Seconds for which a request that failed for a passing reason is tried again.",
    ),
    click.option(
        "--allow-plain-http-key",
        is_flag=True,
        help="Send the API key over http:// to another host; only in a network that you trust.",
    ),
)

store_options = grouped("store", _store, *_store_options)
"""--url, --path, the key and the transport, as `store: StoreOptions`."""

reading_store_options = grouped(
    "store",
    _store,
    *_store_options,
    click.option(
        "--read-timeout",
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds that opening, or an answer, is waited for in all, retries included. [default: 10]",
    ),
)
"""The same for commands that read, as `store: ReadingStoreOptions`."""


def encoder_options(*, new: str = "") -> Callable[[F], F]:
    """--model and what goes with it, as `encoder: EncoderOptions`; `new` is the model of a collection that is made."""
    default = f"[default: the one that made the collection{f'; for a new one {new}' if new else ''}]"
    own = "[default: as the collection has it, or the model's files say]"
    return grouped(
        "encoder",
        dict,
        click.option(
            "--model",
            envvar="TASB_QDRANT_MODEL",
            callback=remember,
            shell_complete=files,
            help=f"Hub id or folder of the encoder, tas-b, or minilm. {default}",
        ),
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
            help="auto: bf16 on GPUs from Hopper on and CPUs that have it, fp16 on other GPUs, else fp32. "
            "int8 (CPU only) loses more.",
        ),
        click.option(
            "--normalize/--no-normalize",
            default=None,
            help=f"Vectors of length 1, or as they are. {own}",
        ),
        click.option(
            "--dim",
            type=click.IntRange(min=1),
            help=f"Keep so many of the first numbers of each vector, for a model trained for it (Matryoshka). {own}",
        ),
        click.option("--query-prompt", help=f"Put before each query; '' is nothing. {own}"),
        click.option("--passage-prompt", help=f"Put before each passage; '' is nothing. {own}"),
    )


def _source_options(
    *,
    format_name: str | None,
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    kept: tuple[str, ...] | None,
    drop: tuple[str, ...] | None,
    id_from: IdFrom | None,
    delimiter: str | None,
    encoding: str | None,
    escape: str | None,
    no_header: bool,
    columns: tuple[str, ...] | None,
    no_types: bool,
    payload_model: str | None,
) -> SourceOptions:
    from tasb_qdrant.sources import SourceFields, TextOptions

    return {
        "format": format_name,
        "fields": SourceFields(
            id=id_field, text=text_field, title=title_field, fields=kept, drop=drop or (), id_from=id_from
        ),
        "text_options": TextOptions(
            delimiter=delimiter,
            encoding=encoding,
            escape=escape,
            header=not no_header,
            columns=columns,
            typed=not no_types,
        ),
        "payload": model_named(payload_model),
    }


def _listed(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Names between commas, by the rules of CSV: a name that has a comma itself stands in quotes."""
    return None if value is None else tuple(name.strip() for name in next(csv.reader([value]), []))


source_options = grouped(
    "source",
    _source_options,
    click.option(
        "--format",
        "format_name",
        type=click.Choice(["msmarco", "jsonl", "csv", "tsv", "parquet", "text"]),
        help="Format of the source; needed for standard input and text, recognised otherwise.",
    ),
    click.option("--id-field", help="Field or column of the id; dots reach into objects. [default: recognised]"),
    click.option("--text-field", help="The same for the text."),
    click.option("--title-field", help="The same for the title."),
    click.option(
        "--fields", "kept", metavar="A,B", callback=_listed, help="Keep only these other fields. [default: all]"
    ),
    click.option("--drop", metavar="A,B", callback=_listed, help="Leave these fields out."),
    click.option(
        "--id-from",
        type=click.Choice(["text", "row"]),
        help="Make the ids: from title and text, or from the file's name and the row.",
    ),
    click.option("--delimiter", metavar="CHAR", help="Character between the cells of CSV. [default: recognised]"),
    click.option("--encoding", help="Encoding of text files, such as cp1252. [default: UTF-8, or by its mark]"),
    click.option("--escape", metavar="CHAR", help="Character before a quote inside a quoted cell of CSV."),
    click.option("--no-header", is_flag=True, help="CSV has no line of column names; give them with --columns."),
    click.option("--columns", metavar="A,B", callback=_listed, help="Names for the columns of CSV, all of them."),
    click.option("--no-types", is_flag=True, help="Read every cell of CSV as a string."),
    click.option(
        "--payload-model",
        metavar="MODULE:CLASS",
        help="A pydantic model that payloads must be instances of; its module may be in the current folder.",
    ),
)
"""--format, the names of fields and the payload's model, as `source: SourceOptions`."""


_collection: Final[dict[str, Any]] = {
    "metavar": "NAME",
    "envvar": "TASB_QDRANT_COLLECTION",
    "callback": remember,
    "shell_complete": collection_names,
    "help": "The collection's name. [default: $TASB_QDRANT_COLLECTION]",
}
collection_option = click.option("--collection", required=True, **_collection)
optional_collection_option = click.option("--collection", **_collection)
"""For a command that can do something without; it raises `click.MissingParameter` where it can't."""
peer_option = click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="URL",
    help="Another node of the cluster, to compare its replicas, too. Repeatable. [default: found automatically]",
)
workers_option = click.option(
    "--workers",
    type=_Workers(min=1),
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="How many processes read and check files of lines and Parquet; auto goes by cores and device.",
)
filter_option = click.option("--filter", "where", metavar="EXPR", help='Such as: year >= 2020 and lang in ["en", "de"]')
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
