"""Folders whose files don't say which of their rows still hold: tables of Delta Lake, Iceberg and Hudi."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import unquote

from tasb_qdrant.errors import SourceError
from tasb_qdrant.sources.find.partitions import Partition

if TYPE_CHECKING:
    from deltalake import DeltaTable

TABLE_ENDING: Final = ".parquet"

_DELTA: Final = "_delta_log"
_HUDI: Final = ".hoodie"
_ICEBERG: Final = ("metadata", "*.metadata.json")
_UNREAD_FEATURES: Final = frozenset({"deletionVectors", "columnMapping"})
"""What makes rows or names of Delta's files other than they stand in them; each may be declared and unused."""


def is_delta(folders: Collection[str]) -> bool:
    """Whether a folder that holds these is a table of Delta Lake."""
    return _DELTA in folders


def refuse_other_table(folder: Path, folders: Collection[str]) -> None:
    """Raises SourceError for a table of Hudi or Iceberg."""
    if _HUDI in folders:
        raise SourceError(
            "a Hudi table, whose files also hold rows that were deleted or replaced; write what it holds to Parquet "
            "(in Spark: spark.read.format('hudi').load(FOLDER).write.parquet(NEW)), and name that",
            source=str(folder),
        )
    if _ICEBERG[0] in folders and any((folder / _ICEBERG[0]).glob(_ICEBERG[1])):
        raise SourceError(
            "an Iceberg table, whose files also hold rows that were deleted or replaced; write what it holds to "
            "Parquet, and name that, or give ingest() in Python the Arrow table that pyiceberg reads: "
            "StaticTable.from_metadata(FILE).scan().to_arrow()",
            source=str(folder),
        )


def refuse_remote_tables(names: Iterable[PurePath], *, source: str) -> None:
    """Raises SourceError if a folder that lies elsewhere holds a table of Delta Lake, Hudi or Iceberg."""
    for name in names:
        iceberg = name.parent.name == _ICEBERG[0] and name.match(_ICEBERG[1])
        if iceberg or _DELTA in name.parts or _HUDI in name.parts:
            raise SourceError(
                "holds a table of Delta Lake, Hudi or Iceberg, whose files also hold rows that were deleted or "
                "replaced; copy a Delta table to this machine and name the copy, or give ingest() in Python the Arrow "
                "table that deltalake or pyiceberg reads",
                source=source,
            )


def refuse_part_of_table(path: Path) -> None:
    """Raises SourceError for a single file of a table, by the folders it lies in, past those of partitions."""
    if path.suffix.lower() != TABLE_ENDING:
        return
    for folder in path.parents:
        if (folder / _DELTA).is_dir():
            raise SourceError(
                f"a file of the Delta table {folder}, whose rows may have been deleted since; name the table's folder",
                source=str(path),
            )
        inside = [name for name in (_HUDI, _ICEBERG[0]) if (folder / name).is_dir()]
        refuse_other_table(folder, inside)
        if "=" not in folder.name and folder.name != "data":
            return


def live_files(folder: Path) -> list[tuple[Path, Partition]]:
    """The files of a Delta table that its newest version consists of, with their partitions. Raises SourceError."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise SourceError(
            "a Delta table, whose files also hold rows that were deleted or replaced; its log is read with "
            "pip install 'tasb-qdrant[delta]'",
            source=str(folder),
        ) from None
    try:
        table = DeltaTable(str(folder))
        _check_features(table, folder)
        return _added(table, folder)
    except DeltaError as error:
        _refuse(folder, " ".join(str(error).split()))


def _added(table: DeltaTable, folder: Path) -> list[tuple[Path, Partition]]:
    import pyarrow as pa

    from tasb_qdrant.sources.arrow.values import json_type

    actions: Any = pa.table(table.get_add_actions(flatten=True))
    names = [name for name in actions.column_names if name.startswith("partition.")]
    columns: list[list[Any]] = []
    for name in names:
        kind, convert = json_type(actions.schema.field(name).type)
        values = actions[name].cast(kind).to_pylist()
        columns.append([value if value is None or convert is None else convert(value) for value in values])
    partitions = [
        dict(zip((name.removeprefix("partition.") for name in names), row, strict=True))
        for row in (zip(*columns, strict=True) if columns else [()] * actions.num_rows)
    ]
    # The log has URLs, relative ones but for tables that are shallow copies of others.
    paths = [folder / unquote(path.removeprefix("file://")) for path in actions["path"].to_pylist()]
    return sorted(zip(paths, partitions, strict=True), key=lambda one: one[0])


def _check_features(table: DeltaTable, folder: Path) -> None:
    features = _UNREAD_FEATURES.intersection(table.protocol().reader_features or ())
    properties = table.metadata().configuration
    if "columnMapping" in features and properties.get("delta.columnMapping.mode", "none") == "none":
        features -= {"columnMapping"}
    if features:
        _refuse(folder, f"it uses {', '.join(sorted(features))}")


def _refuse(folder: Path, reason: str) -> NoReturn:
    raise SourceError(
        f"a Delta table that can't be read here ({reason}); write what it holds to Parquet (in Spark: "
        "spark.read.format('delta').load(FOLDER).write.parquet(NEW)), and name that",
        source=str(folder),
    )
