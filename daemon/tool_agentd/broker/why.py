"""Why: which account, credential and rule would answer a request now, and what came before.

Nothing is renewed, presented or sent for it, and no box is opened.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tool_agentd import policy
from tool_agentd.broker import selection
from tool_agentd.broker.approvals import HOW
from tool_agentd.broker.attempts import INTENTS, unanswered
from tool_agentd.broker.broker import Broker
from tool_agentd.broker.desk import NOBODY as NOBODY_ASKS
from tool_agentd.broker.gate import LOCKED, UNLOCK, Wanted
from tool_agentd.definition import credentials
from tool_agentd.definition.credentials import PersonVariable
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.model import (
    NOBODY,
    AccessToken,
    AccountKey,
    Grant,
    GrantKind,
    Instant,
    JournalEntry,
    JournalEvent,
    Peer,
)
from tool_agentd.oauth.registration import registration_of
from tool_agentd.policy import Allow, Deny
from tool_agentd.ports import Clock
from tool_agentd.session import (
    Active,
    Authorizing,
    Refresh,
    Serve,
    ServeAndRefresh,
    Settled,
    ask,
    grant_of,
    settled,
)


class Rule(StrEnum):
    """What would answer a request for the tool's credential, the first that applies."""

    VARIABLE = "variable"
    """The person's own variable, which goes before the session."""
    TOKEN = "token"  # noqa: S105 - a rule's name
    """The access token in memory."""
    TOKEN_AND_REFRESH = "token_and_refresh"  # noqa: S105 - a rule's name
    """The same, and a renewal behind the caller's back."""
    REFRESH = "refresh"
    """A renewal, which the caller waits for."""
    STORED = "stored"
    """The key or the platform session, as it is."""
    VARIABLE_AFTER = "variable_after"
    """The person's own variable, because there is no session."""
    LOGIN_BY_VARIABLE = "login_by_variable"
    """A login that takes the person's variable."""
    NOTHING = "nothing"
    """Only the person's login helps."""


class Chosen(StrEnum):
    """How the account was chosen."""

    NAMED = "named"
    SWITCHED = "switched"
    ONLY = "only"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What the policy would say to the peer that asks why, now."""

    verdict: Literal["allow", "ask", "deny"]
    """`allow` too where the person has said yes already, and `deny` where nobody can be asked."""
    rule: str
    detail: str = ""
    hint: str = ""
    until: float | None = None
    """Wall time until which it is approved."""
    most: frozenset[str] | None = None
    """The most that may be asked for; None: no limit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would answer now, and what has happened."""

    tool: str
    key: AccountKey
    chosen: Chosen
    policy: PolicyView
    rule: Rule
    credential: str | None
    """The id of the credential in the definition."""
    variable: PersonVariable | None
    """The person's own that the rule is about."""
    variables: Sequence[PersonVariable]
    """All of the person's, in the order in which they count."""
    unset: Collection[str] | None
    """Those of them that the client found unset; None: it did not look."""
    state: Settled
    login_under_way: bool
    grant: Grant | None
    token: AccessToken | None
    refreshes_at: str | None
    """Where its refresh token would be posted: an endpoint, or the issuer that names it."""
    trouble: Sequence[str]
    """What keeps the session from being as it should: interrupted, unsaved."""
    history: Sequence[JournalEntry]
    """The oldest first."""
    now: Instant


class Why:
    """Explains, and changes nothing."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        """Explain what `broker` does."""
        self._broker = broker
        self._clock = clock

    async def explain(
        self,
        tool: str,
        account: str | None,
        present: Collection[str] | None,
        peer: Peer = NOBODY,
    ) -> Explanation:
        """Return what would answer a request for the tool now.

        `present` are the person's variables that the client has found set; None: it did not look.
        Raises UnknownToolError, InvalidRequestError or StoreUnavailableError.
        """
        definition = self._broker.catalogue.get(tool)
        await self._broker.load()
        sessions = self._broker.sessions
        key = sessions.key_for(tool, definition.provider_name, account)
        history = await self._broker.journal.history(key)
        if not isinstance(settled(sessions.get(key), self._clock.now()), Active):
            await sessions.adopt(key)
        now = self._clock.now()
        state = sessions.get(key)
        there = settled(state, now)
        grant = grant_of(there)
        spec, want = selection.wanted(self._broker.catalogue, definition, grant, None, None)
        variables = credentials.person_variables(definition)
        rule = _session_rule(there, ask(state, want, now), grant)
        rule, variable = _with_variables(definition, variables, present, rule)
        return Explanation(
            tool=tool,
            key=key,
            chosen=self._chosen(definition, key, account),
            policy=self._policy(tool, key, grant, peer, want.scopes),
            rule=rule,
            credential=variable.credential if variable else spec.id if grant else None,
            variable=variable,
            variables=variables,
            unset=None if present is None else {v.name for v in variables} - set(present),
            state=there,
            login_under_way=isinstance(state, Authorizing),
            grant=grant,
            token=there.tokens.get(want) if isinstance(there, Active) else None,
            refreshes_at=self._refreshes_at(definition, there),
            trouble=[*_interrupted(history, there), *self._broker.unsaved_reasons(key)],
            history=history,
            now=now,
        )

    def _policy(
        self, tool: str, key: AccountKey, grant: Grant | None, peer: Peer, scopes: tuple[str, ...]
    ) -> PolicyView:
        gate, approvals = self._broker.gate, self._broker.approvals
        limit = policy.most(peer, gate.table.of(tool))
        most = limit[0] if limit is not None else None
        if gate.locked and gate.unknown is None:
            return PolicyView("deny", "lock", LOCKED, UNLOCK, most=most)
        has = frozenset(scopes or (grant.scopes if grant is not None else ()))
        if limit is not None and has and not limit[0] & has:
            return PolicyView("deny", limit[1], f"nothing of what {tool} has passes it", most=most)
        match gate.verdict(tool, key, grant, peer):
            case Deny(rule, detail, hint):
                return PolicyView("deny", rule, detail, hint, most=most)
            case Allow(rule):
                return PolicyView("allow", rule, most=most)
            case verdict:
                pass
        outlook = approvals.outlook(Wanted(peer, tool, key), verdict)
        if outlook.until is not None:
            detail = f"approved for this {'terminal session' if outlook.session else 'process'}"
            return PolicyView("allow", verdict.rule, detail, "", outlook.until, most)
        if not outlook.way:
            return PolicyView("deny", verdict.rule, NOBODY_ASKS, HOW, most=most)
        detail = f"you would be asked by {outlook.way}"
        return PolicyView("ask", verdict.rule, detail, most=most)

    def _chosen(self, tool: ToolDefinition, key: AccountKey, account: str | None) -> Chosen:
        sessions = self._broker.sessions
        if account:
            return Chosen.NAMED
        if sessions.chosen(tool.name):
            return Chosen.SWITCHED
        only = sessions.of_provider(tool.provider_name) == (key,)
        return Chosen.ONLY if only else Chosen.DEFAULT

    def _refreshes_at(self, tool: ToolDefinition, there: Settled) -> str | None:
        if not isinstance(there, Active) or not there.grant.renewable:
            return None
        provider = self._broker.catalogue.provider(tool)
        registration = registration_of(provider, there.grant.method)
        if registration is None:
            return None
        return registration.refresh or registration.token or registration.issuer


def _session_rule(there: Settled, answer: object, grant: Grant | None) -> Rule:
    if isinstance(answer, Serve | ServeAndRefresh | Refresh) and isinstance(there, Active):
        if grant is not None and grant.kind is not GrantKind.REFRESH_TOKEN:
            return Rule.STORED
        if isinstance(answer, Serve):
            return Rule.TOKEN
        if isinstance(answer, ServeAndRefresh):
            return Rule.TOKEN_AND_REFRESH
        if there.grant.renewable:
            return Rule.REFRESH
    return Rule.NOTHING


def _with_variables(
    tool: ToolDefinition,
    variables: Sequence[PersonVariable],
    present: Collection[str] | None,
    rule: Rule,
) -> tuple[Rule, PersonVariable | None]:
    """Return what answers once the person's variables are looked at, as the client does."""
    complete = [v for v in variables if _complete(tool, v, present or ())]
    first = next((v for v in complete if v.before_session), None)
    if first is not None:
        return Rule.VARIABLE, first
    after = next((v for v in complete if not v.before_session), None)
    if rule is not Rule.NOTHING or after is None:
        return rule, None
    return (Rule.VARIABLE_AFTER if after.login is None else Rule.LOGIN_BY_VARIABLE), after


def _complete(tool: ToolDefinition, variable: PersonVariable, present: Collection[str]) -> bool:
    """Tell whether a variable is set, with the others that it only counts with."""
    spec = next(spec for spec in tool.credential if spec.id == variable.credential)
    if variable.name in spec.pair:
        return variable.name == spec.pair[-1] and set(spec.pair) <= set(present)
    return variable.name in present


def _interrupted(history: Sequence[JournalEntry], there: Settled) -> list[str]:
    """Say that the last renewal of this generation has no result, if that is so."""
    intents = [entry for entry in history if entry.event in INTENTS]
    if not isinstance(there, Active) or not intents:
        return []
    last = intents[-1]
    if last.generation != there.grant.generation or not unanswered(history, last.fingerprint):
        return []
    about = [entry for entry in history if entry.fingerprint == last.fingerprint]
    if about[-1].event is JournalEvent.ROTATED:
        return []  # it has one, which waits to be stored
    return [f"renewal {last.attempt} of its refresh token has no result: under way, or interrupted"]
