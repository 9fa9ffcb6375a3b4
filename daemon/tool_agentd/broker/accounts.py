"""Accounts: what lists and `status` show of the sessions."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tool_agentd.broker.sessions import Sessions
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.model import DEFAULT_ACCOUNT, AccountKey, GrantKind, Instant
from tool_agentd.session import Active, Authorizing, Session, settled


@dataclass(frozen=True, slots=True)
class AccountView:
    """One tool's account, for lists."""

    tool: str
    key: AccountKey
    state: Session
    """As it stands now: a session past its own end is Expired, whoever noticed."""
    chosen: bool
    expires_at: float | None
    """Wall time at which the token in memory ends; None where there is none that ends."""


def views(
    catalogue: Catalogue, sessions: Sessions, now: Instant, tool: str | None = None
) -> list[AccountView]:
    """Return every account of every tool, or of one. Raises UnknownToolError."""
    tools: Iterable[ToolDefinition] = catalogue.tools.values()
    if tool is not None:
        tools = [catalogue.get(tool)]
    known = list(sessions)
    return [
        _view(sessions, definition, key, state, now)
        for definition in tools
        for key, state in known
        if key.provider == definition.provider_name
    ]


def _view(
    sessions: Sessions, tool: ToolDefinition, key: AccountKey, state: Session, now: Instant
) -> AccountView:
    there = settled(state, now)
    ends = math.inf
    if isinstance(there, Active) and there.grant.kind is GrantKind.REFRESH_TOKEN:
        ends = min((token.expires.wall for token in there.tokens.values()), default=math.inf)
    shown = replace(state, before=there) if isinstance(state, Authorizing) else there
    chosen = key.label == _chosen(sessions, tool)
    return AccountView(tool.name, key, shown, chosen, None if math.isinf(ends) else ends)


def _chosen(sessions: Sessions, tool: ToolDefinition) -> str:
    """Return the label that a request without one would mean, where that is no question."""
    there = sessions.of_provider(tool.provider_name)
    only = there[0].label if len(there) == 1 else DEFAULT_ACCOUNT
    return sessions.chosen(tool.name) or only
