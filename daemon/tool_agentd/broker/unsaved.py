"""Unsaved: rotated tokens that the store did not take yet, kept in memory and tried again."""

import logging
from collections.abc import Callable

from tool_agentd.broker.backoff import Waiting
from tool_agentd.broker.journal import Journal
from tool_agentd.errors import AgentError, ConflictError
from tool_agentd.model import AccountKey, HeldGrant, JournalEvent
from tool_agentd.ports import Clock, Store

log = logging.getLogger(__name__)


class Unsaved:
    """What would be lost if the agent ended now; `status` says so."""

    def __init__(
        self, store: Store, clock: Clock, journal: Journal, chance: Callable[[], float]
    ) -> None:
        """Start with everything saved; `chance` gives numbers in 0..1."""
        self._store = store
        self._clock = clock
        self._journal = journal
        self._chance = chance
        self._waiting: dict[AccountKey, Waiting] = {}
        self._held: dict[AccountKey, tuple[HeldGrant, str]] = {}

    def get(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's unsaved grant: newer than what the store has."""
        entry = self._held.get(key)
        return entry[0] if entry else None

    def keep(self, held: HeldGrant, why: str) -> None:
        """Hold on to a grant that could not be saved. `held.grant` is the stored generation."""
        self._held[held.grant.key] = (held, why)
        self._wait(held.grant.key)
        log.error("%s: the renewed login could not be saved: %s", held.grant.key, why)

    def forget(self, key: AccountKey) -> None:
        """Drop it: saved, ended or logged out."""
        self._held.pop(key, None)
        self._waiting.pop(key, None)

    def _wait(self, key: AccountKey) -> None:
        now = self._clock.now()
        self._waiting[key] = Waiting.after(self._waiting.get(key), now, self._chance())

    @property
    def due_in(self) -> float | None:
        """Seconds until the next try; None where everything is saved."""
        now = self._clock.now()
        return min((now.until(one.due) for one in self._waiting.values()), default=None)

    @property
    def reasons(self) -> list[str]:
        """One sentence for each, for `status`."""
        return [reason for key in self._held for reason in self.reasons_of(key)]

    def reasons_of(self, key: AccountKey) -> list[str]:
        """Return the sentence for one account, if it is about it."""
        if key not in self._held:
            return []
        return [f"the renewed login of {key} is only in memory: {self._held[key][1]}"]

    async def save(self, *, at_once: bool = False) -> list[HeldGrant]:
        """Try again to save those whose time has come; return those that are stored now, as stored.

        `at_once`: every one, because there is no later.
        """
        saved = []
        for key, (held, _) in list(self._held.items()):
            waiting = self._waiting.get(key)
            if waiting is not None and not at_once and not waiting.over(self._clock.now()):
                continue
            try:
                async with self._store.lease(key):
                    if self.get(key) is not held:
                        continue  # a renewal came between
                    grant = await self._store.write(
                        held.grant, held.secret, expected=held.grant.generation
                    )
            except ConflictError:
                self.forget(key)  # logged out, or replaced by another login
            except AgentError as error:
                if self.get(key) is held:
                    self._held[key] = (held, error.detail)
                    self._wait(key)
            else:
                self.forget(key)
                self._journal.note(JournalEvent.PERSISTED, grant, held.secret, detail="at last")
                saved.append(HeldGrant(grant, held.secret))
        return saved
