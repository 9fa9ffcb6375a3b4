"""Removing keychain items that no row stands for: what a rotation replaced, and what a crash left.

Each such item was noted in grants.db before it came about or lost its row, so none is forgotten
and none that is in use is touched. A successor of the account's current generation is left: the
next renewal decides about it (`adopting`).
"""

import asyncio
from collections.abc import Callable

from tool_agentd.adapters.store import succession, tables, vault
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.locks import Locks
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.adapters.store.trouble import UnansweredError
from tool_agentd.adapters.worker import RETRY_AFTER
from tool_agentd.errors import AgentError
from tool_agentd.model import AccountKey

WRITE_PATIENCE = 4.0
"""Seconds to wait for another writer of the same account: each takes milliseconds, but one whose
keychain call hangs keeps the account until the call ends."""


class Sweeper:
    """Sweeps in the background: nobody waits for it, and nobody is told when it fails."""

    def __init__(
        self,
        database: Database,
        keychain: Keychain,
        locks: Locks,
        failpoint: Callable[[str], None],
    ) -> None:
        """Sweep this database's leftovers from the keychain."""
        self._database = database
        self._keychain = keychain
        self._locks = locks
        self._failpoint = failpoint
        self._task: asyncio.Task[None] | None = None
        self._due = True
        """Whether there may be something to remove; at the start there may."""

    def mark(self) -> None:
        """Remember that there is something to remove."""
        self._due = True

    def begin(self) -> None:
        """Sweep in the background if there may be something, one sweep at a time."""
        if self._due and (self._task is None or self._task.done()):
            self._due = False
            self._task = asyncio.create_task(self._sweep())

    async def settled(self) -> None:
        """Return when no sweep is running and none is due that could succeed."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def remove(self, leftover: Leftover) -> None:
        """Remove one item, whose lock the caller holds, and forget it."""
        hold = self._locks.try_hold(f"item {leftover.item}")
        if hold is None:
            raise UnansweredError(  # by an earlier removal that overran its deadline
                f"the keychain is still busy with its item {leftover.item}", retry_after=RETRY_AFTER
            )
        try:
            await self._keychain.remove(leftover.place, leftover.item, started=hold.keep)
        finally:
            hold.let_go()
        self._failpoint("removed")
        await self._database.change(lambda connection, _: tables.forget(connection, leftover))
        self._failpoint("forgotten")

    async def _sweep(self) -> None:
        silent: set[str] = set()
        try:
            found = await self._database.run(lambda connection, _: tables.leftovers(connection))
        except AgentError:
            self._due = True  # the next call of the store begins another sweep
            return
        for leftover in found:
            if leftover.place in silent:
                continue  # one keychain that does not answer keeps no other from being swept
            try:
                await self._sweep_one(leftover)
            except AgentError:
                self._due = True
                silent.add(leftover.place)

    async def _sweep_one(self, leftover: Leftover) -> None:
        hold = self._locks.try_hold(lock_name(leftover.key))
        if hold is None:
            self._due = True  # being written just now, by us or by another process
            return
        try:
            noted = await self._database.run(
                lambda connection, header: (
                    leftover in tables.leftovers(connection)
                    and not succession.awaited(connection, header, leftover)
                )
            )
            if noted:  # else it has been committed, or swept, before we had the lock
                await self.remove(leftover)
        finally:
            hold.let_go()


def lock_name(key: AccountKey) -> str:
    """Return the name of the lock under which an account's items, or the vault's key, change."""
    return "vault" if key == vault.KEY else f"write {key}"
