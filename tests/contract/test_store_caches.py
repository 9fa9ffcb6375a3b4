"""What is kept beside a login: it lasts as long as the login, in every kind of store."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
from tool_agentd.adapters.store import schema
from tool_agentd.model import End, Grant
from tool_agentd.ports import Store

NAME = "cre/tenant"
TEXT = '{"tenantId": "42", "label": "Zoë"}'
LATER = 1_700_009_999.5
"""The moment of another login."""


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    kind: str = request.param
    if kind in NEED_KEYCHAIN:
        request.getfixturevalue("keychain_here")
    return PLACES[kind](tmp_path)


async def signed_in(store: Store, login: Grant | None = None) -> Grant:
    """Store a login with something beside it."""
    stored = await store.write(login or grant(), secret(), expected=0)
    assert await store.keep_cache(stored, NAME, TEXT)
    return stored


def test_what_was_kept_is_found(place: Place) -> None:
    """By name, the last text of a name counting, and beside no other account."""

    async def use(store: Store) -> None:
        stored = await signed_in(store)
        await store.write(grant(OTHER), secret(), expected=0)
        assert await store.caches(KEY) == {NAME: TEXT}
        assert await store.keep_cache(stored, NAME, "newer")
        assert await store.keep_cache(stored, "cre/other", "")
        assert await store.caches(KEY) == {NAME: "newer", "cre/other": ""}
        assert await store.caches(OTHER) == {}

    place.run(use)


def test_it_outlives_the_agent_as_the_login_does(place: Place) -> None:
    """After a restart it is there, unless the store forgets everything."""
    place.run(signed_in)
    after = place.run(lambda store: store.caches(KEY))
    assert after == ({NAME: TEXT} if place.outlives else {})


def test_a_rotation_leaves_it(place: Place) -> None:
    """It belongs to the login, not to one of its generations: an older one may still keep it."""

    async def use(store: Store) -> None:
        first = await signed_in(store)
        await store.write(first, secret(), expected=first.generation)
        assert await store.caches(KEY) == {NAME: TEXT}
        assert await store.keep_cache(first, "cre/late", "late")
        assert await store.caches(KEY) == {NAME: TEXT, "cre/late": "late"}

    place.run(use)


async def _retired(store: Store, stored: Grant) -> None:
    await store.retire(stored)


async def _buried(store: Store, stored: Grant) -> None:
    await store.bury(stored, End("refused", 1_700_000_500.0))


async def _deleted(store: Store, stored: Grant) -> None:
    await store.delete(stored)


async def _replaced(store: Store, stored: Grant) -> None:
    new = replace(stored, obtained_at=LATER)
    await store.write(new, secret(), expected=stored.generation)


ENDS = {"retire": _retired, "bury": _buried, "delete": _deleted, "new login": _replaced}


@pytest.mark.parametrize("end", sorted(ENDS))
def test_it_goes_with_the_login(place: Place, end: str) -> None:
    """However the login ends: nothing of it is found, and what comes late is not kept."""

    async def use(store: Store) -> None:
        stored = await signed_in(store)
        await ENDS[end](store, stored)
        assert await store.caches(KEY) == {}
        assert not await store.keep_cache(stored, NAME, TEXT)
        assert await store.caches(KEY) == {}

    place.run(use)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_it_is_erased_from_the_disk(tmp_path: Path, end: str) -> None:
    """Not only is it not found: no byte of it is left in the file."""
    place = credential_place(tmp_path)

    async def use(store: Store) -> None:
        stored = await signed_in(store)
        assert TEXT.encode() in place.database.read_bytes()
        await ENDS[end](store, stored)

    place.run(use)
    assert TEXT.encode() not in place.database.read_bytes()


def test_nothing_is_kept_beside_no_login(place: Place) -> None:
    """An account that nobody is signed in to has nothing."""

    async def use(store: Store) -> None:
        assert not await store.keep_cache(grant(), NAME, TEXT)
        assert await store.caches(KEY) == {}

    place.run(use)


CHANGES: dict[str, Callable[[sqlite3.Connection], object]] = {
    "text": lambda db: db.execute("UPDATE caches SET content = ?", (b"https://evil.example",)),
    "type": lambda db: db.execute("UPDATE caches SET content = 'text'"),
    "name": lambda db: db.execute("UPDATE caches SET name = 'cre/other'"),
    "account": lambda db: db.execute("UPDATE caches SET label = 'work'"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_damaged_one_is_not_there(tmp_path: Path, change: str) -> None:
    """It is fetched anew then; the login beside it is as good as before."""
    place = credential_place(tmp_path)

    async def begin(store: Store) -> None:
        await signed_in(store)
        await store.write(grant(OTHER), secret(), expected=0)

    place.run(begin)
    connection = sqlite3.connect(place.database)
    with connection:
        CHANGES[change](connection)
    connection.close()

    async def look(store: Store) -> None:
        assert await store.caches(KEY) == {}
        assert await store.caches(OTHER) == {}
        assert await store.read(KEY) is not None

    place.run(look)


def test_a_database_of_schema_1_gets_the_table(tmp_path: Path) -> None:
    """Its logins are there afterwards, and can have something beside them."""
    place = credential_place(tmp_path)
    value = secret()
    stored = place.run(lambda store: store.write(grant(), value, expected=0))
    connection = sqlite3.connect(place.database)
    with connection:
        connection.execute("DROP TABLE caches")
        connection.execute("DROP TABLE journal")
        for column in ("replaces", "fingerprint", "digest"):
            connection.execute(f"ALTER TABLE leftovers DROP COLUMN {column}")
        connection.execute("DROP TABLE lock")
        connection.execute("PRAGMA user_version = 1")
    connection.close()

    async def use(store: Store) -> None:
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value
        assert await store.keep_cache(stored, NAME, TEXT)

    place.run(use)
    assert place.run(lambda store: store.caches(KEY)) == {NAME: TEXT}
    connection = sqlite3.connect(place.database)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()
