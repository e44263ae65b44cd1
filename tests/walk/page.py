"""docs/walk.md: the steps, and what was answered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tests.docs.pages import ROOT
from tests.walk.walking import Walked

PAGE: Final = ROOT / "docs" / "walk.md"
PROGRESS: Final = re.compile(
    r"^(opening|connecting|loading|encoding|building|comparing|surveying|deleting|done)\b.*\n", re.M
)
"""Lines that a terminal shows as a bar, which is gone at the end."""
BEGINNING: Final = """\
# A first hour

From installing to a typed search, an edit and a deletion, with files of your own. Everything below was run as it stands,
in an empty folder and a clean environment, by `make walk`, which also wrote down the answers.

```sh
python -m venv .venv && . .venv/bin/activate
pip install 'tasb-qdrant[demo]' pandas
```

On Linux, that brings a PyTorch with CUDA, of some gigabytes; [installing](install.md) says how to get a smaller one.
"""


def page(walked: Iterable[Walked]) -> str:
    """The whole page."""
    return BEGINNING + "".join(_section(each) for each in walked)


def _section(walked: Walked) -> str:
    step = walked.step
    named = f"`{step.name}`:\n\n" if step.name else ""
    answer = PROGRESS.sub("", walked.said).strip()
    said = f"\n```text\n{answer}\n```\n" if answer else ""
    return f"\n## {step.title}\n\n{step.words}\n\n{named}```{step.kind}\n{step.code}```\n{said}"
