"""How long texts are split into passages."""

from __future__ import annotations

import re
from typing import Any, Final, Self

from pydantic import Field, field_validator, model_validator

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.settings.base import Frozen

SPELLING: Final = "tokens:N,overlap:N,field:NAME"

LEAST_TOKENS: Final = 16
"""Of a passage: half of them may be title, prompt and special tokens."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*", re.ASCII)
"""A name that needs no quotes as a path in a payload."""


class SplitSettings(Frozen):
    """How the texts of a collection are split: each passage is what the encoder reads in `tokens` tokens at most.

    These include the passage's title, which every passage of a document repeats, the model's passage prompt and its
    special tokens. Up to `overlap` tokens of a passage come again at the beginning of the next one. The payload field
    `field` holds the document's id.
    """

    tokens: int = Field(ge=LEAST_TOKENS, le=2**20)
    overlap: int = Field(default=0, ge=0)
    field: str = "doc_id"

    @field_validator("field")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"the field for a document's id is a plain name such as doc_id, got {name!r}")
        return name

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if 2 * self.overlap > self.tokens:
            raise ValueError(
                f"an overlap is at most half of the tokens, {self.tokens // 2} here, got {self.overlap}; more would "
                "store every text several times"
            )
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `tokens:200,overlap:32`, as `str` spells it. Raises SettingsError."""
        given: dict[str, Any] = {}
        for part in text.split(","):
            name, colon, value = (piece.strip() for piece in part.partition(":"))
            if not colon or name not in cls.model_fields or name in given:
                raise SettingsError(f"split is {SPELLING}, such as tokens:200,overlap:32; got {text!r}")
            given[name] = value
        if "tokens" not in given:
            raise SettingsError(f"split needs tokens:N, such as tokens:200,overlap:32; got {text!r}")
        return cls(**given)

    @property
    def in_words(self) -> str:
        """For people."""
        overlap = f", {self.overlap} of which may be shared with the passage before" if self.overlap else ""
        return f"{self.tokens} tokens{overlap}"

    def __str__(self) -> str:
        named = "" if self.field == "doc_id" else f",field:{self.field}"
        return f"tokens:{self.tokens},overlap:{self.overlap}{named}"
