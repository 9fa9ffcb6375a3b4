"""Journal: what is written down of each account, in order, by one writer.

An intent is durable before `intend` returns: the only write that a refresh waits for. Everything
else is written behind, within milliseconds and in order, and at the latest with the next intent:
a rotation's own proof is the new row in the store, so that nothing hangs on the rest but the
account's history.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from tool_agentd.broker import attempts
from tool_agentd.broker.background import Background
from tool_agentd.broker.backoff import Waiting
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import (
    AGENT_ITSELF,
    AccountKey,
    Grant,
    HeldGrant,
    JournalEntry,
    JournalEvent,
    Peer,
)
from tool_agentd.ports import Clock, Store
from tool_agentd.secret import Secret

PENDING = 1000
"""Entries that wait in memory while the store does not take them; the oldest are lost then."""

SHOWN = 120
"""Characters of an executable's path: other processes choose it, and each entry has up to two."""

log = logging.getLogger(__name__)

_Pending = tuple[JournalEntry, Grant, Secret | None]


def asker(peer: Peer | None) -> str:
    """Return what the journal calls who asked: bounded, and printable whatever a path holds."""
    if peer is None:
        return AGENT_ITSELF
    named = f"pid {peer.pid}, uid {peer.uid}{_with(peer.executable)}"
    requester = peer.requester
    if requester is None or requester.pid == peer.pid:
        return named
    return f"{named}, started by pid {requester.pid}{_with(requester.executable)}"


def _with(path: str) -> str:
    """Return what is added for an executable: its path, of a long one the end."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
    if len(text) > SHOWN:
        text = f"...{text[3 - SHOWN :]}"
    return f", {text}" if text else ""


class Journal:
    """Writes and reads the accounts' histories."""

    def __init__(
        self, store: Store, clock: Clock, background: Background, chance: Callable[[], float]
    ) -> None:
        """Begin with nothing to write; `chance` gives numbers in 0..1."""
        self._store = store
        self._clock = clock
        self._background = background
        self._chance = chance
        self._pending: list[_Pending] = []
        self._writing = asyncio.Lock()
        self._trouble = ""
        self._waiting: Waiting | None = None

    @property
    def reasons(self) -> list[str]:
        """One sentence where the journal is not written, for `status`."""
        if not self._trouble:
            return []
        return [f"the journal is not written, and histories have a gap: {self._trouble}"]

    def note(  # noqa: PLR0913 - the columns of an entry
        self,
        event: JournalEvent,
        grant: Grant,
        secret: Secret | None = None,
        *,
        attempt: int = 0,
        detail: str = "",
        by: str = AGENT_ITSELF,
    ) -> None:
        """Write an entry down, soon; nobody waits for it. `secret` is what it is about."""
        entry = JournalEntry(
            at=self._clock.now().wall,
            key=grant.key,
            event=event,
            generation=_generation(grant),
            attempt=attempt,
            detail=detail,
            by=by,
        )
        self._pending = [*self._pending, (entry, grant, secret)][-PENDING:]
        self._background.later(self.flush())

    async def intend(
        self, held: HeldGrant, grace: float, by: str
    ) -> attempts.Present | attempts.GiveUp:
        """Write down, durably, that a refresh token is about to be presented, if it may be.

        Raises StoreUnavailableError where that cannot be written: then nothing is to be presented.
        The caller holds the account's lease.
        """
        grant = held.grant
        async with self._writing:
            await self._write()  # what came of the last one is part of the history
            fingerprint = await self._store.fingerprint(grant, held.secret)
            history = await self._store.history(grant.key)
            now = self._clock.now().wall
            decided = attempts.attempt(history, fingerprint, now, grace)
            if isinstance(decided, attempts.Present):
                intent = JournalEntry(
                    at=now,
                    key=grant.key,
                    event=decided.event,
                    generation=_generation(grant),
                    fingerprint=fingerprint,
                    attempt=decided.attempt,
                    by=by,
                )
                await self._store.record([intent])
        return decided

    async def history(self, key: AccountKey) -> tuple[JournalEntry, ...]:
        """Return the account's history, the oldest first, with what is not written yet."""
        await self.flush()
        written = await self._store.history(key)
        return (*written, *(entry for entry, _, _ in self._pending if entry.key == key))

    async def flush(self, *, at_once: bool = False) -> None:
        """Write what waits, unless the store has just failed; `at_once`: even then."""
        async with self._writing:
            waiting = self._waiting
            if waiting is not None and not at_once and not waiting.over(self._clock.now()):
                return
            try:
                await self._write()
            except StoreUnavailableError as error:
                log.warning("the journal is not written: %s", error.detail)

    async def _write(self) -> None:
        """Write what waits, all of it or nothing. Raises StoreUnavailableError."""
        batch = self._pending
        if not batch:
            return
        try:
            await self._store.record([await self._entry(*one) for one in batch])
        except StoreUnavailableError as error:
            self._trouble = error.detail
            self._waiting = Waiting.after(self._waiting, self._clock.now(), self._chance())
            raise
        self._trouble, self._waiting = "", None
        written = set(map(id, batch))
        self._pending = [one for one in self._pending if id(one) not in written]

    async def _entry(
        self, entry: JournalEntry, grant: Grant, secret: Secret | None
    ) -> JournalEntry:
        if secret is None or entry.fingerprint:
            return entry
        return replace(entry, fingerprint=await self._store.fingerprint(grant, secret))


def _generation(grant: Grant) -> int:
    """Return the grant's number; below 0 for a login of which nothing rests in the store."""
    return grant.generation or (-1 if grant.ephemeral else 0)
