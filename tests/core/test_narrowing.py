"""What a limit leaves of a request: of a scoped socket's scope, and of `max_scope`."""

import asyncio
from dataclasses import replace

import pytest

from tests.core.fakes import ACME, ME, World
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.errors import DeniedError
from tool_agentd.model import Rights
from tool_agentd.policy import Rules, Table


async def asked(
    *, scope: str | None = None, socket: str | None = None, most: str | None = None
) -> list[str]:
    """Return the scopes that the provider was asked for."""
    world = World(acme=ACME)
    await world.signed_in()
    peer = ME
    if socket is not None:
        peer = replace(ME, rights=Rights("ci", "acme", "default", socket))
    if most is not None:
        world.broker.gate.table = Table({"acme": Rules(max_scope=frozenset(most.split()))})
    await world.broker.token(TokenAsk("acme", scope=scope), peer)
    return world.provider.scopes


@pytest.mark.parametrize("blank", ["", " ", "\t", "\n \u00a0"])
def test_blanks_are_no_way_round_a_limit(blank: str) -> None:
    """A scope of blanks names none, and gets what a limit leaves, not all that the login has."""
    assert asyncio.run(asked(scope=blank, socket="read")) == ["read"]
    assert asyncio.run(asked(scope=blank, most="read")) == ["read"]


def test_limits_that_share_nothing_leave_nothing() -> None:
    """A socket for one scope under a rule for another gets no token, and not the widest."""
    with pytest.raises(DeniedError, match="nothing of what acme has"):
        asyncio.run(asked(socket="write", most="read"))
    with pytest.raises(DeniedError, match="nothing of what acme has"):
        asyncio.run(asked(most="admin"))


def test_a_limit_widens_nothing() -> None:
    """Where it names more than comes without it, what comes without it is asked for."""
    assert asyncio.run(asked(most="read write admin billing")) == ["read write"]


def test_a_scoped_socket_gives_no_other_audience() -> None:
    """Tools that share a provider share its logins: an audience would be another tool's token."""

    async def story() -> None:
        world = World(acme=ACME)
        await world.signed_in()
        peer = replace(ME, rights=Rights("ci", "acme", "default"))
        with pytest.raises(DeniedError, match="its own audience alone"):
            await world.broker.token(TokenAsk("acme", audience="https://billing.example"), peer)
        assert world.provider.scopes == []

    asyncio.run(story())
