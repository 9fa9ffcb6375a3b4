"""Audit: a line of the trail as it is written and read. Pure.

A line is one JSON object. Every text in it is bounded and printable: nothing that a peer or a
provider says can begin a line, or move a terminal's cursor.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import structs

from tool_agentd.definition.check_text import NAME
from tool_agentd.model import NOBODY, AuditLine, Peer

SCHEMA = 1
"""Of a line. Fields are added without a new number."""

TEXT_MAX = 256
"""Characters of a text: a label and a scope have fewer, and a line fits one datagram."""
DETAIL_MAX = 500
"""Characters of a reason, as in the journal of grants.db."""
UNNAMED = "?"
"""Stands for what was asked for as a tool and cannot be the name of one. It may be a key that
somebody has pasted in the wrong place."""
CUT = "..."


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """For whom a command of ours asked."""

    pid: int
    executable: str = ""
    session: int = 0
    terminal: str = ""


class Socket(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scoped socket that the peer came by, and what it serves."""

    name: str
    tool: str
    account: str
    scope: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line as it stands in the file; a field that has nothing to say is not there."""

    schema: int
    at: str
    """RFC 3339, in UTC, with milliseconds."""
    event: str
    outcome: str
    agent: int
    """The pid of the agent that wrote it."""
    uid: int | None = None
    """Of the peer; without one, the agent did it by itself."""
    pid: int | None = None
    executable: str = ""
    requester: Asked | None = None
    foreign: tuple[str, ...] = ()
    socket: Socket | None = None
    tool: str = ""
    provider: str = ""
    account: str = ""
    scope: str = ""
    audience: str = ""
    detail: str = ""
    fingerprint: str = ""

    @property
    def wall(self) -> float:
        """Return when, as Unix time; 0 where it says something else than a time."""
        try:
            return datetime.fromisoformat(self.at).timestamp()
        except ValueError:
            return 0.0


def record_of(line: AuditLine, agent: int) -> Record:
    """Return what is written of a line, by the agent of this pid."""
    peer = line.peer
    known = peer is not NOBODY
    tool = _tools(line.tool)
    return Record(
        SCHEMA,
        moment(line.at),
        line.event.value,
        line.outcome,
        agent,
        peer.uid if known else None,
        peer.pid if known else None,
        tail(peer.executable),
        _asked(peer),
        peer.foreign,
        _socket(peer),
        tool,
        line.provider if line.provider != tool else "",
        plain(line.account),
        plain(line.scope),
        plain(line.audience),
        plain(line.detail, DETAIL_MAX),
        line.fingerprint,
    )


def moment(wall: float) -> str:
    """Return a wall time as RFC 3339 has it."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def encode(record: Record) -> bytes:
    """Return the line, with its end."""
    return msgspec.json.encode(record) + b"\n"


def encode_all(lines: Sequence[AuditLine], agent: int) -> list[bytes]:
    """Return lines as they are written, each with its end.

    A peer that asks again and again makes lines that differ in their time alone: what else is in
    one is worked out once, which is a third of the work.
    """
    known: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
    found: list[bytes] = []
    second, shown = -1, ""
    for line in lines:
        at, event, outcome, peer, *rest = structs.astuple(line)
        whole = int(at)
        if whole != second:
            second, shown = whole, moment(whole)[:-4]  # up to the dot of the milliseconds
        now = f"{shown}{int(at * 1000) % 1000:03}Z".encode()
        key = (id(peer), event, outcome, *rest)  # a peer lives as long as its line
        parts = known.get(key)
        if parts is None:
            raw = encode(record_of(line, agent))
            head, _, tail_ = raw.partition(moment(at).encode())
            parts = known[key] = head, tail_
        found.append(parts[0] + now + parts[1])
    return found


def decode(raw: bytes) -> Record | None:
    """Return what a line of the file says; None where it is torn, or none of ours."""
    try:
        return msgspec.json.decode(raw, type=Record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def document(record: Record) -> dict[str, Any]:
    """Return a line as a JSON reply has it."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def plain(text: str, limit: int = TEXT_MAX) -> str:
    """Return a text of one line that moves no cursor: what does not print is escaped."""
    if len(text) <= limit and text.isprintable():
        return text
    text = _printable(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def tail(path: str, limit: int = TEXT_MAX) -> str:
    """Return a path likewise; of one that is too long, its end says more."""
    if len(path) <= limit and path.isprintable():
        return path
    path = _printable(path[-limit - 1 :])
    return path if len(path) <= limit else CUT + path[len(CUT) - limit :]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _tools(text: str) -> str:
    if not text or NAME.fullmatch(text):
        return text
    names = text.split(" ")
    return plain(" ".join(name if NAME.fullmatch(name) else UNNAMED for name in names))


def _asked(peer: Peer) -> Asked | None:
    asks = peer.requester
    if asks is None:
        return None
    return Asked(asks.pid, tail(asks.executable), asks.session, plain(asks.terminal))


def _socket(peer: Peer) -> Socket | None:
    rights = peer.rights
    if rights is None:
        return None
    return Socket(plain(rights.socket), rights.tool, plain(rights.account), plain(rights.scope))
