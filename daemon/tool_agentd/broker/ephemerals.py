"""Ephemerals: a store over the store, which keeps ephemeral grants in memory and nowhere else.

Everyone above sees one store. A grant that is marked `ephemeral` never reaches the one below: no
row, no box, no lease on disk. What of it waits for its revocation is in memory too, and gone with
the agent. Its generations count downwards from -1: no stored grant has such a number, so that an
answer that comes late is never taken for that of another.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from hashlib import blake2b

from tool_agentd.errors import ConflictError, LoginRequiredError, StoreUnavailableError
from tool_agentd.model import AccountKey, End, Grant, HeldGrant, JournalEntry, Standing, StoredLock
from tool_agentd.ports import JOURNAL_LENGTH, Presented, Store, StoreStatus
from tool_agentd.secret import Secret


class Ephemerals:
    """Implements ports.Store over another."""

    def __init__(self, below: Store, salt: bytes = b"") -> None:
        """Begin with nothing in memory; everything else goes to `below`.

        `salt` is that of the fingerprints of what is in memory only.
        """
        self._salt = salt
        self._below = below
        self._held: dict[AccountKey, dict[int, HeldGrant]] = {}
        self._leases: dict[AccountKey, asyncio.Lock] = {}
        self._caches: dict[AccountKey, dict[str, str]] = {}
        """What is kept beside a login in memory; it goes with its last generation."""
        self._journal: dict[AccountKey, list[JournalEntry]] = {}
        """Of logins in memory; it outlives them, and ends with the agent."""
        self._last = 0

    async def list(self) -> tuple[Grant, ...]:
        """Return what is stored, and what is in memory."""
        ours = (held.grant for grants in self._held.values() for held in grants.values())
        return (*await self._below.list(), *ours)

    async def current(self, key: AccountKey) -> Grant | None:
        """Return the account's current grant or tombstone, the one in memory first."""
        held = self._current(key)
        return held.grant if held is not None else await self._below.current(key)

    async def read(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's current grant."""
        held = self._current(key)
        if held is None:
            return await self._below.read(key)
        return held if held.grant.standing is Standing.CURRENT else None

    async def unseal(self, grant: Grant) -> Secret:
        """Return the secret of this generation."""
        if grant.generation >= 0:
            return await self._below.unseal(grant)
        held = self._exact(grant)
        if held is None or held.grant.standing is Standing.ENDED:
            message = f"the ephemeral login of {grant.key} is over, and its secret erased"
            raise LoginRequiredError(message)
        return held.secret

    async def prepare(self) -> None:
        """Make sure that a grant could be stored; an ephemeral one always can."""
        await self._below.prepare()

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Store the next generation, here or below; what it replaces is erased in both."""
        before = await self.current(grant.key)
        stands = before.generation if before is not None else 0
        if stands != expected:
            message = f"{grant.key} has changed meanwhile: generation {stands}, not {expected}"
            raise ConflictError(message)
        if not grant.ephemeral:
            if before is None or before.generation > 0:
                return await self._below.write(grant, secret, expected=expected)
            there = await self._below.current(grant.key)
            new = await self._below.write(
                grant, secret, expected=there.generation if there is not None else 0
            )
            self._forget(before)
            return new
        if before is not None and before.generation > 0:
            await self._below.delete(before)
        elif before is not None:
            rotated = before.ended is None and before.obtained_at == grant.obtained_at
            caches = self._caches.get(grant.key, {}) if rotated else {}
            self._forget(before)
            self._caches[grant.key] = caches
        self._last -= 1
        new = replace(grant, generation=self._last, standing=Standing.CURRENT, ended=None)
        self._held.setdefault(grant.key, {})[new.generation] = HeldGrant(new, secret)
        return new

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:
        """Look below; of what is in memory nothing is written by halves."""
        return None if self._current(key) is not None else await self._below.adopt(key, presented)

    async def retire(self, grant: Grant) -> Grant:
        """Make the grant revoke-only."""
        if grant.generation >= 0:
            return await self._below.retire(grant)
        return self._change(grant, standing=Standing.REVOKE_ONLY).grant

    async def bury(self, grant: Grant, end: End) -> None:
        """Leave a tombstone with the reason, its secret erased."""
        if grant.generation >= 0:
            await self._below.bury(grant, end)
            return
        self._caches.pop(grant.key, None)
        buried = self._change(grant, standing=Standing.ENDED, ended=end)
        self._held[grant.key][grant.generation] = replace(buried, secret=Secret(""))

    async def delete(self, grant: Grant) -> None:
        """Erase this generation."""
        if grant.generation >= 0:
            await self._below.delete(grant)
            return
        self._forget(grant)

    def lease(self, key: AccountKey) -> AbstractAsyncContextManager[None]:
        """Hold the account; the disk has no part in it while its grant is in memory."""
        if self._current(key) is None:
            return self._below.lease(key)
        return self._leases.setdefault(key, asyncio.Lock())

    async def caches(self, key: AccountKey) -> Mapping[str, str]:
        """Return what is kept beside the account's current login."""
        if self._current(key) is None:
            return await self._below.caches(key)
        return dict(self._caches.get(key, {}))

    async def keep_cache(self, grant: Grant, name: str, text: str) -> bool:
        """Keep a text beside a login; with an ephemeral one in memory."""
        if grant.generation > 0:
            return await self._below.keep_cache(grant, name, text)
        held = self._current(grant.key)
        if held is None or held.grant.generation != grant.generation:
            return False
        self._caches.setdefault(grant.key, {})[name] = text
        return True

    async def choices(self) -> Mapping[str, str]:
        """Return the account label that the person chose for each tool."""
        return await self._below.choices()

    async def choose(self, tool: str, label: str | None) -> None:
        """Remember the account label for a tool; None forgets it."""
        await self._below.choose(tool, label)

    async def fingerprint(self, grant: Grant, secret: Secret) -> str:
        """Return what stands for a secret; the disk has no part in that of one in memory."""
        if not grant.ephemeral:
            return await self._below.fingerprint(grant, secret)
        text = secret.reveal().encode(errors="surrogatepass")
        return blake2b(text, key=self._salt, digest_size=8).hexdigest()

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Add to the journal: what is about a login in memory stays in memory."""
        lasting = [entry for entry in entries if entry.generation >= 0]
        if lasting:
            await self._below.record(lasting)
        for entry in entries:
            if entry.generation < 0:
                kept = self._journal.get(entry.key, [])[1 - JOURNAL_LENGTH :]
                self._journal[entry.key] = [*kept, entry]

    async def history(self, key: AccountKey) -> tuple[JournalEntry, ...]:
        """Return the account's entries, of logins in memory too."""
        ours = self._journal.get(key)
        try:
            below = await self._below.history(key)
        except StoreUnavailableError:
            if self._current(key) is None:
                raise
            below = ()  # a login in memory needs no disk
        if not ours:
            return below
        merged = sorted((*below, *ours), key=lambda entry: entry.at)
        return tuple(merged[-JOURNAL_LENGTH:])

    async def unlock(self, passphrase: Secret) -> None:
        """Open what a passphrase seals."""
        await self._below.unlock(passphrase)

    async def sealed(self) -> bool:
        """Tell whether what is below waits for a passphrase."""
        return await self._below.sealed()

    def drop(self) -> None:
        """Forget the keys below; what is in memory is no copy of anything, and stays."""
        self._below.drop()

    async def lock(self) -> StoredLock | None:
        """Return what is kept of the agent's lock."""
        return await self._below.lock()

    async def keep_lock(self, lock: StoredLock | None) -> None:
        """Keep that instead."""
        await self._below.keep_lock(lock)

    async def status(self) -> StoreStatus:
        """Return where secrets rest."""
        return await self._below.status()

    async def close(self) -> None:
        """Forget everything, and close what is below."""
        self._held.clear()
        self._caches.clear()
        self._journal.clear()
        await self._below.close()

    def _current(self, key: AccountKey) -> HeldGrant | None:
        for held in self._held.get(key, {}).values():
            if held.grant.standing is not Standing.REVOKE_ONLY:
                return held
        return None

    def _exact(self, grant: Grant) -> HeldGrant | None:
        return self._held.get(grant.key, {}).get(grant.generation)

    def _change(self, grant: Grant, standing: Standing, ended: End | None = None) -> HeldGrant:
        held = self._exact(grant)
        if held is None or held.grant.standing is not Standing.CURRENT:
            message = f"the ephemeral login of {grant.key} has been replaced or is over"
            raise ConflictError(message)
        changed = HeldGrant(replace(held.grant, standing=standing, ended=ended), held.secret)
        self._held[grant.key][grant.generation] = changed
        return changed

    def _forget(self, grant: Grant | None) -> None:
        if grant is None:
            return
        there = self._held.get(grant.key, {})
        there.pop(grant.generation, None)
        if not there:
            self._held.pop(grant.key, None)
        if self._current(grant.key) is None:
            self._caches.pop(grant.key, None)
