"""The log: never in the way of the agent, and never longer than somebody could read.

A reader of stderr that has stopped reading fills the pipe, and a write to it would stop the agent
for good; so a thread writes there, and what it cannot write in time is dropped and counted. What
goes wrong again and again (a flood of clients, a provider that is away) is told a few times a
minute, with a count of the rest.
"""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

ALIKE = 3
"""Warnings of one kind that are told within a minute; a traceback of 20 lines is one of them."""
MINUTE = 60.0
"""Seconds after which a kind of warning is told again."""
KINDS = 256
"""Kinds that are remembered; far more than the agent has."""
WAITING = 1000
"""Lines that may wait for a slow reader: some 100 KiB."""
PATIENCE = 1.0
"""Seconds that the end of the process waits for such a reader."""

Kind = tuple[str, int, str]
"""Logger, level, and the message before its arguments are put in."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of a kind of warning in its minute."""

    began: float
    told: int = 1
    kept: int = 0


class Repeats:
    """Counts what repeats itself; time is an argument, in seconds."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: dict[Kind, _Told] = {}

    def told(self, kind: Kind, now: float) -> bool:
        """Count one more of a kind; return whether it is to be told."""
        found = self._told.get(kind)
        if found is None or now - found.began >= MINUTE:
            if len(self._told) >= KINDS:
                self._told.clear()
            self._told[kind] = _Told(now)
            return True
        if found.told < ALIKE:
            self._told[kind] = _Told(found.began, found.told + 1)
            return True
        self._told[kind] = _Told(found.began, found.told, found.kept + 1)
        return False

    def over(self, now: float) -> dict[Kind, int]:
        """Return how many were kept back of each kind whose minute is over, and forget them."""
        ended = {k: one for k, one in self._told.items() if now - one.began >= MINUTE}
        for kind in ended:
            del self._told[kind]
        return {kind: one.kept for kind, one in ended.items() if one.kept}

    @property
    def keeps(self) -> bool:
        """Whether something is kept back that has yet to be counted."""
        return any(one.kept for one in self._told.values())


class Sparing(logging.Handler):
    """Hands records on to another handler, warnings of one kind only a few times a minute."""

    def __init__(
        self, inner: logging.Handler, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Spare `inner`."""
        super().__init__()
        self._inner = inner
        self._monotonic = monotonic
        self._repeats = Repeats()
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on, or count it."""
        self.count()
        if record.levelno < logging.WARNING:
            self._inner.handle(record)
            return
        kind = record.name, record.levelno, str(record.msg)
        if self._repeats.told(kind, self._monotonic()):
            self._inner.handle(record)
        elif self._timer is None:
            self._wake_after_a_minute()

    def count(self) -> None:
        """Say how many were kept back, where their minute is over."""
        for (name, level, message), kept in self._repeats.over(self._monotonic()).items():
            words = "... and %d more like it in the last minute: %s"
            # The arguments are not told: there is one line for all of them.
            told = logging.LogRecord(name, level, "", 0, words, (kept, message), None)
            self._inner.handle(told)

    def _wake_after_a_minute(self) -> None:
        self._timer = threading.Timer(MINUTE, self._minute_over)
        self._timer.daemon = True
        self._timer.start()

    def _minute_over(self) -> None:
        self.acquire()
        try:
            self._timer = None
            self.count()
            if self._repeats.keeps:
                self._wake_after_a_minute()
        finally:
            self.release()

    def close(self) -> None:
        """End the timer and the inner handler."""
        if self._timer is not None:
            self._timer.cancel()
        self._inner.close()
        super().close()


class Unhurried(logging.Handler):
    """Writes to a descriptor in a thread; whoever logs never waits for whoever reads.

    To the descriptor and not to `sys.stderr`: at its end the interpreter flushes that one, and
    would wait for the thread.
    """

    def __init__(self, descriptor: int, redaction: Callable[[str], str] = str) -> None:
        """Write to `descriptor`, which may block, what `redaction` leaves of each line."""
        super().__init__()
        self._redaction = redaction
        self._descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(WAITING)
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it where the queue is full."""
        try:
            self._lines.put_nowait(self._redaction(self.format(record)))
        except queue.Full:
            self._dropped += 1
            return
        except Exception:  # noqa: BLE001 - logging's own way with a record that has no form
            self.handleError(record)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait a moment for what is queued; a reader that has stopped does not hold the end up."""
        super().close()
        lines = self._lines
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, PATIENCE)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                self._say(f"{dropped} lines were lost: nobody read them in time")
            self._say(line)
            self._lines.task_done()

    def _say(self, line: str) -> None:
        left = (line + "\n").encode(errors="backslashreplace")
        with contextlib.suppress(OSError):  # the reader is gone for good: there is nobody to tell
            while left:
                left = left[os.write(self._descriptor, left) :]
