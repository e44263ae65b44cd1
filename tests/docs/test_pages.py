"""Every page is well-formed: its tables, blocks of code and links are what they look like."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT, Page, all_pages

PAGES = all_pages()
NAMED = re.compile(r"\b(?:docs|docker|tests|benchmarks|tasb_qdrant)/[\w./-]*\w\.(?:md|py|json|yaml|example)\b")
"""A file of the project that a page or a docstring names."""
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\.")
"""`gpu-CARD.json` is the file of any card."""


def problems(page: Page) -> list[str]:
    """What is wrong with a page, a line each; nothing is looked up outside it."""
    found = []
    for table in page.tables():
        (_, header), *rows = table
        found += [
            f"{page.path}:{line}: {len(cells)} cells under {len(header)} columns ({' | '.join(header)})"
            for line, cells in rows
            if len(cells) != len(header)
        ]
        found += [f"{page.path}:{line}: this row is in its table twice" for line in _repeated(rows)]
    found += [
        f"{page.path}:{line}: a row outside of any table"
        for line, text in page.prose()
        if any(part.startswith("|") for part in text.splitlines())
    ]
    for line, language, closed in page.fences():
        found += [] if closed else [f"{page.path}:{line}: this block of code is never closed"]
        found += [] if language else [f"{page.path}:{line}: this block of code has no language"]
    return found


def _repeated(rows: list[tuple[int, list[str]]]) -> list[int]:
    seen: list[list[str]] = []
    again = []
    for line, cells in rows:
        if cells in seen:
            again.append(line)
        seen.append(cells)
    return again


@pytest.mark.parametrize("path", PAGES)
def test_tables_and_blocks_of_code_are_whole(path: str) -> None:
    assert problems(Page.read(path)) == []


@pytest.mark.parametrize("path", PAGES)
def test_every_link_leads_to_a_page_and_a_heading_that_are_there(path: str) -> None:
    for target in Page.read(path).links():
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = unquote(target).partition("#")
        there = (ROOT / path).parent / name if name else ROOT / path
        assert there.exists(), f"{path} links to {target}"
        assert there.resolve().is_relative_to(ROOT), f"{path} links outside of the project: {target}"
        if anchor:
            anchors = Page.read(str(there.resolve().relative_to(ROOT))).anchors()
            assert anchor in anchors, f"{path} links to {target}; that page has {sorted(anchors)}"


def test_the_index_names_every_page() -> None:
    linked = set(Page.read("docs/README.md").links())
    pages = {path.removeprefix("docs/") for path in PAGES if path.startswith("docs/")} - {"README.md"}
    assert sorted(pages - linked) == []


def test_every_file_that_a_page_or_a_docstring_names_is_there() -> None:
    texts = [ROOT / path for path in PAGES] + sorted((ROOT / "tasb_qdrant").rglob("*.py"))
    missing = [
        f"{text.relative_to(ROOT)} names {name}"
        for text in texts
        for name in NAMED.findall(text.read_text())
        if not (ROOT / name).exists() and not PLACEHOLDER.search(name)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n| 1 | 2 |\n", "x.md:4: 2 cells under 3 columns (a | b | c)"),
        ("| a | b |\n|---|---|\n| `x | y` | 2 |\n", "x.md:3: 3 cells under 2 columns (a | b)"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 1 | 2 |\n", "x.md:4: this row is in its table twice"),
        ("| a | b |\n|---|---|\n\n| 1 | 2 |\n", "x.md:4: a row outside of any table"),
        ("| a | b |\n|---|\n| 1 | 2 |\n", "x.md:1: a row outside of any table"),
        ("Text\n\n```sh\nls\n", "x.md:3: this block of code is never closed"),
        ("```\nls\n```\n", "x.md:1: this block of code has no language"),
    ],
)
def test_a_broken_page_is_noticed(text: str, problem: str) -> None:
    assert problems(Page("x.md", text)) == [problem]


def test_a_sound_page_has_no_problems() -> None:
    text = "# A `b` c\n\n| a | b |\n|---|---|\n| 1 \\| 2 | `x \\| y` |\n\n```sh\nls | wc\n```\n"
    page = Page("x.md", text)
    assert problems(page) == []
    assert page.anchors() == {"a-b-c"}
