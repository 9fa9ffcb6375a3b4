"""Carrying: the account's credential for a request of an action or of key management."""

from collections.abc import Awaitable, Callable, Collection

from tool_agentd.broker import selection
from tool_agentd.broker.login_flows import origins_of
from tool_agentd.broker.procedure import Carried
from tool_agentd.broker.selection import Own
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError, LoginRequiredError
from tool_agentd.model import AccountKey, Credential, Peer
from tool_agentd.session import grant_of

Tokens = Callable[[TokenAsk, Peer], Awaitable[Credential]]
"""`Broker.token`: renews what has to be renewed, as for any client."""


class Carrying:
    """Who has a credential of the kind that is asked for: the person's variable, or the account."""

    def __init__(self, sessions: Sessions, tokens: Tokens) -> None:
        """Take the parts."""
        self._sessions = sessions
        self._tokens = tokens

    async def credential(  # noqa: PLR0913 - who asks, for whom, with what
        self,
        tool: ToolDefinition,
        key: AccountKey,
        wanted: Collection[str],
        ask: TokenAsk,
        peer: Peer,
        own: Own | None,
    ) -> Carried:
        """Return the first credential of `wanted` that is there; none named means any.

        Raises LoginRequiredError where neither the person's variable nor the account has one, and
        what `Broker.token` raises.
        """
        mine = selection.own_credential(tool, own) if own is not None else None
        there = self._there(tool, key)
        held = [one for one in (mine.id if mine else "", there) if one]
        first = next((one for one in wanted if one in held), None)
        if mine is not None and (first == mine.id or not wanted):
            return Carried(mine.headers, origins_of(tool))
        if there and wanted and first is None:
            raise _other(tool, key, wanted)
        credential = await self._tokens(ask, peer)
        grant = grant_of(self._sessions.get(key))
        if grant is None:
            message = f"{tool.name} was logged out meanwhile"
            raise LoginRequiredError(message, hint=f"run 'tool-agent login {tool.name}'")
        return Carried(credential.headers, grant.origins)

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
