"""The route of the audit trail: its newest lines, by event, tool and time."""

from collections.abc import Callable
from datetime import UTC, datetime

from tool_agent import wire
from tool_agentd import audit
from tool_agentd.api import words_audit
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Call, reads
from tool_agentd.audit import Record
from tool_agentd.definition import duration
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import AuditEvent
from tool_agentd.ports import Clock, Trail

SHOWN = 40
"""Lines without `n`: a screen or two."""
EVENTS = tuple(one.value for one in AuditEvent)
MOST = 10_000
"""Lines of one answer: some 3 MiB."""


class AuditRoutes:
    """The audit trail over HTTP."""

    def __init__(self, trail: Trail, clock: Clock) -> None:
        """Serve from `trail`."""
        self._trail = trail
        self._clock = clock

    @reads("n", "tool", "since", event=EVENTS)
    async def lines(self, call: Call) -> Answer:
        """GET /v1/audit?n=&event=&tool=&since=: the newest lines, the newest last."""
        query = call.query()
        count = _count(query.get("n"))
        wanted = _wanted(query.get("event"), query.get("tool"), self._since(query.get("since")))
        found = await self._trail.last(count, wanted)
        data = {"schema": wire.SCHEMA, "lines": [audit.document(record) for record in found]}
        return Answer(data, words_audit.lines(found))

    def _since(self, text: str | None) -> float:
        """Return a wall time: RFC 3339, or a duration such as `2h` before now."""
        if not text:
            return 0.0
        try:
            return self._clock.now().wall - duration.seconds(text)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            message = f"since is no moment: {text[:40]!r}"
            hint = "write a duration such as 2h, or 2026-11-28T07:12:01Z"
            raise InvalidRequestError(message, hint=hint) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _count(text: str | None) -> int:
    if text is None:
        return SHOWN
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:9]) <= MOST:
        message = f"n is a whole number from 1 to {MOST}"
        raise InvalidRequestError(message)
    return int(text)


def _wanted(event: str | None, tool: str | None, since: float) -> Callable[[bytes], Record | None]:
    """Return what takes a line of the file if it is one that is asked for."""
    if event is not None and event not in EVENTS:
        message = f"there is no event {event[:32]!r}"
        raise InvalidRequestError(message, hint=f"choose one of: {', '.join(EVENTS)}")

    def read(raw: bytes) -> Record | None:
        record = audit.decode(raw)
        if record is None or (event is not None and record.event != event):
            return None
        if tool is not None and tool not in {record.provider, *record.tool.split(" ")}:
            return None
        return record if record.wall >= since else None

    return read
