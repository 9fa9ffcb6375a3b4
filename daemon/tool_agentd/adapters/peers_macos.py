"""Peers on macOS: LOCAL_PEERCRED, LOCAL_PEERPID, kqueue and libproc.

Written from the headers and not yet run on a Mac; what takes bytes apart is tested. There are no
namespaces. That the number of the process has not passed on between connecting and being accepted
is not proved: a process that began since is only unlikely.
"""

import ctypes
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from tool_agentd.adapters.bsd_info import bsd_info
from tool_agentd.adapters.requesters import interpreter, own_command
from tool_agentd.model import Peer, Requester, Rights

SOL_LOCAL = 0
LOCAL_PEERCRED = 1
LOCAL_PEERPID = 2
"""sys/un.h; Python has no names for them."""
XUCRED = struct.Struct("IIhxx16I")
"""struct xucred of sys/ucred.h: version, uid, number of groups, groups (the first is the gid)."""
PATH_LENGTH = 4096
"""PROC_PIDPATHINFO_MAXSIZE of sys/proc_info.h."""
CTL_KERN, KERN_PROCARGS2 = 1, 49
"""sys/sysctl.h: what a process was started with."""
ARGUMENTS = 64 * 1024
"""Bytes of that which are read; the executable and the first words stand in front."""

ENDED = "the process that connected has ended"
ANOTHER_PROGRAM = "the process that connected runs another program now"


class MacOS:
    """Reads peers on macOS."""

    def __init__(self, stranger: Callable[[Peer], None]) -> None:
        self._stranger = stranger

    def presence(
        self, connection: socket.socket, uid: int, rights: Rights | None
    ) -> "MacPresence | None":
        """Return the peer of a connected Unix socket, as `Peers.presence` says."""
        try:
            raw = connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size)
            _, its_uid, _, gid, *_ = XUCRED.unpack(raw)
            (pid,) = struct.unpack("i", connection.getsockopt(SOL_LOCAL, LOCAL_PEERPID, 4))
            if its_uid != uid:
                self._stranger(Peer(its_uid, gid, pid))
                return None
            watch = _Watch(pid)
        except (OSError, struct.error):
            return None
        executable = executable_of(pid)
        requester = _requester(pid, executable)
        presence = MacPresence(Peer(uid, gid, pid, executable, requester, (), rights), watch)
        if presence.gone():
            presence.close()
            return None
        return presence

    def close(self) -> None:
        """Nothing is remembered."""


class _Watch:
    """What the kernel reports of a process: that it ended, or became another program."""

    def __init__(self, pid: int) -> None:
        """Begin to watch. Raises OSError: also where it has ended already."""
        # Spelled through Any: type checkers know these names on a Mac only.
        system: Any = select
        self._notes = {
            system.KQ_NOTE_EXIT: ENDED,
            system.KQ_NOTE_EXEC: ANOTHER_PROGRAM,
        }
        self._queue = system.kqueue()
        event = system.kevent(
            pid,
            system.KQ_FILTER_PROC,
            system.KQ_EV_ADD,
            system.KQ_NOTE_EXIT | system.KQ_NOTE_EXEC,
        )
        try:
            self._queue.control([event], 0)
        except OSError:
            self._queue.close()
            raise
        self._gone = ""

    def gone(self) -> str:
        """Return what has happened to it; an event is told once, so it is kept."""
        if not self._gone:
            for event in self._queue.control(None, 1, 0):
                self._gone = next(
                    (why for note, why in self._notes.items() if event.fflags & note), ENDED
                )
        return self._gone

    def close(self) -> None:
        """Stop watching."""
        self._queue.close()


class MacPresence:
    """Implements api.connection.Presence."""

    __slots__ = ("_watch", "peer")

    def __init__(self, peer: Peer, watch: _Watch) -> None:
        """Watch a peer."""
        self.peer = peer
        self._watch = watch

    def gone(self) -> str:
        """Return why it gets no answer; empty while it may have one."""
        return self._watch.gone()

    def close(self) -> None:
        """Let go of it."""
        self._watch.close()


def executable_of(pid: int) -> str:
    """Return the path of a process's executable; empty where it is not to be had."""
    libproc = ctypes.CDLL("/usr/lib/libproc.dylib")
    buffer = ctypes.create_string_buffer(PATH_LENGTH)
    size = libproc.proc_pidpath(pid, buffer, PATH_LENGTH)
    return buffer.raw[:size].decode("utf-8", "backslashreplace") if size > 0 else ""


def words_of(raw: bytes) -> list[str]:
    """Return the command line in what KERN_PROCARGS2 gives: a count, the path, zeros, the words."""
    if len(raw) < ctypes.sizeof(ctypes.c_int):
        return []
    (count,) = struct.unpack_from("i", raw)
    _, _, rest = raw[4:].partition(b"\0")
    words = rest.lstrip(b"\0").split(b"\0")[: max(count, 0)]
    return [word.decode("utf-8", "backslashreplace") for word in words]


def _requester(pid: int, executable: str) -> Requester:
    if interpreter(executable) and own_command(words_of(_arguments(pid))):
        info = bsd_info(pid)
        if info is not None:
            parent = info.parent
            found = _process(parent, executable_of(parent))
            again = bsd_info(pid)
            if again is not None and again.parent == parent:
                return found
        return _process(pid, "")
    return _process(pid, executable)


def _process(pid: int, executable: str) -> Requester:
    try:
        session = os.getsid(pid)
    except OSError:
        session = 0
    leader = bsd_info(session) if session > 0 else None
    if leader is None:
        return Requester(pid, executable, max(session, 0))
    began = leader.seconds * 1_000_000 + leader.micros  # here a moment, and as good as ticks
    return Requester(pid, executable, session, began, leader.terminal)


def _arguments(pid: int) -> bytes:
    libc = ctypes.CDLL(None)
    name = (ctypes.c_int * 3)(CTL_KERN, KERN_PROCARGS2, pid)
    buffer = ctypes.create_string_buffer(ARGUMENTS)
    size = ctypes.c_size_t(ARGUMENTS)
    if libc.sysctl(name, 3, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return b""
    return buffer.raw[: size.value]
