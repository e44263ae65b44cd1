"""Documents to passages that the encoder reads whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from tasb_qdrant.encoder import Encoder, PlacesTokens
from tasb_qdrant.errors import InvalidPassageError, SettingsError
from tasb_qdrant.ingest.split.cut import Span, cut
from tasb_qdrant.records import Passage
from tasb_qdrant.records.passage import MAX_ID_CHARS
from tasb_qdrant.settings import SplitSettings

_TRIES: Final = 5
_AT_ONCE: Final = 256


class Splitter:
    """Splits the texts of documents as `settings` say, by the tokens of `encoder`.

    Raises SettingsError if the two don't go together.
    """

    def __init__(self, settings: SplitSettings, encoder: Encoder) -> None:
        self.settings = settings
        self._encoder = encoder
        if not isinstance(encoder, PlacesTokens):
            raise SettingsError(
                f"an encoder of type {type(encoder).__name__} doesn't say where its tokens are (token_places), so it "
                "can't split texts; split them before, or use one of load_encoder"
            )
        self._places = encoder.token_places
        longest = encoder.contract.max_length
        if settings.tokens > longest:
            raise SettingsError(
                f"--split tokens:{settings.tokens} is more than the {longest} tokens that the model "
                f"{encoder.contract.model} reads; give {longest} or fewer"
            )
        self._bare = self._head("")
        if self._bare > settings.tokens // 2:
            raise SettingsError(
                f"--split tokens:{settings.tokens} leaves {max(0, settings.tokens - self._bare)} for texts, as the "
                f"model's passage prompt and special tokens take {self._bare}; give at least {2 * self._bare}"
            )

    def fitting(self, documents: Sequence[Passage]) -> list[bool]:
        """For each document whether it is a passage as it is."""
        return self._fit([one.encoder_text for one in documents])

    def parts(self, document: Passage, *, fits: bool) -> Iterator[Passage]:
        """The passages of a document, in order. Their ids are `ID#0`, `ID#1` …, so that no two documents share one.

        Each has the document's payload and its id. A title that takes more than half of a passage is put before the
        text, and split with it. Raises InvalidPassageError for a document that can't have parts.
        """
        field, own = self.settings.field, document.payload
        if own.get(field, document.id) != document.id:
            raise InvalidPassageError(
                f"payload field {field!r} has the name under which --split stores the document's id, and another "
                f"value ({repr(own[field])[:100]}); name another with --split tokens:N,field:NAME, or --drop {field}",
                field="payload",
            )
        payload = {**own, field: document.id}
        title, text = self._title_and_text(document, fits=fits)
        spans = [(0, len(text))] if fits else self._spans(title, text)
        if (longest := len(_part_id(document.id, len(spans) - 1))) > MAX_ID_CHARS:
            raise InvalidPassageError(
                f"the ids of its {len(spans)} passages have {longest} characters, at most {MAX_ID_CHARS} are allowed",
                field="id",
            )
        return (
            replace(document, id=_part_id(document.id, number), title=title, text=text[start:end], payload=payload)
            for number, (start, end) in enumerate(spans)
        )

    def _title_and_text(self, document: Passage, *, fits: bool) -> tuple[str | None, str]:
        if fits or not document.title or self._head(document.title) <= self.settings.tokens // 2:
            return document.title, document.text
        return None, document.encoder_text

    def _spans(self, title: str | None, text: str) -> list[Span]:
        """Of the text's passages."""
        room = self.settings.tokens - (self._head(title) if title else self._bare)
        places = self._places(text)
        for _ in range(_TRIES):
            spans = cut(text, places, room=room, overlap=self.settings.overlap)
            texts = [f"{title} {text[start:end]}" if title else text[start:end] for start, end in spans]
            # Places are counted word by word, which most tokenizers agree with and none has to.
            if all(all(self._fit(texts[at : at + _AT_ONCE])) for at in range(0, len(texts), _AT_ONCE)):
                break
            room = room * 7 // 8
        return spans

    def _head(self, title: str) -> int:
        """Tokens of a passage before its text, and after it; no more than the model reads."""
        return self._encoder.tokenize_passages([title]).tokens

    def _fit(self, texts: Sequence[str]) -> list[bool]:
        tokens = self._encoder.tokenize_passages(texts)
        most, longest = self.settings.tokens, self._encoder.contract.max_length
        return [
            # What fills the model to the last token may have been cut off there.
            length <= most and not (length == longest and tokens.truncated and self._is_truncated(text))
            for text, length in zip(texts, tokens.lengths.tolist(), strict=True)
        ]

    def _is_truncated(self, text: str) -> bool:
        return self._encoder.tokenize_passages([text]).truncated > 0


def _part_id(document: str, number: int) -> str:
    return f"{document}#{number}"
