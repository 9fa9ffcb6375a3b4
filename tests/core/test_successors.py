"""What a crash has left of a rotation is taken up wherever the account's token is to be used."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, ME, World
from tests.core.test_broker_races import full
from tool_agentd.api.words_why import explanation
from tool_agentd.broker import TokenAsk, attempts
from tool_agentd.broker.why import Why
from tool_agentd.errors import LoginRequiredError, TemporarilyUnavailableError
from tool_agentd.model import AccountKey, HeldGrant
from tool_agentd.ports import Presented
from tool_agentd.secret import Secret

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with one tool."""

    async def told() -> None:
        await asyncio.wait_for(story(World(acme=ACME)), 10)

    asyncio.run(told())


async def interrupted(world: World, **more: Any) -> str:  # noqa: ANN401 - fields by name
    """Sign in, and let the store have the successor of a rotation that was killed; return it."""
    grant = await world.signed_in()
    old = await world.store.unseal(grant)
    if more:
        await world.store.delete(grant)
        grant = await world.store.write(replace(grant, **more), old, expected=0)
    new = world.provider.issue()
    world.provider.living.discard(old.reveal())
    world.provider.rotated.add(old.reveal())
    left = [new]

    async def adopt(key: AccountKey, presented: Presented) -> HeldGrant | None:
        assert presented is attempts.presented
        if key != KEY or not left:
            return None
        stored = await world.store.write(grant, left[0], expected=grant.generation)
        return HeldGrant(stored, left.pop())

    world.store.adopt = adopt  # type: ignore[method-assign]  # what a keychain has left
    return new.reveal()


def test_a_renewal_goes_on_with_it_and_why_says_so() -> None:
    """The old token is not presented again, and the history has the event, and who asked."""

    async def story(world: World) -> None:
        new = await interrupted(world)
        await world.broker.token(ASK, ME)
        assert world.provider.replays == 0
        assert new in world.provider.rotated
        adopted, intent, *_ = await world.broker.journal.history(KEY)
        assert (adopted.event.value, intent.event.value) == ("adopted", "intent")
        assert adopted.fingerprint == intent.fingerprint
        assert adopted.by == f"pid {ME.pid}, uid {ME.uid}"
        said = explanation(await Why(world.broker, world.clock).explain("acme", None, None))
        assert "the new refresh token of an interrupted renewal was found, and is used" in said

    run(story)


def test_a_limit_revokes_it() -> None:
    """A session that is over ends with the token that the provider takes."""

    async def story(world: World) -> None:
        new = await interrupted(world, ends_at=world.clock.now().wall + 60)
        await world.broker.load()
        world.clock.advance(61)
        await world.broker.tick()
        assert new in world.provider.revoked
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        assert not world.provider.living

    run(story)


def test_what_cannot_be_looked_for_is_not_replayed() -> None:
    """Somebody has the account busy: nothing is presented, and the login stays."""

    async def story(world: World) -> None:
        await interrupted(world)
        found = world.store.adopt

        async def busy(key: AccountKey, presented: Presented) -> HeldGrant | None:
            message = f"somebody else has kept {key} busy"
            raise TemporarilyUnavailableError(message)

        world.store.adopt = busy  # type: ignore[method-assign]  # the fault
        with pytest.raises(TemporarilyUnavailableError):
            await world.broker.token(ASK, ME)
        assert (world.provider.refreshes, world.provider.replays) == (0, 0)
        world.store.adopt = found  # type: ignore[method-assign]  # the fault is over
        await world.broker.token(ASK, ME)

    run(story)


def test_what_another_agent_has_stored_goes_before_what_is_unsaved() -> None:
    """It has adopted what this one could not commit, and may have renewed it since."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        write = world.store.write
        world.store.write = full  # type: ignore[method-assign]  # the fault
        await world.broker.token(ASK, ME)
        world.store.write = write  # type: ignore[method-assign]  # the fault is over
        theirs: Secret = world.provider.issue()
        await world.store.write(grant, theirs, expected=grant.generation)
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        assert theirs.reveal() in world.provider.rotated
        assert world.provider.replays == 0
        _, reasons = await world.broker.status()
        assert not reasons

    run(story)
