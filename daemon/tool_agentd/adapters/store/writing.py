"""Storing the next generation of a grant: by a new keychain item, or sealed in its row."""

from collections.abc import Callable
from dataclasses import replace
from sqlite3 import Connection

from tool_agentd.adapters.store import (
    caching,
    kinds,
    rows,
    sealing,
    succession,
    tables,
    vault,
)
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.keychain_trouble import locked
from tool_agentd.adapters.store.locks import Hold, Locks
from tool_agentd.adapters.store.rows import Row
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.sweeping import lock_name
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.adapters.store.trouble import DamagedError
from tool_agentd.adapters.store.vault import OpenVault, Vault
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import Grant, Standing
from tool_agentd.secret import Secret

LOOK_DEADLINE = 4.0
"""Seconds for a keychain to say whether it is locked, as for any other call to it."""
VAULT_PATIENCE = 30.0
"""Seconds to wait for another process that makes the vault: it may run scrypt."""


class Writer:
    """Writes to the configured box. The caller holds the account's lock."""

    def __init__(  # noqa: PLR0913 - the composition root's only call
        self,
        box: str,
        *,
        database: Database,
        keychain: Keychain,
        vault_: Vault,
        locks: Locks,
        failpoint: Callable[[str], None],
    ) -> None:
        """`box` is `keychain` or `vault`."""
        self._box = box
        self._database = database
        self._keychain = keychain
        self._vault = vault_
        self._locks = locks
        self._failpoint = failpoint

    @property
    def takes_passphrase(self) -> bool:
        """Whether the configured box is a vault sealed by a passphrase."""
        return self._box != rows.KEYCHAIN and self._vault.source == kinds.PASSPHRASE

    async def write(self, grant: Grant, secret: Secret, *, expected: int, hold: Hold) -> Grant:
        """Store it durably and return it as stored; ConflictError as `ports.Store.write`."""
        if self._box == rows.KEYCHAIN:
            return await self._write_item(grant, secret, expected=expected, hold=hold)
        opened = await self._ready_vault()
        return await self._database.change(
            lambda connection, header: self._insert_sealed(
                connection, header, opened, grant, secret, expected=expected
            )
        )

    async def prepare(self) -> None:
        """Raise StoreUnavailableError where the box would not take a grant now; never prompt."""
        if self._box != rows.KEYCHAIN:
            await self._ready_vault()
            return
        title, is_locked = await self._keychain.look(deadline=LOOK_DEADLINE)
        if is_locked:
            raise locked(title)

    async def _write_item(
        self, grant: Grant, secret: Secret, *, expected: int, hold: Hold
    ) -> Grant:
        """Note the item, write it, read it back, commit; a crash anywhere leaves old or new.

        Where it is a rotation, the note says so: what a crash leaves of it is adopted.
        """
        place = await self._keychain.place()

        def begin(connection: Connection, header: Header) -> Leftover:
            replaced = tables.expect(connection, grant.key, expected)
            generation = tables.next_generation(connection, grant.key, replaced)
            noted = Leftover(place, f"{grant.key}#{generation}", grant.key, generation)
            if replaced is not None and rows.same_login(replaced, grant):
                noted = succession.successor(noted, replaced, secret, header)
            tables.note(connection, noted)
            return noted

        noted = await self._database.change(begin)
        self._failpoint("noted")
        await self._keychain.put(
            place,
            noted.item,
            secret,
            started=hold.keep,
            between=lambda: self._failpoint("written"),
        )
        self._failpoint("verified")

        def commit(connection: Connection, header: Header) -> Grant:
            replaced = tables.expect(connection, grant.key, expected)
            new = _row(grant, secret, header, rows.KEYCHAIN, noted.generation, place=place)
            put_in_place(connection, header, replaced, new)
            tables.forget(connection, noted)
            return replace(grant, generation=new.generation, standing=Standing.CURRENT, ended=None)

        stored = await self._database.change(commit)
        self._failpoint("committed")
        return stored

    async def _ready_vault(self) -> OpenVault:
        """Return the vault, opened; where nothing is sealed yet and it cannot be, a new one."""
        async with self._locks.hold(
            lock_name(vault.KEY), what="the vault", patience=VAULT_PATIENCE
        ) as hold:
            header, stored, sealed = await self._database.run(
                lambda connection, header: (
                    header,
                    tables.vault_header(connection),
                    tables.sealed_count(connection),
                )
            )
            if stored is None and sealed:
                raise DamagedError("the vault's header is missing from grants.db", hint=vault.LOST)
            if stored is not None:
                try:
                    self._check_source(stored)
                    return await self._vault.open(stored, header.id)
                except DamagedError:
                    if sealed:
                        raise
            return await self._new_vault(header, stored, hold)

    def _check_source(self, stored: bytes) -> None:
        """Raise DamagedError where the vault has its key from elsewhere than it should."""
        source = sealing.decoded(stored).source
        if source != self._vault.source:
            raise DamagedError(
                f"the vault's key comes from '{source}', and [store] key or TOOL_AGENT_STORE asks"
                f" for '{self._vault.source}'",
                hint=f"ask for '{source}' again, or run 'tool-agent logout --all': the next login"
                " makes a new vault",
            )

    async def _new_vault(self, header: Header, stored: bytes | None, hold: Hold) -> OpenVault:
        async def note(leftover: Leftover) -> None:
            await self._database.change(lambda connection, _: tables.note(connection, leftover))

        made = await self._vault.make(header.id, note=note, started=hold.keep)

        def commit(connection: Connection, _header: Header) -> None:
            if tables.vault_header(connection) != stored or tables.sealed_count(connection):
                raise StoreUnavailableError("the vault was changed meanwhile", retry_after=1.0)
            tables.put_vault_header(connection, made.stored)
            new, old = vault.leftover(made.stored), vault.leftover(stored or b"")
            if new is not None:
                tables.forget(connection, new)
            if old is not None:
                tables.note(connection, old)

        await self._database.change(commit)
        self._vault.adopt(made)
        return made

    @staticmethod
    def _insert_sealed(  # noqa: PLR0913 - one transaction over all that a write is made of
        connection: Connection,
        header: Header,
        opened: OpenVault,
        grant: Grant,
        secret: Secret,
        *,
        expected: int,
    ) -> Grant:
        if tables.vault_header(connection) != opened.stored:
            raise StoreUnavailableError("the vault was changed meanwhile", retry_after=1.0)
        replaced = tables.expect(connection, grant.key, expected)
        generation = tables.next_generation(connection, grant.key, replaced)
        new = _row(grant, secret, header, rows.VAULT, generation)
        sealed = sealing.seal(new, header.id, opened.data_key, secret.reveal())
        put_in_place(connection, header, replaced, replace(new, sealed=sealed))
        return replace(grant, generation=generation, standing=Standing.CURRENT, ended=None)


def _row(  # noqa: PLR0913 - a row is made of that much
    grant: Grant, secret: Secret, header: Header, box: str, generation: int, *, place: str = ""
) -> Row:
    return Row(
        provider=grant.key.provider,
        label=grant.key.label,
        generation=generation,
        standing=Standing.CURRENT.value,
        box=box,
        place=place,
        facts=rows.facts_of(replace(grant, ended=None)),
        fingerprint=rows.fingerprint(secret.reveal(), header.salt),
    )


def put_in_place(connection: Connection, header: Header, old: Row | None, new: Row) -> None:
    """Put the new row in the old one's place, in the transaction that is going on."""
    if old is not None:
        tables.remove(connection, old)
        if old.place:  # a keychain has it
            tables.note(connection, Leftover(old.place, old.name, old.key, old.generation))
    tables.insert(connection, rows.signed(new, header.salt))
    caching.drop(connection, header, new.key)
