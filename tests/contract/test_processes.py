"""Processes told apart, and waited for, on the real system."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tool_agentd.adapters import processes
from tool_agentd.adapters.processes import SystemProcesses
from tool_agentd.ports import LeasedProcess

SYSTEM = SystemProcesses()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its stdin does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def leased(pid: int) -> LeasedProcess:
    """Return a process that runs now."""
    mark = SYSTEM.mark(pid)
    assert mark
    return LeasedProcess(pid, mark)


def test_a_mark_lasts_as_long_as_its_process(child: subprocess.Popen[bytes]) -> None:
    """It is the same each time, another's is another, and exec does not change it."""
    assert SYSTEM.mark(child.pid) == SYSTEM.mark(child.pid)
    assert SYSTEM.mark(child.pid) != SYSTEM.mark(1)
    script = "echo ready; read line; exec cat"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdin is not None
        assert shell.stdout.readline() == b"ready\n"
        before = SYSTEM.mark(shell.pid)
        shell.stdin.write(b"go\nhere\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == b"here\n"
        assert SYSTEM.mark(shell.pid) == before
        shell.kill()


def test_a_process_that_is_gone_has_none(child: subprocess.Popen[bytes]) -> None:
    """Neither before its parent has asked how it ended, nor after."""
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert SYSTEM.mark(child.pid) is None
    child.wait()
    assert SYSTEM.mark(child.pid) is None
    assert SYSTEM.mark(0) is None
    assert SYSTEM.mark(-1) is None


def test_its_end_is_reported(child: subprocess.Popen[bytes]) -> None:
    """To everyone who waits, and not before."""
    process = leased(child.pid)

    async def story() -> None:
        waiting = [asyncio.ensure_future(SYSTEM.ended(process)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        child.kill()
        await asyncio.wait_for(asyncio.gather(*waiting), 20)
        await asyncio.wait_for(SYSTEM.ended(process), 20)

    asyncio.run(story())


def test_another_process_of_the_number_is_not_waited_for(child: subprocess.Popen[bytes]) -> None:
    """The one that is meant has ended long since."""
    other = LeasedProcess(child.pid, "another boot 1")
    asyncio.run(asyncio.wait_for(SYSTEM.ended(other), 20))


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd_open is Linux's")
def test_without_a_descriptor_it_is_looked_at(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system refuses one, the process is asked for now and then."""

    def refused(_pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(processes, "POLL", 0.001)
    process = leased(child.pid)

    async def story() -> None:
        waiting = asyncio.ensure_future(SYSTEM.ended(process))
        await asyncio.sleep(0)
        assert not waiting.done()
        child.kill()
        child.wait()
        await asyncio.wait_for(waiting, 20)

    asyncio.run(story())
