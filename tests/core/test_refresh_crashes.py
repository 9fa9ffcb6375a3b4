"""An agent that dies between two steps of a refresh, and what its successor makes of that."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.crashing import STEPS, Crash, Deaths
from tests.core.fakes import KEY, ME
from tool_agentd.broker import TokenAsk
from tool_agentd.errors import LoginRequiredError
from tool_agentd.session import Expired

ASK = TokenAsk("acme")


def dying(story: Callable[[Deaths], Coroutine[Any, Any, None]]) -> None:
    """Run a story in which agents die."""

    async def told() -> None:
        await asyncio.wait_for(story(Deaths()), 10)

    asyncio.run(told())


@pytest.mark.parametrize("step", STEPS)
def test_an_agent_that_dies_leaves_a_login_or_an_honest_word(step: str) -> None:
    """After a crash between any two steps the account works, or a login is due, with one replay."""

    async def story(deaths: Deaths) -> None:
        world = deaths.world
        await world.signed_in()
        deaths.born(step)
        with pytest.raises(Crash):
            await world.broker.token(ASK, ME)
        deaths.born()
        if step in {"acted", "answered"}:  # the provider has rotated, and nobody has the new one
            for _ in range(3):
                with pytest.raises(LoginRequiredError, match="invalid_grant"):
                    await world.broker.token(ASK, ME)
            assert world.provider.replays == 1
            assert (await deaths.events())[-3:] == ["replayed", "refused", "ended"]
            return
        await world.broker.token(ASK, ME)
        assert world.provider.replays == 0
        events = (await world.broker.journal.history(KEY))[:2]
        replayed = [entry.event.value for entry in events] == ["intent", "replayed"]
        assert replayed is (step == "after the intent")

    dying(story)


async def interrupted_twice(deaths: Deaths) -> None:
    """Have two agents die with the intent written, and let the third live."""
    for _ in range(2):
        deaths.born("after the intent")
        with pytest.raises(Crash):
            await deaths.world.broker.token(ASK, ME)
    deaths.born()


def test_a_token_is_never_presented_a_third_time_without_a_result() -> None:
    """Two agents die in the middle; the third says why a login is due, and asks nobody."""

    async def story(deaths: Deaths) -> None:
        world = deaths.world
        await world.signed_in()
        await interrupted_twice(deaths)
        for _ in range(2):
            with pytest.raises(LoginRequiredError, match="interrupted twice"):
                await world.broker.token(ASK, ME)
        assert (world.provider.refreshes, world.provider.replays) == (0, 0)
        await world.broker.close()
        assert not world.provider.living, "what cannot be used any more is revoked"

    dying(story)


def test_the_reason_of_a_lost_login_outlives_the_agent() -> None:
    """The tombstone has it, and so has the next agent."""

    async def story(deaths: Deaths) -> None:
        world = deaths.world
        await world.signed_in()
        await interrupted_twice(deaths)
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        deaths.born()
        await world.broker.load()
        state = world.broker.sessions.get(KEY)
        assert isinstance(state, Expired)
        assert "interrupted twice" in state.reason

    dying(story)


def test_a_login_ends_the_count() -> None:
    """After two interruptions and a new login everything goes on as ever."""

    async def story(deaths: Deaths) -> None:
        world = deaths.world
        grant = await world.signed_in()
        await interrupted_twice(deaths)
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        await world.store.write(grant, world.provider.issue(), expected=1)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"

    dying(story)
