"""Peers: who is at the other end of a Unix socket, read once, when it connects.

What the kernel says of it is proof: uid, gid, pid, and whether that process still lives. Its
executable and for whom it asks are labels: whoever may run a program may run any.
"""

import socket
import sys
from collections.abc import Callable

from tool_agentd.adapters.peers_linux import Linux, LinuxPresence
from tool_agentd.adapters.peers_macos import MacOS, MacPresence
from tool_agentd.model import Peer, Rights


class Peers:
    """Tells who has connected."""

    def __init__(self, stranger: Callable[[Peer], None] = lambda _peer: None) -> None:
        """Call `stranger` for each process of a user who is not admitted."""
        self._system = MacOS(stranger) if sys.platform == "darwin" else Linux(stranger)

    def presence(
        self, connection: socket.socket, uid: int, rights: Rights | None = None
    ) -> LinuxPresence | MacPresence | None:
        """Return the peer of a connected Unix socket, kept in sight.

        None for every uid but `uid`, for a process that has ended already, and where the kernel
        does not tell: no answer may be written then. `rights` become the peer's.
        """
        return self._system.presence(connection, uid, rights)

    def close(self) -> None:
        """Let go of what was remembered."""
        self._system.close()
