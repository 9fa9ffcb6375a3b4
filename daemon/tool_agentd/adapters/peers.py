"""Peers: who is at the other end of a Unix socket, as the kernel says."""

import socket
import struct
import sys

from tool_agentd.model import Peer

_UCRED = struct.Struct("iII")
"""struct ucred of unix(7): pid, uid, gid."""
_LOCAL_PEERCRED = 1
_LOCAL_PEERPID = 2
"""macOS, sys/un.h; Python has no names for them."""
_SOL_LOCAL = 0
_XUCRED = struct.Struct("IIhxx16I")
"""struct xucred of macOS: version, uid, number of groups, groups (the first is the gid)."""


def peer_of(connection: socket.socket) -> Peer | None:
    """Return the peer of a connected Unix socket; None where the kernel does not tell."""
    try:
        if sys.platform == "darwin":
            raw = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
            _, uid, _, gid, *_ = _XUCRED.unpack(raw)
            (pid,) = struct.unpack("i", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))
            return Peer(uid, gid, pid)
        pid, uid, gid = _UCRED.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        )
    except (OSError, struct.error):
        return None
    return Peer(uid, gid, pid)
