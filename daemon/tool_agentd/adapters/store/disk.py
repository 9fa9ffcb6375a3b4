"""The store over grants.db, with the secrets in the keychain or in the vault."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from sqlite3 import Connection

from tool_agentd.adapters.store import caching, journal, locking, rows, tables
from tool_agentd.adapters.store.adopting import Adopter
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.locks import Locks
from tool_agentd.adapters.store.reading import Reader, sound
from tool_agentd.adapters.store.reporting import Reporter
from tool_agentd.adapters.store.rows import Row, check_storable
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.sweeping import WRITE_PATIENCE, Sweeper, lock_name
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.adapters.store.trouble import DamagedError, UnansweredError, gone
from tool_agentd.adapters.store.vault import Vault
from tool_agentd.adapters.store.writing import Writer
from tool_agentd.errors import (
    AgentError,
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
)
from tool_agentd.model import (
    AccountKey,
    End,
    Grant,
    HeldGrant,
    JournalEntry,
    Standing,
    StoredLock,
)
from tool_agentd.ports import Presented, StoreStatus
from tool_agentd.secret import Secret

READ_TRIES = 3
"""Reads of one account before its trouble is believed: a rotation between looking at the row and
opening its box makes the first try fail, and hardly ever two."""


class DiskStore:
    """Implements `ports.Store`; the parts are put together by `open_store`."""

    def __init__(  # noqa: PLR0913 - the composition root's only call
        self,
        *,
        database: Database,
        keychain: Keychain,
        vault: Vault,
        locks: Locks,
        sweeper: Sweeper,
        writer: Writer,
        reporter: Reporter,
        adopter: Adopter,
    ) -> None:
        """Open nothing yet."""
        self._database = database
        self._keychain = keychain
        self._vault = vault
        self._locks = locks
        self._sweeper = sweeper
        self._writer = writer
        self._reporter = reporter
        self._adopter = adopter
        self._reader = Reader(database, keychain, vault)

    async def list(self) -> tuple[Grant, ...]:
        """Return every grant, by account and generation, from one query.

        A damaged row is listed with the method `unreadable` and no origins: `read` says what is
        wrong with it, `delete` erases it.
        """
        found = await self._database.run(
            lambda connection, header: tuple(
                rows.grant_of(row, header.salt) or rows.remnant_of(row)
                for row in tables.every(connection)
            )
        )
        # An agent lists when it starts, and every 30 s: what a killed login has left in the
        # keychain goes then, though nobody asks for anything.
        self._sweeper.begin()
        return found

    async def current(self, key: AccountKey) -> Grant | None:
        """Return the current row, damaged or not, as `list` would."""

        def look(connection: Connection, header: Header) -> Grant | None:
            row = tables.current(connection, key)
            if row is None:
                return None
            return rows.grant_of(row, header.salt) or rows.remnant_of(row)

        return await self._database.run(look)

    async def read(self, key: AccountKey) -> HeldGrant | None:
        """Return the current grant; LoginRequiredError where the person has deleted its item."""
        seen = None
        for _ in range(READ_TRIES):
            row, header, vault_header = await self._database.run(
                lambda connection, header: (
                    tables.current(connection, key),
                    header,
                    tables.vault_header(connection),
                )
            )
            if row is None or row.standing == Standing.ENDED:
                return None
            if seen is not None and seen[0] == row:
                raise seen[1]
            try:
                held = await self._reader.open(row, header, vault_header)
            except (DamagedError, LoginRequiredError) as error:
                seen = row, error
                continue
            self._sweeper.begin()
            return held
        raise UnansweredError(f"{key} is being changed again and again", retry_after=1.0)

    async def unseal(self, grant: Grant) -> Secret:
        """Return the secret of this generation; ConflictError where it is no longer stored."""
        row, header, vault_header = await self._database.run(
            lambda connection, header: (
                tables.exact(connection, grant.key, grant.generation),
                header,
                tables.vault_header(connection),
            )
        )
        if row is None or row.standing == Standing.ENDED:
            raise gone(grant)
        return (await self._reader.open(row, header, vault_header)).secret

    async def prepare(self) -> None:
        """Look whether the configured box takes a grant; a new vault is made for it."""
        await self._database.run(lambda _connection, _header: None)
        await self._writer.prepare()

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Store the next generation; what cannot be opened is not replaced."""
        check_storable(grant, secret)
        name = lock_name(grant.key)
        async with self._locks.hold(
            name, what=f"the stored login of {grant.key}", patience=WRITE_PATIENCE
        ) as hold:
            row, header, vault_header = await self._database.run(
                lambda connection, header: (
                    tables.expect(connection, grant.key, expected),
                    header,
                    tables.vault_header(connection),
                )
            )
            if row is not None and row.standing != Standing.ENDED:
                await self._refuse_unreadable(row, header, vault_header)
            stored = await self._writer.write(grant, secret, expected=expected, hold=hold)
        self._sweeper.mark()
        self._sweeper.begin()
        return stored

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:
        """Look for the keychain item of a killed rotation; a vault's write leaves none."""
        return await self._adopter.adopt(key, presented)

    async def retire(self, grant: Grant) -> Grant:
        """Make this generation revoke-only; ConflictError where it is no longer stored."""

        def work(connection: Connection, header: Header) -> Grant:
            row = tables.exact(connection, grant.key, grant.generation)
            if row is None:
                raise gone(grant)
            found = rows.grant_of(row, header.salt)
            retired = replace(row, standing=Standing.REVOKE_ONLY.value)
            if found is None:  # a damaged row stays one: its digest is not made good
                tables.stand(connection, retired)
            else:
                tables.stand(connection, rows.signed(retired, header.salt))
            caching.drop(connection, header, grant.key)
            if found is None:
                return rows.remnant_of(retired)
            return replace(found, standing=Standing.REVOKE_ONLY)

        retired = await self._database.change(work)
        self._sweeper.mark()  # a successor that nobody has adopted is an orphan from now on
        return retired

    async def bury(self, grant: Grant, end: End) -> None:
        """Leave a tombstone for this generation; one that is there already is no error.

        The secret is unreachable at once; an item of the keychain is removed in the background.
        """

        def work(connection: Connection, header: Header) -> None:
            row = tables.expect(connection, grant.key, grant.generation)
            if row is None:  # both say 0: a grant that was never stored
                raise gone(grant)
            found = sound(row, header)
            if found.standing is Standing.ENDED:
                return
            tables.remove(connection, row)
            tables.insert(connection, rows.tombstone_of(row, found, end, header.salt))
            caching.drop(connection, header, grant.key)
            if row.place:  # a keychain has it
                tables.note(connection, Leftover(row.place, row.name, row.key, row.generation))

        async with self._locks.hold(
            lock_name(grant.key), what=f"the stored login of {grant.key}", patience=WRITE_PATIENCE
        ):
            await self._database.change(work)
        self._sweeper.mark()
        self._sweeper.begin()

    async def delete(self, grant: Grant) -> None:
        """Erase this generation.

        The row goes first, so nothing can be served from it any more. StoreUnavailableError says
        that the keychain keeps the item for now: it is removed as soon as the keychain answers,
        and calling again tries at once.
        """

        def work(connection: Connection, header: Header) -> list[Leftover]:
            row = tables.exact(connection, grant.key, grant.generation)
            if row is not None:
                tables.remove(connection, row)
                tables.never_again(connection, row.generation)
                caching.drop(connection, header, grant.key)
                if row.place:  # a keychain has it
                    tables.note(connection, Leftover(row.place, row.name, row.key, row.generation))
            return [
                leftover
                for leftover in tables.leftovers(connection)
                if leftover.key == grant.key and leftover.generation == grant.generation
            ]

        async with self._locks.hold(
            lock_name(grant.key), what=f"the stored login of {grant.key}", patience=WRITE_PATIENCE
        ):
            for leftover in await self._database.change(work):
                try:
                    await self._sweeper.remove(leftover)
                except StoreUnavailableError as error:
                    self._sweeper.mark()
                    raise UnansweredError(
                        f"{grant.key} is erased here, but its keychain item {leftover.item} is"
                        f" not yet: {error.detail}",
                        hint=error.hint,
                        retry_after=error.retry_after,
                    ) from error
        self._sweeper.mark()  # as in `retire`
        self._sweeper.begin()

    def lease(self, key: AccountKey) -> AbstractAsyncContextManager[None]:
        """Hold the account; the kernel lets go of it when the process ends, however it ends."""
        return self._leased(key)

    async def choices(self) -> Mapping[str, str]:
        """Return the chosen label of each tool."""
        return await self._database.run(lambda connection, _: tables.choices(connection))

    async def choose(self, tool: str, label: str | None) -> None:
        """Remember or forget a choice."""
        await self._database.change(lambda connection, _: tables.choose(connection, tool, label))

    async def caches(self, key: AccountKey) -> Mapping[str, str]:
        """Return what is kept beside the account's current login."""
        return await self._database.run(
            lambda connection, header: caching.kept(connection, header, key)
        )

    async def keep_cache(self, grant: Grant, name: str, text: str) -> bool:
        """Keep a text beside the login, if it is the current one."""
        return await self._database.change(
            lambda connection, header: caching.keep(connection, header, grant, name, text)
        )

    async def fingerprint(self, grant: Grant, secret: Secret) -> str:  # noqa: ARG002 - the port's signature
        """Return the fingerprint that the row of a grant with this secret has."""
        return await self._database.run(
            lambda _, header: rows.fingerprint(secret.reveal(), header.salt).hex()
        )

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Add to the journal in one transaction."""
        place = self._locks.place()
        await self._database.change(
            lambda connection, header: journal.add(connection, header, entries, place)
        )

    async def history(self, key: AccountKey) -> tuple[JournalEntry, ...]:
        """Return the account's entries; damaged ones are not there."""
        place = self._locks.place()
        return await self._database.run(
            lambda connection, header: journal.of(connection, header, key, place)
        )

    async def status(self) -> StoreStatus:
        """Say where secrets rest and what is wrong."""
        status = await self._reporter.status()
        self._sweeper.begin()
        return status

    async def unlock(self, passphrase: Secret) -> None:
        """Use this passphrase for the vault; StoreUnavailableError where it is the wrong one.

        A vault that does not exist yet gets it with the first grant.
        """
        if not self._writer.takes_passphrase:
            raise InvalidRequestError(
                "no passphrase seals what is stored here",
                hint="'tool-agent status' says where secrets rest",
            )
        header, stored = await self._database.run(
            lambda connection, header: (header, tables.vault_header(connection))
        )
        await self._vault.give(passphrase, stored, header.id)
        self._reporter.forget()

    async def sealed(self) -> bool:
        """Tell whether a vault is there whose passphrase is neither typed nor in a file."""
        stored = await self._database.run(lambda connection, _: tables.vault_header(connection))
        return stored is not None and await self._vault.sealed(stored)

    def drop(self) -> None:
        """Forget the vault's key, and the passphrase that was typed for it."""
        self._vault.drop()
        self._reporter.forget()

    async def lock(self) -> StoredLock | None:
        """Return what is kept of the agent's lock; DamagedError where that makes no sense."""
        return await self._database.run(locking.read)

    async def keep_lock(self, lock: StoredLock | None) -> None:
        """Keep that instead, in one transaction."""
        await self._database.change(
            lambda connection, header: locking.keep(connection, header, lock)
        )

    async def settled(self) -> None:
        """Return when what was replaced has been removed, as far as the keychain answers."""
        await self._sweeper.settled()

    async def close(self) -> None:
        """Finish removing, then let go of files and threads."""
        await self.settled()
        try:
            await self._database.close()
        except AgentError:
            pass  # a disk that hangs: the threads are daemons, the process ends all the same
        finally:
            self._keychain.close()
            self._vault.close()
            self._locks.close()

    @asynccontextmanager
    async def _leased(self, key: AccountKey) -> AsyncIterator[None]:
        async with self._locks.hold(f"lease {key}", what=str(key)):
            yield

    async def _refuse_unreadable(
        self, row: Row, header: Header, vault_header: bytes | None
    ) -> None:
        """Raise DamagedError where the row cannot be opened: it may be all that is left of it.

        An item that the person deleted, and a box that does not answer, are no reason: the first
        is what a login is for, and the second must not bar the way into another box.
        """
        try:
            await self._reader.open(row, header, vault_header)
        except (LoginRequiredError, UnansweredError):
            return
