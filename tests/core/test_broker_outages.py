"""A provider that fails: who is told what, who asks again and when, and what goes on meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, ME, ORIGIN, World, catalogue
from tool_agentd.broker import TokenAsk, flights
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.broker.breaker import UNREACHED
from tool_agentd.errors import (
    AgentError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import AccountKey, Grant, GrantKind, HttpReply, HttpRequest
from tool_agentd.session import Active

OTHER = "https://acme.example/other"
BETA = ACME.replace('"acme"', '"beta"').replace(f"{ORIGIN}/token", f"{ORIGIN}/beta")
ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with two providers."""

    async def told() -> None:
        world = World(acme=ACME, beta=BETA)
        await asyncio.wait_for(story(world), 10)
        assert world.provider.replays == 0

    asyncio.run(told())


async def failure(world: World, ask: TokenAsk = ASK) -> AgentError:
    """Return the error that a request gets."""
    with pytest.raises(AgentError) as caught:
        await world.broker.token(ask, ME)
    return caught.value


def counted(world: World, reply: Callable[[], HttpReply]) -> list[HttpRequest]:
    """Let the token endpoint answer so; return what it is sent."""
    world.provider.routes["/token"] = lambda _request: reply()
    return world.provider.requests


def broken(world: World) -> HttpReply:
    """Return a reply of a provider that is down."""
    return world.provider.json({}, 500)


def test_nobody_posts_before_the_wait_is_over() -> None:
    """A hundred requests after a failure are no request: each hears why, and for how long."""

    async def story(world: World) -> None:
        await world.signed_in()
        posts = counted(world, lambda: broken(world))
        first = await failure(world)
        assert first.retry_after is not None
        assert first.retry_after >= 1
        for _ in range(100):
            error = await failure(world)
            assert error.code == "temporarily_unavailable"
            assert error.detail == first.detail
            assert error.retry_after == pytest.approx(first.retry_after)
        assert len(posts) == 1
        world.clock.advance(first.retry_after)
        await failure(world)
        assert len(posts) == 2

    run(story)


def test_an_outage_of_hours_is_some_hundred_requests_and_no_login_is_lost() -> None:
    """A client that asks every second for two hours: backoff is bounded both ways."""

    async def story(world: World) -> None:
        await world.signed_in()
        posts = counted(world, lambda: broken(world))
        for _ in range(2 * 3600):
            await failure(world)
            world.clock.advance(1)
        assert 2 * 12 <= len(posts) < 2 * 12 * 4
        del world.provider.routes["/token"]
        world.clock.advance(LONGEST)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"

    run(story)


def test_a_held_request_opens_no_box() -> None:
    """What is said at once is said without the keychain."""

    async def story(world: World) -> None:
        await world.signed_in()
        counted(world, lambda: broken(world))
        await failure(world)
        world.store.read = world.store.lease = None  # type: ignore[method-assign, assignment]  # whoever touches it fails
        assert (await failure(world)).code == "temporarily_unavailable"

    run(story)


@pytest.mark.parametrize(
    ("said", "wait"),
    [("7", 7.0), ("Mon, 12 Jan 1970 13:48:40 GMT", 120.0), ("99999", 900.0), ("0", 1.0)],
)
def test_retry_after_is_honoured_in_both_forms_and_capped(said: str, wait: float) -> None:
    """The caller hears the very seconds, and nobody asks before they are over."""

    async def story(world: World) -> None:
        await world.signed_in()

        def busy() -> HttpReply:
            now = world.clock.now()
            return HttpReply(503, {"retry-after": said}, b"", now, now)

        posts = counted(world, busy)
        assert (await failure(world)).retry_after == pytest.approx(wait)
        world.clock.advance(wait - 0.5)
        assert (await failure(world)).retry_after == pytest.approx(0.5)
        assert len(posts) == 1
        world.clock.advance(0.5)
        await failure(world)
        assert len(posts) == 2

    run(story)


def test_a_valid_token_is_served_all_the_while_and_renewed_behind_only_now_and_then() -> None:
    """STALE: a thousand requests in the window are a handful of attempts, and no error."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3600 - 290)
        posts = counted(world, lambda: broken(world))
        for _ in range(1000):
            assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"
            await world.broker._flights.land()
            world.clock.advance(0.28)
        assert 3 <= len(posts) <= 20

    run(story)


def test_a_locked_keychain_is_not_tried_by_every_request_either() -> None:
    """A background renewal that fails for any reason rests."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3600 - 120)
        reads = 0

        async def locked(key: AccountKey) -> None:
            nonlocal reads
            reads += 1
            message = "the keychain is locked"
            raise StoreUnavailableError(message)

        world.store.read = locked  # type: ignore[method-assign]  # the fault
        for _ in range(50):
            await world.broker.token(ASK, ME)
            await world.broker._flights.land()
        assert reads == 1

    run(story)


async def second_account(world: World, label: str = "work") -> TokenAsk:
    """Sign another account in; return how to ask for it."""
    await world.signed_in(label=label)
    return TokenAsk("acme", label)


def test_one_goes_first_and_the_others_follow_its_success() -> None:
    """After the wait 20 accounts ask at once: one request, and after its answer the rest."""

    async def story(world: World) -> None:
        asks = [await second_account(world, f"a{number}") for number in range(20)]
        world.provider.down = True
        error = await failure(world, asks[0])
        world.provider.down = False
        world.clock.advance(error.retry_after or 0)
        world.provider.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(world.broker.token(ask, ME)) for ask in asks]
        await world.provider.arrived.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert world.provider.at_once == 1
        world.provider.gate.set()
        served = await asyncio.gather(*waiting)
        assert len({one.value.reveal() for one in served}) == 20

    run(story)


def test_when_the_first_fails_the_others_hear_it() -> None:
    """None of them asks itself."""

    async def story(world: World) -> None:
        asks = [await second_account(world, f"a{number}") for number in range(20)]
        posts = counted(world, lambda: broken(world))
        error = await failure(world, asks[0])
        world.clock.advance(error.retry_after or 0)
        told = await asyncio.gather(*(failure(world, ask) for ask in asks))
        assert {one.code for one in told} == {"temporarily_unavailable"}
        assert len(posts) == 2

    run(story)


def test_a_first_one_that_teaches_nothing_lets_the_next_go() -> None:
    """It was refused for its own scope, or met a locked keychain on the way."""

    async def story(world: World) -> None:
        ask = await second_account(world)
        await world.signed_in()
        world.provider.down = True
        error = await failure(world, ask)
        world.provider.down = False
        world.clock.advance(error.retry_after or 0)
        counted(world, lambda: world.provider.json({"error": "invalid_scope"}, 400))
        narrow = TokenAsk("acme", "work", scope="x")
        assert (await failure(world, narrow)).code == "invalid_request"
        del world.provider.routes["/token"]
        await world.broker.token(TokenAsk("acme", "default"), ME)

    run(story)


def test_a_login_that_alone_fails_keeps_the_others_of_its_provider_served() -> None:
    """The provider answers 500 for one login only: the others wait seconds, it waits minutes."""

    async def story(world: World) -> None:
        bad = await world.signed_in(label="bad")
        ask = await second_account(world, "good")
        spoilt = (await world.store.unseal(bad)).reveal()
        posts: list[str] = []

        def route(request: HttpRequest) -> HttpReply:
            form = {
                k: getattr(v, "reveal", lambda v=v: v)() for k, v in (request.form or {}).items()
            }
            posts.append(form["refresh_token"])
            if form["refresh_token"] == spoilt:
                return broken(world)
            return world.provider._refresh(form)

        world.provider.routes["/token"] = route
        world.provider.life = 10
        refused = 0
        for _ in range(1800):
            await failure(world, TokenAsk("acme", "bad"))
            try:
                await world.broker.token(ask, ME)
            except TemporarilyUnavailableError:
                refused += 1
            world.clock.advance(1)
        assert posts.count(spoilt) < 40
        assert refused < 120
        assert len(posts) > 150

    run(story)


def test_another_provider_is_not_concerned() -> None:
    """Nor is a token of another tool's login delayed."""

    async def story(world: World) -> None:
        await world.signed_in()
        grant = Grant(
            AccountKey("beta", "default"),
            GrantKind.REFRESH_TOKEN,
            "browser",
            "session",
            (ORIGIN,),
            obtained_at=world.clock.now().wall,
        )
        await world.store.write(grant, world.provider.issue(), expected=0)
        counted(world, lambda: broken(world))
        await failure(world)
        fine = world.provider.json({"access_token": "b", "token_type": "Bearer"})
        world.provider.routes["/beta"] = lambda _request: fine
        assert (await world.broker.token(TokenAsk("beta"), ME)).value.reveal() == "b"

    run(story)


def test_without_a_network_the_wait_is_short_and_the_login_is_not_blamed() -> None:
    """An hour offline, and half a minute after the cable is back it works."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.reply = UnreachableError("no connection to acme.example")
        for _ in range(3600):
            error = await failure(world)
            assert error.retry_after is not None
            assert error.retry_after <= UNREACHED
            world.clock.advance(1)
        world.provider.reply = None
        world.clock.advance(UNREACHED)
        await world.broker.token(ASK, ME)

    run(story)


def test_a_new_login_or_another_endpoint_begins_afresh() -> None:
    """The person has mended the address: nobody waits out the old one's five minutes."""

    async def story(world: World) -> None:
        await world.signed_in()
        counted(world, lambda: broken(world))
        for _ in range(10):
            await failure(world)
            world.clock.advance(LONGEST)
        await failure(world)
        moved = ACME.replace(f'token = "{ORIGIN}/token"', f'token = "{OTHER}"')
        assert moved != ACME
        fine = world.provider.json({"access_token": "b", "token_type": "Bearer"})
        world.provider.routes["/other"] = lambda _request: fine
        world.broker.catalogue = catalogue(acme=moved)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "b"

    run(story)


def test_waking_up_is_no_storm() -> None:
    """Eight hours of sleep, 20 accounts: the tick asks nobody, and each that is used asks once."""

    async def story(world: World) -> None:
        asks = [await second_account(world, f"a{number}") for number in range(20)]
        for ask in asks:
            await world.broker.token(ask, ME)
        assert world.provider.refreshes == 20
        world.clock.advance(8 * 3600)
        await world.broker.tick()
        assert world.provider.refreshes == 20
        crowd = [world.broker.token(ask, ME) for ask in asks for _ in range(10)]
        await asyncio.gather(*crowd)
        assert world.provider.refreshes == 40

    run(story)


def test_renewals_ahead_are_spread_over_the_accounts(caplog: pytest.LogCaptureFixture) -> None:
    """20 tokens of one moment are not all renewed at one other moment."""

    async def story(world: World) -> None:
        asks = [await second_account(world, f"a{number}") for number in range(20)]
        for ask in asks:
            await world.broker.token(ask, ME)
        world.clock.advance(3600 - 300 * 1.1)
        seen = set()
        for _ in range(66):
            for ask in asks:
                await world.broker.token(ask, ME)
            await world.broker._flights.land()
            seen.add(world.provider.refreshes)
            world.clock.advance(1)
        assert world.provider.refreshes == 40
        assert len(seen) > 8

    run(story)


def test_waking_up_offline_is_no_alarm_while_a_token_is_valid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing in status, nothing above `info` in the log, and the token is served."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3600 - 100)
        world.provider.reply = UnreachableError("no connection to acme.example")
        for _ in range(30):
            await world.broker.tick()
            await world.broker.token(ASK, ME)
            await world.broker._flights.land()
            world.clock.advance(1)
        assert (await world.broker.status())[1] == []
        assert isinstance(world.broker.sessions.get(KEY), Active)

    with caplog.at_level("INFO"):
        run(story)
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_a_caller_is_told_in_time_and_the_rotation_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The provider hangs beyond the caller's patience: its answer is saved when it comes."""
    monkeypatch.setattr(flights, "PATIENCE", 0.05)

    async def story(world: World) -> None:
        other = await second_account(world, "other")
        await world.broker.token(other, ME)
        await world.signed_in()
        slow = TokenAsk("acme", "default")
        world.provider.gate = asyncio.Event()
        error = await failure(world, slow)
        assert error.code == "temporarily_unavailable"
        assert error.retry_after == 2
        assert world.provider.at_once == 1, "it is under way still"
        await world.broker.token(other, ME)
        world.provider.gate.set()
        await world.broker._flights.land()
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living
        refreshes = world.provider.refreshes
        await world.broker.token(slow, ME)
        assert world.provider.refreshes == refreshes

    run(story)


def test_doubts_wait_too() -> None:
    """An empty 400 is not asked for again by every request, and the third is believed."""

    async def story(world: World) -> None:
        await world.signed_in()
        posts = counted(world, lambda: world.provider.json({}, 400))
        for count in range(1, 4):
            error = await failure(world)
            assert len(posts) == count
            assert await failure(world) is not error
            assert len(posts) == count
            world.clock.advance(LONGEST)
        assert isinstance(error, LoginRequiredError)

    run(story)
