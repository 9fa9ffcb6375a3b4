"""A home with a tool's file in it, and what tests deliver there."""

from collections.abc import Callable
from pathlib import Path

from tool_agentd.adapters.tool_files import DiskToolFiles
from tool_agentd.ports import Lease, LeasedProcess
from tool_agentd.secret import Secret

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
