"""The store `memory`: nothing touches the disk, and nothing outlives the agent."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from tool_agentd.adapters.store.kinds import MEMORY
from tool_agentd.adapters.store.locks import Queues
from tool_agentd.adapters.store.means import Means
from tool_agentd.adapters.store.rows import check_storable, fingerprint
from tool_agentd.adapters.store.schema import SALT_BYTES
from tool_agentd.adapters.store.trouble import conflict, gone
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import AccountKey, End, Grant, HeldGrant, JournalEntry, Standing, StoredLock
from tool_agentd.ports import JOURNAL_LENGTH, Presented, StoreStatus
from tool_agentd.secret import Secret


class MemoryStore:
    """Grants and their secrets in a dictionary; one agent, no other writers."""

    def __init__(self, means: Means) -> None:
        """Begin empty."""
        self._held: dict[tuple[AccountKey, int], HeldGrant] = {}
        self._high = 0
        self._choices: dict[str, str] = {}
        self._caches: dict[AccountKey, dict[str, tuple[float, str]]] = {}
        """By account and name: of which login, and the text."""
        self._journal: dict[AccountKey, list[JournalEntry]] = {}
        self._salt = secrets.token_bytes(SALT_BYTES)
        self._lock: StoredLock | None = None
        self._queues = Queues(means.patience)

    async def list(self) -> tuple[Grant, ...]:
        """Return every grant, by account and generation."""
        return tuple(self._held[place].grant for place in sorted(self._held))

    async def current(self, key: AccountKey) -> Grant | None:
        """Return the account's current grant or tombstone."""
        held = self._current(key)
        return held.grant if held else None

    async def read(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's current grant."""
        held = self._current(key)
        return held if held and held.grant.standing is Standing.CURRENT else None

    async def unseal(self, grant: Grant) -> Secret:
        """Return the secret of this generation."""
        held = self._exact(grant)
        if held.grant.standing is Standing.ENDED:
            raise gone(grant)
        return held.secret

    async def prepare(self) -> None:
        """Memory takes whatever comes."""

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Store the next generation."""
        check_storable(grant, secret)
        current = self._current(grant.key)
        stands = current.grant.generation if current else 0
        if stands != expected:
            raise conflict(grant.key, stands, expected)
        own = [generation for key, generation in self._held if key == grant.key]
        generation = 1 + max([*own, 0 if current else self._high])
        if current is not None:
            del self._held[grant.key, stands]
        new = replace(grant, generation=generation, standing=Standing.CURRENT, ended=None)
        self._held[grant.key, generation] = HeldGrant(new, secret)
        self._drop_caches(grant.key)
        return new

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:  # noqa: ARG002 - the port's signature
        """Find nothing: a write is one step here."""
        return None

    async def retire(self, grant: Grant) -> Grant:
        """Make this generation revoke-only."""
        held = self._exact(grant)
        retired = replace(held.grant, standing=Standing.REVOKE_ONLY)
        self._held[grant.key, grant.generation] = HeldGrant(retired, held.secret)
        self._drop_caches(grant.key)
        return retired

    async def bury(self, grant: Grant, end: End) -> None:
        """Leave a tombstone for this generation."""
        current = self._current(grant.key)
        stands = current.grant.generation if current else 0
        if current is None or stands != grant.generation:
            raise conflict(grant.key, stands, grant.generation)
        if current.grant.standing is Standing.CURRENT:
            ended = replace(current.grant, standing=Standing.ENDED, ended=end)
            self._held[grant.key, stands] = HeldGrant(ended, Secret(""))
            self._drop_caches(grant.key)

    async def delete(self, grant: Grant) -> None:
        """Forget this generation."""
        if self._held.pop((grant.key, grant.generation), None) is not None:
            self._high = max(self._high, grant.generation)
            self._drop_caches(grant.key)

    def lease(self, key: AccountKey) -> AbstractAsyncContextManager[None]:
        """Hold the account."""
        return self._leased(key)

    async def choices(self) -> Mapping[str, str]:
        """Return the chosen label of each tool."""
        return dict(self._choices)

    async def choose(self, tool: str, label: str | None) -> None:
        """Remember or forget a choice."""
        if label is None:
            self._choices.pop(tool, None)
        else:
            self._choices[tool] = label

    async def caches(self, key: AccountKey) -> Mapping[str, str]:
        """Return what is kept beside the account's current login."""
        return {name: text for name, (_, text) in self._caches.get(key, {}).items()}

    async def keep_cache(self, grant: Grant, name: str, text: str) -> bool:
        """Keep a text beside the login, if it is the current one."""
        if self._login(grant.key) != grant.obtained_at:
            return False
        self._caches.setdefault(grant.key, {})[name] = (grant.obtained_at, text)
        return True

    async def fingerprint(self, grant: Grant, secret: Secret) -> str:  # noqa: ARG002 - the port's signature
        """Return what stands for a secret in the journal."""
        return fingerprint(secret.reveal(), self._salt).hex()

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Add to the journal."""
        for entry in entries:
            kept = self._journal.get(entry.key, [])[1 - JOURNAL_LENGTH :]
            self._journal[entry.key] = [*kept, entry]

    async def history(self, key: AccountKey) -> tuple[JournalEntry, ...]:
        """Return the account's entries."""
        return tuple(self._journal.get(key, ()))

    async def unlock(self, passphrase: Secret) -> None:  # noqa: ARG002 - the port's signature
        """Refuse: nothing is sealed."""
        raise InvalidRequestError(
            "no passphrase seals what is stored here",
            hint="'tool-agent status' says where secrets rest",
        )

    async def sealed(self) -> bool:
        """Nothing is."""
        return False

    def drop(self) -> None:
        """Keep everything: there is no other copy of it."""

    async def lock(self) -> StoredLock | None:
        """Return what is kept of the lock; it ends with the agent, as all of this does."""
        return self._lock

    async def keep_lock(self, lock: StoredLock | None) -> None:
        """Keep that instead."""
        self._lock = lock

    async def status(self) -> StoreStatus:
        """Say that nothing lasts."""
        return StoreStatus(MEMORY, "the agent's memory; nothing outlives the agent")

    async def close(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._caches.clear()
        self._journal.clear()

    @asynccontextmanager
    async def _leased(self, key: AccountKey) -> AsyncIterator[None]:
        async with self._queues.turn(f"lease {key}", what=str(key)):
            yield

    def _current(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's current grant or tombstone."""
        for held in self._held.values():
            if held.grant.key == key and held.grant.standing is not Standing.REVOKE_ONLY:
                return held
        return None

    def _login(self, key: AccountKey) -> float | None:
        """Return when the account's current login was, which tells it from every other."""
        held = self._current(key)
        if held is None or held.grant.standing is not Standing.CURRENT:
            return None
        return held.grant.obtained_at

    def _drop_caches(self, key: AccountKey) -> None:
        """Forget what belongs to a login that is no longer the current one."""
        login = self._login(key)
        there = self._caches.pop(key, {})
        kept = {name: one for name, one in there.items() if one[0] == login}
        if kept:
            self._caches[key] = kept

    def _exact(self, grant: Grant) -> HeldGrant:
        held = self._held.get((grant.key, grant.generation))
        if held is None:
            raise gone(grant)
        return held
