"""The routes of a login: start or join, watch, answer, cancel."""

from collections.abc import Mapping

import msgspec

from tool_agent import wire
from tool_agentd.api import wording
from tool_agentd.api.accounts import OwnCredential
from tool_agentd.api.answers import Answer, problem
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.api.credentials import token_ask
from tool_agentd.broker import Broker
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.identities import Who
from tool_agentd.broker.login import LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.definition import duration
from tool_agentd.errors import ConflictError, InvalidRequestError
from tool_agentd.model import AccountKey
from tool_agentd.secret import Secret
from tool_agentd.session import grant_of

DIGITS = 15
"""Of a number in a query: few enough for every JSON reader (RFC 8259 section 6)."""
LONGEST_WAIT = 30.0
"""Seconds of a long poll: below the idle time after which a kept connection is closed."""
CREATED = 201


class LoginBody(Body, frozen=True):
    """The body of POST .../logins."""

    account: str | None = None
    method: str | None = None
    lifetime: str | None = None
    inputs: dict[str, Secret] | None = None
    ephemeral: bool = False
    """Whether nothing of it is to be stored."""
    confirm: bool = False
    """Whether the person is to be asked each time before a credential of it is handed out."""
    credential: OwnCredential | None = None
    """The person's own variable: verified, and nothing is stored."""
    unattended: bool = False
    """Whether a program asks, and no person: it breaks off no other login, and gets 409."""


class InputBody(Body, frozen=True):
    """The body of POST /v1/logins/{id}/input."""

    inputs: dict[str, Secret]


class LoginRoutes:
    """Logins over HTTP."""

    def __init__(self, broker: Broker) -> None:
        """Serve from `broker`."""
        self._broker = broker

    @reads(body=LoginBody)
    async def start(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/logins."""
        call.query()
        body = await call.json(LoginBody)
        tool = self._broker.catalogue.get(call.params[0])
        if body.credential is not None:
            return await self._verify_own(call, body.credential)
        ask = token_ask(call, {}, tool.name)
        self._broker.check_env(tool, ask, choosing=body.method is None)
        lifetime = None
        if body.lifetime is not None:
            try:
                lifetime = duration.seconds(body.lifetime)
            except ValueError as error:
                message = f"the lifetime is {error}"
                raise InvalidRequestError(message) from None
        await self._broker.load()
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, body.account)
        order = LoginOrder(
            tool,
            key,
            body.method,
            lifetime,
            body.inputs,
            body.ephemeral,
            body.confirm or (body.unattended and self._asks(key)),
            by=Cause(call.peer, tool.name),
        )
        if body.unattended and self._broker.logins.disturbs(order):
            message = f"another login of {key} is under way"
            raise ConflictError(message, hint="wait until it is over, and run the command again")
        view, joined = await self._broker.start_login(order)
        return Answer(self.shown(view, joined=joined), status=200 if joined else CREATED)

    def _asks(self, key: AccountKey) -> bool:
        """Tell whether the account asked each time: a login without a person keeps that."""
        grant = grant_of(self._broker.sessions.get(key))
        return grant is not None and grant.confirm

    def shown(self, view: LoginView, *, joined: bool = False) -> Json:
        """Return a login, with what the tool itself would print of its end."""
        tool = self._broker.catalogue.tools.get(view.tool)
        face = tool.face if tool is not None else None
        data = login_json(view, joined=joined) | {"printed": wording.outcome(face, view)}
        if data["notice"] is not None:
            data["notice"]["printed"] = wording.noticed(face, view)
        return data

    async def _verify_own(self, call: Call, own: OwnCredential) -> Answer:
        tool = self._broker.catalogue.get(call.params[0])
        who, _ = await self._broker.identity(token_ask(call, {}, tool.name), call.peer, own.own())
        text = own_works(own.variable, who)
        return Answer(
            {
                "schema": wire.SCHEMA,
                "id": None,
                "tool": tool.name,
                "account": None,
                "state": "done",
                "method": own.variable,
                "title": tool.title,
                "url": None,
                "purpose": "login",
                "user_code": None,
                "awaits": None,
                "said": [],
                "prompts": [],
                "expires_at": None,
                "revision": 0,
                "joined": False,
                "identity": who.identity.name or None,
                "text": text,
                "values": {},
                "error": None,
                "notice": None,
                "printed": None,
            }
        )

    @reads("wait", "since")
    async def watch(self, call: Call) -> Answer:
        """GET /v1/logins/{id}."""
        query = call.query()
        login = self._broker.login(call.params[0])
        patience = patience_of(query)
        since = query.get("since") or login.view.state.value
        view = await login.watch(since, patience) if patience else login.view
        return Answer(self.shown(view))

    @reads(body=InputBody)
    async def input(self, call: Call) -> Answer:
        """POST /v1/logins/{id}/input."""
        call.query()
        body = await call.json(InputBody)
        login = self._broker.login(call.params[0])
        login.offer(body.inputs)
        return Answer(self.shown(login.view))

    async def cancel(self, call: Call) -> Answer:
        """DELETE /v1/logins/{id}."""
        call.query()
        self._broker.login(call.params[0])
        return Answer(self.shown(await self._broker.logins.cancel(call.params[0])))


def patience_of(query: Mapping[str, str]) -> float:
    """Return the seconds of a long poll. Raises InvalidRequestError."""
    wait = query.get("wait", "0")
    if not (wait.isascii() and wait.isdecimal() and len(wait) <= DIGITS):
        message = "wait is a whole number of seconds"
        raise InvalidRequestError(message)
    return min(float(wait), LONGEST_WAIT)


def own_works(variable: str, who: Who) -> str:
    """Return what is said instead of a login where the person's own variable is set."""
    name = f" as {who.identity.name}" if who.identity.name else ""
    return f"{variable} is set and works{name}: no login is needed, and nothing was stored."


def _notice(view: LoginView) -> Json | None:
    """Return what was wrong with the last answer; the number tells one such from the next."""
    if view.notice is None:
        return None
    return {"number": view.notices, "detail": view.notice.detail, "hint": view.notice.hint}


def login_json(view: LoginView, *, joined: bool = False) -> Json:
    """Return a login as the JSON reply has it. Its prompts name secrets; it holds none."""
    return {
        "schema": wire.SCHEMA,
        "id": view.id,
        "tool": view.tool,
        "account": view.key.label,
        "state": view.state.value,
        "method": view.method,
        "title": view.title,
        "url": view.url,
        "purpose": view.purpose,
        "user_code": view.user_code,
        "awaits": view.awaits or None,
        "said": list(view.said),
        "prompts": [msgspec.to_builtins(prompt) for prompt in view.prompts],
        "expires_at": view.expires_at,
        "revision": view.revision,
        "joined": joined,
        "identity": (view.identity.name or None) if view.identity else None,
        "text": view.text,
        "values": dict(view.values),
        "error": problem(view.error) if view.error else None,
        "notice": _notice(view),
    }
