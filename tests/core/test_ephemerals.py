"""The store over the store: what is ephemeral stays in memory, and everything else goes below."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import KEY, ORIGIN
from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.broker.ephemerals import Ephemerals
from tool_agentd.errors import ConflictError, LoginRequiredError
from tool_agentd.model import End, Grant, GrantKind, Standing
from tool_agentd.secret import Secret

SECRET, NEXT = Secret("one"), Secret("two")


def grant(*, ephemeral: bool, obtained_at: float = 1.0) -> Grant:
    """Return a grant as a login makes it."""
    return Grant(
        KEY,
        GrantKind.REFRESH_TOKEN,
        "browser",
        "session",
        (ORIGIN,),
        obtained_at,
        ephemeral=ephemeral,
    )


def run(story: Callable[[Ephemerals, MemoryStore], Coroutine[Any, Any, None]]) -> None:
    """Run a story over an empty store."""
    below = MemoryStore(Means())
    asyncio.run(story(Ephemerals(below), below))


def test_an_ephemeral_grant_never_reaches_the_store_below() -> None:
    """It is read, rotated and erased like any other."""

    async def story(store: Ephemerals, below: MemoryStore) -> None:
        first = await store.write(grant(ephemeral=True), SECRET, expected=0)
        second = await store.write(first, NEXT, expected=first.generation)
        held = await store.read(KEY)
        assert held is not None
        assert (held.grant, held.secret) == (second, NEXT)
        assert await store.list() == (second,)
        assert await below.list() == ()
        with pytest.raises(ConflictError):
            await store.write(first, SECRET, expected=first.generation)
        await store.delete(second)
        assert await store.current(KEY) is None

    run(story)


def test_each_replaces_the_other() -> None:
    """An account has one grant, in memory or below; both numbers stay apart."""

    async def story(store: Ephemerals, below: MemoryStore) -> None:
        stored = await store.write(grant(ephemeral=False), SECRET, expected=0)
        memory = await store.write(grant(ephemeral=True), NEXT, expected=stored.generation)
        assert await below.list() == ()
        again = await store.write(grant(ephemeral=False), SECRET, expected=memory.generation)
        assert await store.list() == await below.list() == (again,)
        assert len({stored.generation, memory.generation, again.generation}) == 3
        with pytest.raises(ConflictError):
            await store.write(grant(ephemeral=True), NEXT, expected=memory.generation)

    run(story)


def test_an_end_erases_the_secret_and_keeps_the_reason() -> None:
    """As a tombstone below would; a login after it finds the place free."""

    async def story(store: Ephemerals, _: MemoryStore) -> None:
        written = await store.write(grant(ephemeral=True), SECRET, expected=0)
        await store.bury(written, End("over", 2.0))
        found = await store.current(KEY)
        assert found is not None
        assert (found.standing, found.ended) == (Standing.ENDED, End("over", 2.0))
        assert await store.read(KEY) is None
        with pytest.raises(LoginRequiredError):
            await store.unseal(written)
        with pytest.raises(ConflictError):
            await store.bury(written, End("again", 3.0))
        await store.write(grant(ephemeral=True), NEXT, expected=found.generation)
        assert len(await store.list()) == 1

    run(story)


def test_a_retired_grant_waits_for_its_revocation_in_memory() -> None:
    """The account is free, and the secret can still be had for that one purpose."""

    async def story(store: Ephemerals, below: MemoryStore) -> None:
        written = await store.write(grant(ephemeral=True), SECRET, expected=0)
        retired = await store.retire(written)
        assert await store.current(KEY) is None
        assert await store.unseal(retired) == SECRET
        await store.write(grant(ephemeral=False), NEXT, expected=0)
        assert [one.standing for one in await store.list()] == [
            Standing.CURRENT,
            Standing.REVOKE_ONLY,
        ]
        await store.delete(retired)
        assert await store.list() == await below.list()

    run(story)


def test_what_is_kept_beside_it_goes_with_the_login() -> None:
    """Over a rotation it stays; with another login, or the end, it is gone."""

    async def story(store: Ephemerals, _: MemoryStore) -> None:
        first = await store.write(grant(ephemeral=True), SECRET, expected=0)
        assert await store.keep_cache(first, "tenant", "{}")
        second = await store.write(first, NEXT, expected=first.generation)
        assert await store.caches(KEY) == {"tenant": "{}"}
        assert not await store.keep_cache(first, "tenant", "late")
        other = grant(ephemeral=True, obtained_at=2.0)
        third = await store.write(other, SECRET, expected=second.generation)
        assert await store.caches(KEY) == {}
        assert await store.keep_cache(third, "tenant", "{}")
        await store.bury(third, End("over", 3.0))
        assert await store.caches(KEY) == {}

    run(story)
