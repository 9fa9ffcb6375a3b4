"""Endings: sessions that end without their person, by their limit, their platform, or the agent.

`logouts` are the ends that a person asks for; `revocations` is how a platform is told of either.
"""

import asyncio
import logging
from collections.abc import Sequence

from tool_agentd.broker.background import Background
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.limits import Limits, Rules
from tool_agentd.broker.renewal import Renewal
from tool_agentd.broker.revocations import Revocations
from tool_agentd.broker.sessions import Sessions
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.errors import AgentError
from tool_agentd.model import AccountKey, AuditEvent, Grant, GrantKind
from tool_agentd.ports import Store
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Authorizing, Session, grant_of

TRIES = 4
"""Attempts to end a session that rotations cross; the next tick tries again."""

log = logging.getLogger(__name__)


class Endings:
    """Ends sessions that are over. Each leaves its reason for whoever asks."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        sessions: Sessions,
        renewal: Renewal,
        revocations: Revocations,
        limits: Limits,
        background: Background,
        journal: Journal,
    ) -> None:
        """Take the parts."""
        self._journal = journal
        self._store = store
        self._sessions = sessions
        self._renewal = renewal
        self._revocations = revocations
        self._limits = limits
        self._background = background
        self._ending: set[AccountKey] = set()

    async def end_lapsed(self, catalogue: Catalogue) -> None:
        """End the sessions that have reached the end that was set for them.

        Raises StoreUnavailableError with those not reached yet as they were.
        """
        for key, _ in list(self._sessions):
            await self.end_over(catalogue, key)

    async def end_over(self, catalogue: Catalogue, key: AccountKey) -> None:
        """End the session of an account if it has reached a limit; else note its last use.

        Raises StoreUnavailableError with it as it was.
        """
        there = _active(self._sessions.get(key))
        rules = self._limits.of(catalogue, there.grant) if there is not None else None
        if there is None or rules is None or key in self._ending:
            return
        reason = await self._limits.reason(there.grant, rules)
        if reason is None:
            await self._limits.save(there.grant, rules)
            return
        self._ending.add(key)
        try:
            await self._end_over(catalogue, there, reason)
        finally:
            self._ending.discard(key)

    async def _end_over(self, catalogue: Catalogue, there: Active, reason: str) -> None:
        provider = catalogue.tools.get(there.grant.key.provider)
        login = there.grant.obtained_at
        for _ in range(TRIES):
            held = await self._renewal.lapse(there.grant, reason)
            if held is not None and provider is not None:
                await self._revocations.end(provider, held.grant, held.secret, handed_out(there))
            now = _active(self._sessions.get(there.grant.key))
            if now is None or now.grant.obtained_at != login:
                return
            there = now  # a renewal that was in the air has rotated it meanwhile

    async def reached(self, catalogue: Catalogue, key: AccountKey, rules: Rules) -> str | None:
        """Return which limit a session has reached, whether the tick saw it or not; None for none.

        Ending it may have to wait for a renewal in the air; the caller does not.
        """
        there = _active(self._sessions.get(key))
        reason = await self._limits.reason(there.grant, rules) if there is not None else None
        if reason is not None and key not in self._ending:
            self._background.later(self.end_over(catalogue, key))
        return reason

    async def note_uses(self, catalogue: Catalogue) -> None:
        """Write down when each session was used last: the agent ends."""
        for _, state in list(self._sessions):
            there = _active(state)
            rules = self._limits.of(catalogue, there.grant) if there is not None else None
            if there is not None and rules is not None:
                await self._limits.save(there.grant, rules, ending=True)

    async def end_refused(self, grant: Grant, reason: str) -> None:
        """End a session that its platform no longer accepts, and that nothing renews.

        A key stays: it is the person's, and the platform may think better of it.
        """
        renewed_or_key = grant.renewable or grant.kind is GrantKind.API_KEY
        if renewed_or_key or grant_of(self._sessions.get(grant.key)) != grant:
            return
        try:
            await self._renewal.lapse(grant, reason)
        except AgentError as error:  # it is refused again next time
            log.warning("%s: its end is not written down: %s", grant.key, error.detail)

    async def end_ephemerals(self, catalogue: Catalogue) -> None:
        """Revoke, as far as it can be, what ends with the agent."""
        ours = (there for _, state in self._sessions if (there := _active(state)) is not None)
        await asyncio.gather(
            *(self._end_ephemeral(catalogue, there) for there in ours if there.grant.ephemeral)
        )

    async def _end_ephemeral(self, catalogue: Catalogue, there: Active) -> None:
        grant = there.grant
        provider = catalogue.tools.get(grant.key.provider)
        why = "its login was in memory only, and the agent ends"
        self._journal.witnessed(AuditEvent.END, "ended", grant.key, why)
        if provider is None or grant.kind is GrantKind.API_KEY:
            return
        try:
            held = await self._store.read(grant.key) if grant.generation else None
        except AgentError as error:
            log.warning("%s: not revoked at the agent's end: %s", grant.key, error.detail)
            return
        secret = held.secret if held is not None else None
        told = await self._revocations.tell(provider, grant, secret, handed_out(there))
        log.info("%s: an ephemeral login ends with the agent; %s", grant.key, told)


def handed_out(there: Active) -> Sequence[Secret]:
    """Return the access tokens that a session has in memory; a key or a cookie is none."""
    if there.grant.kind is not GrantKind.REFRESH_TOKEN:
        return []
    return [token.value for token in there.tokens.values()]


def _active(state: Session) -> Active | None:
    there = state.before if isinstance(state, Authorizing) else state
    return there if isinstance(there, Active) else None
