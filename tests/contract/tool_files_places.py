"""A home with a tool's file in it, and what tests deliver there."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tool_agentd.adapters.tool_files import DiskToolFiles
from tool_agentd.ports import Lease, LeasedProcess
from tool_agentd.secret import Secret

T = TypeVar("T")

NEW = Secret('{"access": "at-1"}')
NEWER = Secret('{"access": "at-2"}')
OLD = '{"refresh": "rt-old"}'


def tool_files(place: Path, failpoint: Callable[[str], None] = lambda _step: None) -> DiskToolFiles:
    """Return the adapter over a place."""
    return DiskToolFiles(str(place / "state"), str(place / "run"), failpoint)


def lease(identifier: str = "00ff00ff00ff00ff", *, stands_for: str = "") -> Lease:
    """Return a lease that is not written yet."""
    return Lease(
        identifier,
        "acme",
        "session",
        "acme",
        "default",
        since=4_000_000_000.0,
        processes=(LeasedProcess(1, "mark"),),
        stands_for=stands_for,
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    return asyncio.run(work)


def stand(file: Path, text: str = OLD) -> None:
    """Let the tool have a file already."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def tree(place: Path) -> dict[str, str]:
    """Return every file of the home with its text."""
    home = place / "home"
    return {
        str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()
    }


def write(place: Path, file: Path, text: Secret = NEW) -> Lease:
    """Deliver in place."""
    return run(tool_files(place).write(lease(), [(str(file), text)]))
