"""Answers: what a route says, in the three kinds of reply that a client may ask for.

JSON for programs, bare text for `curl`, and stdout, stderr and exit status in one for pipes. The
only place where an error becomes an HTTP status.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from tool_agent import wire
from tool_agentd.errors import AgentError

OK = 200


class Answer(msgspec.Struct, frozen=True):
    """A success. `text` is the bare answer; `out` is what a command prints, `text` by default."""

    data: Any = None
    """The JSON reply; routes whose product is text have none."""
    text: str = ""
    out: str | None = None
    err: str = ""
    exit: int = wire.EXIT_OK
    secret: bool = False
    """Whether it holds a credential: then nothing on the way may keep it."""
    status: int = OK
    headers: dict[str, str] = {}
    document: bool = False
    """Whether it is JSON for pipes too: something to follow, and not yet to print."""

    def __repr__(self) -> str:
        """Return its status: the rest may be a credential."""
        return f"Answer(status={self.status}, ...)"


def render(answer: Answer, accept: str, extra: Mapping[str, str]) -> web.Response:
    """Return the reply for an answer, as `accept` wants it."""
    headers = {**extra, **answer.headers}
    if answer.secret:
        headers["Cache-Control"] = "no-store"
    if answer.exit:
        headers[wire.EXIT_HEADER] = str(answer.exit)
    if accept == wire.REPLY and not answer.document:
        out = answer.text if answer.out is None else answer.out
        headers[wire.EXIT_HEADER] = str(answer.exit)
        if answer.err:
            headers[wire.STDERR_HEADER] = quote(answer.err)
        headers["Content-Type"] = wire.REPLY
        return web.Response(status=answer.status, body=out.encode(), headers=headers)
    if (accept == wire.TEXT and not answer.document) or answer.data is None:
        headers["Content-Type"] = wire.TEXT + "; charset=utf-8"
        return web.Response(status=answer.status, body=answer.text.encode(), headers=headers)
    headers["Content-Type"] = wire.JSON
    return web.Response(
        status=answer.status, body=msgspec.json.encode(answer.data), headers=headers
    )


def problem(error: AgentError, status: int | None = None) -> dict[str, Any]:
    """Return the error as RFC 9457 has it; `status` where it is not the one of its code."""
    usual, leave = wire.ERRORS[error.code]
    found: dict[str, Any] = {
        "type": "about:blank",
        "status": usual if status is None else status,
        "code": error.code,
        "detail": error.detail,
        "hint": error.hint,
        "exit": leave,
    }
    if error.retry_after is not None:
        found["retry_after"] = error.retry_after
    return found


def render_error(error: AgentError, accept: str, extra: Mapping[str, str]) -> web.Response:
    """Return the reply for an error, as `accept` wants it."""
    status, leave = wire.ERRORS[error.code]
    headers = {**extra, wire.EXIT_HEADER: str(leave), "Cache-Control": "no-store"}
    if error.code == "login_required":
        headers["WWW-Authenticate"] = "tool-agent"  # RFC 9110 section 11.6.1 asks for one
    again = status == wire.ERRORS["store_unavailable"][0]
    if again or error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after or 5)))
    if accept == wire.REPLY:
        words = f"tool-agent: {error.detail}\n"
        if error.hint:
            words += f"hint: {error.hint}\n"
        headers[wire.STDERR_HEADER] = quote(words)
        headers["Content-Type"] = wire.REPLY
        headers[wire.CODE_HEADER] = error.code
        return web.Response(status=status, headers=headers)
    if accept == wire.TEXT:
        return web.Response(status=status, headers={**headers, "Content-Type": wire.TEXT})
    headers["Content-Type"] = wire.PROBLEM
    return web.Response(status=status, body=msgspec.json.encode(problem(error)), headers=headers)
