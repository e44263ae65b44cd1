"""README.md as a package registry shows it: a page without the files beside it."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import ROOT, Page

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HATCH = PROJECT["tool"]["hatch"]


def _shown(text: str) -> str:
    for each in HATCH["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def _relative(page: Page) -> list[str]:
    return [link for link in page.links() if not link.startswith(("http://", "https://"))]


def test_no_link_leads_to_a_file_that_the_registry_does_not_have() -> None:
    readme = Page.read("README.md")
    assert _relative(readme)
    shown = Page("README.md", _shown(readme.text))
    assert _relative(shown) == []
    assert [*shown.fences()] == [*readme.fences()]
    assert all(f"(`{link}`)" in shown.text for link in _relative(readme))


def test_the_source_distribution_has_what_the_readme_links_to() -> None:
    included = HATCH["build"]["targets"]["sdist"]["include"]
    for link in _relative(Page.read("README.md")):
        assert any(f"/{link}".startswith(each) for each in included), link
        assert (ROOT / link.partition("#")[0]).exists()
