"""Adopting what a rotation left that was killed between its keychain item and its row."""

from collections.abc import Callable
from sqlite3 import Connection

from tool_agentd.adapters.store import journal, rows, succession, tables
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.locks import Locks
from tool_agentd.adapters.store.rows import Row
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.sweeping import WRITE_PATIENCE, Sweeper, lock_name
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.adapters.store.writing import put_in_place
from tool_agentd.model import AccountKey, Grant, HeldGrant
from tool_agentd.ports import Presented
from tool_agentd.secret import Secret


class Adopter:
    """Gives an account the secret that it has been given already."""

    def __init__(
        self,
        database: Database,
        keychain: Keychain,
        locks: Locks,
        sweeper: Sweeper,
        failpoint: Callable[[str], None],
    ) -> None:
        """Adopt from this keychain into this database."""
        self._database = database
        self._keychain = keychain
        self._locks = locks
        self._sweeper = sweeper
        self._failpoint = failpoint

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:
        """Implement `ports.Store.adopt`."""
        if not await self._database.run(
            lambda connection, header: succession.of(connection, header, key)
        ):
            return None
        place = self._locks.place()

        def look(
            connection: Connection, header: Header
        ) -> tuple[Row | None, list[Leftover], bool, Header]:
            row = tables.current(connection, key)
            if row is None or rows.grant_of(row, header.salt) is None:
                return None, [], False, header
            history = journal.of(connection, header, key, place)
            proven = presented(history, row.fingerprint.hex())
            return row, succession.of(connection, header, key), proven, header

        # Whoever is between an item and its row just now, and lives, holds this lock.
        async with self._locks.hold(
            lock_name(key), what=f"the stored login of {key}", patience=WRITE_PATIENCE
        ):
            row, there, proven, header = await self._database.run(look)
            if row is None or not there:
                return None
            found = await self._readable(there, header) if proven else None
            kept = await self._settle(row, there, found[0] if found else None)
        self._failpoint("adopted")
        self._sweeper.mark()
        self._sweeper.begin()
        return HeldGrant(kept, found[1]) if kept is not None and found else None

    async def _readable(
        self, there: list[Leftover], header: Header
    ) -> tuple[Leftover, Secret] | None:
        """Return the newest item that is as it was noted; one that is not there is none."""
        for noted in there:
            text = await self._keychain.get(noted.place, noted.item)
            if text and rows.fingerprint(text, header.salt) == noted.fingerprint:
                return noted, Secret(text)
        return None

    async def _settle(
        self, row: Row, there: list[Leftover], chosen: Leftover | None
    ) -> Grant | None:
        """Write the row of the chosen item, in the place of `row`; the others are orphans."""

        def work(connection: Connection, header: Header) -> Grant | None:
            if tables.current(connection, row.key) != row:
                return None  # a logout has come between: they are orphans by that
            for noted in there:
                tables.note(connection, succession.orphan(noted))
            if chosen is None:
                return None
            new = succession.adopted(row, chosen, header)
            put_in_place(connection, header, row, new)
            tables.forget(connection, chosen)
            return rows.grant_of(new, header.salt)

        return await self._database.change(work)
