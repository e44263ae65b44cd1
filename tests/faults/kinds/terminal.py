"""Control characters in every place where strangers' text may come from: none of them reaches the terminal."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any, Final

from tests.faults.stub import Stub, right_answer
from tests.faults.trial import Trial

CONTROLS: Final[dict[str, str]] = {
    "a title": "\x1b]0;PWNED\x07",
    "a colour": "\x1b[31mEVIL",
    "a clearing": "\x1b[2J\x1b[HEVIL",
    "C1": "\x9b31mEVIL",
    "C1's own title": "\x9d0;PWNED\x9c",
    "bidi": "\u202eEVIL",
    "an isolate": "\u2066EVIL\u2069",
    "a carriage return": "fine\rEVIL",
    "backspaces": "fine\b\b\b\bEVIL",
    "a bell": "\x07EVIL",
    "a line that is forged": "x\nError: EVIL",
}

_STEERING: Final = (
    *(chr(code) for code in range(32) if chr(code) not in "\n\r\t\x1b"),
    *map(chr, range(0x7F, 0xA0)),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
)
"""What must not be in any output; a terminal's own \\r and escapes are looked at where they were put in."""

_OURS: Final = ("\x1b]0;PWNED", "\x1b[31mEVIL", "\x1b[2J\x1b[HEVIL", "fine\rEVIL", "\nError: EVIL")

Place = Callable[[Trial, str], list[str]]


def controls(trial: Trial) -> None:
    """A command that meets such text, on a terminal or with --json."""
    number = trial.verdict.case.number
    place = tuple(PLACES)[number % len(PLACES)]
    what = trial.chance.choice(tuple(CONTROLS))
    as_json = trial.chance.random() < 0.3
    trial.verdict.fault = f"{what} in {place}{', --json' if as_json else ''}"
    argv = PLACES[place](trial, CONTROLS[what])
    if argv:
        _watched(trial, [*argv, *(["--json"] if as_json else [])])


def _watched(trial: Trial, argv: list[str]) -> None:
    """Run it on a terminal of its own, and look at every character that comes out."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    number = len(trial._runs)
    for suffix in ("out", "err"):
        (trial.folder / f"run-{number}.{suffix}").symlink_to(name)
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                return
            if not data:
                return
            seen.extend(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    run = trial.run(argv, environment={"TERM": "xterm", "COLUMNS": "200"})
    code = run.wait(40)
    os.close(slave)
    run.end()
    reader.join(2)
    for suffix in ("out", "err"):
        (trial.folder / f"run-{number}.{suffix}").unlink()
    os.close(master)
    trial.verdict.runs.append((code, 0.0))
    text = bytes(seen).decode("utf-8", "replace").replace("\r\n", "\n")
    trial.expect(code is not None, "it hung")
    trial.expect("Traceback" not in text, f"a traceback: {text[-300:]!r}")
    found = sorted({repr(one) for one in (*_STEERING, *_OURS) if one in text})
    trial.expect(not found, f"reached the terminal: {', '.join(found)} ({_around(text, found)})")


def _around(text: str, found: list[str]) -> str:
    if not found:
        return ""
    at = max(text.find("EVIL"), text.find("PWNED"), 0)
    return repr(text[max(0, at - 60) : at + 20])


def _lines(trial: Trial, *records: dict[str, Any], name: str = "source.jsonl") -> str:
    path = trial.folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return str(path)


def _place(trial: Trial) -> list[str]:
    return ["--path", str(trial.folder / "store"), "--collection", "c"]


def _model(trial: Trial) -> list[str]:
    return ["--model", str(trial.rig.model), "--device", "cpu", "--precision", "fp32"]


def _ingest(trial: Trial, *sources: str) -> list[str]:
    return ["ingest", *sources, *_place(trial), *_model(trial)]


def _stored(trial: Trial, *records: dict[str, Any]) -> None:
    code = trial.finish(trial.run([*_ingest(trial, _lines(trial, *records)), "--no-optimize", "--quiet"]))
    if code != 0:
        raise RuntimeError(f"the passages could not be stored: exit code {code}")


def _field_without_id(trial: Trial, evil: str) -> list[str]:
    return _ingest(trial, _lines(trial, {evil: 1, "text": "x"}))


def _csv_header(trial: Trial, evil: str) -> list[str]:
    path = trial.folder / "h.csv"
    path.write_text(f'id,text,"{evil}","{evil}"\n1,x,2,3\n')
    return _ingest(trial, str(path))


def _file_name(trial: Trial, evil: str) -> list[str]:
    path = trial.folder / f"{evil.replace('/', '')}.jsonl"
    path.write_text('{"id": "a"}\n')
    return _ingest(trial, str(path))


def _missing_file(trial: Trial, evil: str) -> list[str]:
    return _ingest(trial, str(trial.folder / f"{evil}.jsonl"))


def _rejected_id(trial: Trial, evil: str) -> list[str]:
    return _ingest(trial, _lines(trial, {"id": "a", "text": "x"}, {"id": evil, "text": ""}))


def _doubled_id(trial: Trial, evil: str) -> list[str]:
    return _ingest(trial, _lines(trial, {"id": evil, "text": "x"}, {"id": evil, "text": "y"}))


def _progress(trial: Trial, evil: str) -> list[str]:
    folder = trial.folder / f"d{evil.replace('/', '')}"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": "a", "text": "bee"}\n')
    return _ingest(trial, str(folder))


def _everywhere(evil: str) -> list[dict[str, Any]]:
    evils = {"id": f"{evil}i", "title": evil, "text": f"bee {evil}", evil: evil, "lang": evil, "yaar": 1}
    return [evils, {"id": "b", "text": "owl", "year": 3}]


def _hits(trial: Trial, evil: str) -> list[str]:
    _stored(trial, *_everywhere(evil))
    return ["search", "bee", *_place(trial), *trial.chance.choice(([], ["--group-by", "lang"], ["--format", "jsonl"]))]


def _filter(trial: Trial, evil: str) -> list[str]:
    _stored(trial, *_everywhere(evil))
    return ["search", "bee", *_place(trial), "--filter", trial.chance.choice(("q = 1", "langs = 1", 'lang = "x'))]


def _facet(trial: Trial, evil: str) -> list[str]:
    _stored(trial, *_everywhere(evil))
    return ["collection", "index", "list", *_place(trial)]


def _verified(trial: Trial, evil: str) -> list[str]:
    _stored(trial, *_everywhere(evil))
    source = _lines(trial, {"id": f"{evil}i", "text": "other"}, name="other.jsonl")
    return ["collection", "verify", *_place(trial), "--source", source, "--sample", "0"]


def _name(trial: Trial, evil: str) -> list[str]:
    return ["search", "bee", "--path", str(trial.folder / "store"), "--collection", evil]


def _folder(trial: Trial, evil: str) -> list[str]:
    return ["collection", "list", "--path", str(trial.folder / f"no{evil}")]


def _model_name(trial: Trial, evil: str) -> list[str]:
    return ["ingest", _lines(trial, {"id": "a", "text": "x"}), *_place(trial), "--model", str(trial.folder / evil)]


def _sidecar(trial: Trial, evil: str) -> list[str]:
    _stored(trial, {"id": "a", "text": "bee"})
    sidecar = trial.folder / "store" / "c" / "collection.json"
    described = json.loads(sidecar.read_text())
    for each in described.values():
        if isinstance(each, dict) and isinstance(contract := each.get("contract"), dict):
            contract["model"] = f"m{evil}"
    if isinstance(described.get("contract"), dict):
        described["contract"]["model"] = f"m{evil}"
    sidecar.write_text(json.dumps(described))
    return ["collection", "info", *_place(trial)]


def _server(trial: Trial, evil: str) -> list[str]:
    """A server's errors, versions, names and payloads."""
    way = trial.chance.choice(("error", "version", "names", "payload", "metadata"))

    def answer(handler: Any, path: str, body: bytes) -> Any:
        right = right_answer(path, body)
        if way == "error" and path != "/":
            return 400, {"status": {"error": evil}}
        text = json.dumps(right[1]) if right is not None else ""
        old, new = {
            "version": ("1.17.0", f"1.17.0{evil}"),
            "names": ('"name": "c"', f'"name": {json.dumps("c" + evil)}'),
            "payload": ('"text": "t"', f'"text": {json.dumps(evil)}'),
            "metadata": ('"model": "stub"', f'"model": {json.dumps("stub" + evil)}'),
            "error": ("\0", ""),
        }[way]
        made = text.replace(old, json.dumps(new)[1:-1] if way == "version" else new)
        return 200, made.encode()

    with Stub() as stub:
        stub.answer = answer
        argv = trial.chance.choice((["collection", "list"], ["collection", "info", "--collection", "c"]))
        _watched(trial, [*argv, "--url", stub.url, "--transport", "rest", "--retry-seconds", "0"])
    return []


PLACES: Final[dict[str, Place]] = {
    "a field's name, without an id": _field_without_id,
    "a CSV header": _csv_header,
    "a file's name": _file_name,
    "the name of a missing file": _missing_file,
    "the id of a reject": _rejected_id,
    "an id that comes twice": _doubled_id,
    "a folder's name while it is loaded": _progress,
    "hits": _hits,
    "what a filter's error tells": _filter,
    "payload fields that are listed": _facet,
    "differences": _verified,
    "a collection's name": _name,
    "a store's name": _folder,
    "a model's name": _model_name,
    "what a collection says of its model": _sidecar,
    "a server's answers": _server,
}
