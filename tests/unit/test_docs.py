"""The pages hold together: both languages say the same with the same commands, links lead somewhere, code is real."""

import json
import re
from pathlib import Path

import pytest

from src.config import Settings
from tests.support.guides import DOCS, ROOT, Guide

BOTH = [
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    *((DOCS / each.name, each) for each in sorted((DOCS / "zh-CN").glob("*.md"))),
]
PAGES = [
    *(each for each in ROOT.glob("*.md")),
    *DOCS.rglob("*.md"),
    *(ROOT / "examples").rglob("*.md"),
]
PROGRAMS = [each.read_text("utf-8") for kind in ("*.py", "*.mjs") for each in (ROOT / "examples").glob(kind)]
GUIDES = ("getting-started", "gateway", "desktop", "integrator", "operations")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in Guide(page).headings}


def test_each_page_for_an_audience_is_there_in_both_languages() -> None:
    for each in GUIDES:
        for page in (DOCS / f"{each}.md", DOCS / "zh-CN" / f"{each}.md"):
            assert page.exists(), page
    assert (ROOT / "README.zh-CN.md").exists()


@pytest.mark.parametrize(("english", "chinese"), BOTH, ids=_name)
def test_both_languages_correspond(english: Path, chinese: Path) -> None:
    one, other = Guide(english), Guide(chinese)
    assert [level for level, _ in one.headings] == [level for level, _ in other.headings]
    assert one.blocks == other.blocks
    rows = [each.text.count("\n|") for each in (one, other)]
    assert rows[0] == rows[1], "a line of a table is missing"
    assert chinese.name in one.text, "no link to the other language"
    assert english.name in other.text, "no link to the other language"
    chinese_characters = len(re.findall(r"[\u4e00-\u9fff]", other.prose))
    assert chinese_characters > len(other.prose) / 8, "this is not Chinese"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for each in Guide(page).links:
        path, _, anchor = each.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), each
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), each


@pytest.mark.parametrize("name", GUIDES)
def test_code_is_an_excerpt_of_an_example_and_json_is_json(name: str) -> None:
    for block in Guide(DOCS / f"{name}.md").blocks:
        if block.language in ("python", "js"):
            assert any(block.text in program for program in PROGRAMS), f"in no example: {block.text}"
        elif block.language == "json":
            json.loads(block.text)
        else:
            known = ("sh", "text", "console", "sql", "")
            assert block.language in known, f"nobody checks {block.language!r}: {block.text}"


def test_every_setting_is_on_the_operators_page() -> None:
    page = Guide(DOCS / "operations.md").text
    for each in Settings.model_fields:
        assert f"`CORDBOARD_{each.upper()}`" in page, each
