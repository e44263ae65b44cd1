"""Text of others stays on its line, and moves nothing on a terminal."""

from __future__ import annotations

import logging
import re
import unicodedata
from pathlib import Path

import pytest

import tasb_qdrant
from tasb_qdrant import errors
from tasb_qdrant.printable import STEERING, escaped, listed, logger, named

PACKAGE = Path(tasb_qdrant.__file__).parent
EVIL = "\x1b]0;T\x07\x9b31m\u202e\u2028\nERROR forged\ud800"
JOINERS = "\u200c\u200d"


def test_every_control_bidi_mark_line_end_and_surrogate_is_escaped() -> None:
    for number in range(0x3000):
        character = chr(number)
        kind = unicodedata.category(character)
        steers = kind in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
        if steers:
            assert STEERING.fullmatch(character), hex(number)
            assert escaped(character).isascii()
    for character in ("\u200b", "\u2060", "\ufeff", "\u200e", "\u200f", "\u061c", "\ud800", "\udfff"):
        assert escaped(character) == character.encode("unicode_escape", "surrogatepass").decode()
    for character in f"é漢🐝{JOINERS} ":
        assert escaped(character) == character


def test_plain_names_are_shown_as_they_are_and_others_as_python_writes_them() -> None:
    assert [named("year"), named("Jahr der Ausgabe"), named("/data/a b.jsonl")] == [
        "year",
        "Jahr der Ausgabe",
        "/data/a b.jsonl",
    ]
    for odd in ("", " x", "a\nb", "\x1b[31m", "\u200bx", "a\ud800"):
        assert named(odd) == repr(odd)
    assert len(named("x" * 100_000)) < 400
    assert listed(f"f{number}" for number in range(20_000)).count(",") == 50


def test_an_errors_message_is_one_clean_line_whatever_it_quotes() -> None:
    for error in (
        errors.SettingsError(f"the server said {EVIL}"),
        errors.SourceError("cut short", source=EVIL, line=3),
        errors.RejectedError(source=EVIL, line=3, reason="empty"),
        errors.MissingFieldError(source=EVIL, wanted=EVIL, available=[EVIL, "a"], option="--id-field"),
        errors.FilterTypeError(field=EVIL, value=EVIL),
        errors.CollectionNotFoundError(EVIL, location=EVIL, available=[EVIL]),
        errors.ContractMismatchError(EVIL, [("model", EVIL, EVIL)]),
        errors.ResumeRefusedError(EVIL, [(EVIL, EVIL, EVIL)]),
        errors.PassageNotFoundError(EVIL, [EVIL], document_field=EVIL),
    ):
        assert not STEERING.search(str(error)), repr(str(error))
    pointed = errors.FilterSyntaxError(EVIL, column=1, expected="a field", found=repr(EVIL))
    assert str(pointed).count("\n") == 2
    assert not STEERING.search(str(pointed).replace("\n", ""))


def test_what_a_record_quotes_can_not_forge_another(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("tasb_qdrant.quoting")
    assert logger("tasb_qdrant.quoting").filters == log.filters  # added once
    with caplog.at_level(logging.DEBUG, logger="tasb_qdrant"):
        log.warning("%s: try %d of %.1f, %s", EVIL, 3, 1.5, ValueError(EVIL))
    (line,) = [record.getMessage() for record in caplog.records]
    assert not STEERING.search(line)
    assert "try 3 of 1.5" in line


def test_every_module_logs_through_it_and_prints_in_one_place() -> None:
    prints = re.compile(r"click\.(?:echo|secho|style)\(|\bConsole\(|\bprint\(")
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = str(path.relative_to(PACKAGE)), path.read_text()
        assert name == "__init__.py" or "logging.getLogger(__name__)" not in text, name
        # The bar is drawn in ingest/, and escapes what it shows.
        if prints.search(text.replace("stdout().print(", "").replace("console.print(", "")):
            assert name in ("cli/screen.py", "cli/logs.py", "ingest/display.py"), name
