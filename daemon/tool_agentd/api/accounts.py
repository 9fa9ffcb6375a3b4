"""The routes about accounts: list, switch, whoami, logout."""

import asyncio
from typing import Any

import msgspec

from tool_agent import wire
from tool_agentd.api import words
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, flag, reads
from tool_agentd.api.credentials import token_ask
from tool_agentd.api.forms import form_for
from tool_agentd.broker import Broker
from tool_agentd.broker.accounts import AccountView
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.identities import Who
from tool_agentd.broker.logouts import LogoutReport
from tool_agentd.broker.selection import Own
from tool_agentd.errors import AgentError, InvalidRequestError, UnknownAccountError
from tool_agentd.model import Credential
from tool_agentd.ports import Clock
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Authorizing, Expired, grant_of


class OwnCredential(Body, frozen=True):
    """The person's own variable, sent for one request and never stored."""

    variable: str
    value: Secret
    values: dict[str, Secret] = {}
    """Where it only counts together with others: all of them, by name."""

    def own(self) -> Own:
        """Return it as the broker takes it."""
        return self.variable, self.value, self.values


class IdentityBody(Body, frozen=True):
    """The body of POST .../identity."""

    credential: OwnCredential


class Accounts:
    """Accounts, identity and logout."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        """Serve from `broker`."""
        self._broker = broker
        self._clock = clock

    @reads("tool")
    async def list(self, call: Call) -> Answer:
        """GET /v1/accounts."""
        tool = call.query().get("tool") or None
        await self._broker.load()
        views = self._broker.accounts(tool)
        now = self._clock.now().wall
        data = {"schema": wire.SCHEMA, "accounts": [account_json(v, now) for v in views]}
        return Answer(data, words.accounts(views, now))

    async def choose(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/accounts/{account}/choose."""
        call.query()
        tool, label = call.params
        await self._broker.switch(tool, label)
        data = {"schema": wire.SCHEMA, "tool": tool, "account": label}
        return Answer(data, err=f"{tool} uses the account {label}\n")

    @reads("account", "min_ttl", body=IdentityBody, output=("human", "json"))
    async def identity(self, call: Call) -> Answer:
        """GET or POST /v1/tools/{tool}/identity."""
        query = call.query()
        own = None
        if call.request.method == "POST":
            own = (await call.json(IdentityBody)).credential.own()
        asked = query.get("output")
        if asked not in {"human", "json", None}:
            message = f"there is no output {asked[:16]!r}"
            raise InvalidRequestError(message, hint="choose human or json")
        ask = token_ask(call, query, call.params[0])
        who, credential_ = await self._broker.identity(ask, call.peer, own)
        tool = self._broker.catalogue.get(ask.tool)
        form = asked or form_for(self._broker, tool, ask.account, own[0] if own else None)
        data = identity_json(tool.name, who, credential_)
        text = who.text.rstrip("\n")
        out = msgspec.json.encode(data).decode() if form == "json" else text
        return Answer(data, text, out + "\n")

    @reads("forget")
    async def logout(self, call: Call) -> Answer:
        """DELETE /v1/tools/{tool}/accounts/{account}; `-` is the one that the tool uses."""
        tool, label = call.params
        query = call.query()
        account = None if label == wire.NO_ACCOUNT else label
        report = await self._broker.logout(
            tool, account, forget=flag(query.get("forget")), peer=call.peer
        )
        text = words.logout(tool, report)
        return Answer(logout_json(tool, report), text, err="")

    @reads("forget")
    async def logout_all(self, call: Call) -> Answer:
        """DELETE /v1/accounts: every account of every provider, each for itself."""
        forget = flag(call.query().get("forget"))
        await self._broker.load()
        reports: list[Json] = []
        lines: list[str] = []
        problems: list[AgentError] = []
        signed_in = {key for key, state in self._broker.sessions if grant_of(state) is not None}
        keys = sorted(signed_in | self._broker.logins.accounts)
        # At once, not one after another: each may wait for its own provider.
        outcomes = await asyncio.gather(
            *(self._broker.logout_key(key, forget=forget, by=Cause(call.peer)) for key in keys),
            return_exceptions=True,
        )
        for key, outcome in zip(keys, outcomes, strict=True):
            match outcome:
                case LogoutReport():
                    reports.append(logout_json(key.provider, outcome))
                    lines.append(words.logout(key.provider, outcome))
                case UnknownAccountError():
                    continue  # somebody else was first
                case AgentError():
                    problems.append(outcome)
                case error:
                    raise error
        if problems:
            raise problems[0]
        if not lines:
            lines.append("Nobody is logged in.\n")
        return Answer({"schema": wire.SCHEMA, "logouts": reports}, "".join(lines))


def account_json(view: AccountView, now: float) -> Json:
    """Return an account as the JSON reply has it."""
    grant = grant_of(view.state)
    found: dict[str, Any] = {
        "tool": view.tool,
        "provider": view.key.provider,
        "account": view.key.label,
        "chosen": view.chosen,
        "state": state_word(view.state),
        "method": grant.method if grant else None,
        "kind": grant.kind.value if grant else None,
        "identity": grant.identity.name if grant else None,
        "expires_at": view.expires_at,
        "ends_at": grant.ends_at if grant else None,
        "ephemeral": grant.ephemeral if grant else None,
        "confirm": grant.confirm if grant else None,
        "obtained_at": grant.obtained_at if grant else None,
        "age": max(0, round(now - grant.obtained_at)) if grant else None,
    }
    settled = view.state.before if isinstance(view.state, Authorizing) else view.state
    if isinstance(settled, Expired):
        found["reason"] = settled.reason
    return found


def state_word(state: object) -> str:
    """Return the state's name on the wire."""
    match state:
        case Active():
            return "active"
        case Expired():
            return "expired"
        case Authorizing():
            return "authorizing"
        case _:
            return "signed_out"


def identity_json(tool: str, who: Who, credential: Credential) -> Json:
    """Return who somebody is as the JSON reply has it."""
    return {
        "schema": wire.SCHEMA,
        "tool": tool,
        "account": credential.account or None,
        "credential": credential.id,
        "name": who.identity.name,
        "subject": who.identity.subject,
        "fields": dict(who.fields),
    }


def logout_json(tool: str, report: LogoutReport) -> Json:
    """Return a logout's report as the JSON reply has it."""
    return {
        "schema": wire.SCHEMA,
        "tool": tool,
        "account": report.key.label,
        "erased": True,
        "revoked": list(report.told.revoked),
        "queued": [report.told.lasting] if report.told.queued else [],
        "reason": report.told.reason or None,
        "alive_until": report.alive_until,
    }
