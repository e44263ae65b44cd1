"""The project's pages of Markdown, and what is in them, read as GitHub and package registries read them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).resolve().parents[2]
_MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
_BETWEEN_CELLS: Final = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Page:
    """One page. `path` is its place below the project's folder."""

    path: str
    text: str

    @classmethod
    def read(cls, path: str) -> Page:
        return cls(path, (ROOT / path).read_text())

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tokens(self) -> list[Token]:
        return _MARKDOWN.parse(self.text)

    def tables(self) -> Iterator[list[tuple[int, list[str]]]]:
        """Each table as (line number, cells) of its rows, the header's first."""
        rows: list[tuple[int, list[str]]] = []
        for token in self.tokens:
            if token.type == "table_open":
                rows = []
            elif token.type == "tr_open" and token.map:
                line = self.lines[token.map[0]].strip().removeprefix("|").removesuffix("|")
                rows.append((token.map[0] + 1, [cell.strip() for cell in _BETWEEN_CELLS.split(line)]))
            elif token.type == "table_close":
                yield rows

    def fences(self) -> Iterator[tuple[int, str, bool]]:
        """Each block of code as (line number, language, whether it is closed)."""
        for token in self.tokens:
            if token.type == "fence" and token.map:
                last = self.lines[token.map[1] - 1].strip()
                yield token.map[0] + 1, token.info, token.map[1] - token.map[0] > 1 and last == token.markup

    def links(self) -> Iterator[str]:
        """The targets of links and pictures."""
        for token in self._inline():
            target = token.attrs.get("href") or token.attrs.get("src")
            if token.type in ("link_open", "image") and target:
                yield str(target)

    def anchors(self) -> set[str]:
        """What `#...` may name: the headings as GitHub spells them."""
        seen: Counter[str] = Counter()
        found = set()
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type == "heading_open":
                words = "".join(child.content for child in token.children or ())
                slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
                found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
                seen[slug] += 1
        return found

    def prose(self) -> Iterator[tuple[int, str]]:
        """(line number, text) of each paragraph, outside tables and blocks of code."""
        for token in self.tokens:
            if token.type == "inline" and token.map:
                yield token.map[0] + 1, token.content

    def _inline(self) -> Iterator[Token]:
        for token in self.tokens:
            yield from token.children or ()


def all_pages() -> list[str]:
    """Every page of the project, and of no environment or build in its folder."""
    own = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docker").glob("*.md")]
    own += (ROOT / "tasb_qdrant").rglob("*.md")
    return sorted(str(path.relative_to(ROOT)) for path in own)
