"""Byte-range locks on one file: exclusion across processes that the kernel ends with its holder.

POSIX locks (fcntl(2)) belong to the process and are all dropped when *any* descriptor of the file
is closed. So each process opens the lock file once, and holders within it are kept apart by a set.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

from tool_agentd.errors import StoreUnavailableError, TemporarilyUnavailableError

FIRST_WAIT = 0.01
"""Seconds before the second try: most holders are done by then."""
LONGEST_WAIT = 0.25
"""Seconds between two tries in the end: a lease is seldom awaited, and a person may be waiting."""
PATIENCE = 30.0
"""Seconds until a waiter gives up: longer than any caller of a token waits."""
FIRST_RETRY = 5.0
"""Seconds that a caller is told to wait after that: the holder is likely a slow refresh."""


def _offset(name: str) -> int:
    """Where the byte for `name` lies: 62 bits of its hash, as off_t is signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 2


class LockFile:
    """One open lock file of this process, shared by every store on the same directory."""

    _opened: dict[str, "LockFile"] = {}  # noqa: RUF012 - guarded by _guard
    _guard = threading.Lock()

    def __init__(self, path: str) -> None:
        """Use `LockFile.open`."""
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._users = 0
        self._held: set[int] = set()

    @classmethod
    def open(cls, path: str) -> "LockFile":
        """Return this process's lock file at `path`; StoreUnavailableError where it cannot be."""
        with cls._guard:
            found = cls._opened.get(path)
            if found is None:
                try:
                    found = cls._opened[path] = cls(path)
                except OSError as error:
                    raise StoreUnavailableError(
                        f"{path} cannot be opened: {error.strerror or error}"
                    ) from error
            found._users += 1
            return found

    @property
    def place(self) -> str:
        """Which file it is, by its inode: a copy, wherever it was carried, is another one."""
        return str(os.fstat(self._descriptor).st_ino)

    def close(self) -> None:
        """Give up one use; the last one closes the file, and with it every lock."""
        with self._guard:
            self._users -= 1
            if self._users == 0:
                self._opened.pop(self._path, None)
                os.close(self._descriptor)

    def take(self, name: str) -> bool:
        """Take the lock `name` if nobody holds it."""
        offset = _offset(name)
        with self._guard:
            if offset in self._held:
                return False
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except OSError as error:
                if error.errno in {errno.EACCES, errno.EAGAIN}:
                    return False
                raise StoreUnavailableError(
                    f"{self._path} cannot be locked: {error.strerror or error}"
                ) from error
            self._held.add(offset)
            return True

    def release(self, name: str) -> None:
        """Let go of the lock `name`, which this process holds."""
        offset = _offset(name)
        with self._guard:
            self._held.discard(offset)
            if self._users:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset)


class Hold:
    """A lock in use, and the jobs begun under it: it lasts until the last of them is over."""

    def __init__(self, file: LockFile, name: str) -> None:
        """`name` is taken in `file` already."""
        self._file = file
        self._name = name
        self._guard = threading.Lock()
        self._reasons = 1
        """Why the lock is still needed: its holder, and one for each job."""

    def keep(self, job: Future[Any]) -> None:
        """Keep the lock until `job` has ended, whoever has stopped waiting for it."""
        with self._guard:
            self._reasons += 1
        job.add_done_callback(lambda _: self.let_go())

    def let_go(self) -> None:
        """Count one reason less; without any, release the lock."""
        with self._guard:
            self._reasons -= 1
            last = self._reasons == 0
        if last:
            self._file.release(self._name)


class Queues:
    """Named queues within this process: each waiter's turn comes in order, without polling."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """`patience` is in seconds."""
        self.patience = patience
        self._queues: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(
        self, name: str, *, what: str, patience: float | None = None
    ) -> AsyncIterator[None]:
        """Have the turn at `name`; TemporarilyUnavailableError after the patience is spent."""
        patience = self.patience if patience is None else patience
        lock, waiters = self._queues.get(name) or (asyncio.Lock(), 0)
        self._queues[name] = lock, waiters + 1
        try:
            try:
                async with asyncio.timeout(patience):
                    await lock.acquire()
            except TimeoutError:
                raise busy(what, patience) from None
            try:
                yield
            finally:
                lock.release()
        finally:
            waiters = self._queues[name][1] - 1
            self._queues[name] = lock, waiters
            if not waiters:
                del self._queues[name]


class Locks:
    """Waits for named locks without blocking the event loop."""

    def __init__(
        self,
        open_file: Callable[[], LockFile],
        *,
        wait: Callable[[float], Awaitable[None]],
        patience: float = PATIENCE,
    ) -> None:
        """`open_file` is called at the first use; `wait` waits a number of seconds."""
        self._open_file = open_file
        self._file: LockFile | None = None
        self._wait = wait
        self._queues = Queues(patience)

    @asynccontextmanager
    async def hold(
        self, name: str, *, what: str, patience: float | None = None
    ) -> AsyncIterator[Hold]:
        """Hold the lock `name`; TemporarilyUnavailableError after the patience is spent."""
        patience = self._queues.patience if patience is None else patience
        async with self._queues.turn(name, what=what, patience=patience):
            hold = await self._take(name, what, patience)
            try:
                yield hold
            finally:
                hold.let_go()

    def try_hold(self, name: str) -> Hold | None:
        """Hold the lock `name` if nobody does; the caller lets it go."""
        file = self._opened()
        return Hold(file, name) if file.take(name) else None

    def place(self) -> str:
        """Return which lock file it is. Raises StoreUnavailableError where there is none."""
        return self._opened().place

    def close(self) -> None:
        """Close the file, and with it every lock of this process on it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> LockFile:
        if self._file is None:
            self._file = self._open_file()
        return self._file

    async def _take(self, name: str, what: str, patience: float) -> Hold:
        file = self._opened()
        waited, pause = 0.0, FIRST_WAIT
        while not file.take(name):
            if waited >= patience:
                raise busy(what, patience)
            await self._wait(pause)
            waited += pause
            pause = min(pause * 2, LONGEST_WAIT)
        return Hold(file, name)


def busy(what: str, patience: float) -> TemporarilyUnavailableError:
    """Say that somebody has held the lock for too long."""
    return TemporarilyUnavailableError(
        f"somebody else has kept {what} busy for {patience:g} s", retry_after=FIRST_RETRY
    )
