"""Faults at system calls: strace holds the agent, or a part of it, and does what it is told to."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.child import DEADLINE

WRITES = (
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "ftruncate",
    "connect",
    "sendto",
    "sendmsg",
)
"""Every call by which an agent changes something outside itself: files, the keychain's bus, the
provider, and its answers."""

MAIN, OTHERS = "main thread", "other threads"


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The `number`-th time that a thread is about to make a system call."""

    threads: str
    """MAIN or OTHERS. strace counts for each thread; of the others, whichever is there first."""
    call: str
    number: int

    @property
    def words(self) -> tuple[str, ...]:
        """What strace is told for a kill there."""
        return (
            *("-e", f"trace={self.call}"),
            *("-e", f"inject={self.call}:signal=KILL:when={self.number}"),
        )


class Held:
    """A process in strace's hands."""

    def __init__(self, words: Sequence[str], threads: Sequence[int], log: Path) -> None:
        """Return once every thread is held."""
        self._process = subprocess.Popen(
            ["strace", *words, "-o", str(log), *(f"--attach={one}" for one in threads)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = self._process.stderr
        assert said is not None
        for _ in threads:
            line = said.readline()
            assert "attached" in line, line

    def let_go(self) -> None:
        """Take strace away; the process goes on as before."""
        self._process.terminate()
        self._process.communicate(timeout=DEADLINE)


@contextmanager
def held(words: Sequence[str], threads: Sequence[int], log: Path | None = None) -> Iterator[None]:
    """Hold these threads, and only these."""
    taken = Held(words, threads, log or Path("/dev/null"))
    try:
        yield
    finally:
        taken.let_go()


def threads_of(pid: int, which: str) -> list[int]:
    """Return the numbers of a process's threads."""
    there = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())
    return [one for one in there if (one == pid) is (which == MAIN)]


@contextmanager
def counted(pid: int, points: list[Point]) -> Iterator[None]:
    """Put every point that is reached meanwhile into `points`."""
    with tempfile.NamedTemporaryFile(prefix="ta-strace-") as log:
        threads = [*threads_of(pid, MAIN), *threads_of(pid, OTHERS)]
        with held(("-e", f"trace={','.join(WRITES)}"), threads, Path(log.name)):
            yield
        # strace writes no thread number where it holds a single one.
        calls = re.findall(r"(?m)^(?:(\d+) +)?(\w+)\(", Path(log.name).read_text())
    counts = Counter((int(thread or pid), call) for thread, call in calls)
    most: Counter[tuple[str, str]] = Counter()
    for (thread, call), count in counts.items():
        where = MAIN if thread == pid else OTHERS, call
        most[where] = max(most[where], count)
    points += sorted(
        Point(threads, call, number)
        for (threads, call), count in most.items()
        for number in range(1, count + 1)
    )
