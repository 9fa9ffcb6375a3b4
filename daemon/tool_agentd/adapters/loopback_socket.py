"""The sockets of a loopback listener: exclusively ours, on every address that the host name means.

Where a provider fixes `http://localhost:PORT`, the browser chooses between 127.0.0.1 and ::1. If
another program held one of the two, it would be sent the code.
"""

import contextlib
import errno
import socket
import sys

from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ConflictError,
    TemporarilyUnavailableError,
)

_PAIRED_TRIES = 8
"""Attempts to find one port that is free on both addresses; the first nearly always does."""
_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""What a machine without IPv6, or without ::1, answers with."""


def bound(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets that do not listen yet: 127.0.0.1, and ::1 where `host` is localhost.

    Port 0 is any free one, the same on both. Raises as `refusal` says.
    """
    for _ in range(_PAIRED_TRIES - 1 if port == 0 else 0):
        with contextlib.suppress(ConflictError):
            return _pair(host, 0)
    return _pair(host, port)


def refusal(address: str, port: int, error: OSError) -> AgentError:
    """Return the error for an address that cannot be bound or listened on."""
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        show = f"lsof -nP -iTCP:{port}" if sys.platform == "darwin" else f"ss -ltnp | grep :{port}"
        return ConflictError(
            f"the login has to come back to {where}, and another program listens there",
            hint=f"see which one with `{show}`, end it, and log in again",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigurationError(
            f"the agent may not listen on {where}", hint="choose a port above 1023"
        )
    return TemporarilyUnavailableError(f"the agent cannot listen on {where}: {error.strerror}")


def _pair(host: str, port: int) -> list[socket.socket]:
    try:
        first = _one(socket.AF_INET, "127.0.0.1", port)
    except OSError as error:
        raise refusal("127.0.0.1", port, error) from None
    if host != "localhost":
        return [first]
    try:
        port = first.getsockname()[1]
        second = _one(socket.AF_INET6, "::1", port)
    except OSError as error:
        if error.errno in _NO_IPV6:
            return [first]
        first.close()
        raise refusal("::1", port, error) from None
    return [first, second]


def _one(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it the port of a login that ended a moment ago is held for a minute by closed
        # connections (TIME_WAIT). A port on which somebody listens stays refused all the same.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError:
        made.close()
        raise
    return made
