"""What a platform's answer to a step means: its JSON, its error, and the error's meaning here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tool_agentd.broker.values import plain
from tool_agentd.definition import select
from tool_agentd.definition.steps import OnError
from tool_agentd.definition.table import Errors
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import LoginRequiredError, ProviderError, TemporarilyUnavailableError
from tool_agentd.model import HttpReply
from tool_agentd.secret import Secret

OK = range(200, 300)
SERVER_ERRORS = range(500, 600)
TOO_MANY = 429
UNAUTHORIZED = 401
BUSY_PAUSE = 5.0
"""Seconds after which a platform that cannot answer now may be asked again, as RFC 8628 section 3.5
has it of one that is asked too often."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read. The body may hold secrets and is not printed."""

    status: int
    body: Any = field(repr=False)
    """The JSON document; None where it is none."""
    cookies: Mapping[str, Secret] = field(repr=False)
    code: str = ""
    reason: str = ""
    text: str = ""
    """The platform's own words."""

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.status in OK


def read_reply(reply: HttpReply, errors: Errors) -> Reply:
    """Return an answer, its error picked out where the definition says that it stands."""
    try:
        body = msgspec.json.decode(reply.body) if reply.body.strip() else None
    except (msgspec.DecodeError, RecursionError):
        body = None
    if reply.status in OK:
        return Reply(reply.status, body, reply.cookies)
    return Reply(
        reply.status,
        body,
        reply.cookies,
        code=_first(body, errors.code),
        reason=_first(body, errors.reason),
        text=_first(body, errors.text, _words) or _first(body, errors.code),
    )


def _first(body: Any, paths: Iterable[str], words: Callable[[Any], str] = plain) -> str:  # noqa: ANN401 - a JSON value
    found = (words(select.path(body, path))[: select.TEXT_MAX] for path in paths)
    return next((text for text in found if text), "")


def _words(value: Any, depth: int = 3) -> str:  # noqa: ANN401 - a JSON value
    """Return a text, or the texts of a map of fields: `label: Required`."""
    match value:
        case dict() if depth:
            texts = ((plain(str(name)), _words(one, depth - 1)) for name, one in value.items())
            return "; ".join(f"{name}: {text}" for name, text in texts if text)
        case list() if depth:
            return ", ".join(text for text in (_words(one, depth - 1) for one in value) if text)
        case _:
            return plain(value)


def matching(meanings: Iterable[OnError], reply: Reply) -> OnError | None:
    """Return the first meaning whose conditions all hold."""
    return next((one for one in meanings if _holds(one, reply)), None)


def _holds(one: OnError, reply: Reply) -> bool:
    return (
        (one.status is None or one.status == reply.status)
        and (one.code is None or one.code == reply.code)
        and (one.reason is None or one.reason == reply.reason)
        and (one.contains is None or one.contains.lower() in reply.text.lower())
    )


def unavailable(
    tool: ToolDefinition, status: int, hint: str | None = None
) -> TemporarilyUnavailableError | None:
    """Return the error of a status that says: not now; None for any other."""
    if status not in SERVER_ERRORS and status != TOO_MANY:
        return None
    message = f"{tool.title} cannot answer now (HTTP {status})"
    return TemporarilyUnavailableError(message, hint=hint, retry_after=BUSY_PAUSE, status=status)


def refusal(
    tool: ToolDefinition, reply: Reply, hint: str | None, *, carried: bool
) -> ProviderError | TemporarilyUnavailableError | LoginRequiredError:
    """Return the error of an answer that the definition says nothing about.

    `carried` says that a credential of the account signed the request, which is then what a 401
    refuses.
    """
    busy = unavailable(tool, reply.status, hint)
    if busy is not None:
        return busy
    if carried and reply.status == UNAUTHORIZED:
        message = f"{tool.title} does not accept this session: {reply.text or 'HTTP 401'}"
        hint = hint or f"run 'tool-agent login {tool.name}'"
        return LoginRequiredError(message, hint=hint, status=reply.status)
    return ProviderError(
        reply.text or f"{tool.title} answered HTTP {reply.status}",
        hint=hint,
        status=reply.status,
    )
