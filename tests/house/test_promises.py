"""docs/threat-model.md has all the promises, and each names tests that are there and run."""

import ast
import re

import pytest

from tests.house.tree import ROOT, tree

PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (?P<number>\d+) \| (?P<promise>[^|]+\.) \| (?P<shown>[^|]*) \|$", re.MULTILINE
)
TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>\w+)`")

LATER = {22, 23}
"""Those that come with socket activation."""

ROWS = [(int(row["number"]), row["shown"]) for row in ROW.finditer(PAGE)]
TESTS = sorted({(one["file"], one["name"]) for _, shown in ROWS for one in TEST.finditer(shown)})


def marks(nodes: list[ast.expr]) -> set[str]:
    """Return the names of pytest's marks among decorators, or in a pytestmark."""
    texts = [ast.unparse(node) for node in nodes]
    return {name for text in texts for name in re.findall(r"pytest\.mark\.(\w+)", text)}


def marks_of(module: ast.Module, name: str) -> set[str] | None:
    """Return the marks of a test, with those of its class and module; None where there is none."""
    above = marks([one.value for one in module.body if isinstance(one, ast.Assign)])
    for owner in ast.walk(module):
        if not isinstance(owner, ast.Module | ast.ClassDef):
            continue
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                outer = owner.decorator_list if isinstance(owner, ast.ClassDef) else []
                return above | marks(outer) | marks(node.decorator_list)
    return None


def test_there_are_twenty_five_in_order() -> None:
    """No promise is missing, twice, or out of its place."""
    assert [number for number, _ in ROWS] == list(range(1, 26))


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_test_that_is_named_is_there_and_runs(file: str, name: str) -> None:
    """It is a test of that file, and neither skipped nor expected to fail."""
    found = marks_of(tree(ROOT / file), name)
    assert found is not None, f"{file} has no test {name}"
    assert found & {"skip", "xfail"} == set()


@pytest.mark.parametrize(("number", "shown"), ROWS, ids=[str(number) for number, _ in ROWS])
def test_each_promise_is_shown(number: int, shown: str) -> None:
    """Each names a test that `make test` runs, but for those that are said to come."""
    if number in LATER:
        assert shown.startswith("(comes with socket activation)")
        return
    named = [marks_of(tree(ROOT / one["file"]), one["name"]) for one in TEST.finditer(shown)]
    assert any(found is not None and "long" not in found for found in named), shown
    assert TEST.sub("", shown).strip() == ""


def test_a_mark_is_seen_wherever_it_stands() -> None:
    """The search above sees the marks of a module, a class and a test, and misses no absence."""
    module = ast.parse(
        "pytestmark = pytest.mark.long\n"
        "@pytest.mark.skip\nclass TestX:\n"
        "    @pytest.mark.xfail(strict=True)\n    def test_y(self): ...\n"
    )
    assert marks_of(module, "test_y") == {"long", "skip", "xfail"}
    assert marks_of(module, "test_z") is None
