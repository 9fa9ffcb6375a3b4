"""Other processes: told apart by when they began, and waited for without asking again and again.

Linux has a descriptor for a process (pidfd_open(2)), macOS an event (kqueue, NOTE_EXIT); both make
a descriptor readable, which the event loop waits for as it waits for sockets.
"""

import asyncio
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tool_agentd.adapters.bsd_info import bsd_info
from tool_agentd.adapters.proc_stat import ProcStat
from tool_agentd.ports import LeasedProcess

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""Begin times count from the boot: another boot's are another's (random(4))."""
POLL = 5.0
"""Seconds between looks where the system has neither (a seccomp filter, a descriptor limit)."""


class SystemProcesses:
    """Implements ports.Processes."""

    def mark(self, pid: int) -> str | None:
        """Return when the process began, together with the boot; None where none runs."""
        if pid <= 0:
            return None
        return _mark_of_macos(pid) if sys.platform == "darwin" else _mark_of_linux(pid)

    async def ended(self, process: LeasedProcess) -> None:
        """Return once the process has ended."""
        try:
            descriptor = _watch(process.pid)
        except ProcessLookupError:
            return
        except OSError:
            while self.mark(process.pid) == process.mark:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(POLL)
            return
        try:
            # Looked at with the descriptor open: from now on the number cannot change its meaning.
            if self.mark(process.pid) == process.mark:
                await _readable(descriptor)
        finally:
            descriptor.close()


class _Descriptor:
    """A descriptor that becomes readable when a process ends."""

    def __init__(self, number: int, close: Callable[[], None]) -> None:
        self.number = number
        self.close = close


def _watch(pid: int) -> _Descriptor:
    """Return a descriptor for the end of a process. Raises OSError."""
    if sys.platform == "darwin":
        queue = select.kqueue()
        event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        try:
            queue.control([event], 0)
        except OSError:
            queue.close()
            raise
        return _Descriptor(queue.fileno(), queue.close)
    number = os.pidfd_open(pid)
    return _Descriptor(number, lambda: os.close(number))


async def _readable(descriptor: _Descriptor) -> None:
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    loop.add_reader(descriptor.number, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(descriptor.number)


def _mark_of_linux(pid: int) -> str | None:
    try:
        stat = ProcStat.parse(Path(f"/proc/{pid}/stat").read_bytes())
    except (OSError, ValueError):
        return None
    if stat.ended:
        return None
    boot = ""
    with suppress(OSError):
        boot = Path(BOOT_ID).read_text("ascii").strip()
    return f"{boot} {stat.began}"


def _mark_of_macos(pid: int) -> str | None:
    info = bsd_info(pid)
    return None if info is None else f"{info.seconds}.{info.micros:06}"
