"""Signing in with a variable that a login takes: no prompt, no browser, off the hot path.

Such a value is no credential. It is exchanged for a session once, when a request has found none;
it goes to the agent in the body of one request, as the answer to the login's question.
"""

import contextlib
import json
from time import monotonic
from typing import Any, NoReturn

from tool_agent import wire
from tool_agent.agent import Connection, Reply, percent_decode, percent_encode, target
from tool_agent.credential import tool_path
from tool_agent.errors import BadReplyError, TimedOutError, ToolAgentError, reply_error
from tool_agent.output import note
from tool_agent.variables import CHECK_ENV, Entry, Look, Own, entries

PATIENCE = 60.0
"""Seconds for the whole of it: one request to a provider, whose own limit is far below."""

POLL = 20
"""Seconds that the agent holds a long poll (interface.md)."""

POLL_LIMIT = POLL + 12.0
"""Seconds for the answer to one: what the agent may hold it, and any other answer's time."""

CANCEL_LIMIT = 2.0
"""Seconds for the cancelling of a login that has come to nothing; its client wants to be gone."""

FAILED = ("failed", "cancelled")


def tool_and_account(route: str) -> tuple[str, str | None]:
    """Return the tool and the account that a request's target names."""
    path, _, query = route.partition("?")
    prefix = wire.TOOLS + "/"
    if not path.startswith(prefix):
        raise ValueError(path)
    tool = percent_decode(path.removeprefix(prefix).partition("/")[0])
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if name == "account":
            return tool, percent_decode(value)
    return tool, None


def start_login(
    connection: Connection, path: str, body: dict[str, Any]
) -> tuple[Reply | Own, Own | None]:
    """Start the login that a person asks for, with the fields in `body`.

    Returns the answer, or the person's own value that wins; and the one that this login takes.
    Without a method in `body` the method that takes a variable which is set is put there.
    """
    look = Look()
    found: list[Entry] = []
    try:
        for _ in range(3):  # two refusals: before a variable that wins, and before one to take
            reply = connection.request(
                "POST",
                path,
                accept=wire.JSON,
                headers=(("Content-Type", wire.JSON), look.unset(found)),
                body=json.dumps({k: v for k, v in body.items() if v not in (None, False)}).encode(),
            )
            found = entries(reply) or found
            if own := look.find(found, before=True):
                return own, None
            taken = [
                own for entry in found if entry.login and (own := look.find([entry], before=False))
            ]
            if reply.status != CHECK_ENV:
                break
            if taken and body.get("method") is None:
                body["method"] = taken[0].login
        else:
            raise BadReplyError("the agent asked again and again for the same variables")
    finally:
        note(look.remarks())
    reply.raise_for_error()
    method = view_of(reply).get("method")
    return reply, next((own for own in taken if own.login == method), None)


def exchange(
    connection: Connection,
    tool: str,
    own: Own,
    *,
    account: str | None,
    unset: tuple[str, str],
) -> ToolAgentError | None:
    """Sign in to `tool` with the value that a login takes; return when that is over.

    The error of a login that fails is returned, not raised: another process may have signed in
    meanwhile, and a key that works once has been used up by that. It names the variable and never
    shows its value.
    """
    try:
        _sign_in(connection, tool, own, account, unset)
    except ToolAgentError as error:
        return error
    return None


def _sign_in(
    connection: Connection, tool: str, own: Own, account: str | None, unset: tuple[str, str]
) -> None:
    """Start the login, or await one by the same method; where that one fails, ours is tried."""
    body: dict[str, Any] = {"method": own.login, "unattended": True}
    if account is not None:
        body["account"] = account
    ends = monotonic() + PATIENCE
    for _ in range(2):
        reply = connection.request(
            "POST",
            tool_path(tool, "logins"),
            accept=wire.JSON,
            headers=(("Content-Type", wire.JSON), unset),
            body=json.dumps(body).encode(),
        )
        try:
            reply.raise_for_error()
        except ToolAgentError as error:
            _fail(own, error.code, error.detail, error.hint, error.exit)
        view = view_of(reply)
        joined = view.get("joined") is True
        view = _watch(connection, view, own, ends, answers=not joined)
        if view["state"] == "done":
            return
        if not joined:
            break
    problem = view.get("error")
    fields: dict[str, Any] = problem if isinstance(problem, dict) else {}
    status = fields.get("exit")
    _fail(
        own,
        str(fields.get("code") or "internal"),
        str(fields.get("detail") or f"it was {view['state']}"),
        str(fields.get("hint") or ""),
        status if isinstance(status, int) else None,
    )


def _watch(
    connection: Connection, view: dict[str, Any], own: Own, ends: float, *, answers: bool
) -> dict[str, Any]:
    """Follow a login to its end; `answers`: it is ours, to be answered and to be cancelled."""
    path = f"{wire.LOGINS}/{percent_encode(str(view['id']))}"
    answered = not answers
    try:
        while view["state"] not in ("done", *FAILED):
            if view["state"] == "awaiting_input" and not answered:
                answered = True
                view = _answer(connection, path, view, own)
            elif answers and view["state"] in {"awaiting_input", "awaiting_browser"}:
                notice = view.get("notice")
                detail = notice.get("detail") if isinstance(notice, dict) else None
                code = "invalid_request" if detail else "configuration"
                _fail(own, code, str(detail or "it asks for more than that value"))
            else:
                view = _poll(connection, path, str(view["state"]), ends, own)
    except BaseException:
        if answers:
            # On a connection of its own: this one may wait for the answer to a long poll.
            with contextlib.suppress(ToolAgentError), Connection(connection.path) as other:
                other.request("DELETE", path, accept=wire.JSON, limit=CANCEL_LIMIT)
        raise
    return view


def _answer(connection: Connection, path: str, view: dict[str, Any], own: Own) -> dict[str, Any]:
    """Answer the first secret question with the value."""
    prompts = [prompt for prompt in view.get("prompts") or [] if isinstance(prompt, dict)]
    secret = [prompt for prompt in prompts if prompt.get("secret") is not False]
    if len(prompts) != 1 or not secret:
        _fail(own, "configuration", "its first question is not for one secret")
    body = json.dumps({"inputs": {str(secret[0].get("name")): own.value}})
    reply = connection.request(
        "POST",
        path + "/input",
        accept=wire.JSON,
        headers=(("Content-Type", wire.JSON),),
        body=body.encode(),
    )
    reply.raise_for_error()
    return view_of(reply)


def _poll(connection: Connection, path: str, state: str, ends: float, own: Own) -> dict[str, Any]:
    left = int(ends - monotonic())
    if left <= 0:
        raise TimedOutError(
            f"{own.variable} is set, and the login with it did not end within {PATIENCE:.0f} s",
            code="temporarily_unavailable",
            hint="run the command again",
        )
    route = target(path, ("wait", str(min(POLL, left))), ("since", state))
    reply = connection.request("GET", route, accept=wire.JSON, limit=POLL_LIMIT)
    reply.raise_for_error()
    return view_of(reply)


def view_of(reply: Reply) -> dict[str, Any]:
    """Return the view of a login or an action. Raises BadReplyError for what is none."""
    try:
        view = json.loads(reply.body)
    except ValueError:
        view = None
    if not isinstance(view, dict) or not {"id", "state"} <= view.keys():
        raise BadReplyError("the agent's answer is no view of a login")
    return view


def _fail(own: Own, code: str, detail: str, hint: str = "", status: int | None = None) -> NoReturn:
    text = f"{own.variable} is set, and the login by {own.login} with it failed: {detail}"
    raise reply_error(code, text, hint, status) from None
