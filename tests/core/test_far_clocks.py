"""The clocks of far ends: how far one is off by the Date of its last answer, and what is said."""

import asyncio
from email.utils import formatdate

import pytest

from tests.core.fakes import ME, ORIGIN, World
from tool_agentd.api import words
from tool_agentd.broker import TokenAsk
from tool_agentd.model import HttpReply, HttpRequest

TWO_HOURS = 7200


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (TWO_HOURS, [f"this machine's clock is 2 h behind that of {ORIGIN}"]),
        (-TWO_HOURS, [f"this machine's clock is 2 h ahead of that of {ORIGIN}"]),
        (61, [f"this machine's clock is 61 s behind that of {ORIGIN}"]),
        (60, []),
        (-60, []),
        (None, []),
    ],
)
def test_a_clock_that_is_a_minute_off_is_told_until_it_is_right(
    ahead: int | None, said: list[str]
) -> None:
    """The token lives as long as ever, for it is counted here; a right clock ends the note."""

    async def story() -> None:
        world = World()
        await world.signed_in()
        found: list[float | None] = [ahead]

        def answer(_request: HttpRequest) -> HttpReply:
            now = world.clock.now()
            body = world.provider.json({"access_token": "a", "token_type": "Bearer"}).body
            headers = {} if found[0] is None else {"date": formatdate(now.wall + found[0])}
            return HttpReply(200, headers, body, now, now)

        world.provider.routes["/token"] = answer
        first = await world.broker.token(TokenAsk("acme"), ME)
        assert words.clocks(world.broker.clocks.skews) == said
        assert first.expires_at is not None
        found[0] = 0
        world.clock.advance(first.expires_at - world.clock.now().wall)
        await world.broker.token(TokenAsk("acme"), ME)
        assert words.clocks(world.broker.clocks.skews) == []

    asyncio.run(story())
