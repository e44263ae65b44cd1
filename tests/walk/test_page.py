"""docs/walk.md is the walk that `make test` walks, in the same order and the same words."""

from __future__ import annotations

import re

from tests.walk.page import BEGINNING, PAGE, page
from tests.walk.steps import STEPS
from tests.walk.walking import Walked


def test_the_page_shows_every_step_as_it_is_walked() -> None:
    written = PAGE.read_text()
    answers = re.compile(r"\n```text\n.*?\n```\n", re.DOTALL)
    assert answers.sub("", written) == page(Walked(step, "") for step in STEPS), "run make walk"
    assert written.startswith(BEGINNING)


def test_the_page_shows_what_each_step_should_answer() -> None:
    sections = PAGE.read_text().split("\n## ")[1:]
    for step, section in zip(STEPS, sections, strict=True):
        for answer in step.answers:
            assert re.search(answer, section), f"{step.title}: no {answer!r}"
