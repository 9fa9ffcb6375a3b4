"""What a rotation left that was killed between its keychain item and its row, over rings."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from keyring.errors import KeyringLocked

from tests.contract.store_places import KEY, SERVICE, Place, credential_place, grant
from tests.contract.store_rings import FakeRing, fake_place
from tool_agentd.adapters.store import DiskStore
from tool_agentd.broker.attempts import presented
from tool_agentd.errors import StoreUnavailableError, TemporarilyUnavailableError
from tool_agentd.model import End, Grant, HeldGrant, JournalEntry, JournalEvent
from tool_agentd.secret import Secret

OLD, NEW, NEWER = Secret("old"), Secret("new"), Secret("newer")
FIRST, SECOND, THIRD = (f"{SERVICE} {KEY}#{number}" for number in (1, 2, 3))


class Crash(BaseException):
    """Ends a write as kill -9 ends its process: nobody catches it."""


def dying(place: Place, at: str) -> Place:
    """Return the place with an agent that dies at a step."""

    def failpoint(step: str) -> None:
        if step == at:
            raise Crash

    return replace(place, means=replace(place.means, failpoint=failpoint))


def killed(place: Place, secret: Secret = NEW, *, at: str = "verified", **other: object) -> None:
    """Have an agent die in the middle of storing a secret over generation 1."""

    async def write(store: DiskStore) -> None:
        changed = replace(grant(), **other)  # type: ignore[arg-type]  # fields by name
        with contextlib.suppress(Crash):
            await store.write(changed, secret, expected=1)

    dying(place, at).run(write)


def begun(home: Path, *rings: FakeRing) -> Place:
    """Return a place with a login, whose token has been presented."""
    place = fake_place(home, *rings)

    async def begin(store: DiskStore) -> None:
        stored = await store.write(grant(), OLD, expected=0)
        mark = await store.fingerprint(stored, OLD)
        await store.record([JournalEntry(1.0, KEY, JournalEvent.INTENT, 1, mark, 1)])

    place.run(begin)
    return place


async def adopted(store: DiskStore) -> HeldGrant | None:
    """Look, as a renewal does, before and after a sweep."""
    await store.list()
    await store.settled()
    async with store.lease(KEY):
        held = await store.adopt(KEY, presented)
    await store.settled()
    return held


def test_the_item_becomes_the_next_generation(tmp_path: Path) -> None:
    """Its secret is the account's, with the login as it was; nothing is left beside it."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)
    assert sorted(ring.items) == [FIRST, SECOND]

    async def use(store: DiskStore) -> None:
        for _ in range(2):
            await store.read(KEY)  # sweeps, and leaves it
            await store.settled()
        held = await adopted(store)
        assert held == HeldGrant(grant(generation=2), NEW) == await store.read(KEY)
        assert await store.list() == (grant(generation=2),)
        assert ring.items == {SECOND: NEW.reveal()}
        assert await adopted(store) is None

    place.run(use)
    assert _leftovers(place) == []


@pytest.mark.parametrize("text", ["", "ne", "something else"])
def test_an_item_that_is_not_whole_is_erased(tmp_path: Path, text: str) -> None:
    """Empty, cut short or altered: the login stays as it was, and the orphan goes."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)
    ring.items[SECOND] = text
    assert place.run(adopted) is None
    assert ring.items == {FIRST: OLD.reveal()}
    assert _leftovers(place) == []


def test_an_item_that_was_never_written_is_forgotten(tmp_path: Path) -> None:
    """Killed after the note: there is nothing to adopt, and nothing is left."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place, at="noted")
    assert place.run(adopted) is None
    assert (ring.items, _leftovers(place)) == ({FIRST: OLD.reveal()}, [])


def test_of_several_the_newest_whole_one_counts(tmp_path: Path) -> None:
    """An agent whose disk was full has tried twice; what it had before goes."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)
    killed(place, NEWER)
    assert sorted(ring.items) == [FIRST, SECOND, THIRD]
    held = place.run(adopted)
    assert held is not None
    assert (held.secret, ring.items) == (NEWER, {THIRD: NEWER.reveal()})


def test_a_login_is_not_adopted(tmp_path: Path) -> None:
    """Nobody was told that it was done: it is swept, and the login before it stands."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place, obtained_at=1_700_000_999.0)

    async def use(store: DiskStore) -> None:
        await store.list()
        await store.settled()
        assert ring.items == {FIRST: OLD.reveal()}
        assert await adopted(store) is None

    place.run(use)


def test_what_nobody_has_presented_is_not_adopted(tmp_path: Path) -> None:
    """An item without an intent is the answer to nothing."""
    ring = FakeRing()
    place = fake_place(tmp_path, ring)
    place.run(lambda store: store.write(grant(), OLD, expected=0))
    killed(place)
    assert place.run(adopted) is None
    assert ring.items == {FIRST: OLD.reveal()}


async def _log_out(store: DiskStore, stored: Grant) -> None:
    await store.delete(await store.retire(stored))


async def _end(store: DiskStore, stored: Grant) -> None:
    await store.bury(stored, End("over", 1.0))


async def _log_in(store: DiskStore, stored: Grant) -> None:
    await store.write(replace(stored, obtained_at=1_700_000_999.0), NEWER, expected=1)


@pytest.mark.parametrize("what", [_log_out, _end, _log_in])
def test_what_comes_between_makes_it_an_orphan(
    tmp_path: Path, what: Callable[[DiskStore, Grant], object]
) -> None:
    """A logout, an end or another login: the item is swept, whatever was presented."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)

    async def use(store: DiskStore) -> None:
        (stored,) = await store.list()
        await what(store, stored)  # type: ignore[misc]  # each is a coroutine function
        await store.list()
        assert await adopted(store) is None
        assert NEW.reveal() not in ring.items.values()
        assert FIRST not in ring.items

    place.run(use)


def test_a_logout_between_the_look_and_the_row_wins(tmp_path: Path) -> None:
    """The row is another when it is to be replaced: nothing is adopted."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)

    async def use(store: DiskStore) -> None:
        (stored,) = await store.list()
        await store.settled()
        ring.gate.clear()
        while ring.called.acquire(blocking=False):
            pass
        looking = asyncio.ensure_future(store.adopt(KEY, presented))
        assert await asyncio.to_thread(ring.called.acquire, timeout=30)
        await store.retire(stored)
        ring.gate.set()
        assert await looking is None
        (retired,) = await store.list()
        assert retired.generation == 1
        assert await store.unseal(retired) == OLD

    place.run(use)


def test_a_keychain_that_does_not_answer_decides_nothing(tmp_path: Path) -> None:
    """Locked or away: the caller hears so, nothing is swept, and later the item is adopted."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)

    async def use(store: DiskStore) -> None:
        ring.error = KeyringLocked("x")
        with pytest.raises(StoreUnavailableError, match="is locked"):
            await adopted(store)
        ring.error = None
        assert sorted(ring.items) == [FIRST, SECOND]
        assert await adopted(store) is not None

    place.run(use)


def test_a_writer_that_lives_is_awaited(tmp_path: Path) -> None:
    """Who is between item and row holds the account: another store's look adopts nothing."""
    ring = FakeRing()
    place = begun(tmp_path, ring)

    async def use(store: DiskStore) -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()
        put = store._keychain.put

        async def slow(*words: object, **named: object) -> None:
            await put(*words, **named)  # type: ignore[arg-type]  # passed on
            reached.set()
            await go_on.wait()

        store._keychain.put = slow  # type: ignore[method-assign]  # the moment between the item and its row
        writing = asyncio.ensure_future(store.write(grant(), NEW, expected=1))
        await reached.wait()

        async def wait(_seconds: float) -> None:
            """Do not wait: the clock is the test's."""

        impatient = replace(place, means=replace(place.means, wait=wait))
        async with impatient.opened() as other:
            with pytest.raises(TemporarilyUnavailableError):
                await other.adopt(KEY, presented)
        go_on.set()
        assert (await writing).generation == 2

    place.run(use)


@pytest.mark.parametrize("column", ["generation", "replaces", "fingerprint", "item", "digest"])
def test_a_note_that_was_altered_counts_for_nothing(tmp_path: Path, column: str) -> None:
    """The digest binds an item to its generation and secret: no other is smuggled in."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)
    changed = {"item": "item || 'x'", "fingerprint": "x'00'", "digest": "7"}
    value = changed.get(column, f"{column} + 1")
    with contextlib.closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute(f"UPDATE leftovers SET {column} = {value} WHERE generation = 2")  # noqa: S608 - the test's own
    assert place.run(adopted) is None
    held = place.run(lambda store: store.read(KEY))
    assert held is not None
    assert held.secret == OLD


def test_an_adoption_that_is_killed_has_happened_or_not(tmp_path: Path) -> None:
    """Whoever looks next finds the account with its secret."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)

    async def die(store: DiskStore) -> None:
        with contextlib.suppress(Crash):
            await store.adopt(KEY, presented)

    dying(place, "adopted").run(die)
    held = place.run(lambda store: store.read(KEY))
    assert held is not None
    assert held.secret == NEW
    assert place.run(adopted) is None
    assert ring.items == {SECOND: NEW.reveal()}


def test_a_vault_leaves_no_successor(tmp_path: Path) -> None:
    """Its secret is in the row: no step lies between, and nothing is ever looked for."""
    place = credential_place(tmp_path)
    steps: list[str] = []
    place = replace(place, means=replace(place.means, failpoint=steps.append))

    async def use(store: DiskStore) -> None:
        await store.write(grant(), OLD, expected=0)
        await store.write(grant(), NEW, expected=1)
        assert await store.adopt(KEY, lambda _history, _fingerprint: True) is None

    place.run(use)
    assert (steps, _leftovers(place)) == ([], [])


def test_a_database_of_schema_3_gets_successors(tmp_path: Path) -> None:
    """What it had noted is swept as before, and what is noted from then on is adopted."""
    ring = FakeRing()
    place = begun(tmp_path, ring)
    killed(place)
    with contextlib.closing(sqlite3.connect(place.database)) as connection, connection:
        for column in ("replaces", "fingerprint", "digest"):
            connection.execute(f"ALTER TABLE leftovers DROP COLUMN {column}")
        connection.execute("DROP TABLE lock")
        connection.execute("PRAGMA user_version = 3")
    assert place.run(adopted) is None
    assert ring.items == {FIRST: OLD.reveal()}
    killed(place)
    assert place.run(adopted) is not None


def _leftovers(place: Place) -> Sequence[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        return connection.execute("SELECT * FROM leftovers").fetchall()
