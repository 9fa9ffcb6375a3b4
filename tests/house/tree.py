"""The repository as the tests of the house see it: its root, its files, its configuration."""

import ast
import functools
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "client" / "tool_agent"
DAEMON = ROOT / "daemon" / "tool_agentd"


@functools.cache
def files() -> tuple[Path, ...]:
    """Return every file that git tracks, or would on `git add`, in order."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = (ROOT / name for name in listing.split("\0") if name)
    return tuple(sorted(path for path in found if path.is_file()))


def modules(*below: str) -> tuple[Path, ...]:
    """Return the Python files in the named top-level folders."""
    return tuple(
        path
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in below
    )


def collected() -> tuple[Path, ...]:
    """Return the Python files that pytest collects."""
    return tuple(path for path in modules("tests") if path.name.startswith("test_"))


def name(path: Path) -> str:
    """Return a file's path inside the repository, to identify it in a report."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    """Return a Python file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


@functools.cache
def pyproject() -> dict[str, Any]:
    """Return pyproject.toml, decoded."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
