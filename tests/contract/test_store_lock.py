"""What every store keeps of the agent's lock: durable, told from damage, and new in schema 5."""

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    LOCK,
    NEED_KEYCHAIN,
    PLACES,
    Place,
    credential_place,
    grant,
    passphrase_place,
    secret,
)
from tests.real.child import Child
from tool_agentd.adapters.store import schema
from tool_agentd.errors import DamagedError, StoreUnavailableError
from tool_agentd.ports import Store
from tool_agentd.secret import Secret

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    kind: str = request.param
    if kind in NEED_KEYCHAIN:
        request.getfixturevalue("keychain_here")
    return PLACES[kind](tmp_path)


def test_a_lock_is_kept_replaced_and_forgotten(place: Place) -> None:
    """Every field comes back; there is one lock, and in the end none."""
    other = replace(LOCK, locked=False, keep=True, failures=0)

    async def use(store: Store) -> None:
        assert await store.lock() is None
        await store.keep_lock(LOCK)
        assert await store.lock() == LOCK
        await store.keep_lock(other)
        assert await store.lock() == other
        await store.keep_lock(None)
        assert await store.lock() is None
        await store.keep_lock(LOCK)

    place.run(use)
    assert place.run(lambda store: store.lock()) == (LOCK if place.outlives else None)


def test_what_is_dropped_is_read_again(place: Place) -> None:
    """After `drop` the grants are there as before, without anybody's help where none was given."""
    value = secret()

    async def use(store: Store) -> None:
        await store.write(grant(), value, expected=0)
        store.drop()
        assert not await store.sealed()
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value

    place.run(use)


def test_a_typed_passphrase_is_dropped_too(tmp_path: Path) -> None:
    """A vault that was opened by hand waits for its passphrase again, and says so."""
    typed = Place("vault:passphrase", passphrase_place(tmp_path).state)
    value = secret()

    async def use(store: Store) -> None:
        await store.unlock(Secret("correct horse"))
        await store.write(grant(), value, expected=0)
        assert not await store.sealed()
        store.drop()
        assert await store.sealed()
        with pytest.raises(StoreUnavailableError, match="needs its passphrase"):
            await store.read(KEY)
        await store.unlock(Secret("correct horse"))
        assert not await store.sealed()
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value

    typed.run(use)


def test_a_lock_that_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Kill -9 after the store has said so: the next agent finds it."""
    place = credential_place(tmp_path)
    words = ["-m", "tests.contract.store_child", "lock", str(place.state), place.kind, "-"]
    log = tmp_path / "child.log"
    child = Child([sys.executable, *words], log=log, cwd=ROOT, environ=place.environ)
    assert child.line() == "kept"
    child.kill()
    assert place.run(lambda store: store.lock()) == LOCK


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lock SET record = replace(record, 'true', 'null')",
        "UPDATE lock SET digest = x'00'",
        "UPDATE lock SET record = 7",
    ],
)
def test_a_damaged_lock_is_no_permission(tmp_path: Path, statement: str) -> None:
    """What is not as it was written raises, so that nothing is served."""
    place = credential_place(tmp_path)
    place.run(lambda store: store.keep_lock(LOCK))
    _query(place, statement)
    with pytest.raises(DamagedError, match="the agent's lock is damaged"):
        place.run(lambda store: store.lock())


def test_a_database_of_schema_4_gets_the_lock(tmp_path: Path) -> None:
    """Its logins are there afterwards, it is unlocked, and can be locked."""
    place = credential_place(tmp_path)
    value = secret()
    place.run(lambda store: store.write(grant(), value, expected=0))
    _query(place, "DROP TABLE lock")
    _query(place, "PRAGMA user_version = 4")

    async def use(store: Store) -> None:
        assert await store.lock() is None
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value
        await store.keep_lock(LOCK)

    place.run(use)
    assert place.run(lambda store: store.lock()) == LOCK
    assert _query(place, "PRAGMA user_version") == [(schema.VERSION,)]


def _query(place: Place, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(place.database, isolation_level=None) as connection:
        return connection.execute(statement).fetchall()
