"""What an ended session's reason says: of tokens that outlive it, and of an ephemeral login."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from types import MappingProxyType
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, World
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.renewal import afterlife
from tool_agentd.errors import LoginRequiredError
from tool_agentd.model import AccessToken, Grant, GrantKind, Instant, TokenKey
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Authorizing, Expired, SignedOut, end_of

NOW = Instant(1_000_000.0, 500.0)
"""13:46:40 UTC."""
ENDS = "; a token that was handed out works until "
GRANT = Grant(KEY, GrantKind.REFRESH_TOKEN, "browser", "session", (), obtained_at=NOW.wall)


def active(*lives: float) -> Active:
    """Return a session with tokens that have so many seconds left."""
    obtained = NOW.plus(-7200)
    tokens = {
        TokenKey((str(life),)): AccessToken(Secret("t"), obtained, NOW.plus(life)) for life in lives
    }
    return Active(GRANT, MappingProxyType(tokens))


@pytest.mark.parametrize(
    ("lives", "shown"),
    [
        ((), ""),
        ((-1.0,), ""),
        ((0.0,), ""),
        ((math.inf,), ""),
        ((20.0,), "13:47:00"),
        ((-5.0, 20.0, 200.0), "13:50:00"),
        ((11 * 3600.0,), "1970-01-13 00:46:40"),
    ],
)
def test_the_token_that_lives_longest_is_named(lives: tuple[float, ...], shown: str) -> None:
    """With the day where it is another one; a login that is under way changes nothing."""
    said = f"{ENDS}{shown} UTC at the latest" if shown else ""
    assert afterlife(active(*lives), NOW) == said
    assert afterlife(Authorizing("id", active(*lives)), NOW) == said


def test_without_a_session_there_is_nothing_to_outlive_it() -> None:
    """Signed out, and ended already."""
    assert afterlife(SignedOut(), NOW) == afterlife(Expired(GRANT, "over", 0.0), NOW) == ""


def test_an_ephemeral_login_names_its_lifetime() -> None:
    """Where the person has set it; what else ended it has its own words."""
    ends = {"ephemeral": True, "ends_at": NOW.wall + 7200}
    grant = Grant(KEY, GrantKind.SESSION, "m", "session", (), obtained_at=NOW.wall, **ends)  # type: ignore[arg-type]  # fields of Grant
    assert end_of(grant) == "an ephemeral login: its lifetime of 2 h, set at login, is over"


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        await asyncio.wait_for(story(World()), 10)

    asyncio.run(told())


async def reason(world: World, ask: TokenAsk) -> str:
    """Return why a token is refused."""
    with pytest.raises(LoginRequiredError) as refused:
        await world.broker.token(ask, ME)
    return refused.value.detail


def test_a_refused_refresh_leaves_the_last_token_alive() -> None:
    """Everyone hears until when, after a restart too."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(TokenAsk("acme"), ME)
        world.provider.living.clear()
        assert ENDS in await reason(world, TokenAsk("acme", min_ttl=4000))
        said = await reason(world, TokenAsk("acme"))
        assert ENDS in said
        world.restarted()
        assert await reason(world, TokenAsk("acme")) == said

    run(story)


def test_a_token_that_the_platform_refused_is_not_said_to_work() -> None:
    """Its refusal was the occasion of the refresh."""

    async def story(world: World) -> None:
        await world.signed_in()
        token = await world.broker.token(TokenAsk("acme"), ME)
        world.provider.living.clear()
        world.provider.dead.add(token.value.reveal())
        with pytest.raises(LoginRequiredError) as refused:
            await world.broker.identity(TokenAsk("acme"), ME)
        assert "invalid_grant" in refused.value.detail
        assert ENDS not in refused.value.detail
        assert ENDS not in await reason(world, TokenAsk("acme"))

    run(story)
