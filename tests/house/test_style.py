"""Habits that no linter knows: reasons beside ignores, a sentence for each test, no sleeping."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, collected, modules, name, tree

# An ignore's form is in CONTRIBUTING.md; its reason has at least two words.
NOQA = re.compile(r"#\s*noqa\b(?P<codes>:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?(?P<rest>.*)")
TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?P<codes>\[[\w, -]+\])?(?P<rest>.*)")
REASON = re.compile(r"^\s*(?:-|#)\s*\S+\s+\S+")

# The one module that may spell the name of an environment variable.
NAMES = "client/tool_agent/paths.py"


def without_reason(text: str) -> Iterator[str]:
    """Yield each line whose ignore names no rule or gives no reason."""
    for line in text.splitlines():
        for pattern in (NOQA, TYPE_IGNORE):
            found = pattern.search(line)
            if found and not (found["codes"] and REASON.match(found["rest"])):
                yield line.strip()


@pytest.mark.parametrize("path", modules("client", "daemon", "bench", "tests"), ids=name)
def test_every_ignore_in_the_code_has_a_reason(path: Path) -> None:
    """An ignore names its rule and says why."""
    if path != Path(__file__).resolve():
        assert list(without_reason(path.read_text(encoding="utf-8"))) == []


def test_an_ignore_without_a_reason_is_found() -> None:
    """The search above tells an ignore with a reason from one without."""
    assert len(list(without_reason("x  # noqa\nx  # noqa: S101\nx  # type: ignore[misc]"))) == 3
    good = "x  # noqa: S101, S102 - for a test\nx  # type: ignore[misc]  # for a test"
    assert list(without_reason(good)) == []


def test_every_ignore_in_the_configuration_has_a_reason() -> None:
    """Each rule that ruff is told to ignore, and each warning that pytest is, has a comment."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    ignores = [line for line in lines if re.match(r'\s+"[A-Z]+\d*",|\s+"ignore:', line)]
    assert len(ignores) > 5
    assert [line for line in ignores if not re.search(r'",\s*#\s\S+\s\S+', line)] == []


def definitions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return a module's test functions and methods."""
    return [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("path", collected(), ids=name)
def test_every_test_says_in_a_sentence_what_it_holds(path: Path) -> None:
    """Each test has a docstring that is a sentence."""
    mute = [
        f"{node.name}:{node.lineno}"
        for node in definitions(path)
        if not (ast.get_docstring(node) or "").endswith((".", "?", "!"))
    ]
    assert mute == []


@pytest.mark.parametrize("path", collected(), ids=name)
def test_no_test_sleeps(path: Path) -> None:
    """A test waits for an event or moves the clock; it neither sleeps nor mocks by the tower."""
    sleeps = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}
        and ast.unparse(node).partition("(")[2] != "0)"
    ]
    mocks = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest")
    ]
    assert (sleeps, mocks) == ([], [])


def spelled_variables(module: ast.Module) -> Iterator[str]:
    """Yield each environment variable that a module reads under a name spelled on the spot."""
    for node in ast.walk(module):
        match node:
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(word))):
                pass
            case ast.Call(
                func=ast.Attribute(value=holder), args=[ast.Constant(value=str(word)), *_]
            ):
                pass
            case _:
                continue
        if ast.unparse(holder) in {"os.environ", "environ"}:
            yield word


@pytest.mark.parametrize(
    "path", [path for path in modules("client", "daemon") if name(path) != NAMES], ids=name
)
def test_every_variables_name_stands_in_one_module(path: Path) -> None:
    """No module but paths.py spells the name of an environment variable."""
    assert list(spelled_variables(tree(path))) == []


def test_a_spelled_variable_is_found() -> None:
    """The search above sees a subscript and a call, and leaves a named constant alone."""
    assert list(spelled_variables(ast.parse("os.environ['A']; os.environ.get('B')"))) == ["A", "B"]
    assert list(spelled_variables(ast.parse("os.environ[paths.A]; other['B']"))) == []
