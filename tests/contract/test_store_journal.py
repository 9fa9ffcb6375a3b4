"""The journal of every store: order, bounds, fingerprints, damage, and the way from schema 2."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_places import (
    KEY,
    NEED_KEYCHAIN,
    OTHER,
    PLACES,
    Place,
    credential_place,
    grant,
    secret,
)
from tool_agentd.adapters.store import journal, schema
from tool_agentd.model import AccountKey, JournalEntry, JournalEvent
from tool_agentd.ports import JOURNAL_LENGTH, Store
from tool_agentd.secret import Secret


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    kind: str = request.param
    if kind in NEED_KEYCHAIN:
        request.getfixturevalue("keychain_here")
    return PLACES[kind](tmp_path)


def entry(at: float = 1.5, key: AccountKey = KEY, **more: object) -> JournalEntry:
    """Return an entry with every field set."""
    whole = JournalEntry(
        at=at,
        key=key,
        event=JournalEvent.INTENT,
        generation=3,
        fingerprint="0011223344556677",
        attempt=2,
        detail="Zoë said: 'no'",
        by="pid 7, uid 8",
    )
    return replace(whole, **more)  # type: ignore[arg-type]  # fields by name


def test_what_was_recorded_is_told_in_its_order(place: Place) -> None:
    """Every field comes back, of this account only, in the order of writing whatever the clock."""
    first, second = entry(2.0), entry(1.0, event=JournalEvent.ROTATED, attempt=0)

    async def use(store: Store) -> None:
        assert await store.history(KEY) == ()
        await store.record([first, entry(key=OTHER)])
        await store.record([second])
        assert await store.history(KEY) == (first, second)
        assert await store.history(OTHER) == (entry(key=OTHER),)

    place.run(use)
    after = place.run(lambda store: store.history(KEY))
    assert after == ((first, second) if place.outlives else ())


def test_the_journal_never_grows_beyond_its_bound(place: Place) -> None:
    """Of each account the newest stay; another account's are not touched."""

    async def use(store: Store) -> None:
        await store.record([entry(key=OTHER)])
        for begin in range(0, 600, 60):
            await store.record([entry(float(begin + n)) for n in range(60)])
            assert len(await store.history(KEY)) == min(begin + 60, JOURNAL_LENGTH)
        times = [one.at for one in await store.history(KEY)]
        assert times == [float(n) for n in range(600 - JOURNAL_LENGTH, 600)]
        assert len(await store.history(OTHER)) == 1

    place.run(use)


def test_a_history_outlives_its_login(place: Place) -> None:
    """A lost login is asked about when it is gone."""

    async def use(store: Store) -> None:
        stored = await store.write(grant(), secret(), expected=0)
        await store.record([entry()])
        await store.delete(stored)
        assert await store.history(KEY) == (entry(),)

    place.run(use)


def test_a_fingerprint_tells_secrets_apart_and_gives_none_away(place: Place) -> None:
    """The same for the same secret, another for another, and nothing of it is in the file."""
    value, other = secret(), secret()

    async def use(store: Store) -> str:
        mark = await store.fingerprint(grant(), value)
        assert mark == await store.fingerprint(grant(generation=9), value)
        assert mark != await store.fingerprint(grant(), other)
        await store.record([entry(fingerprint=mark)])
        return mark

    mark = place.run(use)
    assert mark not in {value.reveal(), ""}
    if place.outlives:
        assert place.run(lambda store: store.fingerprint(grant(), value)) == mark
        assert value.reveal().encode() not in place.database.read_bytes()


def test_a_fingerprint_is_that_of_the_grants_row(tmp_path: Path) -> None:
    """What the journal calls a token, and what its row says, can be compared by hand."""
    place = credential_place(tmp_path)
    value = secret()
    place.run(lambda store: store.write(grant(), value, expected=0))
    ((found,),) = _query(place, "SELECT fingerprint FROM grants")
    assert isinstance(found, bytes)
    assert place.run(lambda store: store.fingerprint(grant(), value)) == found.hex()


def test_accounts_that_are_gone_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of labels fills no disk; an account that has a grant keeps its own."""
    monkeypatch.setattr(journal, "JOURNAL_TOTAL", 20)
    place = credential_place(tmp_path)

    async def use(store: Store) -> None:
        await store.write(grant(), Secret("kept"), expected=0)
        await store.record([entry(1.0)])
        for number in range(50):
            await store.record([entry(key=AccountKey("cre", f"label-{number}"))])
        assert await store.history(KEY) == (entry(1.0),)

    place.run(use)
    assert _query(place, "SELECT count(*) FROM journal") == [(21,)]


@pytest.mark.parametrize(
    "change",
    [
        "event = 'refused'",
        "fingerprint = x'00ff'",
        "at = 'yesterday'",
        "attempt = attempt + 1",
        "detail = x'ff'",
        "digest = 7",
        "provider = provider || ''",
    ],
)
def test_a_damaged_entry_is_not_there(tmp_path: Path, change: str) -> None:
    """It is left out, and the others are told; what changes nothing is no damage."""
    place = credential_place(tmp_path)
    place.run(lambda store: store.record([entry(1.0), entry(2.0), entry(3.0)]))
    _query(place, f"UPDATE journal SET {change} WHERE number = 2")  # noqa: S608 - the test's own
    kept = place.run(lambda store: store.history(KEY))
    times = [one.at for one in kept]
    assert times == ([1.0, 2.0, 3.0] if change.startswith("provider") else [1.0, 3.0])


def test_a_copied_store_knows_that_it_is_one(tmp_path: Path) -> None:
    """An intent that was written under another lease file is not `here`: its writer may live."""
    place = credential_place(tmp_path)
    place.run(lambda store: store.record([entry()]))
    assert [one.here for one in place.run(lambda store: store.history(KEY))] == [True]
    lock = place.state / "grants.lock"
    content = lock.read_bytes()
    lock.rename(place.state / "other.lock")  # keeps its inode, as the original of a copy does
    lock.write_bytes(content)
    lock.chmod(0o600)
    assert [one.here for one in place.run(lambda store: store.history(KEY))] == [False]


def test_a_database_of_schema_2_gets_the_journal(tmp_path: Path) -> None:
    """Its logins are there afterwards, and have a history from then on."""
    place = credential_place(tmp_path)
    value = secret()
    place.run(lambda store: store.write(grant(), value, expected=0))
    _query(place, "DROP TABLE journal")
    for column in ("replaces", "fingerprint", "digest"):
        _query(place, f"ALTER TABLE leftovers DROP COLUMN {column}")
    _query(place, "DROP TABLE lock")
    _query(place, "PRAGMA user_version = 2")

    async def use(store: Store) -> None:
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value
        assert await store.history(KEY) == ()
        await store.record([entry()])

    place.run(use)
    assert place.run(lambda store: store.history(KEY)) == (entry(),)
    assert _query(place, "PRAGMA user_version") == [(schema.VERSION,)]
    made = place.state.parent / "new"
    made.mkdir()
    fresh = credential_place(made)
    fresh.run(lambda store: store.record([entry()]))
    columns = "SELECT sql FROM sqlite_master WHERE tbl_name = 'journal' ORDER BY name"
    assert _query(place, columns) == _query(fresh, columns)


def _query(place: Place, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(place.database)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()
