"""Whatever is read, asked or answered: it is taken, or refused by a named error on clean lines, and nothing else.

Each example is a seed, which a failure tells, and makes many inputs: sound ones that are cut, joined, repeated and
mixed with what is known to hurt. CI draws a few hundred; `make fuzz` more than a hundred thousand.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasb_qdrant import Passage, Searcher, ingest
from tasb_qdrant.collection.edge.filters import to_edge
from tasb_qdrant.collection.reads.filters import to_qdrant
from tasb_qdrant.encoder.load import known_contract
from tasb_qdrant.errors import TasbQdrantError
from tasb_qdrant.filters import check_filter, format_filter, parse_filter
from tasb_qdrant.printable import STEERING
from tasb_qdrant.records import Reject
from tasb_qdrant.records.json_text import json_bytes
from tasb_qdrant.sources import open_sources
from tests.collection.faults import HttpFault, HttpProxy
from tests.encoder.model.folders import chained
from tests.ingest.fakes import StubEncoder, stub_contract
from tests.models import minilm_folder

FUZZ: Final = settings.get_current_profile_name() == "fuzz"
BATCH: Final = 100 if FUZZ else 20

seeds = st.integers(0, 2**32 - 1)


def examples(few: int, many: int) -> settings:
    """So many seeds in CI, and under `make fuzz`."""
    return settings(
        max_examples=many if FUZZ else few,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller seed makes no smaller input
    )


EVIL: Final = (
    *(
        "\ud800",
        "\udfff",
        "\x00",
        "\x1b[31m",
        "\x9b2J",
        "\u202e",
        "\u2028",
        "\ufeff",
        "\n",
        "\r",
        "\t",
        '"',
        "\\",
        "`",
        "'",
    ),
    *("", " ", "NaN", "Infinity", "-1", "1e999", "9" * 400, "-0.0", "null", "true", "[]", "{}", "[" * 60, "}" * 60),
    *("é", "漢字", "🐝\u200d", "a.b[0]", "a[]", "__class__", "passage_id", "text", "x" * 5_000, "../..", "/dev/null"),
)
"""Pieces that have hurt something somewhere."""


def mutated(chance: random.Random, text: str) -> str:
    """A sound text with a few of its parts cut out, repeated, moved or replaced."""
    for _ in range(chance.randint(0, 3)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 1, 2, 8, 40)))
        piece = chance.choice(
            (chance.choice(EVIL), text[start:end] * 2, "", chr(chance.choice((65, 0x10FFFF, 0xD800))))
        )
        text = text[:start] + piece + text[end:]
    return text


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 1, 4, 64)))
        piece = chance.choice(
            (b"", bytes([chance.randrange(256)]), chance.randbytes(4), b"\xff" * 8, data[start:end] * 3)
        )
        data = data[:start] + piece + data[end:]
    return data


def value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON, and what Python has beside it."""
    kind = chance.randrange(12 if depth < 4 else 9)
    if kind < 4:
        return mutated(chance, chance.choice(("bees", "2020-01-01", "12", "")))
    if kind == 4:
        return chance.choice((0, -1, 2**53, 2**63, 2**64, -(2**63), 10**30))
    if kind == 5:
        return chance.choice((1.5, math.nan, math.inf, 1e308, -0.0))
    if kind in (6, 7, 8):
        return chance.choice((None, True, False))
    if kind == 9:
        return [value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    return {mutated(chance, "key"): value(chance, depth + 1) for _ in range(chance.randint(0, 3))}


@contextmanager
def only_named(what: object) -> Iterator[None]:
    """Whatever happens is a TasbQdrantError with a clean message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TasbQdrantError as error:
        if not str(error) or STEERING.search(str(error).replace("\n", "")):
            pytest.fail(f"{error!r} of {what!r:.2000}")
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error!r:.300} of {what!r:.2000}")


def _lines(chance: random.Random, form: str) -> bytes:
    made = []
    for number in range(chance.randint(1, 6)):
        record = {"id": f"p{number}", "text": "bees dance", "title": "t", "year": 3}
        if chance.random() < 0.7:
            record[mutated(chance, chance.choice(("year", "id", "text", "new")))] = value(chance)
        if form == "jsonl":
            line = json.dumps(record, ensure_ascii=chance.random() < 0.5)
        elif form == "msmarco":
            line = f"{number}\tbees dance"
        else:
            line = ("," if form == "csv" else "\t").join(["id", "text", "year"] if not number else ["1", "a b", "3"])
        made.append(mutated(chance, line))
    text = chance.choice(("\n", "\r\n", "\n\n")).join(made)
    if form == "jsonl" and chance.random() < 0.1:
        text = f"[{','.join(made)}]"
    return text.encode(errors=chance.choice(("surrogatepass", "replace")))


@given(seed=seeds)
@examples(4, 400)
def test_lines(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    path = tmp_path_factory.getbasetemp() / "hostile-lines"
    for _ in range(BATCH):
        form = chance.choice(("jsonl", "csv", "tsv", "msmarco", "text"))
        data = _lines(chance, form)
        data = chance.choice((data, data, gzip.compress(data), zstandard.compress(data)))
        data = mutated_bytes(chance, data) if chance.random() < 0.3 else data
        path.write_bytes(data)
        rejects: list[Reject] = []
        with only_named((seed, form, data)), open_sources([path], format=form, on_reject=rejects.append) as source:
            for passage in source:
                orjson.dumps([passage.id, passage.text, passage.title, passage.payload])
                assert passage.point_id is not None
        json_bytes([reject.reason for reject in rejects])


def _sound_file(chance: random.Random) -> tuple[str, bytes]:
    if chance.random() < 0.5:
        table = pa.table({"id": ["a", "b"], "text": ["bees", "owls"], "x": [[1], None], "y": [{"z": 1}, None]})
        file = io.BytesIO()
        pq.write_table(table, file, compression=chance.choice(("none", "zstd", "snappy")))
        return "f.parquet", file.getvalue()
    data = b'{"id": "a", "text": "bees"}\n' * chance.randint(0, 40)
    name, pack = chance.choice((("f.jsonl", bytes), ("f.jsonl.gz", gzip.compress), ("f.jsonl.zst", zstandard.compress)))
    return name, pack(data)


@given(seed=seeds)
@examples(2, 100)
def test_files(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.getbasetemp()
    for _ in range(BATCH):
        name, data = _sound_file(chance)
        data = mutated_bytes(chance, data) if chance.random() < 0.9 else chance.randbytes(chance.randint(0, 200))
        (folder / name).write_bytes(data)
        with only_named((seed, name, data)), open_sources([folder / name], on_reject=lambda _: None) as source:
            list(source)


FILTERS: Final = (
    'year >= 2020 and lang in ["en", "de"] and not draft = true',
    'text contains "bees" or (a.b[].c = 1.5 and `odd name` is null)',
    "when between 2020-01-01 and 2021-01-01T10:00:00Z",
    "place within 5 km of (1.5, 2.5) or place in box (1, 2) to (3, 4)",
    "tags[0] = \"x\" and count(tags) > 2 and authors any (name = 'x' and age > 3)",
    "x is empty or y exists or not (z != -3)",
)


@given(seed=seeds)
@examples(4, 500)
def test_filters(seed: int) -> None:
    chance = random.Random(seed)
    indexes: Any = {"year": "integer", "lang": "keyword", "text": "text", "place": "geo", "when": "datetime"}
    for _ in range(BATCH):
        text = mutated(chance, chance.choice(FILTERS))
        if chance.random() < 0.1:
            text = chance.choice(("(", "not ", "a any (")) * chance.choice((5, 200, 3_000)) + text
        with only_named((seed, text)):
            where = parse_filter(text)
            assert format_filter(parse_filter(format_filter(where))) == format_filter(where)
            to_edge(to_qdrant(where))
            check_filter(where, indexes=indexes, seen={"year": frozenset(["number"])})


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searcher[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("hostile")
    passages = [Passage(str(number), f"bees {number}", payload={"year": number, "lang": "x"}) for number in range(9)]
    ingest(passages, collection="c", path=folder, encoder=StubEncoder(), bm25=True)
    with Searcher("c", path=folder, encoder=StubEncoder()) as opened:
        yield opened


QUESTIONS: Final[dict[str, Callable[[Any, str, str, str], object]]] = {
    "search": lambda searcher, query, _, where: searcher.search(query, where=where, limit=3),
    "bm25": lambda searcher, _, asked, __: searcher.search(asked, mode="bm25", limit=3),
    "get": lambda searcher, _, asked, __: searcher.get([asked]),
    "like": lambda searcher, _, asked, __: searcher.more_like_this(asked),
    "recommend": lambda searcher, _, asked, where: searcher.recommend([asked], where=where),
    "rerank": lambda searcher, query, asked, _: searcher.rerank(query, [asked]),
    "count": lambda searcher, _, __, where: searcher.count(where),
    "scroll": lambda searcher, _, __, where: list(searcher.scroll(where=where)),
    "facet": lambda searcher, _, asked, __: searcher.facet(asked),
    "order_by": lambda searcher, _, asked, __: list(searcher.scroll(order_by=asked)),
    "groups": lambda searcher, query, asked, __: searcher.search_groups(query, by=asked),
    "best_per": lambda searcher, query, asked, __: searcher.search(query, best_per=asked),
    "with_payload": lambda searcher, query, asked, __: searcher.search(query, with_payload=[asked]),
    "boost": lambda searcher, query, asked, __: searcher.search(query, boost=asked),
}

FIELDS: Final = ("facet", "order_by", "groups", "best_per", "with_payload", "boost")
"""Those that take the name of a field."""


@given(seed=seeds)
@examples(2, 60)
def test_questions(seed: int, searcher: Searcher[dict[str, Any]]) -> None:
    chance = random.Random(seed)
    for _ in range(BATCH):
        query = mutated(chance, "bees and owls").encode(errors="replace").decode()
        asked = mutated(chance, chance.choice(("1", "bees", "a" * 40, "year", "lang", "year * 2")))
        where = mutated(chance, 'year >= 2 and lang = "x"')
        name = chance.choice([*QUESTIONS])
        with only_named((seed, name, query, asked, where)):
            QUESTIONS[name](searcher, query, asked, where)


@pytest.mark.parametrize("question", FIELDS)
def test_names_of_fields(question: str, searcher: Searcher[dict[str, Any]]) -> None:
    spellings = ("{}", "year{}", "{}year", "lang.{}", "`{}`", '"{}"', "{}[]", "year[{}]", "score * {}", 'field("{}")')
    texts = [spelling.replace("{}", piece) for spelling in spellings for piece in EVIL]
    odd: tuple[Any, ...] = (0, -1.5, math.nan, True, b"year", ["year"], {"year": 1}, object())
    for name in (*texts, *odd):
        with only_named((question, name)):
            QUESTIONS[question](searcher, "bees", name, "")


def _described() -> dict[str, Any]:
    """What a server says of a collection."""
    schema = {
        "format": 1,
        "id": "x",
        "contract": stub_contract().to_dict(),
        "quantization": "none",
        "vectors": "float32",
        "keys": {"id": "passage_id", "text": "text", "title": "title"},
        "indexing_threshold_kb": 10_000,
        "bm25": None,
    }
    params = {"vectors": {"size": 8, "distance": "Dot"}, "shard_number": 1, "on_disk_payload": True}
    config = {
        "params": params,
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
        "metadata": {"tasb_qdrant": schema},
    }
    counts = {"indexed_vectors_count": 0, "points_count": 1, "segments_count": 1, "payload_schema": {}}
    return {"status": "green", "optimizer_status": "ok", "config": config, **counts}


def _answer(path: str, searches: int) -> dict[str, Any]:
    point = {"id": 1, "version": 0, "score": 0.5, "payload": {"passage_id": "a", "text": "t"}}
    if path == "/":
        return {"title": "qdrant - vector search engine", "version": "1.17.0"}
    result: Any = _described()
    if path.endswith("/query/batch"):
        result = [{"points": [point]} for _ in range(searches)]
    elif path.endswith("/points/scroll"):
        result = {"points": [point], "next_page_offset": None}
    elif path.endswith("/count"):
        result = {"count": 1}
    elif path == "/collections":
        result = {"collections": [{"name": "c"}]}
    elif path.endswith("/exists"):
        result = {"exists": True}
    return {"result": result, "status": "ok", "time": 0.0}


def _spoiled(chance: random.Random, found: Any) -> Any:
    """The same JSON with one of its parts replaced, or left out."""
    if isinstance(found, dict) and found and chance.random() < 0.9:
        name = chance.choice([*found])
        if chance.random() < 0.1:
            return {key: item for key, item in found.items() if key != name}
        return {**found, name: _spoiled(chance, found[name])}
    if isinstance(found, list) and found and chance.random() < 0.8:
        return [_spoiled(chance, found[0]), *found[1:]] * chance.choice((1, 1, 2))
    return value(chance)


class _Hostile(HttpProxy):
    """A server whose answers are spoiled by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = random.Random(0)
        self.when = lambda *_: True

    def _fault(self, method: str, path: str, body: bytes) -> HttpFault:
        found = _answer(path.partition("?")[0], body.count(b'"limit"'))
        if self.chance.random() < 0.4:
            found = _spoiled(self.chance, found)
        data = json.dumps(found).encode()
        if self.chance.random() < 0.1:
            data = mutated_bytes(self.chance, data)
        status = self.chance.choice((200,) * 12 + (400, 404, 403))
        return HttpFault(status, {"content-type": "application/json"}, data)


@given(seed=seeds)
@examples(1, 40)
def test_answers_of_a_server(seed: int) -> None:
    with _Hostile() as server:
        server.chance = random.Random(seed)
        for _ in range(BATCH):
            with only_named(seed):
                options: Any = {"transport": "rest", "retry_seconds": 0, "timeout": 5, "read_timeout": 1}
                with Searcher("c", url=server.url, encoder=StubEncoder(), **options) as opened:
                    for hit in opened.search("bees", limit=3):
                        assert isinstance(hit.id, str)
                    opened.search("bees", where="year > 3")
                    next(iter(opened.scroll()), None)


@given(seed=seeds)
@examples(1, 40)
def test_folders_of_models(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("model")
    for file in Path(minilm_folder()).iterdir():
        if file.is_file() and file.name not in ("modules.json", "config_sentence_transformers.json"):
            (folder / file.name).symlink_to(file)
    chained(folder, ("Normalize", None))
    names = ("config.json", "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json")
    sound = {name: (folder / name).read_bytes() for name in names}
    for _ in range(5):  # of each, transformers reads what is unusual, which takes a second
        name = chance.choice(names)
        spoiled = json.dumps(_spoiled(chance, json.loads(sound[name]))).encode()
        data = mutated_bytes(chance, sound[name]) if chance.random() < 0.2 else spoiled
        (folder / name).unlink()
        (folder / name).write_bytes(data)
        with only_named((seed, name, data)):
            known_contract(folder)
        (folder / name).write_bytes(sound[name])
