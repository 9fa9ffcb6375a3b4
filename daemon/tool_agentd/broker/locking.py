"""Locking: the agent's lock at work. It shuts the gate, drops what is held, and writes it down.

The gate is shut first and opened last: between the two moments at which a lock begins and is
durable, and again between the right passphrase and its record, nothing is served.
"""

import asyncio
import logging
from collections.abc import Callable

from tool_agentd.broker import lock
from tool_agentd.broker.background import Background
from tool_agentd.broker.flights import Flights
from tool_agentd.broker.gate import LOCKED, UNLOCK, Gate
from tool_agentd.broker.lock import Locked, State, Tries, Unknown, Unlocked
from tool_agentd.broker.logins import Logins
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.errors import (
    AgentError,
    InvalidRequestError,
    LockedError,
    StoreUnavailableError,
)
from tool_agentd.model import NOBODY, AuditEvent, AuditLine, Peer, Verifier
from tool_agentd.ports import Clock, Store, Stretcher
from tool_agentd.secret import Secret
from tool_agentd.session import Dropped, grant_of

BUSY = 1.0
"""Seconds after which a passphrase may be tried again that came while another was looked at."""

log = logging.getLogger(__name__)


class Locking:
    """Holds the state of the lock."""

    stretcher: Stretcher
    """Set by the composition root before anything is locked."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        gate: Gate,
        sessions: Sessions,
        logins: Logins,
        flights: Flights,
        unsaved: Unsaved,
        background: Background,
        clock: Clock,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Begin unlocked, as over a store that is empty; see `ask_store`."""
        self._store = store
        self._gate = gate
        self._sessions = sessions
        self._logins = logins
        self._flights = flights
        self._unsaved = unsaved
        self._background = background
        self._clock = clock
        self._entropy = entropy
        self._state: State = Unlocked()
        self._tries = Tries()
        self._turn = asyncio.Lock()
        self._guessing = False
        self._dropping = False
        """Whether something held is still to be dropped, once it is no longer needed."""
        self._trouble = ""
        """Why the store has not taken the lock."""
        self.on_forget: Callable[[], None] = lambda: None
        """Called where what the person has allowed is over: at a lock, and when all is dropped."""

    @property
    def locked(self) -> bool:
        """Whether the agent is locked, as far as is known."""
        return isinstance(self._state, Locked)

    @property
    def kept(self) -> bool:
        """Whether it can be locked without a passphrase being typed."""
        return isinstance(self._state, Unlocked) and self._state.kept is not None

    @property
    def reasons(self) -> list[str]:
        """One sentence where the lock would not survive a restart or come about, for `status`."""
        if isinstance(self._state, Locked) and not self._state.saved:
            return [f"the lock is only in memory, a restart would end it: {self._trouble}"]
        return []

    # -- at the start ----------------------------------------------------------------------------

    def ask_store(self) -> None:
        """Serve nothing until the store has said whether the agent is locked."""
        self._become(Unknown())

    async def known(self) -> None:
        """Ask the store, where that is still to be done. Raises StoreUnavailableError."""
        if not isinstance(self._state, Unknown):
            return
        async with self._turn:
            await self._learn()

    async def _learn(self) -> None:
        if not isinstance(self._state, Unknown):  # asked by whoever had the turn
            return
        try:
            what = await self._store.lock()
        except StoreUnavailableError as error:
            self._become(Unknown(error.detail, error.hint))
            raise
        state, self._tries = lock.found(what, self._clock.now())
        self._become(state)

    # -- lock ------------------------------------------------------------------------------------

    async def lock(self, passphrase: Secret | None, *, keep: bool, peer: Peer) -> str | None:
        """Lock; with no passphrase by the one that is kept.

        Returns why a restart would end the lock, where the store has not taken it. Raises
        LockedError where it is locked, InvalidRequestError without a passphrase, and
        TemporarilyUnavailableError where it cannot be stretched: then nothing has changed.
        """
        await self.known()
        # Whoever asked may hang up; a lock half done would be worse than none.
        return await asyncio.shield(
            self._background.start(self._lock(passphrase, keep=keep, peer=peer))
        )

    async def _lock(self, passphrase: Secret | None, *, keep: bool, peer: Peer) -> str | None:
        async with self._turn:
            before = self._state
            if not isinstance(before, Unlocked):
                raise LockedError(LOCKED, hint=UNLOCK)
            kept = before.kept
            if passphrase is None and kept is None:
                message = "no passphrase is kept that would end the lock"
                raise InvalidRequestError(message, hint="run 'tool-agent lock --remember' once")
            self._gate.locked = True  # from this moment on nothing is handed out
            self.on_forget()
            self._flights.let_go(LockedError(LOCKED, hint=UNLOCK))
            try:
                known = await self._verifier(passphrase) if passphrase is not None else kept
            except BaseException:
                self._gate.locked = False
                raise
            assert known is not None  # noqa: S101 - one of the two is there, as was checked
            self._tries = Tries()
            self._become(lock.lock(before, known, keep=keep or passphrase is None))
            self._background.later(self._logins.close())
            self.drop()
            self._record(AuditEvent.LOCK, "ok", peer)
            await self._save()
        return self._trouble or None

    async def _verifier(self, passphrase: Secret) -> Verifier:
        salt, cost = self._entropy(lock.SALT_BYTES), self.stretcher.cost
        return lock.verifier(salt, cost, await self.stretcher.stretch(passphrase, salt, cost))

    async def _save(self) -> None:
        """Write the lock down; where that fails it holds all the same, and the tick tries again."""
        try:
            await self._store.keep_lock(lock.stored(self._state, self._tries))
        except StoreUnavailableError as error:
            self._trouble = error.detail
            log.error("the lock is not saved: %s", error.detail)  # noqa: TRY400 - its words say all
        else:
            self._trouble = ""
            self._state = lock.saved(self._state)

    async def by_itself(self, why: str) -> None:
        """Lock without anybody who types, if a passphrase is kept; else only drop what is held."""
        if self.locked:
            self.drop()
            return
        if not self.kept:
            log.warning("%s: what is held is dropped; no passphrase is kept to lock with", why)
            self.forget()
            return
        try:
            await self.lock(None, keep=True, peer=NOBODY)
        except AgentError as error:
            log.warning("%s: not locked: %s", why, error.detail)
        else:
            log.info("%s: locked", why)

    # -- unlock ----------------------------------------------------------------------------------

    async def unlock(self, passphrase: Secret, peer: Peer) -> None:
        """Serve again; to be called where it is locked.

        Raises LockedError for a wrong passphrase, one that comes too soon after it, and one that
        comes while another is looked at; StoreUnavailableError, still locked, where the store does
        not let go of the lock.
        """
        left = lock.wait(self._tries, self._clock.now())
        if self._guessing or left > 0:
            left = max(left, BUSY)
            self._record(AuditEvent.UNLOCK, "refused", peer)
            message = f"another passphrase was tried just now; the next is taken in {left:.0f} s"
            raise LockedError(message, hint="wait, and type it again", retry_after=left)
        self._guessing = True
        await asyncio.shield(self._background.start(self._unlock(passphrase, peer)))

    async def _unlock(self, passphrase: Secret, peer: Peer) -> None:
        try:
            async with self._turn:
                if isinstance(self._state, Locked):
                    await self._guess(self._state, passphrase, peer)
        finally:
            self._guessing = False

    async def _guess(self, state: Locked, passphrase: Secret, peer: Peer) -> None:
        # It counts before it is looked at: an agent that is killed meanwhile has not forgotten it.
        self._tries = lock.failed(self._tries, self._clock.now())
        await self._save()
        known = state.verifier
        key = await self.stretcher.stretch(passphrase, known.salt, known.cost)
        if not lock.fits(known, key):
            self._tries = lock.waiting(self._tries.failures, self._clock.now())
            self._record(AuditEvent.UNLOCK, "denied", peer)
            left = lock.wait(self._tries, self._clock.now())
            message = f"wrong passphrase; the next is taken in {left:.0f} s"
            raise LockedError(message, hint=UNLOCK, retry_after=left)
        after = lock.unlocked(state)
        try:
            await self._store.keep_lock(lock.stored(after, Tries()))
        except StoreUnavailableError as error:
            self._tries = Tries()
            if not isinstance(self._state, Locked) or self._state.saved:
                message = f"the passphrase is right, but the lock cannot be undone: {error.detail}"
                raise StoreUnavailableError(
                    message, hint=error.hint, retry_after=error.retry_after
                ) from error
        self._tries, self._trouble, self._dropping = Tries(), "", False
        self._become(after)
        self._record(AuditEvent.UNLOCK, "ok", peer)

    # -- what is held ----------------------------------------------------------------------------

    def drop(self) -> None:
        """Forget every secret that is only a copy of what the store has.

        A login that only memory has stays. A key of the store's that a renewal in the air, or one
        that could not be saved, still needs goes after it.
        """
        for key, state in list(self._sessions):
            grant = grant_of(state)
            if grant is not None and grant.generation:
                self._sessions.apply(key, Dropped())
        if self._flights.accounts or self._unsaved.reasons:
            if not self._dropping:
                self._dropping = True
                self._background.later(self._drop_later())
            return
        self._dropping = False
        self._store.drop()

    def forget(self) -> None:
        """Drop what is held, and what the person has allowed."""
        self.on_forget()
        self.drop()

    async def _drop_later(self) -> None:
        await self._flights.land()
        if self._dropping:
            self.drop()

    async def tick(self) -> None:
        """Try again what did not work, and drop what a revocation had to open; every 30 s."""
        try:
            await self.known()
        except StoreUnavailableError as error:
            log.info("not known whether the agent is locked: %s", error.detail)
            return
        async with self._turn:
            if isinstance(self._state, Locked) and not self._state.saved:
                await self._save()
        if self.locked or self._dropping:
            self.drop()

    # -- the state -------------------------------------------------------------------------------

    def _become(self, state: State) -> None:
        self._state = state
        self._gate.unknown = state if isinstance(state, Unknown) else None
        self._gate.locked = not isinstance(state, Unlocked)

    def _record(self, event: AuditEvent, outcome: str, peer: Peer) -> None:
        self._gate.witness.record(AuditLine(self._clock.now().wall, event, outcome, peer))
