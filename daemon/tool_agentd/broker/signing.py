"""Signing: requests that carry the account's credential, for actions and for key management."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from tool_agentd.broker import selection
from tool_agentd.broker.endings import Endings
from tool_agentd.broker.gate import Gate
from tool_agentd.broker.login_flows import origins_of
from tool_agentd.broker.replies import UNAUTHORIZED, read_reply, refusal
from tool_agentd.broker.selection import Own
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.broker.tokens import Tokens, login_hint
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError, LoginRequiredError
from tool_agentd.model import AccountKey, Credential, Grant, HttpReply, HttpRequest, Peer
from tool_agentd.ports import Http
from tool_agentd.secret import Secret
from tool_agentd.session import grant_of


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom requests are signed: the tool, the account, and what the client has of its own."""

    tool: ToolDefinition
    key: AccountKey
    ask: TokenAsk
    peer: Peer
    own: Own | None = None
    """The person's own variable, where it is set."""
    heard: set[str] = field(default_factory=set)
    """The credentials of whose use the witness has heard: one command may send many requests."""


@dataclass(frozen=True, slots=True)
class _Carried:
    """A credential that signs a request."""

    headers: Mapping[str, str | Secret]
    origins: Collection[str]
    """Where its secret may go."""
    grant: Grant | None = None
    """The login behind it; None for the person's own variable."""


class Signing:
    """Who sends requests with the person's variable, or with what the account has."""

    def __init__(
        self, http: Http, sessions: Sessions, tokens: Tokens, endings: Endings, gate: Gate
    ) -> None:
        """Take the parts."""
        self.gate = gate
        self._http = http
        self._sessions = sessions
        self._tokens = tokens
        self._endings = endings

    async def send(
        self,
        asker: Asker,
        wanted: Collection[str],
        request: HttpRequest,
        allowed: Collection[str] | None = None,
    ) -> HttpReply:
        """Send a request with the first credential of `wanted` that is there; none means any.

        An access token that is refused before its end is renewed, and the request sent once more;
        a platform session that is refused has ended. The secret goes where its grant lets it, and,
        if given, only to `allowed`.

        Raises LoginRequiredError where neither the person's variable nor the account has one, and
        what `Broker.token` and `Http.send` raise.
        """
        carried = await self._carried(asker, wanted)
        reply = await self._sent(request, carried, allowed)
        grant = carried.grant
        if reply.status != UNAUTHORIZED or grant is None:
            return reply
        if grant.renewable:
            fresh = await self._tokens.renewed(asker.tool, asker.key, grant, asker.peer)
            return await self._sent(request, _Carried(fresh.headers, grant.origins), allowed)
        why = refusal(asker.tool, read_reply(reply, asker.tool.errors), None, carried=True)
        await self._endings.end_refused(grant, why.detail)
        return reply

    async def _sent(
        self, request: HttpRequest, carried: _Carried, allowed: Collection[str] | None
    ) -> HttpReply:
        origins = frozenset(carried.origins)
        if allowed is not None:
            origins &= frozenset(allowed)
        return await self._http.send(request.with_headers(carried.headers), allowed=origins)

    async def _carried(self, asker: Asker, wanted: Collection[str]) -> _Carried:
        tool, key = asker.tool, asker.key
        mine: Credential | None = None
        if asker.own is not None:
            mine = selection.own_credential(tool, asker.own)
        there = self._there(tool, key)
        held = [one for one in (mine.id if mine else "", there) if one]
        first = next((one for one in wanted if one in held), None)
        if mine is not None and asker.own is not None and (first == mine.id or not wanted):
            if mine.id not in asker.heard:
                asker.heard.add(mine.id)
                self.gate.used_own(asker.peer, tool.name, asker.own[0])
            return _Carried(mine.headers, origins_of(tool))
        if there and wanted and first is None:
            raise _other(tool, key, wanted)
        known = there in asker.heard
        ask = structs.replace(asker.ask, handed=False, lines=[] if known else None)
        credential = await self._tokens.token(ask, asker.peer)
        asker.heard.add(there)
        grant = grant_of(self._sessions.get(key))
        if grant is None:
            message = f"{tool.name} was logged out meanwhile"
            raise LoginRequiredError(message, hint=login_hint(tool, key))
        return _Carried(credential.headers, grant.origins, grant)

    def _there(self, tool: ToolDefinition, key: AccountKey) -> str:
        """Return the id of the credential that the account gives the tool; empty for none."""
        grant = grant_of(self._sessions.get(key))
        if grant is None:
            return ""
        try:
            return selection.spec_for(tool, grant).id
        except ConfigurationError:
            return grant.credential


def _other(
    tool: ToolDefinition, key: AccountKey, wanted: Collection[str]
) -> LoginRequiredError | InvalidRequestError:
    """Say which way of signing in, or which variable, would have given what is wanted."""
    detail = f"{tool.name} ({key.label}) is signed in another way than this needs"
    methods = [name for name, login in tool.login.items() if login.credential in wanted]
    variables = [v for spec in tool.credential if spec.id in wanted for v in spec.variables]
    if methods:
        return LoginRequiredError(
            detail, hint=f"run 'tool-agent login {tool.name} --method {methods[0]}'"
        )
    if variables:
        return LoginRequiredError(detail, hint=f"set {variables[0]}")
    return InvalidRequestError(detail, hint=f"run 'tool-agent tool show {tool.name}'")
