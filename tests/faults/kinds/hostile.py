"""What comes from strangers: answers of a server, sources, model folders. All in process, many at a time.

Whatever they hold, there is a result, or an error with a name, in a bounded time and bounded memory.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import gzip
import io
import json
import random
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.stub import Stub
from tests.faults.trial import Trial

_MEMORY: Final = 10 * 2**30
"""Of addresses: PyTorch alone takes some."""

_SECONDS_EACH: Final = 20
_SECONDS_A_CALL: Final = 0.15

ANSWERS: Final = 4
SOURCES: Final = 10_000
FILES: Final = 150
MODELS: Final = 3

JUNK: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x",
    "\ud800",
    "\x1b[31m\x07",
    "9" * 5000,
    [],
    [[]],
    [None],
    {},
    {"": {}},
    {"a": [1, "2", None]},
)


def server(trial: Trial) -> None:
    """A server whose answers are junk, oversized, of wrong types, cut, or packed."""
    trial.verdict.fault = f"{ANSWERS} calls answered with junk, in process"
    _through(trial, "call_hostile", str(trial.verdict.case.seed), str(trial.folder / "state"))


def sources(trial: Trial) -> None:
    """Lines and files that nobody should have written, through the readers; some through a whole run, and compared."""
    number = trial.verdict.case.number
    what = tuple(FORMATS)[number % len(FORMATS)]
    trial.verdict.fault = f"hostile {what}, in process"
    _through(trial, "read_hostile", what, str(trial.verdict.case.seed), str(trial.folder / "hostile"))
    if what in ("lines of JSON", "lines of CSV"):
        _whole_run(trial, what)


def models(trial: Trial) -> None:
    """Folders of a model with damaged or lying files."""
    trial.verdict.fault = f"{MODELS} hostile model folders, in process"
    _through(
        trial, "load_hostile", str(trial.rig.model), str(trial.folder / "model"), str(trial.verdict.case.seed), wait=280
    )


def _whole_run(trial: Trial, what: str) -> None:
    """What a run stores of it is what a verification finds."""
    suffix = "jsonl" if what == "lines of JSON" else "csv"
    source = trial.folder / f"whole.{suffix}"
    make = _json_line if suffix == "jsonl" else _csv_line
    lines = [make(n, trial.chance) for n in range(FILES)]
    head = [] if suffix == "jsonl" else [b"id,text,year,title"]
    source.write_bytes(b"\n".join([*head, *lines]) + b"\n")
    usual = trial.command("embedded")
    options = ["--model", str(trial.rig.model), "--device", "cpu", "--precision", "fp32", "--json"]
    place = [*usual.target.argv(), *options]
    rejects = str(trial.folder / "rejects.jsonl")
    code = trial.finish(trial.run(["ingest", str(source), *place, "--rejects", rejects, "--no-optimize"]))
    trial.expect(code in (0, 1, 3), f"expected exit code 0, 1 or 3, got {code}")
    if code in (0, 3):
        run = trial.run(["collection", "verify", "--source", str(source), *place, "--sample", "20"])
        code = trial.finish(run)
        found = json.loads(run.printed()) if code in (0, 3) else {}
        differing = {name: found.get(name) for name in ("missing", "extra", "text", "payload", "no_vector", "vectors")}
        trial.expect(code in (0, 3) and not any(differing.values()), f"exit code {code}, stored otherwise: {differing}")


def _through(trial: Trial, function: str, *arguments: str, wait: float = 120.0) -> None:
    """Run the job, and take over what it has tried and found."""
    target = trial.folder / "found.json"
    run = trial.rig.zygote.start(
        [*arguments, str(target)],
        folder=trial.folder,
        name="job",
        environment=trial.rig.environment(trial.folder),
        pace=0.01,
        job=f"tests.faults.kinds.hostile:{function}",
        seed=trial.verdict.case.seed,
    )
    status = run.wait(wait)
    run.end()
    if status is None:
        trial.verdict.hangs += 1
    if not target.exists():
        last = (trial.folder / "found.json.at").read_text() if (trial.folder / "found.json.at").exists() else ""
        trial.verdict.problems.append(f"the process ended with {status} at {last[:200]}: {run.said()[-300:]}")
        return
    found = json.loads(target.read_text())
    trial.verdict.faults = found["tried"]
    trial.verdict.hangs += found["slow"]
    trial.verdict.problems += found["unnamed"][:5]
    trial.verdict.fault += f": {found['tried']:,} tried, {found['named']:,} named"


class _Tally:
    """What came of each try. The one under way is in a file beside the target, for a process that is killed."""

    def __init__(self, target: str) -> None:
        self._target = Path(target)
        self._at = Path(f"{target}.at")
        self._counts: Counter[str] = Counter()
        self._unnamed: list[str] = []

    def run(self, what: str, call: Callable[[], object], *, inputs: int = 1) -> None:
        """Try it."""
        from tasb_qdrant.errors import TasbQdrantError

        self._at.write_text(what)
        self._counts["tried"] += inputs
        signal.alarm(_SECONDS_EACH)
        try:
            call()
        except TasbQdrantError:
            self._counts["named"] += 1
        except _TooSlowError:
            self._counts["slow"] += 1
            self._unnamed.append(f"{what}: not done after {_SECONDS_EACH} s")
        except BaseException as error:
            self._unnamed.append(f"{what}: {type(error).__name__}: {str(error)[:150]}")
        finally:
            signal.alarm(0)

    def write(self) -> None:
        """For the harness."""
        counts = {name: self._counts[name] for name in ("tried", "named", "slow")}
        self._target.write_text(json.dumps({**counts, "unnamed": self._unnamed}))


class _TooSlowError(BaseException):
    pass


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))

    def late(number: int, frame: object) -> None:
        raise _TooSlowError

    signal.signal(signal.SIGALRM, late)


def call_hostile(seed: str, folder: str, target: str) -> None:
    """A job: calls of searchers and others, answered with junk somewhere."""
    from tasb_qdrant import AsyncSearcher, Searcher
    from tests.faults.kinds.hostile_calls import ASKED, ask_async, elsewhere, right, taken
    from tests.ingest.fakes import StubEncoder

    _bounded()
    chance, tally = random.Random(int(seed)), _Tally(target)
    others = elsewhere(folder)
    impatient: dict[str, Any] = {"transport": "rest", "timeout": 1, "retry_seconds": 0.1}
    # Opened while the answers are right, which takes a busy machine a while.
    patient: dict[str, Any] = {**impatient, "timeout": 5, "read_timeout": 5, "encoder": StubEncoder()}
    with Stub() as stub:

        def call(name: str, awaits: bool, junk: Callable[..., Any]) -> object:
            stub.answer = junk if name in others else right
            if name in others:
                return others[name]({"url": stub.url, **impatient})
            if awaits:
                return ask_async(
                    lambda asker: ASKED[name](asker, _SECONDS_A_CALL),
                    AsyncSearcher("c", url=stub.url, **patient),
                    lambda: setattr(stub, "answer", junk),
                )
            with Searcher("c", url=stub.url, **patient) as searcher:
                stub.answer = junk
                return taken(ASKED[name](searcher, _SECONDS_A_CALL))

        for _ in range(ANSWERS):
            spoil, since = chance.choice(SPOILERS), chance.choice((0, 0, 1, 2, 4, 8, 16))
            name, awaits = chance.choice([*ASKED, *others]), chance.random() < 0.5
            junk = _junk(spoil, since, chance)
            what = f"{name}{', awaited' if awaits else ''}, {spoil.__name__} after {since} right answers"
            tally.run(what, lambda: call(name, awaits, junk))  # noqa: B023  # called now
    tally.write()


def _junk(spoil: Callable[[Any, random.Random], Any], since: int, chance: random.Random) -> Callable[..., Any]:
    """Right answers first, so that a call comes as far as its later requests; every second one is right later, too."""
    from tests.faults.kinds.hostile_calls import right

    seen = 0

    def answer(handler: Any, path: str, body: bytes) -> Any:
        nonlocal seen
        seen += 1
        found = right(handler, path, body)
        return found if seen <= since or (since and chance.random() < 0.5) else spoil(found, chance)

    return answer


def other_value(answer: Any, chance: random.Random) -> Any:
    """A value somewhere in the answer is another."""
    status, content = answer[:2]
    return status, spoiled(content, chance)


def other_bytes(answer: Any, chance: random.Random) -> Any:
    """The body is cut, has other bytes, is empty, or is something else altogether."""
    data = bytearray(json.dumps(answer[1]).encode())
    way = chance.randrange(5)
    if way == 0:
        return answer[0], bytes(data[: chance.randrange(len(data))])
    if way == 1:
        data[chance.randrange(len(data))] = chance.randrange(256)
        return answer[0], bytes(data)
    return answer[0], (b"", b"<html>sign in</html>", b"[" * 100_000)[way - 2]


def other_status(answer: Any, chance: random.Random) -> Any:
    """A status that doesn't fit."""
    status = chance.choice((201, 204, 301, 304, 400, 401, 403, 404, 409, 413, 418, 429, 500, 502, 503, 507, 599))
    body = chance.choice((b"", b"\xff\xfe", b'{"status":{"error":"\\u001b[31m"}}', answer[1]))
    return (
        status,
        body,
        [("location", "http://127.0.0.1:1/"), ("retry-after", chance.choice(("x", "-1", "1e400", "1")))],
    )


def oversized(answer: Any, chance: random.Random) -> Any:
    """Far more than was asked for: in the body, packed, or said in a header."""
    way = chance.randrange(3)
    if way == 0:
        return answer[0], json.dumps(answer[1]).encode() + b" " * 2**24
    if way == 1:
        return answer[0], gzip.compress(b" " * 2**25), [("content-encoding", "gzip")]
    data = json.dumps(answer[1]).encode()
    return answer[0], data, [("content-length", str(len(data) + chance.choice((1, 10**6, 10**15))))]


def mislabelled(answer: Any, chance: random.Random) -> Any:
    """Headers that lie about the body."""
    data = json.dumps(answer[1]).encode()
    name = chance.choice(("content-encoding", "content-type", "transfer-encoding"))
    return answer[0], data, [(name, chance.choice(("gzip", "br", "deflate", "text/html; charset=utf-99", "chunked")))]


SPOILERS: Final[tuple[Callable[[Any, random.Random], Any], ...]] = (
    other_value,
    other_value,
    other_value,
    other_bytes,
    other_status,
    oversized,
    mislabelled,
)


def spoiled(content: Any, chance: random.Random) -> Any:
    """A copy in which a value, anywhere, is replaced, gone, or there twice."""
    made = copy.deepcopy(content)
    holders = list(_holders(made))
    if not holders:
        return chance.choice(JUNK)
    holder = chance.choice(holders)
    key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    way = chance.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(JUNK)
    return made


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list) and value:
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _holders(each)


def read_hostile(what: str, seed: str, folder: str, target: str) -> None:
    """A job: read many such files."""
    from tasb_qdrant.sources import open_sources

    _bounded()
    chance, tally = random.Random(int(seed)), _Tally(target)
    Path(folder).mkdir()
    for number, (suffix, data, inputs) in enumerate(FORMATS[what](chance)):
        path = Path(folder) / f"{number}.{suffix}"
        path.write_bytes(data)

        def read(path: Path = path) -> None:
            with open_sources([path], on_reject=lambda reject: None) as reader:
                for _ in reader:
                    pass

        before = len(tally._unnamed)
        tally.run(f"{what}, file {number}", read, inputs=inputs)
        if len(tally._unnamed) == before:
            path.unlink()
    tally.write()


def _json_files(chance: random.Random) -> Iterator[tuple[str, bytes, int]]:
    for _ in range(10):
        lines = [_json_line(n, chance) for n in range(SOURCES // 10)]
        yield "jsonl", b"\n".join(lines), len(lines)


def _csv_files(chance: random.Random) -> Iterator[tuple[str, bytes, int]]:
    for _ in range(10):
        head = b"id,text,year,title" if chance.random() < 0.8 else _junk_bytes(chance)
        lines = [_csv_line(n, chance) for n in range(SOURCES // 10)]
        yield "csv", b"\n".join([head, *lines]), len(lines)


def _tsv_files(chance: random.Random) -> Iterator[tuple[str, bytes, int]]:
    for _ in range(10):
        lines = [b"%d\t%s" % (n, _junk_bytes(chance).replace(b"\n", b"\t")) for n in range(SOURCES // 10)]
        yield "tsv", b"\n".join(lines), len(lines)


def _parquet_files(chance: random.Random) -> Iterator[tuple[str, bytes, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    rows = {"id": [str(n) for n in range(50)], "text": ["bee owl"] * 50, "year": list(range(50)), "l": [[1, 2]] * 50}
    others: dict[str, Any] = {
        "when": [datetime.datetime(2020, 1, 1 + n % 28) for n in range(50)],  # noqa: DTZ001  # UTC is not said either
        "price": [decimal.Decimal(n) / 4 for n in range(50)],
        "nested": [{"a": None if n % 3 else n, "b": [{"c": "x"}] * (n % 3)} for n in range(50)],
        "bytes": [b"bee"] * 50,
        "sound": [n % 2 == 0 for n in range(50)],
    }
    pq.write_table(
        pa.table(rows | {name: others[name] for name in others if chance.random() < 0.4}),
        sink,
        compression=chance.choice(("zstd", "snappy", "none")),
        row_group_size=chance.choice((20, 50)),
        use_dictionary=chance.random() < 0.5,
        write_page_index=chance.random() < 0.5,
        data_page_version=chance.choice(("1.0", "2.0")),
    )
    whole = sink.getvalue()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for _ in range(FILES):
        at = footer if chance.random() < 0.5 else 0  # what the footer says is what most depends on
        yield "parquet", whole[:at] + _mangled(whole[at:], chance), 1


def _packed_files(chance: random.Random) -> Iterator[tuple[str, bytes, int]]:
    import zstandard

    plain = b"\n".join(b'{"id":"%d","text":"bee owl"}' % n for n in range(200))
    packed = {"gz": gzip.compress(plain), "zst": zstandard.compress(plain)}
    for _ in range(FILES):
        suffix = chance.choice(tuple(packed))
        yield f"jsonl.{suffix}", _mangled(packed[suffix], chance), 1


FORMATS: Final[dict[str, Callable[[random.Random], Iterator[tuple[str, bytes, int]]]]] = {
    "lines of JSON": _json_files,
    "lines of CSV": _csv_files,
    "lines of TSV": _tsv_files,
    "Parquet": _parquet_files,
    "compressed files": _packed_files,
}


def _json_line(number: int, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return b'{"id":"p%d","text":"bee owl","year":%d}' % (number, number)
    made: Any = {"id": f"p{number}", "text": "bee owl", "year": 3, "title": "t", "tags": ["a", {"b": 1}]}
    for _ in range(chance.randint(1, 3)):
        made = spoiled(made, chance)
    line = _written(made, chance)
    return _mangled(line, chance).replace(b"\n", b" ") if chance.random() < 0.3 else line


def _written(made: Any, chance: random.Random) -> bytes:
    """As JSON, or what calls itself so: NaN, huge numbers, lone surrogates; deep at times."""
    if chance.random() < 0.02:
        depth = chance.choice((33, 200, 5_000))
        return b'{"id":"d","text":"x","v":' + b"[" * depth + b"]" * depth + b"}"
    return json.dumps(made, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _csv_line(number: int, chance: random.Random) -> bytes:
    cells = [str(number).encode(), b"bee owl", b"3", b"t"]
    for _ in range(chance.randint(0, 2)):
        cells[chance.randrange(4)] = _junk_bytes(chance)
    if chance.random() < 0.1:
        cells = cells[: chance.randrange(5)] * chance.randint(1, 3)
    return b",".join(cells)


def _junk_bytes(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return str(chance.choice(JUNK)).encode("utf-8", "surrogatepass")[:200]
    return chance.choice(
        (b'"', b'""', b'"a', b"\x00", b"\xff\xfe", b"\r", b"\x1b[31m", b"=1+1", b",,,", bytes(range(1, 32)), b"x" * 300)
    )


def _mangled(data: bytes, chance: random.Random) -> bytes:
    """Some bits flipped, cut, doubled, or bytes put in."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(made) or 1)
        way = chance.randrange(4)
        if way == 0 and made:
            made[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            del made[at : at + chance.choice((1, 4, len(made)))]
        elif way == 2:
            made[at:at] = chance.randbytes(chance.choice((1, 8)))
        elif made:
            made[at : at + 4] = chance.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff"))
    return bytes(made)


def load_hostile(model: str, folder: str, seed: str, target: str) -> None:
    """A job: load such models, and encode with those that load."""
    import tasb_qdrant.encoder.forward.reference  # noqa: F401  # it imports transformers, which has no time limit
    from tasb_qdrant.encoder import load_encoder

    _bounded()
    chance, tally = random.Random(int(seed)), _Tally(target)
    names = [path.name for path in sorted(Path(model).iterdir()) if path.is_file()]
    for number in range(MODELS):
        made = Path(f"{folder}-{number}")
        shutil.copytree(model, made)
        name = chance.choice([*names, "config.json", "tokenizer.json", "model.safetensors"])
        if chance.random() < 0.4:
            name = chance.choice(_chain(made))
        what = f"{number}: {name}, {_hostile_file(made / name, chance)}"

        def load(made: Path = made) -> None:
            load_encoder(str(made), device="cpu").encode_queries(["bee owl", "a" * 50])

        tally.run(what, load)
        shutil.rmtree(made)
    tally.write()


def _chain(folder: Path) -> list[str]:
    """Make the folder one of sentence-transformers', with a Dense module; its files."""
    import numpy as np
    from safetensors.numpy import save_file

    from tests.encoder.model.folders import chained

    dim = json.loads((folder / "config.json").read_text())["dim"]
    dense = {"in_features": dim, "out_features": 4, "bias": False, "activation_function": "torch.nn.Identity"}
    chained(folder, ("Dense", dense), ("Normalize", {}), prompts={"query": "q: ", "document": ""}, truncate_dim=3)
    save_file({"linear.weight": np.ones((4, dim), dtype=np.float32)}, folder / "2_Dense" / "model.safetensors")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}')
    names = ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"]
    return [*names, "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]


def _hostile_file(path: Path, chance: random.Random) -> str:
    """Make the file hostile; says how."""
    data = path.read_bytes()
    if path.suffix == ".json" and chance.random() < 0.8:
        made = json.loads(data)
        for _ in range(chance.randint(1, 3)):
            made = spoiled(made, chance)
        path.write_text(json.dumps(made), encoding="utf-8", errors="surrogatepass")
        return "another value"
    if path.suffix == ".safetensors" and chance.random() < 0.7:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        lying = json.dumps(spoiled(header, chance)).encode()
        path.write_bytes(len(lying).to_bytes(8, "little") + lying + data[8 + size :])
        return "a header that lies"
    path.write_bytes(_mangled(data, chance))
    return "other bytes"
