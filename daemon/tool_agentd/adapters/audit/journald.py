"""systemd's journal: a line as one datagram, by its native protocol; nobody waits for it.

systemd.io/JOURNAL_NATIVE_PROTOCOL: `NAME=value` and a line break for each field. Every value of
ours is one line, and a datagram is far below what the socket takes, so no other form is needed.
"""

import logging
import os
import socket
import stat
from pathlib import Path

from tool_agentd.audit import Record, plain
from tool_agentd.model import AuditEvent

IDENTIFIER = "tool-agent"
NOTICE, INFO = 5, 6
"""Priorities of syslog(3)."""
_NOTABLE = frozenset({AuditEvent.DENIAL.value, AuditEvent.END.value, AuditEvent.GONE.value})

log = logging.getLogger(__name__)


class Journald:
    """Sends lines, where a journal listens. What it does not take at once it does not get."""

    def __init__(self, path: str) -> None:
        """Send to the socket at `path`; nothing is opened yet."""
        self._path = path
        self._socket: socket.socket | None = None
        self._missed = 0

    @property
    def there(self) -> bool:
        """Whether a journal listens: looked at once for each batch."""
        try:
            found = Path(self._path).stat()
        except OSError:
            self.close()
            return False
        # Whoever listens gets everything: root, or ourselves.
        return stat.S_ISSOCK(found.st_mode) and found.st_uid in {0, os.geteuid()}

    def send(self, record: Record, line: bytes) -> None:
        """Send one line. Raises nothing: the file has it all the same."""
        try:
            if self._socket is None:
                self._socket = socket.socket(
                    socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
                )
                self._socket.setblocking(False)  # noqa: FBT003 - the library's signature
                self._socket.connect(self._path)
            if self._missed:
                self._socket.send(_fields([("MESSAGE", f"lines missing here: {self._missed}")]))
                self._missed = 0
            self._socket.send(datagram(record, line))
        except OSError as error:
            if not self._missed:
                log.info("%s does not take the audit trail: %s", self._path, error.strerror)
            self._missed += 1
            self.close()  # a journal that was started anew has another socket

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def datagram(record: Record, line: bytes) -> bytes:
    """Return a line as the journal takes it: its JSON as the message, and what is searched for."""
    fields = [
        ("MESSAGE", line.decode().rstrip("\n")),
        ("PRIORITY", str(NOTICE if record.event in _NOTABLE else INFO)),
        ("TOOL_AGENT_EVENT", record.event),
        ("TOOL_AGENT_OUTCOME", record.outcome),
        ("TOOL_AGENT_TOOL", record.tool),
        ("TOOL_AGENT_ACCOUNT", record.account),
        ("TOOL_AGENT_PEER_UID", "" if record.uid is None else str(record.uid)),
        ("TOOL_AGENT_PEER_PID", "" if record.pid is None else str(record.pid)),
        ("TOOL_AGENT_PEER_EXE", record.executable),
    ]
    return _fields(fields)


def _fields(fields: list[tuple[str, str]]) -> bytes:
    own = [("SYSLOG_IDENTIFIER", IDENTIFIER)]
    return "".join(
        f"{name}={plain(value, len(value))}\n" for name, value in [*fields, *own] if value
    ).encode()
