"""Peers on Linux: SO_PEERCRED, SO_PEERPIDFD and /proc (unix(7), pidfd_open(2), proc(5)).

The kernel's descriptor for the process that connected becomes readable when that has ended, and
never stands for another one. So a look into /proc/PID was a look at the peer if the descriptor is
not readable afterwards. Without SO_PEERPIDFD (before Linux 6.5) the folder /proc/PID is held open,
which no later process of the number gets either, and the time when it began compared; that the
number has not passed on between connecting and being accepted is then not proved.
"""

import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from tool_agentd.adapters.proc_stat import ProcStat
from tool_agentd.adapters.requesters import Requesters, executable_of, read_link
from tool_agentd.model import Peer, Rights

SO_PEERPIDFD = 77
"""asm-generic/socket.h; Python 3.11 has no name for it."""
UCRED = struct.Struct("iII")
"""struct ucred of unix(7): pid, uid, gid."""
NAMESPACES = {"user": "user", "pid": "pid", "mnt": "mount"}
"""Files in /proc/PID/ns, and what the peer's `foreign` calls them (namespaces(7))."""
UNKNOWN = ("unknown",)
"""What `foreign` is where the kernel lets nobody look."""

ENDED = "the process that connected has ended"
ANOTHER_PROGRAM = "the process that connected runs another program now"

FileMark = tuple[int, int]
"""Device and inode of an executable: it tells a replaced file of the same name, and stays with one
that is renamed."""


class Linux:
    """Reads peers on Linux."""

    def __init__(self, stranger: Callable[[Peer], None]) -> None:
        self._stranger = stranger
        self._requesters = Requesters()
        self._own: dict[str, str] = {}

    def presence(
        self, connection: socket.socket, uid: int, rights: Rights | None
    ) -> "LinuxPresence | None":
        """Return the peer of a connected Unix socket, as `Peers.presence` says."""
        try:
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
            pid, its_uid, gid = UCRED.unpack(raw)
            if its_uid != uid:
                self._stranger(Peer(its_uid, gid, pid))
                return None
            watch = _watch(connection, pid)
        except (OSError, struct.error):
            return None
        foreign = self._foreign(pid)
        # In another mount namespace the path is that of another file, or of none.
        executable = executable_of(pid) if not foreign or _same_paths(foreign) else ""
        requester = self._requesters.of(pid, executable)
        peer = Peer(uid, gid, pid, executable, requester, foreign, rights)
        presence = LinuxPresence(peer, watch)
        if watch.ended(0):
            presence.close()
            return None
        return presence

    def close(self) -> None:
        """Forget all terminal sessions."""
        self._requesters.close()

    def _foreign(self, pid: int) -> tuple[str, ...]:
        own = self._own
        try:
            if not own:
                own |= {name: read_link(f"/proc/self/ns/{name}") for name in NAMESPACES}
            folder = f"/proc/{pid}/ns/"
            return tuple(
                [kind for name, kind in NAMESPACES.items() if read_link(folder + name) != own[name]]
            )
        except OSError:
            return UNKNOWN


class Watch(Protocol):
    """A process, and whether it has ended; never another one of its number."""

    def ended(self, timeout: int, /) -> object:
        """Return something true if it has. `timeout` is 0: the signature is poll's."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class LinuxPresence:
    """Implements api.connection.Presence."""

    __slots__ = ("_ended", "_exe", "_mark", "_watch", "peer")

    def __init__(self, peer: Peer, watch: Watch) -> None:
        """Begin to watch a peer."""
        self.peer = peer
        self._watch = watch
        self._ended = watch.ended
        self._exe = f"/proc/{peer.pid}/exe"
        self._mark = _mark(self._exe)

    def gone(self) -> str:
        """Return why it gets no answer; empty while it may have one."""
        mark = _mark(self._exe)
        if self._ended(0):  # asked last: if it lives now, that was its file
            return ENDED
        return "" if mark == self._mark else ANOTHER_PROGRAM

    def close(self) -> None:
        """Let go of it."""
        self._watch.close()


def _same_paths(foreign: tuple[str, ...]) -> bool:
    """Tell whether a path means the same to a foreign peer: not in another mount namespace."""
    return "mount" not in foreign and foreign != UNKNOWN


def _mark(exe: str) -> FileMark | None:
    """Return the mark of what a process runs; None where that is not to be had."""
    try:
        found = os.stat(exe)  # noqa: PTH116 - a Path costs as much as the call
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _watch(connection: socket.socket, pid: int) -> Watch:
    """Begin to watch who has connected. Raises OSError, also where it has ended and is gone."""
    try:
        descriptor = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except ProcessLookupError:
        raise
    except OSError:
        return _Folder(pid)
    return _Descriptor(descriptor)


class _Descriptor:
    """The kernel's descriptor of the process that connected."""

    __slots__ = ("_number", "ended")

    def __init__(self, number: int) -> None:
        """Own it."""
        self._number = number
        poll = select.poll()
        poll.register(number, select.POLLIN)
        self.ended = poll.poll

    def close(self) -> None:
        """Let go of it; again is no error."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)


class _Folder:
    """A process's folder in /proc, held open: it is empty once the process has ended."""

    def __init__(self, pid: int) -> None:
        """Hold it. Raises OSError."""
        if pid <= 0:  # in a pid namespace that this one does not see
            raise ProcessLookupError
        self._number = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._began = self._stat().began
        except OSError:
            self.close()
            raise

    def ended(self, _timeout: int, /) -> bool:
        """Tell whether the process has ended."""
        with suppress(OSError):
            now = self._stat()
            return now.ended or now.began != self._began
        return True

    def close(self) -> None:
        """Let go of it; again is no error."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def _stat(self) -> ProcStat:
        """Raises OSError."""
        file = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._number)
        try:
            return ProcStat.parse(os.read(file, 4096))
        except ValueError:
            raise ProcessLookupError from None
        finally:
            os.close(file)
