"""Requesters: for whom a peer asks, and in which terminal session that one runs; Linux.

Anyone can run `tool-agent token`: of a command of ours the requester is the process that started
it. Every other peer asks for itself. All of it is advisory: a command line says what the process
that owns it has written there.
"""

import os
import re
import select
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from tool_agentd.adapters.proc_stat import ProcStat
from tool_agentd.model import Requester

COMMAND_LINE = 4096
"""Bytes of a command line that are read: the script's name is the second word, and no path is
longer."""
SESSIONS = 64
"""Terminal sessions that are remembered, with a descriptor each: more than a person has open."""

_INTERPRETER = re.compile(r"python[0-9.]*\Z")
_OURS = "tool-agent"
"""Our command; with a prefix (`git-credential-tool-agent`) the name of a helper."""
_SHIMS = ("tool-agent", "shims")
"""The last two folders of every shim's path (tool_agent.shims.folder)."""
_WITH_VALUE = frozenset(("-X", "-W"))
"""Options of the interpreter whose value is the next word."""
read_link = os.readlink
"""Not Path.readlink, which costs more than the system call: every connection has five."""
_DELETED = " (deleted)"
"""What the kernel adds to the name of a file that is gone (proc_pid_exe(5))."""


def interpreter(executable: str) -> bool:
    """Tell whether an executable may run our commands; "" may: it could not be read."""
    return not executable or _INTERPRETER.match(executable.rpartition("/")[2]) is not None


def own_command(words: Sequence[str]) -> bool:
    """Tell whether a command line is one of ours: `tool-agent`, a helper of that name, a shim.

    Nothing is looked up: what another process calls a path may lie on a disk that does not answer.
    """
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            return next(rest, "") == "tool_agent"
        if word in _WITH_VALUE:
            next(rest, "")
        elif not word.startswith("-"):
            *folders, name = word.split("/")
            return name == _OURS or name.endswith(f"-{_OURS}") or tuple(folders[-2:]) == _SHIMS
        elif word.startswith("-c"):
            return False
    return False


def executable_of(pid: int) -> str:
    """Return the path of a process's executable; empty where it is not to be had, or gone."""
    try:
        path = read_link(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return "" if path.endswith(_DELETED) else plain(path)


def plain(path: str) -> str:
    """Return a path as text that JSON and a database take: bytes that are none, escaped."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


class _Leader(NamedTuple):
    """The process that leads a terminal session."""

    pidfd: int
    lives: "select.poll"
    began: int
    terminal: str


class Requesters:
    """Finds them. Leaders of sessions are remembered while they live."""

    def __init__(self) -> None:
        self._leaders: OrderedDict[int, _Leader] = OrderedDict()

    def of(self, pid: int, executable: str) -> Requester:
        """Return for whom a process asks.

        The caller knows that it is alive before and after: nothing here is of another one then.
        """
        if not (interpreter(executable) and own_command(_words(pid))):
            return self._process(pid, executable)
        child = _stat(pid)
        if child is not None:
            found = self._process(child.parent, executable_of(child.parent))
            again = _stat(pid)
            # It is still its parent's child: so that one has lived all the time.
            if again is not None and again.parent == child.parent:
                return found
        return self._process(pid, "")

    def close(self) -> None:
        """Forget all sessions."""
        while self._leaders:
            self._forget(next(iter(self._leaders)))

    def _process(self, pid: int, executable: str) -> Requester:
        try:
            session = os.getsid(pid) if pid > 0 else 0
        except OSError:
            session = 0
        if session <= 0:
            return Requester(pid, executable)
        leader = self._leader(session)
        if leader is None:  # it has ended before its session has
            return Requester(pid, executable, session)
        return Requester(pid, executable, session, leader.began, leader.terminal)

    def _leader(self, session: int) -> _Leader | None:
        known = self._leaders.get(session)
        if known is not None:
            if not known.lives.poll(0):
                return known
            self._forget(session)
        try:
            pidfd = os.pidfd_open(session)
        except OSError:
            return None
        lives = select.poll()
        lives.register(pidfd, select.POLLIN)
        stat = _stat(session)
        if stat is None or lives.poll(0):
            os.close(pidfd)
            return None
        found = self._leaders[session] = _Leader(pidfd, lives, stat.began, stat.terminal_name)
        if len(self._leaders) > SESSIONS:
            self._forget(next(iter(self._leaders)))
        return found

    def _forget(self, session: int) -> None:
        os.close(self._leaders.pop(session).pidfd)


def _stat(pid: int) -> ProcStat | None:
    try:
        return ProcStat.parse(_read(f"/proc/{pid}/stat"))
    except (OSError, ValueError):
        return None


def _words(pid: int) -> list[str]:
    try:
        return os.fsdecode(_read(f"/proc/{pid}/cmdline")).split("\0")
    except OSError:
        return []


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, COMMAND_LINE)
    finally:
        os.close(descriptor)
