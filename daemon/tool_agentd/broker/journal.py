"""Journal: what is written down of each account, in order, by one writer.

An intent is durable before `intend` returns: the only write that a refresh waits for. Everything
else is written behind, within milliseconds and in order, and at the latest with the next intent:
a rotation's own proof is the new row in the store, so that nothing hangs on the rest but the
account's history. What an entry is in the audit trail, the witness is told as it is noted.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from tool_agentd.broker import attempts
from tool_agentd.broker.background import Background
from tool_agentd.broker.backoff import Waiting
from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import (
    AGENT_ITSELF,
    NOBODY,
    AccountKey,
    AuditEvent,
    AuditLine,
    Grant,
    HeldGrant,
    JournalEntry,
    JournalEvent,
    Peer,
)
from tool_agentd.ports import Clock, Store, Witness
from tool_agentd.secret import Secret

PENDING = 1000
"""Entries that wait in memory while the store does not take them; the oldest are lost then."""

SHOWN = 120
"""Characters of an executable's path: other processes choose it, and each entry has up to two."""

log = logging.getLogger(__name__)

_AUDITED = {
    JournalEvent.LOGIN: (AuditEvent.LOGIN, "ok"),
    JournalEvent.LOGOUT: (AuditEvent.LOGOUT, "ok"),
    JournalEvent.REPLAYED: (AuditEvent.REFRESH, "interrupted"),
    JournalEvent.ADOPTED: (AuditEvent.REFRESH, "adopted"),
    JournalEvent.ROTATED: (AuditEvent.REFRESH, "rotated"),
    JournalEvent.RENEWED: (AuditEvent.REFRESH, "renewed"),
    JournalEvent.REFUSED: (AuditEvent.REFRESH, "refused"),
    JournalEvent.AMBIGUOUS: (AuditEvent.REFRESH, "ambiguous"),
    JournalEvent.FAILED: (AuditEvent.REFRESH, "failed"),
    JournalEvent.UNSENT: (AuditEvent.REFRESH, "unsent"),
    JournalEvent.ENDED: (AuditEvent.END, "ended"),
}
"""What is a line of the audit trail, and with which outcome: one for each presentation, so that an
intent is none, and neither is what became of a new token in the store. Revocations tell theirs
themselves, because those that did not go through are lines as well."""
_AGAIN = "nobody has heard what came of the last presentation; it is presented once more"

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
        self,
        store: Store,
        clock: Clock,
        background: Background,
        chance: Callable[[], float],
        witness: Witness,
    ) -> None:
        """Begin with nothing to write; `chance` gives numbers in 0..1."""
        self._witness = witness
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
        fingerprint: str = "",
        attempt: int = 0,
        detail: str = "",
        by: Cause = ITSELF,
    ) -> None:
        """Write an entry down, soon; nobody waits for it.

        `secret` is what it is about; `fingerprint` stands for it, where that is known already.
        """
        entry = JournalEntry(
            at=self._clock.now().wall,
            key=grant.key,
            event=event,
            generation=_generation(grant),
            fingerprint=fingerprint,
            attempt=attempt,
            detail=detail,
            by=_named(by),
        )
        self._tell(entry, by)
        self._pending = [*self._pending, (entry, grant, secret)][-PENDING:]
        self._background.later(self.flush())

    async def intend(
        self, held: HeldGrant, grace: float, by: Cause
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
                    by=_named(by),
                )
                await self._store.record([intent])
                self._tell(replace(intent, detail=_AGAIN), by)
                return replace(decided, fingerprint=fingerprint)
        return decided

    # -- the audit trail -------------------------------------------------------------------------

    def _tell(self, entry: JournalEntry, by: Cause) -> None:
        """Tell the witness of an entry that is a line of the audit trail."""
        found = _AUDITED.get(entry.event)
        if found is not None:
            self.witnessed(*found, entry.key, entry.detail, entry.fingerprint, by=by)

    def witnessed(  # noqa: PLR0913 - the columns of a line
        self,
        event: AuditEvent,
        outcome: str,
        key: AccountKey,
        detail: str = "",
        fingerprint: str = "",
        *,
        by: Cause = ITSELF,
    ) -> None:
        """Tell the witness what has become of an account; what is told here is no entry."""
        self._witness.record(
            AuditLine(
                self._clock.now().wall,
                event,
                outcome,
                by.peer,
                by.tool or key.provider,
                key.label,
                by.scope,
                by.audience,
                detail,
                fingerprint,
                key.provider,
            )
        )

    async def fingerprint(self, grant: Grant, secret: Secret | None) -> str:
        """Return what stands for a secret; empty where the store does not say now."""
        if secret is None:
            return ""
        try:
            return await self._store.fingerprint(grant, secret)
        except StoreUnavailableError:
            return ""

    async def settled(self) -> None:
        """Return when the witness has written what it was told, or cannot now."""
        if self._witness.urgent:
            await self._witness.settled()

    # -- reading and writing ---------------------------------------------------------------------

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


def _named(by: Cause) -> str:
    return asker(None if by.peer is NOBODY else by.peer)


def _generation(grant: Grant) -> int:
    """Return the grant's number; below 0 for a login of which nothing rests in the store."""
    return grant.generation or (-1 if grant.ephemeral else 0)
