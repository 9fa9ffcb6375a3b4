"""The file of the audit trail: appended to, turned over when it is large, and read backwards.

Nothing stays open: each batch finds the file that is there now, whoever has turned it over or
taken it away meanwhile. A lock on the directory keeps the agents over one state directory apart;
the kernel lets go of it when its holder ends.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.own_file import check_file

T = TypeVar("T")

NAME = "audit.jsonl"
SIZE = 10 * 1024 * 1024
"""Bytes of the file before it is turned over: some 40,000 lines, and an editor still opens it."""
KEPT = 4
"""Files kept besides, `audit.jsonl.1` the newest: 50 MiB in all. Weeks of one person's use; a
script that asks in a loop turns them over within a minute."""
LOCK_WAIT = 1.0
"""Seconds to wait for another agent's batch, which takes milliseconds."""
LOCK_STEP = 0.005
BLOCK = 64 * 1024
"""Bytes read at once, from the end: more lines than a screen has."""
LINE_MAX = 64 * 1024
"""Bytes of the longest line that is read; ours have a twentieth. A longer one is no line of ours,
and nothing of it is kept in memory."""


class BusyError(OSError):
    """Another process keeps the state directory locked."""


class AuditFile:
    """`audit.jsonl` and the files before it. Every method blocks; errors are OSError.

    ConfigurationError says that the file, or its directory, may not be touched.
    """

    def __init__(self, directory: str, *, size: int = SIZE, kept: int = KEPT) -> None:
        """Keep it in `directory`, which is ours; nothing is opened yet."""
        self._directory = directory
        self._size = size
        self._kept = kept
        self.path = f"{directory}/{NAME}"

    def append(self, data: bytes, *, durable: bool) -> None:
        """Add whole lines in one write, all of them or nothing; `durable`: on the disk then."""
        with self._opened() as directory:
            handle, before = self._open(directory)
            try:
                if is_full(before, len(data), self._size):
                    os.close(handle)
                    handle = -1
                    self._turn_over(directory)
                    handle, before = self._open(directory)
                self._write(handle, data, before)
                try:
                    if durable:
                        os.fsync(handle)
                        if not before:
                            os.fsync(directory)  # the name is new as well
                except OSError:
                    os.ftruncate(handle, before)  # they come again, and must not be there twice
                    raise
            finally:
                if handle >= 0:
                    os.close(handle)

    def _open(self, directory: int) -> tuple[int, int]:
        """Return the open file and its size."""
        # O_NONBLOCK: opening a named pipe must not wait for somebody to read it. O_RDWR: whether
        # the last line is whole can be seen.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(NAME, flags, 0o600, dir_fd=directory)
        try:
            found = os.fstat(handle)
            check_file(self.path, found)
            if found.st_mode & 0o077:
                os.fchmod(handle, 0o600)
        except BaseException:
            os.close(handle)
            raise
        return handle, found.st_size

    @staticmethod
    def _write(handle: int, data: bytes, before: int) -> None:
        """Write all of it after a whole line; what came to nothing is cut off again."""
        if before and os.pread(handle, 1, before - 1) != b"\n":
            data = b"\n" + data  # a line was torn here: ours begin on their own
        try:
            written = os.write(handle, data)
            while written < len(data):  # a full disk takes a part, and says so at the next write
                written += os.write(handle, data[written:])
        except OSError:
            os.ftruncate(handle, before)
            raise

    def _turn_over(self, directory: int) -> None:
        """Give each file the next name; the oldest one goes."""
        for old, new in renames(self._kept):
            try:
                if new is None:
                    os.unlink(old, dir_fd=directory)
                else:
                    os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)
            except FileNotFoundError:
                continue
        os.fsync(directory)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory, with nobody else writing there."""
        ensure_own_directory(self._directory)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(self._directory, flags)
        try:
            self._lock(directory)
            yield directory
        finally:
            os.close(directory)

    def _lock(self, directory: int) -> None:
        end = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    said = f"another process keeps {self._directory} locked"
                    raise BusyError(error.errno, said) from None
                time.sleep(LOCK_STEP)
            else:
                return

    def last(self, count: int, read: Callable[[bytes], T | None]) -> list[T]:
        """Return what `read` makes of the newest `count` lines that it takes, the oldest first."""
        found: list[T] = []
        with self._opened() as directory:  # nobody turns a file over meanwhile
            names = [NAME, *(f"{NAME}.{number}" for number in range(1, self._kept + 1))]
            handles = [self._open_old(directory, name) for name in names]
        try:
            for handle in handles:
                if handle is None:
                    continue
                for line in _backwards(handle):
                    if len(found) >= count:
                        return found[::-1]
                    taken = read(line) if line else None
                    if taken is not None:
                        found.append(taken)
        finally:
            for handle in handles:
                if handle is not None:
                    os.close(handle)
        return found[::-1]

    def _open_old(self, directory: int, name: str) -> int | None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(name, flags, dir_fd=directory)
        except FileNotFoundError:
            return None
        try:
            check_file(str(Path(self._directory, name)), os.fstat(handle))
        except BaseException:
            os.close(handle)
            raise
        return handle


def is_full(size: int, more: int, limit: int) -> bool:
    """Tell whether a file of `size` bytes is turned over before `more` are added. Pure.

    A file that is empty takes them, however many.
    """
    return size > 0 and size + more > limit


def renames(kept: int) -> list[tuple[str, str | None]]:
    """Return which name becomes which, in order, when a file is turned over. Pure.

    None: it goes.
    """
    names = [NAME, *(f"{NAME}.{number}" for number in range(1, kept + 1))]
    steps: list[tuple[str, str | None]] = [(names[-1], None)]
    steps += [(old, new) for old, new in zip(names[-2::-1], names[:0:-1], strict=True)]
    return steps


def _backwards(handle: int) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first, without their ends."""
    at = os.fstat(handle).st_size
    rest = b""
    whole = True
    """Whether `rest` is all of the line that it is the end of, so far."""
    while at > 0:
        start = max(0, at - BLOCK)
        block = os.pread(handle, at - start, start)
        at = start
        *lines, tail = (block + rest).split(b"\n")[::-1]
        if lines:
            if not whole:
                lines[0] = b""  # the end of one that is too long
            yield from lines
            whole = True
        rest = tail
        if len(rest) > LINE_MAX:
            rest, whole = b"", False
    if whole:
        yield rest
