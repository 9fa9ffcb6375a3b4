"""The contract of a store, held by every kind over the real keychain and the real disk."""

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    NEED_KEYCHAIN,
    OTHER,
    PLACES,
    SERVICE,
    Place,
    grant,
    secret,
)
from tests.real.keychain import Keychain
from tool_agentd.errors import ConflictError, InvalidRequestError, TemporarilyUnavailableError
from tool_agentd.model import AccountKey, End, Grant, GrantKind, HeldGrant, Standing
from tool_agentd.ports import Store
from tool_agentd.secret import Secret


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    kind: str = request.param
    if kind in NEED_KEYCHAIN:
        request.getfixturevalue("keychain_here")
    return PLACES[kind](tmp_path)


def test_what_was_written_is_read(place: Place) -> None:
    """A first write gives generation 1, and every field comes back with the secret."""
    value = secret()

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        assert stored == grant(generation=1)
        assert await store.read(KEY) == HeldGrant(stored, value)
        assert await store.unseal(stored) == value
        assert await store.list() == (stored,)

    place.run(use)


def test_an_empty_store_has_nothing(place: Place) -> None:
    """Nothing is listed, read or chosen where nothing was written."""

    async def use(store: Store) -> None:
        assert await store.list() == ()
        assert await store.read(KEY) is None
        assert await store.choices() == {}

    place.run(use)


def test_what_was_written_is_there_after_a_restart(place: Place) -> None:
    """Every kind but memory gives the grant back to the next agent; memory gives nothing."""
    value = secret()
    stored = place.run(lambda store: store.write(grant(), value, expected=0))
    after = place.run(lambda store: store.read(KEY))
    assert after == (HeldGrant(stored, value) if place.outlives else None)
    assert place.state.exists() == place.outlives


def test_a_rotation_replaces_the_generation(place: Place) -> None:
    """The next generation is served, the former is gone."""
    first, second = secret(), secret()

    async def use(store: Store) -> None:
        old = await store.write(grant(), first, expected=0)
        new = await store.write(replace(old, scopes=("read",)), second, expected=1)
        assert (new.generation, new.scopes) == (2, ("read",))
        assert await store.read(KEY) == HeldGrant(new, second)
        assert await store.list() == (new,)
        with pytest.raises(ConflictError, match=r"cre/default#1 is no longer stored"):
            await store.unseal(old)

    place.run(use)


def test_a_write_from_another_state_is_a_conflict(place: Place) -> None:
    """Who expects another generation than there is changes nothing."""
    value = secret()

    async def use(store: Store) -> None:
        with pytest.raises(ConflictError, match=r"at generation 0, not 1"):
            await store.write(grant(), secret(), expected=1)
        await store.write(grant(), value, expected=0)
        for wrong in (0, 2):
            with pytest.raises(ConflictError, match=rf"at generation 1, not {wrong}"):
                await store.write(grant(), secret(), expected=wrong)
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == value

    place.run(use)


def test_one_of_many_writers_wins(place: Place) -> None:
    """Of ten concurrent writes from one state, exactly one succeeds."""

    async def use(store: Store) -> None:
        values = [secret() for _ in range(10)]
        done = await asyncio.gather(
            *(store.write(grant(), value, expected=0) for value in values),
            return_exceptions=True,
        )
        won = [index for index, result in enumerate(done) if not isinstance(result, Exception)]
        assert len(won) == 1
        assert all(isinstance(done[i], ConflictError) for i in range(10) if i not in won)
        held = await store.read(KEY)
        assert held is not None
        assert held.secret == values[won[0]]

    place.run(use)


def test_a_buried_grant_leaves_its_reason(place: Place) -> None:
    """Of an ended session the secret is gone; the tombstone tells why until a login replaces it."""
    end = End("the provider refused it: invalid_grant", 1_700_000_100.5)

    async def use(store: Store) -> None:
        stored = await store.write(grant(), secret(), expected=0)
        await store.bury(stored, end)
        await store.bury(stored, replace(end, reason="a second voice"))
        tombstone = replace(stored, standing=Standing.ENDED, ended=end)
        assert await store.list() == (tombstone,)
        assert await store.read(KEY) is None
        with pytest.raises(ConflictError):
            await store.unseal(tombstone)
        with pytest.raises(ConflictError, match=r"at generation 1, not 0"):
            await store.write(grant(), secret(), expected=0)
        anew = secret()
        again = await store.write(tombstone, anew, expected=1)
        assert (again.generation, again.standing, again.ended) == (2, Standing.CURRENT, None)
        assert await store.read(KEY) == HeldGrant(again, anew)
        assert await store.list() == (again,)
        with pytest.raises(ConflictError):
            await store.bury(stored, end)

    place.run(use)


def test_a_tombstone_lasts_and_can_be_deleted(request: pytest.FixtureRequest, place: Place) -> None:
    """The reason is there after a restart, nothing else is; deleting takes it away."""
    end = End("its lifetime is over", 1.0)

    async def use(store: Store) -> Grant:
        stored = await store.write(grant(), secret(), expected=0)
        await store.bury(stored, end)
        assert (await store.status()).problems == ()
        return replace(stored, standing=Standing.ENDED, ended=end)

    tombstone = place.run(use)
    if place.kind == "keychain":
        keychain: Keychain = request.getfixturevalue("keychain_here")
        assert keychain.search(SERVICE) == []

    async def later(store: Store) -> None:
        assert await store.list() == ((tombstone,) if place.outlives else ())
        await store.delete(tombstone)
        assert await store.list() == ()

    place.run(later)


def test_a_retired_grant_is_not_served(place: Place) -> None:
    """After `retire` the account has no current grant, and a new login begins at expected 0."""
    value = secret()

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        retired = await store.retire(stored)
        assert retired == replace(stored, standing=Standing.REVOKE_ONLY)
        assert await store.retire(retired) == retired
        assert await store.read(KEY) is None
        assert await store.unseal(retired) == value
        again = await store.write(grant(), secret(), expected=0)
        assert again.generation == 2
        assert await store.list() == (retired, again)

    place.run(use)


def test_retiring_what_is_gone_is_a_conflict(place: Place) -> None:
    """A grant that somebody else has erased cannot be retired."""

    async def use(store: Store) -> None:
        stored = await store.write(grant(), secret(), expected=0)
        await store.delete(stored)
        with pytest.raises(ConflictError):
            await store.retire(stored)

    place.run(use)


def test_deleting_erases_and_may_be_repeated(place: Place) -> None:
    """A deleted grant is gone; deleting again is no error; other accounts stay."""

    async def use(store: Store) -> None:
        stored = await store.write(grant(), secret(), expected=0)
        other = await store.write(grant(OTHER), secret(), expected=0)
        await store.delete(stored)
        await store.delete(stored)
        assert await store.read(KEY) is None
        assert await store.list() == (other,)

    place.run(use)


def test_a_generation_is_never_given_twice(place: Place) -> None:
    """An answer that is late by a logout and a login meets another generation than its own."""

    async def use(store: Store) -> None:
        first = await store.write(grant(), secret(), expected=0)
        rotated = await store.write(grant(), secret(), expected=first.generation)
        await store.delete(rotated)
        anew = await store.write(grant(), secret(), expected=0)
        assert anew.generation > rotated.generation
        with pytest.raises(ConflictError):
            await store.write(grant(), secret(), expected=first.generation)

    place.run(use)


def test_a_secret_is_kept_to_the_letter(place: Place) -> None:
    """Length, white space and any script survive; the kind of grant does too."""
    values = ["x", " \t padded \n", "Zoë 密钥 🔑", "k" * 20_000]

    async def use(store: Store) -> None:
        for number, text in enumerate(values):
            key = AccountKey("nrepo", f"a{number}")
            stored = await store.write(grant(key, kind=GrantKind.API_KEY), Secret(text), expected=0)
            assert await store.read(key) == HeldGrant(stored, Secret(text))

    place.run(use)


@pytest.mark.parametrize("text", ["", "nul\0byte", "lone \ud800 surrogate"])
def test_what_no_keychain_can_keep_is_refused(place: Place, text: str) -> None:
    """Such a secret is refused before anything is written, and not quoted."""

    async def use(store: Store) -> None:
        with pytest.raises(InvalidRequestError) as refused:
            await store.write(grant(), Secret(text), expected=0)
        assert text == "" or text not in refused.value.detail
        assert await store.list() == ()

    place.run(use)


def test_choices_are_remembered_and_forgotten(place: Place) -> None:
    """The chosen label of each tool is kept until it is taken back."""

    async def use(store: Store) -> None:
        await store.choose("cre", "work")
        await store.choose("nrepo", "home")
        await store.choose("cre", "play")
        assert await store.choices() == {"cre": "play", "nrepo": "home"}
        await store.choose("cre", None)
        assert await store.choices() == {"nrepo": "home"}

    place.run(use)


def test_a_lease_has_one_holder(place: Place) -> None:
    """Holders of one account follow each other in order; another account is not held up."""

    async def use(store: Store) -> None:
        order: list[str] = []
        first_in, go_on = asyncio.Event(), asyncio.Event()

        async def hold(name: str) -> None:
            async with store.lease(KEY):
                order.append(f"{name} in")
                first_in.set()
                await go_on.wait()
                order.append(f"{name} out")

        tasks = [asyncio.create_task(hold(name)) for name in "abc"]
        await first_in.wait()
        async with store.lease(OTHER):
            order.append("other")
        go_on.set()
        await asyncio.gather(*tasks)
        assert order == ["a in", "other", "a out", "b in", "b out", "c in", "c out"]

    place.run(use)


def test_a_lease_is_not_awaited_for_ever(place: Place) -> None:
    """A waiter gives up when its patience is spent, and the lease can be had again later."""
    impatient = replace(place, means=replace(place.means, patience=0.0))

    async def use(store: Store) -> None:
        async with store.lease(KEY):
            with pytest.raises(TemporarilyUnavailableError, match="cre/default busy"):
                async with store.lease(KEY):
                    pass
        async with store.lease(KEY):
            pass

    impatient.run(use)


def test_a_lease_ends_with_an_error_or_a_cancellation(place: Place) -> None:
    """Whatever ends the holder, or a waiter, the next one gets the lease."""

    async def use(store: Store) -> None:
        with pytest.raises(ZeroDivisionError):
            async with store.lease(KEY):
                raise ZeroDivisionError
        async with store.lease(KEY):

            async def wait() -> None:
                async with store.lease(KEY):
                    raise AssertionError

            waiter = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
        async with store.lease(KEY):
            pass

    place.run(use)


def test_status_says_where_secrets_rest(place: Place) -> None:
    """`status` names the kind and the place, and has nothing to complain about."""
    words = {
        "memory": "the agent's memory; nothing outlives the agent",
        "vault:passphrase": "a vault in grants.db, sealed by a file on the same disk",
        "vault:credential": "a vault in grants.db, sealed by a systemd credential",
        "vault:keychain": "a vault in grants.db, its key in the OS keychain"
        " (GNOME Keyring / Secret Service)",
        "keychain": "the OS keychain (GNOME Keyring / Secret Service)",
    }

    async def use(store: Store) -> None:
        await store.write(grant(), secret(), expected=0)
        status = await store.status()
        kind = place.kind.partition(":")[0]
        assert (status.kind, status.rests, status.problems) == (kind, words[place.kind], ())

    place.run(use)


def test_no_secret_is_on_the_disk_in_the_clear(place: Place) -> None:
    """No file of the store holds a secret, whether current, retired, replaced or erased."""
    values = [secret() for _ in range(4)]

    async def use(store: Store) -> None:
        await store.write(grant(), values[0], expected=0)
        await store.write(grant(), values[1], expected=1)
        await store.retire(await store.write(grant(), values[2], expected=2))
        other = await store.write(grant(OTHER), values[3], expected=0)
        await store.delete(other)

    place.run(use)
    files = [file for file in place.state.rglob("*") if file.is_file()]
    assert bool(files) == place.outlives
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        content = file.read_bytes()
        assert not any(value.reveal().encode() in content for value in values)
    assert {file.name for file in files} <= {"grants.db", "grants.lock"}


def test_a_row_that_says_nothing_of_a_confirmation_asks_for_none(tmp_path: Path) -> None:
    """As those of before there was one; and one that asks says so in its row, and is read so."""
    place = PLACES["vault:credential"](tmp_path)

    async def use(store: Store) -> None:
        await store.write(grant(), secret(), expected=0)
        await store.write(replace(grant(OTHER), confirm=True), secret(), expected=0)

    place.run(use)
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        rows = connection.execute("SELECT label, facts FROM grants").fetchall()
    said = {label: "confirm" in json.loads(facts) for label, facts in rows}
    assert sorted(said.values()) == [False, True]

    async def read(store: Store) -> dict[str, bool]:
        return {one.key.label: one.confirm for one in await store.list()}

    assert place.run(read) == said
