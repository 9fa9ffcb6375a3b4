"""Words of `tool-agent audit`: a line of the trail as a line on a screen.

What the file says is shown as data: somebody may have written something else into it.
"""

from collections.abc import Sequence

from tool_agentd.api.words import clock_time, table
from tool_agentd.audit import Record, plain

MARK = 8
"""Digits of a fingerprint that are shown: enough to see that two are the same."""
NONE = "-"
USUAL = {"denial": "denied", "end": "ended"}
"""Outcomes that their events say already."""


def lines(records: Sequence[Record]) -> str:
    """Return the lines, the newest last."""
    if not records:
        return "The audit trail has no such line.\n"
    return table([_row(record) for record in records])


def _row(record: Record) -> tuple[str, ...]:
    usual = USUAL.get(record.event, "ok")
    event = record.event if record.outcome == usual else f"{record.event} {record.outcome}"
    cells = (event, record.tool or NONE, record.account or NONE, _who(record), _more(record))
    return (clock_time(record.wall), *(plain(cell) for cell in cells))


def _who(record: Record) -> str:
    """Return who asked: for our own commands, whoever ran them."""
    if record.pid is None:
        return f"agent (pid {record.agent})"
    asks = record.requester
    executable, pid = record.executable, record.pid
    if asks is not None:
        executable, pid = asks.executable, asks.pid
    name = executable.rpartition("/")[2]
    text = f"{name} (pid {pid})" if name else f"pid {pid}"
    if asks is not None and asks.terminal:
        text += f" at {asks.terminal}"
    return text


def _more(record: Record) -> str:
    parts = [
        f"scope {record.scope}" if record.scope else "",
        f"for {record.audience}" if record.audience else "",
        f"at {record.provider}" if record.provider else "",
        f"by socket {record.socket.name}" if record.socket is not None else "",
        f"in another {' and '.join(record.foreign)} namespace" if record.foreign else "",
        record.detail,
        f"[{record.fingerprint[:MARK]}]" if record.fingerprint else "",
    ]
    return "  ".join(part for part in parts if part)
