"""A confirmation is about the login that was there when the person was asked."""

import asyncio

import pytest

from tests.core.fakes import KEY, ME, World
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.gate import Wanted
from tool_agentd.errors import ConflictError
from tool_agentd.policy import Ask, Confirm, Rules, Table

ASK = TokenAsk("acme")


@pytest.mark.parametrize("again", [True, False])
def test_another_login_is_not_what_was_confirmed(*, again: bool) -> None:
    """Logged out while the person thinks about it, or signed in anew: the yes serves neither."""

    async def story() -> None:
        world = World()
        await world.signed_in()
        broker = world.restarted()
        broker.gate.table = Table({"acme": Rules(confirm=Ask.ALWAYS)})

        async def approve(wanted: Wanted, verdict: Confirm) -> str:
            await broker.logout("acme", None)
            if again:
                world.clock.advance(1.0)
                await world.signed_in(label="default")
                await broker.sessions.adopt(KEY)
            return "yes"

        broker.gate.approve = approve
        with pytest.raises(ConflictError, match="anew meanwhile"):
            await broker.token(ASK, ME)

    asyncio.run(story())
