"""The agent's socket: one agent a path, made with the right mode, and taken away at the end."""

import errno
import fcntl
import os
import socket
import stat
import sys
from pathlib import Path

from tool_agent import paths
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.errors import ConfigurationError, ConflictError

BACKLOG = 4096
"""Clients that may wait to be accepted; the kernel caps it at net.core.somaxconn."""
PROBE_TIMEOUT = 2.0
"""Seconds that an existing socket gets to accept a connection before it counts as stale: one that
is only busy accepts at once, because the kernel does."""


class ListeningSocket:
    """The bound socket and the lock that goes with it."""

    def __init__(self, path: str, sock: socket.socket, lock: int | None) -> None:
        """Keep both until `close`; a scoped socket has no lock."""
        self.path = path
        self.sock = sock
        self._lock = lock
        self._made = Path(path).stat().st_ino

    def close(self) -> None:
        """Remove the socket, if it is still ours, and let go of the lock."""
        self.sock.close()
        try:
            if Path(self.path).stat().st_ino == self._made:
                Path(self.path).unlink()
        except OSError:
            pass  # somebody took it away; there is nothing left to remove
        if self._lock is not None:
            os.close(self._lock)


def listen(path: str) -> ListeningSocket:
    """Bind the agent's socket at `path`, replacing one of ours that nobody answers.

    Raises ConflictError when another agent holds it, and ConfigurationError when the path cannot
    hold a socket.
    """
    check_path(path)
    ensure_own_directory(str(Path(path).parent))
    lock = _lock(path)
    try:
        remove_stale(path)
        return ListeningSocket(path, bind(path, 0o600), lock)
    except BaseException:
        os.close(lock)
        raise


def check_path(path: str) -> None:
    """Raise ConfigurationError where a path cannot hold a socket."""
    raw = os.fsencode(path)
    if not path.startswith("/") or path.endswith("/"):
        message = f"the socket's path {path!r} does not begin with /, or ends with it"
        raise ConfigurationError(message, hint=f"set {paths.SOCK} to an absolute path")
    if len(raw) > paths.SOCKET_PATH_MAX:
        message = (
            f"the socket's path has {len(raw)} bytes, and the kernel takes "
            f"{paths.SOCKET_PATH_MAX}: {path}"
        )
        raise ConfigurationError(message, hint=f"set {paths.SOCK} to a shorter path")


def _lock(path: str) -> int:
    """Take the lock file beside the socket. It stays when we end: removing it would race."""
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise
        message = f"another agent serves {path}"
        raise ConflictError(message, hint="nothing is to be done: clients find it there") from None
    return lock


def remove_stale(path: str) -> None:
    """Remove a socket of ours that nobody serves; any other raises, and is left as it is."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode) or there.st_uid != os.geteuid():
        kind = "is no socket" if not stat.S_ISSOCK(there.st_mode) else "is another user's socket"
        message = f"{path} is there and {kind}; it is left as it is"
        raise ConfigurationError(message, hint=f"move it away, or set {paths.SOCK} elsewhere")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(PROBE_TIMEOUT)
    try:
        probe.connect(path)
    except FileNotFoundError:
        return
    except (ConnectionRefusedError, TimeoutError):
        Path(path).unlink()
        return
    except OSError as error:
        message = f"{path} is there and is no socket of ours: {error.strerror}"
        raise ConfigurationError(message, hint="move it away, then start the agent") from None
    finally:
        probe.close()
    message = f"another agent serves {path}"
    raise ConflictError(message, hint="nothing is to be done: clients find it there")


def bind(path: str, mode: int) -> socket.socket:
    """Return a socket that listens at `path`, whose file has `mode` from its first moment.

    Raises ConfigurationError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sys.platform != "darwin":
            # On Linux the mode that the descriptor has now is the mode of the file that bind
            # makes: there is no moment in which others could connect.
            os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        Path(path).chmod(mode)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the library's signature
    except OSError as error:
        sock.close()
        message = f"cannot make the socket {path}: {error.strerror}"
        raise ConfigurationError(message, hint=f"set {paths.SOCK} to another path") from None
    return sock
