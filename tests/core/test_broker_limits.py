"""Idle and absolute limits of a session, on both clocks, across restarts and other agents."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.core.acme import error_of
from tests.core.fakes import ACME, KEY, ME, ORIGIN, World
from tool_agentd import files
from tool_agentd.broker import TokenAsk, limits
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.definition.decode import decode
from tool_agentd.definition.explain import explain
from tool_agentd.definition.vocabulary import SessionLimits
from tool_agentd.errors import ConfigurationError, LoginRequiredError, StoreUnavailableError
from tool_agentd.model import Grant, Instant
from tool_agentd.session import Active, Expired

HOUR = 3600.0
IDLE = ACME + '\n[session]\nidle = "12h"\n'
ABSOLUTE = ACME + '\n[session]\nabsolute = "30d"\n'
ASK = TokenAsk("acme")

Story = Callable[[World], Coroutine[Any, Any, None]]


def run(definition: str, story: Story) -> None:
    """Run a story in a world with this definition of acme."""

    async def told() -> None:
        world = World(acme=definition)
        await asyncio.wait_for(story(world), 10)
        assert world.provider.replays == 0

    asyncio.run(told())


async def over(world: World) -> str:
    """Return why a request is told to log in."""
    with pytest.raises(LoginRequiredError) as caught:
        await world.broker.token(ASK, ME)
    await world.broker._background.settle()
    return caught.value.detail


async def ended(world: World) -> None:
    """Assert that the session is over for good: tombstone, secret erased, token revoked."""
    assert isinstance(world.broker.sessions.get(KEY), Expired)
    assert await world.store.read(KEY) is None
    there = await world.store.current(KEY)
    assert there is not None
    assert there.ended is not None
    assert not world.provider.living


def test_a_session_that_nobody_uses_ends() -> None:
    """By the tick, with its reason, revoked at the provider; the reason outlives the agent."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(12 * HOUR - 1)
        await world.broker.tick()
        assert isinstance(world.broker.sessions.get(KEY), Active)
        world.clock.advance(1)
        await world.broker.tick()
        await ended(world)
        assert "was not used for 12 h" in await over(world)
        world.restarted()
        assert "was not used for 12 h" in await over(world)

    run(IDLE, story)


def test_each_token_that_is_served_is_a_use() -> None:
    """A session in use lives for weeks, and no serve writes to the store."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        await world.signed_in()
        await world.broker.token(ASK, ME)
        writes = 0
        keep = world.store.keep_cache

        async def counted(grant: Grant, name: str, text: str) -> bool:
            nonlocal writes
            writes += 1
            return await keep(grant, name, text)

        world.store.keep_cache = counted  # type: ignore[method-assign]  # to count
        for _ in range(500):
            world.clock.advance(HOUR)
            await world.broker.token(ASK, ME)
        assert writes == 0
        for _ in range(24 * 120):
            world.clock.advance(30)
            await world.broker.token(ASK, ME)
            await world.broker.tick()
        assert 24 / 12 * 15 <= writes <= 24 / 12 * 1.1 / limits.SLACK
        world.clock.advance(12 * HOUR)
        assert "was not used" in await over(world)

    run(IDLE, story)


def test_a_request_after_the_limit_gets_nothing_though_no_tick_came() -> None:
    """Timers stop in suspend: the first request after waking up is not served the old token."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(12 * HOUR)
        assert "was not used for 12 h" in await over(world)
        await ended(world)

    run(IDLE, story)


@pytest.mark.parametrize(
    "jump",
    [Instant(-365 * 86400.0, 13 * HOUR), Instant(365 * 86400.0, 1.0)],
    ids=["set back, and the boot clock goes on", "set forward"],
)
@pytest.mark.parametrize("definition", [IDLE, ABSOLUTE.replace("30d", "12h")])
def test_either_clock_ends_a_session(definition: str, jump: Instant) -> None:
    """A clock that is set back does not prolong it."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        await world.signed_in()
        await world.broker.token(ASK, ME)
        now = world.clock.instant
        world.clock.instant = Instant(now.wall + jump.wall, now.boot + jump.boot)
        await over(world)
        await ended(world)

    run(definition, story)


def test_a_lifetime_is_not_prolonged_by_a_clock_set_back() -> None:
    """`ends_at` is a wall time; the boot clock stands by it."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        grant = await world.signed_in()
        ends = Grant(
            **{name: getattr(grant, name) for name in grant.__slots__ if name != "ends_at"},
            ends_at=world.clock.now().wall + HOUR,
        )
        await world.store.write(ends, world.provider.issue(), expected=grant.generation)
        await world.broker.token(ASK, ME)
        now = world.clock.instant
        world.clock.instant = Instant(now.wall - 86400, now.boot + HOUR)
        assert "the lifetime that was set at login is over" in await over(world)

    run(ACME, story)


def test_an_old_session_ends_however_much_it_is_used() -> None:
    """Counted from the login, over rotations and restarts."""

    async def story(world: World) -> None:
        await world.signed_in()
        for _ in range(29):
            world.clock.advance(86400)
            await world.broker.token(ASK, ME)
            world.restarted()
        world.clock.advance(86400 - 1)
        await world.broker.token(ASK, ME)
        world.clock.advance(1)
        assert "30 days old" in await over(world)
        await ended(world)

    run(ABSOLUTE, story)


def test_a_restart_is_no_use() -> None:
    """What an agent that ended in order has written down counts for its successor."""

    async def story(world: World) -> None:
        await world.signed_in()
        for _ in range(3):
            await world.broker.token(ASK, ME)
            world.clock.advance(11 * HOUR)
            await world.broker._endings.note_uses(world.catalogue)
            world.restarted()
            await world.broker.load()
            await world.broker.tick()
        world.clock.advance(HOUR)
        world.restarted()
        assert "was not used for 12 h" in await over(world)

    run(IDLE, story)


def test_a_killed_agent_ends_a_session_early_rather_than_late() -> None:
    """Its last writing is a twentieth of the limit behind at most."""

    async def story(world: World) -> None:
        await world.signed_in()
        for _ in range(600):
            world.clock.advance(60)
            await world.broker.token(ASK, ME)
            await world.broker.tick()
        killed_at = world.clock.now().wall
        world.restarted()
        world.clock.advance(0.9 * 12 * HOUR)
        await world.broker.load()
        await world.broker.tick()
        assert isinstance(world.broker.sessions.get(KEY), Active)
        world.clock.advance(0.1 * 12 * HOUR)
        assert world.clock.now().wall == pytest.approx(killed_at + 12 * HOUR)
        await over(world)

    run(IDLE, story)


def test_another_agents_use_counts() -> None:
    """Two agents over one store: the one that is not asked does not end the other's session."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        await world.signed_in()
        idle = world.broker
        await idle.token(ASK, ME)
        used = world.restarted()
        for _ in range(26):
            await used.token(ASK, ME)
            world.clock.advance(HOUR)
            await used.tick()
            await idle.tick()
        assert isinstance(idle.sessions.get(KEY), Active)
        assert await world.store.read(KEY) is not None

    run(IDLE, story)


def test_a_new_login_begins_afresh() -> None:
    """What was known of the one before is not held against it."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(12 * HOUR)
        await over(world)
        tomb = await world.store.current(KEY)
        assert tomb is not None
        fresh = Grant(
            KEY, tomb.kind, "browser", "session", (ORIGIN,), obtained_at=world.clock.now().wall
        )
        await world.store.write(fresh, world.provider.issue(), expected=tomb.generation)
        await world.broker.token(ASK, ME)
        world.clock.advance(11 * HOUR)
        await world.broker.token(ASK, ME)

    run(IDLE, story)


def test_a_store_that_fails_keeps_the_session_and_serves_nothing_from_it() -> None:
    """At a limit it fails closed, and ends once the store answers."""

    async def story(world: World) -> None:
        world.provider.life = 400 * 86400
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(12 * HOUR)
        caches = world.store.caches

        async def locked(key: object) -> dict[str, str]:
            message = "the database is locked"
            raise StoreUnavailableError(message)

        world.store.caches = locked  # type: ignore[method-assign]  # the fault
        with pytest.raises(StoreUnavailableError):
            await world.broker.token(ASK, ME)
        await world.broker.tick()
        world.store.caches = caches  # type: ignore[method-assign]  # and it answers again
        assert "was not used" in await over(world)
        await ended(world)

    run(IDLE, story)


def test_a_renewal_in_the_air_does_not_keep_the_caller() -> None:
    """The limit is told at once; the rotation that comes later is revoked, not used."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        flying = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        world.clock.advance(12 * HOUR)
        with pytest.raises(LoginRequiredError, match="was not used"):
            await world.broker.token(ASK, ME)
        world.provider.gate.set()
        await asyncio.wait({flying})
        await world.broker._background.settle()
        await ended(world)

    run(IDLE, story)


def resolved(text: str, name: str = "acme", **own: SessionLimits) -> SessionLimits:
    """Return the limits that are in force for a definition with the person's own."""
    found = load({f"{name}.toml": SourceText(f"{name}.toml", text)}, None, {}, {}, own)
    assert found.problems == ()
    return found.tools[name].session


def test_the_persons_limits_come_before_the_definitions() -> None:
    """Each by itself."""
    assert resolved(IDLE) == SessionLimits(idle="12h")
    mine = SessionLimits(absolute="7d")
    assert resolved(IDLE, acme=mine) == SessionLimits(idle="12h", absolute="7d")
    assert resolved(IDLE, acme=SessionLimits(idle="1h")) == SessionLimits(idle="1h")


def test_limits_of_no_tool_are_a_problem() -> None:
    """With the nearest name."""
    sources = {"acme.toml": SourceText("acme.toml", ACME)}
    found = load(sources, None, {}, {}, {"acne": SessionLimits(idle="1h")})
    (problem,) = found.problems
    assert "session.acne: there is no tool" in problem.detail
    assert "acme" in problem.hint


@pytest.mark.parametrize("said", ["soon", "0s", "-1h", "12", "99999d"])
@pytest.mark.parametrize("key", ["idle", "absolute"])
def test_a_limit_that_is_none_is_refused(said: str, key: str, tmp_path: Path) -> None:
    """In a definition and in config.toml alike, by its key."""
    wrong = ACME.replace("schema = 1", f'schema = 1\nsession = {{ {key} = "{said}" }}')
    assert f"session.{key}" in error_of(wrong).detail
    (tmp_path / "tool-agent").mkdir(mode=0o700)
    config = tmp_path / "tool-agent" / "config.toml"
    config.write_text(f'[session.acme]\n{key} = "{said}"\n')
    config.chmod(0o600)
    with pytest.raises(ConfigurationError, match=rf"session\.acme\.{key}"):
        files.Files({"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}).read()


def test_limits_are_explained() -> None:
    """`tool show` says them."""
    text = explain(decode(IDLE.replace('"12h"', '"12h"\nabsolute = "30d"'), "acme.toml"))
    assert "a session ends when it was not used for 12h" in text
    assert "a session ends 30d after its login" in text
