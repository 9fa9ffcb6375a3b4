"""The audit trail: takes lines at once, and writes them in a thread of its own, in order.

A line costs its taker an append to a list. The thread writes what has come together within
`GATHER`, or at once where somebody's answer waits for it.

What is on the disk (fsync) before an answer, and what is only with the kernel: a denial, a login, a
logout, a refresh, an end, a revocation and a lock are rare, are what is looked for after a theft,
and each is about a thing that is on the disk itself. A grant or a use is one of thousands; the
kernel has it within 100 ms, a killed agent loses none of what it has, and a power cut the last
seconds.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tool_agentd import audit
from tool_agentd.adapters.audit.file import AuditFile
from tool_agentd.adapters.audit.journald import Journald
from tool_agentd.adapters.worker import Workers
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.model import NOBODY, PLAIN_EVENTS, AuditEvent, AuditLine

T = TypeVar("T")

GATHER = 0.05
"""Seconds in which lines come together that nobody waits for: half of what is promised."""
PATIENCE = 1.0
"""Seconds that an answer waits for its line: a sound disk takes milliseconds."""
RETRY = 1.0
"""Seconds between two tries while the file cannot be written."""
WAITING = 10_000
"""Lines that wait in memory meanwhile, a few MiB; of those that come after, only their number."""
WAITING_URGENT = 12_000
"""The same for lines other than grants and uses: these must not crowd out a denial."""
BATCH = 1000
"""Lines of one write: some 300 KiB."""
READ_DEADLINE = 5.0
"""Seconds to read the trail: all of it takes about one."""

log = logging.getLogger(__name__)

_Waiter = tuple[int, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class AuditTrail:
    """Implements ports.Witness and ports.Trail."""

    def __init__(self, file: AuditFile, journald: Journald | None = None) -> None:
        """Write to `file`, and to the journal where there is one. Nothing is opened yet."""
        self._file = file
        self._journald = journald
        self._agent = os.getpid()
        self._new: deque[AuditLine] = deque()
        self._held: list[tuple[AuditLine, bytes]] = []
        """Of the thread: what is to be written, the oldest first."""
        self._taken = 0
        self._popped = 0
        """Of the thread: how many of those taken it has in its hands, or has had."""
        self._written = 0
        """Of the thread: how many of those taken are written."""
        self._urgent = 0
        """How many of those taken have to be written before the last urgent one is."""
        self._lost = 0
        self._trouble = ""
        self._guard = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._there = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._readers = Workers(
            "the disk of audit.jsonl",
            room="audit reader",
            error=TemporarilyUnavailableError,
            limit=1,
            deadline=READ_DEADLINE,
        )

    # -- the witness -----------------------------------------------------------------------------

    def record(self, line: AuditLine) -> None:
        """Take a line; where too many wait already, it is only counted."""
        urgent = line.event not in PLAIN_EVENTS
        if len(self._new) + len(self._held) >= (WAITING_URGENT if urgent else WAITING):
            with self._guard:
                self._lost += 1
            return
        self._new.append(line)
        self._taken += 1
        if urgent:
            self._urgent = self._taken
            self._hurry.set()
        if not self._there.is_set():
            self._there.set()
            if self._thread is None:
                self._start()

    @property
    def urgent(self) -> bool:
        """Whether a line waits that has to be written before its answer."""
        return self._urgent > self._written and not self._trouble

    async def settled(self) -> None:
        """Return when everything taken so far is written; at once while it cannot be."""
        target = self._taken
        if self._written >= target or self._trouble or self._thread is None:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._guard:
            self._waiters.append((target, loop, waiter))
        self._hurry.set()
        self._there.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await waiter
        except TimeoutError:
            self._fails(f"the disk did not answer within {PATIENCE:g} s")

    @property
    def reasons(self) -> Sequence[str]:
        """Say why the trail is not written, if it is not."""
        return [f"the audit trail is not written: {self._trouble}"] if self._trouble else []

    # -- reading ---------------------------------------------------------------------------------

    async def last(self, count: int, read: Callable[[bytes], T | None]) -> Sequence[T]:
        """Return the newest lines that `read` takes, with all that was taken before."""
        await self.settled()

        def work() -> list[T]:
            try:
                return self._file.last(count, read)
            except OSError as error:
                said = f"{self._file.path} cannot be read: {error.strerror or error}"
                raise TemporarilyUnavailableError(said) from error

        return await self._readers.run(work)

    # -- the end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Write what waits, if it can be, and end the thread."""
        self._closing = True
        self._hurry.set()
        self._there.set()
        if self._thread is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await asyncio.to_thread(self._thread.join, PATIENCE)
        self._readers.close()

    # -- the thread ------------------------------------------------------------------------------

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._serve, name="audit", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            if self._held and not self._closing:
                self._there.wait(RETRY)
            else:
                self._there.wait()
            if not self._closing:
                self._hurry.wait(GATHER)
            self._there.clear()  # before the lines are taken: what comes now wakes us again
            self._hurry.clear()
            closing = self._closing  # likewise
            try:
                self._turn()
            except Exception:
                log.exception("the audit trail")
                self._fails("the agent met an error of its own; its log has more")
            self._wake()
            if closing:
                if self._journald is not None:
                    self._journald.close()
                return

    def _turn(self) -> None:
        """Write all that waits."""
        self._take()
        while self._held:
            if not self._append(self._held[:BATCH]):
                return
            del self._held[:BATCH]
        self._trouble = ""
        self._written = self._popped

    def _take(self) -> None:
        """Make records of what has come; the number of those lost stands where they would."""
        lines = [self._new.popleft() for _ in range(len(self._new))]
        self._popped += len(lines)
        if self._lost and len(self._held) < WAITING:
            with self._guard:
                lost, self._lost = self._lost, 0
            what = f"lines missing here, because they could not be written: {lost}"
            lines.append(AuditLine(time.time(), AuditEvent.AGENT, "lost", NOBODY, detail=what))
        self._held += zip(lines, audit.encode_all(lines, self._agent), strict=True)

    def _append(self, batch: Sequence[tuple[AuditLine, bytes]]) -> bool:
        """Write a batch; tell whether it is written."""
        durable = any(line.event not in PLAIN_EVENTS for line, _ in batch)
        try:
            self._file.append(b"".join(raw for _, raw in batch), durable=durable)
        except AgentError as error:
            self._fails(error.detail)
            return False
        except OSError as error:
            self._fails(f"{self._file.path}: {error.strerror or error}")
            return False
        if self._journald is not None and self._journald.there:
            for line, raw in batch:
                self._journald.send(audit.record_of(line, self._agent), raw)
        return True

    def _fails(self, why: str) -> None:
        if not self._trouble:
            log.error("the audit trail is not written: %s", why)
        self._trouble = why

    def _wake(self) -> None:
        """Let go of everyone whose lines are written, or cannot be now."""
        with self._guard:
            ready = [one for one in self._waiters if self._trouble or one[0] <= self._written]
            self._waiters = [one for one in self._waiters if one not in ready]
        for _, loop, waiter in ready:
            with suppress(RuntimeError):  # that loop is over
                loop.call_soon_threadsafe(_let_go, waiter)


def _let_go(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
