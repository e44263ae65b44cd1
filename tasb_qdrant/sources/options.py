"""How the bytes and cells of text formats are to be read, where they don't tell it themselves."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.errors import SettingsError

_SPELLED: Final = {"\\t": "\t", "tab": "\t"}


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What a person says of text files.

    `encoding` is that of all text (None: UTF-8, or UTF-16 and UTF-32 by their byte order mark). The rest is of CSV
    and TSV: `delimiter` (None: that of the format, or the one that is certain by the header or a line `sep=;`);
    `escape`, a character that stands before a quote, a delimiter or itself; `header`, whether the first line names
    the columns; `columns`, their names, instead of the header's or where there is none; `typed`, whether a column
    that holds nothing but whole numbers, or floats, or true and false is read as such.
    """

    delimiter: str | None = None
    encoding: str | None = None
    escape: str | None = None
    header: bool = True
    columns: tuple[str, ...] | None = None
    typed: bool = True

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _SPELLED.get(self.delimiter, self.delimiter))
        for name in ("delimiter", "escape"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in '"\r\n' or not value.isascii()):
                raise SettingsError(f"--{name} takes one ASCII character, but no quote and no line end; got {value!r}")
        if self.delimiter is not None and self.delimiter == self.escape:
            raise SettingsError(f"--delimiter and --escape are both {self.escape!r}; they must differ")
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.columns is not None and (not all(self.columns) or len({*self.columns}) < len(self.columns)):
            raise SettingsError(f"--columns takes names, each once; got {','.join(self.columns)!r}")
        if not self.header and not self.columns:
            raise SettingsError("--no-header goes with --columns, which says what the columns are: --columns id,text")


def _check_encoding(name: str) -> None:
    try:
        is_text = codecs.lookup(name)._is_text_encoding
    except LookupError:
        is_text = False
    if not is_text:
        raise SettingsError(f"--encoding takes the name of a text encoding, such as cp1252 or latin-1; got {name!r}")
