"""A damaged, foreign, cut or outdated grants.db: a clear error, and the file is left as it is."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    OTHER,
    QUICK_SCRYPT,
    Place,
    credential_place,
    grant,
    secret,
)
from tool_agentd.adapters.store import Means, rows, schema, tables
from tool_agentd.adapters.store.grants_db import GrantsDb
from tool_agentd.adapters.store.keychain import Candidate, Ring
from tool_agentd.errors import AgentError, StoreUnavailableError
from tool_agentd.model import AccountKey, Grant, HeldGrant
from tool_agentd.ports import Store


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault under a credential: the whole store in one file, and no keychain needed."""
    return credential_place(tmp_path)


def digest(file: Path) -> str:
    """Return what a file holds, for comparison."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fill(place: Place) -> dict[AccountKey, HeldGrant]:
    """Store two accounts."""

    async def use(store: Store) -> dict[AccountKey, HeldGrant]:
        held = {}
        for key in (KEY, OTHER):
            value = secret()
            held[key] = HeldGrant(await store.write(grant(key), value, expected=0), value)
        return held

    return place.run(use)


def refusal(place: Place) -> StoreUnavailableError:
    """Return the error that every method meets, and see that none changes the file."""
    before = digest(place.database)

    async def use(store: Store) -> StoreUnavailableError:
        calls: list[Callable[[], object]] = [
            store.list,
            store.choices,
            lambda: store.read(KEY),
            lambda: store.write(grant(), secret(), expected=0),
            lambda: store.choose("cre", "x"),
            lambda: store.delete(grant(generation=1)),
        ]
        errors = []
        for call in calls:
            with pytest.raises(StoreUnavailableError) as refused:
                await call()  # type: ignore[misc]  # each returns an awaitable
            errors.append(refused.value)
        assert {error.detail for error in errors} == {errors[0].detail}
        assert errors[0].detail in (await store.status()).problems
        return errors[0]

    error = place.run(use)
    assert digest(place.database) == before
    return error


def test_an_emptied_file_is_not_taken_for_a_new_one(place: Place) -> None:
    """A grants.db of no bytes is an error that says so."""
    fill(place)
    place.database.write_bytes(b"")
    assert refusal(place).detail == f"{place.database} is empty; something cut it short"


def test_a_foreign_file_is_left_alone(place: Place) -> None:
    """Text in the place of grants.db is refused."""
    place.state.mkdir(mode=0o700)
    place.database.write_bytes(b"my only copy of the novel\n" * 100)
    place.database.chmod(0o600)
    assert refusal(place).detail == f"{place.database} is not a database"


def test_another_programs_database_is_left_alone(place: Place) -> None:
    """A SQLite file without our application id is refused."""
    place.state.mkdir(mode=0o700)
    connection = sqlite3.connect(place.database)
    connection.execute("CREATE TABLE grants (x)")
    connection.close()
    place.database.chmod(0o600)
    error = refusal(place)
    assert error.detail == f"{place.database} is a database of another program"
    assert error.hint == "move it away to start anew, or put a backup of it in its place"


@pytest.mark.parametrize("keep", [20, 100, 2048, 4096, 8192, 12288, -4096, -1])
def test_a_file_cut_short_is_left_alone(place: Place, keep: int) -> None:
    """Wherever the file was cut, the error says that it is damaged."""
    fill(place)
    whole = place.database.read_bytes()
    place.database.write_bytes(whole[:keep])
    assert "is damaged" in refusal(place).detail or "not a database" in refusal(place).detail


def test_a_newer_schema_is_refused(place: Place) -> None:
    """A file that a later tool-agent wrote is named as such, and kept."""
    fill(place)
    connection = sqlite3.connect(place.database)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    error = refusal(place)
    assert error.detail == (
        f"{place.database} has schema {schema.VERSION + 1}, and this tool-agent knows up to"
        f" {schema.VERSION}"
    )
    assert error.hint == "run the newer tool-agent that wrote it"


def test_a_file_that_others_can_read_is_refused(place: Place) -> None:
    """Wider permissions are named with the command that helps, and then all is well."""
    held = fill(place)
    place.database.chmod(0o640)
    error = refusal(place)
    assert "has mode 0640, not 0600" in error.detail
    assert error.hint == f"run 'chmod 600 {place.database}'"
    place.database.chmod(0o600)
    assert place.run(lambda store: store.read(KEY)) == held[KEY]


def test_a_link_in_place_of_the_file_is_refused(place: Place) -> None:
    """grants.db is a real file."""
    fill(place)
    place.database.rename(place.state / "elsewhere")
    place.database.symlink_to(place.state / "elsewhere")
    assert refusal(place).detail == f"{place.database} is not a regular file"


def test_a_directory_that_others_can_enter_is_refused(place: Place) -> None:
    """The state directory's trouble is the store's, and it ends without a restart."""
    held = fill(place)

    async def use(store: Store) -> None:
        place.state.chmod(0o755)
        with pytest.raises(StoreUnavailableError, match=r"has mode 0755, not 0700"):
            await store.read(KEY)
        with pytest.raises(StoreUnavailableError, match=r"has mode 0755, not 0700"):
            await store.delete(held[OTHER].grant)
        assert any("0755" in problem for problem in (await store.status()).problems)
        place.state.chmod(0o700)
        assert await store.read(KEY) == held[KEY]

    place.run(use)


def test_an_agent_with_a_broken_store_resumes_when_it_is_mended(place: Place) -> None:
    """One opened store fails while the file is bad and answers once a backup is put back."""
    held = fill(place)
    backup = place.database.read_bytes()
    place.database.write_bytes(b"")

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError):
            await store.list()
        place.database.write_bytes(backup)
        assert await store.read(KEY) == held[KEY]

    place.run(use)


def test_a_file_put_in_the_others_place_is_noticed(place: Place, tmp_path: Path) -> None:
    """A running agent reads and writes the file that is at the path now."""
    held = fill(place)
    shutil.copy(place.database, tmp_path / "backup")

    async def use(store: Store) -> None:
        await store.delete(held[KEY].grant)
        (tmp_path / "backup").replace(place.database)
        assert await store.read(KEY) == held[KEY]

    place.run(use)


def edit(place: Place, statement: str, *values: object) -> None:
    """Change grants.db by hand."""
    connection = sqlite3.connect(place.database)
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


WHERE = "WHERE provider = 'cre' AND label = 'default'"
EDITS = {
    "sealed text": "UPDATE grants SET sealed = zeroblob(60)",
    "empty sealed text": "UPDATE grants SET sealed = x''",
    "no sealed text": "UPDATE grants SET sealed = NULL",
    "origins": "UPDATE grants SET facts = replace(facts, 'cre.example', 'evil.example')",
    "not JSON": "UPDATE grants SET facts = x'7b'",
    "a number": "UPDATE grants SET facts = 7",
    "fingerprint": "UPDATE grants SET fingerprint = zeroblob(8)",
    "another box": "UPDATE grants SET box = 'chest'",
    "no text": "UPDATE grants SET box = CAST(x'ff' AS TEXT)",
    "digest": "UPDATE grants SET digest = zeroblob(16)",
    "revived": "UPDATE grants SET generation = 7",
}


@pytest.mark.parametrize("what", EDITS)
def test_a_damaged_row_takes_no_other_with_it(place: Place, what: str) -> None:
    """It is listed without an origin, not read, not replaced; erasing it makes way for a login."""
    held = fill(place)
    edit(place, f"{EDITS[what]} {WHERE}")
    before = digest(place.database)
    generation = 7 if what == "revived" else 1

    async def use(store: Store) -> None:
        broken, whole = await store.list()
        assert whole == held[OTHER].grant
        assert (broken.key, broken.method, broken.origins) == (KEY, rows.UNREADABLE, ())
        assert await store.read(OTHER) == held[OTHER]
        for call in (
            lambda: store.read(KEY),
            lambda: store.unseal(broken),
            lambda: store.write(grant(), secret(), expected=generation),
        ):
            with pytest.raises(StoreUnavailableError) as refused:
                await call()
            assert refused.value.detail == (
                f"the row of cre/default#{generation} in grants.db is damaged; other accounts"
                " are not affected"
            )
            assert "tool-agent logout TOOL" in (refused.value.hint or "")
        assert (await store.status()).problems == (
            f"the row of cre/default#{generation} in grants.db is damaged",
        )
        assert digest(place.database) == before
        await store.delete(await store.retire(broken))
        anew = secret()
        stored = await store.write(grant(), anew, expected=0)
        assert await store.read(KEY) == HeldGrant(stored, anew)
        assert await store.read(OTHER) == held[OTHER]

    place.run(use)


def test_a_row_of_another_account_does_not_pass_for_this_one(place: Place) -> None:
    """A sealed secret is bound to its account: even a row with a good digest is not opened."""
    held = fill(place)
    database = GrantsDb(str(place.state))

    def swap(connection: sqlite3.Connection, header: schema.Header) -> None:
        first, second = tables.every(connection)
        for row, other in ((first, second), (second, first)):
            moved = replace(row, sealed=other.sealed)
            tables.remove(connection, row)
            tables.insert(connection, rows.signed(moved, header.salt))

    database.run(swap, write=True)
    database.close()

    async def use(store: Store) -> None:
        for key in (KEY, OTHER):
            with pytest.raises(StoreUnavailableError) as refused:
                await store.read(key)
            assert refused.value.detail == (f"the sealed secret of {key}#1 in grants.db is damaged")
            await store.delete(held[key].grant)

    place.run(use)


def test_any_flipped_byte_gives_the_truth_or_an_error(place: Place, tmp_path: Path) -> None:
    """No byte of the file, turned over, yields a wrong secret, a wrong origin or a crash."""
    held = fill(place)
    whole = place.database.read_bytes()
    used = [index for index, byte in enumerate(whole) if byte]
    damaged = replace(place, state=tmp_path / "damaged")
    damaged.state.mkdir(mode=0o700)
    known = {item.grant for item in held.values()}

    async def look(flipped: bytes) -> None:
        damaged.database.write_bytes(flipped)
        damaged.database.chmod(0o600)
        async with damaged.opened() as store:
            try:
                listed = await store.list()
            except StoreUnavailableError:
                return
            assert all(item in known or not item.origins for item in listed)
            for key in (KEY, OTHER):
                try:
                    found = await store.read(key)
                except AgentError:
                    continue
                assert found is None or found == held[key]

    async def main() -> None:
        for index in used[:: max(1, len(used) // 600)]:
            flipped = bytearray(whole)
            flipped[index] ^= 0xFF if index % 2 else 0x01
            await look(bytes(flipped))

    asyncio.run(main())


def test_an_older_schema_is_migrated_on_a_copy(place: Place) -> None:
    """A later program brings the file up to its schema; this one's accounts are still there."""
    held = fill(place)
    inode = place.database.stat().st_ino

    def to_two(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (at REAL NOT NULL)")

    later = GrantsDb(
        str(place.state), version=schema.VERSION + 1, migrations={schema.VERSION: to_two}
    )

    def look(connection: sqlite3.Connection, header: schema.Header) -> list[Grant | None]:
        connection.execute("SELECT at FROM later")
        return [rows.grant_of(row, header.salt) for row in tables.every(connection)]

    assert later.run(look, write=False) == [held[KEY].grant, held[OTHER].grant]
    later.close()
    assert place.database.stat().st_ino != inode
    assert place.database.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in place.state.iterdir()} <= {"grants.db", "grants.lock"}
    assert f"schema {schema.VERSION + 1}" in refusal(place).detail


def test_a_failed_migration_leaves_the_old_file(place: Place) -> None:
    """A step that fails leaves what was there, and no draft after the next opening."""
    held = fill(place)
    before = digest(place.database)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (at REAL)")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    later = GrantsDb(
        str(place.state), version=schema.VERSION + 1, migrations={schema.VERSION: broken}
    )
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        later.run(lambda _connection, _header: None, write=False)
    assert digest(place.database) == before
    assert place.run(lambda store: store.read(KEY)) == held[KEY]
    assert {path.name for path in place.state.iterdir()} <= {"grants.db", "grants.lock"}


def test_a_writer_that_waited_for_a_migration_writes_to_the_new_file(place: Place) -> None:
    """An agent with the old file open does not lose what it writes after the rename."""
    held = fill(place)

    async def use(store: Store) -> None:
        await store.list()  # the old file is open
        shutil.copy(place.database, place.state / "copy")
        (place.state / "copy").rename(place.database)
        await store.delete(held[KEY].grant)

    place.run(use)
    assert place.run(lambda store: store.list()) == (held[OTHER].grant,)


def test_a_full_disk_is_reported_and_loses_nothing(place: Place) -> None:
    """A write that does not fit is refused as such, and the former state is read."""
    held = fill(place)
    database = GrantsDb(str(place.state))

    def overfill(connection: sqlite3.Connection, _header: schema.Header) -> None:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("INSERT INTO choices VALUES ('x', ?)", ("y" * 1_000_000,))

    with pytest.raises(StoreUnavailableError, match="full"):
        database.run(overfill, write=True)
    database.close()
    assert place.run(lambda store: store.read(KEY)) == held[KEY]


def test_ten_thousand_accounts_are_listed_without_opening_a_box(tmp_path: Path) -> None:
    """A long list is one query: the keychain is not asked."""

    def untouched(_dialogs: bool) -> Ring:  # noqa: FBT001 - the shape of Candidate.connect
        raise AssertionError

    means = Means(
        keychains=(Candidate("x", "X", untouched, lambda: ("X", False)),), scrypt_n=QUICK_SCRYPT
    )
    place = Place("keychain", tmp_path / "state", {}, means)
    database = GrantsDb(str(place.state))

    def insert(connection: sqlite3.Connection, header: schema.Header) -> None:
        for number in range(10_000):
            one = grant(AccountKey("cre", f"a{number:05}"))
            row = rows.Row(
                "cre", one.key.label, 1, "current", "keychain", "x", rows.facts_of(one), b""
            )
            tables.insert(connection, rows.signed(row, header.salt))

    database.run(insert, write=True)
    database.close()
    listed = place.run(lambda store: store.list())
    assert len(listed) == 10_000
    assert listed[9_999] == grant(AccountKey("cre", "a09999"), generation=1)
