"""Successors: what a killed rotation had been given, taken up before anything is presented."""

import logging

from tool_agentd.broker.attempts import presented
from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import AccountKey, Grant, JournalEvent
from tool_agentd.ports import Store
from tool_agentd.session import Found

log = logging.getLogger(__name__)


class Successors:
    """Looks for them where an account's token is about to be used: renewed, revoked or ended."""

    def __init__(
        self, store: Store, sessions: Sessions, unsaved: Unsaved, journal: Journal
    ) -> None:
        """Take the parts."""
        self._store = store
        self._sessions = sessions
        self._unsaved = unsaved
        self._journal = journal

    async def adopt(self, key: AccountKey, by: Cause = ITSELF) -> None:
        """Let the account go on with the token that it was given, if a crash has left one.

        What this agent could not save is newer, unless another agent has found and stored it.
        Raises what `Store.adopt` raises.
        """
        unsaved = self._unsaved.get(key)
        if unsaved is not None and not await self._overtaken(unsaved.grant):
            return
        self._unsaved.forget(key)
        held = await self._store.adopt(key, presented)
        if held is None:
            return
        self._sessions.apply(key, Found(held.grant))
        self._journal.note(JournalEvent.ADOPTED, held.grant, held.secret, by=by)
        log.warning("%s: the refresh token of an interrupted renewal is taken up", key)

    async def _overtaken(self, grant: Grant) -> bool:
        """Tell whether the store has a later generation; one that does not answer has none."""
        try:
            there = await self._store.current(grant.key)
        except StoreUnavailableError:
            return False
        return there is not None and there.generation > grant.generation
