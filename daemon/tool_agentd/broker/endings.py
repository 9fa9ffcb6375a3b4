"""Endings: sessions that end without their person, by their limit, their platform, or the agent.

`logouts` are the ends that a person asks for; `revocations` is how a platform is told of either.
"""

import asyncio
import logging
from collections.abc import Sequence

from tool_agentd.broker.renewal import Renewal
from tool_agentd.broker.revocations import Revocations
from tool_agentd.broker.sessions import Sessions
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.errors import AgentError
from tool_agentd.model import Grant, GrantKind
from tool_agentd.ports import Clock, Store
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Authorizing, Session, end_of, grant_of, lapsed

log = logging.getLogger(__name__)


class Endings:
    """Ends sessions that are over. Each leaves its reason for whoever asks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        renewal: Renewal,
        revocations: Revocations,
    ) -> None:
        """Take the parts."""
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._renewal = renewal
        self._revocations = revocations

    async def end_lapsed(self, catalogue: Catalogue) -> None:
        """End the sessions that have reached the end that was set for them.

        Raises StoreUnavailableError with those not reached yet as they were.
        """
        now = self._clock.now()
        for key, state in list(self._sessions):
            there = _active(state)
            if there is None or not lapsed(there.grant, now):
                continue
            held = await self._renewal.lapse(there.grant, end_of(there.grant))
            provider = catalogue.tools.get(key.provider)
            if held is not None and provider is not None:
                await self._revocations.end(provider, held.grant, held.secret, handed_out(there))

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
