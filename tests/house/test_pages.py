"""docs/pages.md is true: what it names as shown is there, and no statement is without an answer."""

import ast
import re

import pytest

from tests.house.tree import ROOT, tree

PAGE = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
TRANSCRIPTS = ROOT / "tests" / "stories" / "transcripts"

TEST = re.compile(r"`(?P<file>\w+/test_\w+\.py)::(?P<name>\w+)`")
LINK = re.compile(r"\(\.\./tests/stories/transcripts/(?P<name>[a-z-]+\.md)\)")
SECTION = re.compile(r"^## (?P<title>.*)$", re.MULTILINE)
NOT_HERE = re.compile(r"\bnot here: \w+", re.IGNORECASE)

TESTS = sorted({(found["file"], found["name"]) for found in TEST.finditer(PAGE)})


def parts() -> list[tuple[str, str]]:
    """Return the page's parts, each with its transcript's name."""
    found = [part for part in SECTION.split(PAGE)[2::2] if "|---|" in part]
    names = [LINK.search(part) for part in found]
    return [(name["name"], part) for name, part in zip(names, found, strict=True) if name]


def rows(part: str) -> list[str]:
    """Return what stands in the last column of a part's table."""
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", line)[-2].strip() for line in lines[1:]]


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_the_test_is_there(file: str, name: str) -> None:
    """A test that is renamed or taken away is noticed here."""
    module = tree(ROOT / "tests" / file)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(module) if isinstance(node, functions)}


def test_every_transcript_has_its_part() -> None:
    """Five pages, and what goes wrong besides."""
    names = {path.name for path in TRANSCRIPTS.iterdir()}
    assert {name for name, _ in parts()} == names
    assert len(parts()) == len(names) + 1


def test_every_statement_has_its_answer() -> None:
    """A test, a section of the transcript, or the reason why there is neither."""
    for name, part in parts():
        text = (TRANSCRIPTS / name).read_text(encoding="utf-8")
        titles = [found["title"] for found in SECTION.finditer(text)]
        for row in rows(part):
            named = [title for title in titles if f"§ {title}" in row]
            assert row.count("§ ") == len(named), (name, row)
            assert named or TEST.search(row) or NOT_HERE.search(row), (name, row)
