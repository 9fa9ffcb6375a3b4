"""What a request for a credential gets, with the provider, the store and the clock in hand."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, World
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.errors import (
    AgentError,
    CheckEnvError,
    ConfigurationError,
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    UnknownToolError,
)
from tool_agentd.model import AccountKey, Credential, Grant
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Expired

ACME = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        world = World()
        await asyncio.wait_for(story(world), 10)
        assert world.provider.replays == 0

    asyncio.run(told())


async def refused(work: Awaitable[Credential], error: type[AgentError]) -> AgentError:
    """Return the error that `work` raises."""
    with pytest.raises(error) as caught:
        await work
    return caught.value


def test_a_cached_token_asks_nobody() -> None:
    """The second request is served from memory: provider and store are not touched."""

    async def story(world: World) -> None:
        await world.signed_in()
        first = await world.broker.token(ACME, ME)
        world.store = None  # type: ignore[assignment]  # whoever touches it now fails
        second = await world.broker.token(ACME, ME)
        assert first == second
        assert second.headers["Authorization"].reveal() == "Bearer access-1"
        assert second.expires_at == world.clock.now().wall + 3600
        assert world.provider.refreshes == 1

    run(story)


def test_identical_requests_share_one_flight() -> None:
    """Promise 4: 200 requests on an expired token are one refresh."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ACME, ME)
        world.clock.advance(3600)
        answers = await asyncio.gather(*(world.broker.token(ACME, ME) for _ in range(200)))
        assert {answer.value.reveal() for answer in answers} == {"access-2"}
        assert world.provider.refreshes == 2

    run(story)


def test_flights_of_one_grant_run_one_after_another() -> None:
    """50 requests with five scopes on one rotating grant: five refreshes, never two at once."""

    async def story(world: World) -> None:
        await world.signed_in()
        asks = [TokenAsk("acme", scope=f"s{number % 5}") for number in range(50)]
        await asyncio.gather(*(world.broker.token(one, ME) for one in asks))
        assert world.provider.refreshes == 5
        assert world.provider.most_at_once == 1
        assert sorted(world.provider.scopes) == ["s0", "s1", "s2", "s3", "s4"]

    run(story)


def test_tools_of_one_provider_share_its_login() -> None:
    """One grant, a token of its own scope for each tool, each in its own variable."""

    async def story(world: World) -> None:
        await world.signed_in()
        acme = await world.broker.token(ACME, ME)
        deploy = await world.broker.token(TokenAsk("deploy"), ME)
        assert acme.value != deploy.value
        assert world.provider.scopes == ["offline_access read write", "deploy"]
        assert deploy.env["DEPLOY_TOKEN"] == deploy.value
        assert not acme.env

    run(story)


def test_a_tool_that_the_login_was_not_asked_for() -> None:
    """A scope that a definition names, and the login was not granted, is a login's to bring."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.reply = world.provider.json({"error": "invalid_scope"}, 400)
        error = await refused(world.broker.token(TokenAsk("deploy"), ME), LoginRequiredError)
        assert error.hint == "run 'tool-agent login deploy'"
        assert "scope deploy" in error.detail
        assert isinstance(world.broker.sessions.get(KEY), Active)
        typed = TokenAsk("deploy", scope="deploy:all")
        await refused(world.broker.token(typed, ME), InvalidRequestError)

    run(story)


def test_a_rotation_is_saved_before_anyone_sees_the_token() -> None:
    """Promise 6: while the store has not answered, nobody has the new access token."""

    async def story(world: World) -> None:
        await world.signed_in()
        entered, go_on = asyncio.Event(), asyncio.Event()
        write = world.store.write

        async def slow(grant: Grant, secret: Secret, *, expected: int) -> Grant:
            entered.set()
            await go_on.wait()
            return await write(grant, secret, expected=expected)

        world.store.write = slow  # type: ignore[method-assign]  # the moment in question
        waiting = asyncio.ensure_future(world.broker.token(ACME, ME))
        await entered.wait()
        assert not waiting.done()
        go_on.set()
        assert (await waiting).value.reveal() == "access-1"
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living

    run(story)


def test_a_caller_that_goes_away_throws_no_login_away() -> None:
    """The flight belongs to nobody: cancelled callers leave the rotation to be saved."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ACME, ME))
        await world.provider.arrived.wait()
        caller.cancel()
        await asyncio.wait([caller])
        world.provider.gate.set()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living

    run(story)


def test_a_stale_token_is_served_while_it_is_renewed() -> None:
    """Nobody waits for a renewal that is only due."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ACME, ME)
        world.clock.advance(3600 - 120)
        world.provider.gate = asyncio.Event()
        world.provider.arrived.clear()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"
        await world.provider.arrived.wait()
        world.provider.gate.set()
        await world.broker.close()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-2"

    run(story)


def test_a_token_below_its_margin_is_better_than_none() -> None:
    """Promise 19: the provider is down, the token is still good, so it is served."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ACME, ME)
        world.clock.advance(3600 - 20)
        world.provider.down = True
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"
        await refused(
            world.broker.token(TokenAsk("acme", min_ttl=60), ME), TemporarilyUnavailableError
        )
        world.clock.advance(20)
        await refused(world.broker.token(ACME, ME), TemporarilyUnavailableError)
        world.provider.down = False
        world.clock.advance(LONGEST)
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-2"

    run(story)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b"oops", TemporarilyUnavailableError),
        (429, b"{}", TemporarilyUnavailableError),
        (200, b"<html>captive portal</html>", TemporarilyUnavailableError),
        (400, b"", TemporarilyUnavailableError),
        (401, b'{"error":"invalid_client"}', ConfigurationError),
        (400, b'{"error":"unauthorized_client"}', ConfigurationError),
        (400, b'{"error":"invalid_scope"}', InvalidRequestError),
        (400, b'{"error":"invalid_target"}', InvalidRequestError),
    ],
)
def test_only_a_genuine_refusal_ends_a_session(
    status: int, body: bytes, error: type[AgentError]
) -> None:
    """Promise 7: whatever else the provider says, the grant is kept and serves afterwards."""

    async def story(world: World) -> None:
        await world.signed_in()
        reply = world.provider.json({}, status)
        world.provider.reply = type(reply)(status, {}, body, reply.sent, reply.received)
        await refused(world.broker.token(ACME, ME), error)
        world.provider.reply = None
        world.clock.advance(LONGEST)
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"

    run(story)


def test_a_refusal_is_one_honest_login_required() -> None:
    """The reason reaches whoever asks, also after a restart, and the provider is asked once."""

    async def story(world: World) -> None:
        grant = await world.signed_in(Secret("never issued"))
        error = await refused(world.broker.token(ACME, ME), LoginRequiredError)
        assert error.hint == (
            "run 'tool-agent login acme'; 'tool-agent why acme' tells what happened"
        )
        assert isinstance(world.broker.sessions.get(KEY), Expired)
        assert await world.store.read(grant.key) is None
        world.restarted()
        world.provider.down = True  # and nobody asks it again
        again = await refused(world.broker.token(ACME, ME), LoginRequiredError)
        assert "invalid_grant" in again.detail

    run(story)


def test_a_refused_token_that_was_replaced_meanwhile_ends_nothing() -> None:
    """The store is read again: another program that shares it may have rotated."""

    async def story(world: World) -> None:
        grant = await world.signed_in(Secret("rotated by another program"))
        current = world.store.current

        async def other_program_first(key: AccountKey) -> Grant | None:
            await world.store.write(grant, world.provider.issue(), expected=1)
            world.store.current = current  # type: ignore[method-assign]  # it happens once
            return await current(key)

        await world.broker.load()
        world.store.current = other_program_first  # type: ignore[method-assign]  # the race
        await refused(world.broker.token(ACME, ME), TemporarilyUnavailableError)
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"

    run(story)


def test_a_login_that_cannot_be_saved_goes_on_in_memory() -> None:
    """Storage fails after a rotation: service goes on, status says degraded, then it is saved."""

    async def story(world: World) -> None:
        await world.signed_in()
        write = world.store.write

        async def full(grant: Grant, secret: Secret, *, expected: int) -> Grant:
            message = "the disk is full"
            raise StoreUnavailableError(message)

        world.store.write = full  # type: ignore[method-assign]  # the fault
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"
        _, reasons = await world.broker.status()
        assert "the disk is full" in reasons[0]
        world.clock.advance(3600)
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-2"
        world.store.write = write  # type: ignore[method-assign]  # the disk is mended
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert (await world.broker.status())[1] == []
        world.restarted()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-3"

    run(story)


def test_a_rotation_that_comes_after_logout_is_revoked() -> None:
    """A successful renewal of a session that is over is told to the provider, not dropped."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ACME, ME))
        await world.provider.arrived.wait()
        await world.broker.logout("acme", None)
        world.provider.gate.set()
        # The refresh that was under way may win the race at the provider: rotate it by hand.
        await refused(caller, LoginRequiredError)
        await world.broker.close()
        assert not world.provider.living

    run(story)


def test_variables_are_looked_for_before_anything_is_touched() -> None:
    """A client that looks gets 428 until it has; in memory is served at once."""

    async def story(world: World) -> None:
        await world.signed_in()
        blank = TokenAsk("acme", unset="")
        await refused(world.broker.token(blank, ME), CheckEnvError)
        assert not world.broker.sessions.loaded
        looked = TokenAsk("acme", unset="ACME_KEY")
        await world.broker.token(looked, ME)
        assert (await world.broker.token(blank, ME)).value.reveal() == "access-1"

    run(story)


def test_what_no_fresh_token_has_is_refused_once() -> None:
    """A min_ttl above a token's life is an error after one refresh, never a loop."""

    async def story(world: World) -> None:
        world.provider.life = 300
        await world.signed_in()
        error = await refused(
            world.broker.token(TokenAsk("acme", min_ttl=3600), ME), InvalidRequestError
        )
        assert "300 s" in error.detail
        assert world.provider.refreshes == 1

    run(story)


def test_accounts_are_chosen_by_name_by_choice_or_by_being_the_only_one() -> None:
    """Several accounts and none chosen is a question back, not a guess."""

    async def story(world: World) -> None:
        await world.signed_in(label="work")
        assert (await world.broker.token(ACME, ME)).account == "work"
        await world.signed_in(label="home")
        world.restarted()
        error = await refused(world.broker.token(ACME, ME), InvalidRequestError)
        assert "home, work" in error.detail
        assert (await world.broker.token(TokenAsk("acme", "home"), ME)).account == "home"
        await world.broker.switch("acme", "work")
        world.restarted()
        assert (await world.broker.token(ACME, ME)).account == "work"
        missing = await refused(world.broker.token(TokenAsk("acme", "x"), ME), LoginRequiredError)
        assert missing.hint == "run 'tool-agent login acme --account x'"

    run(story)


def test_an_unknown_tool_is_named_with_its_neighbours() -> None:
    """A slip of the finger is recognised."""

    async def story(world: World) -> None:
        error = await refused(world.broker.token(TokenAsk("acne"), ME), UnknownToolError)
        assert "acme" in (error.hint or "")

    run(story)


def test_a_login_by_another_program_is_found() -> None:
    """A store is shared: what another process wrote is served without a restart."""

    async def story(world: World) -> None:
        await refused(world.broker.token(ACME, ME), LoginRequiredError)
        await world.signed_in()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"

    run(story)


def test_a_provider_that_never_says_why_is_believed_the_third_time() -> None:
    """Empty refusals: kept twice, then login_required with that reason; a success restores."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.reply = world.provider.json({}, 400)
        for _ in range(2):
            await refused(world.broker.token(ACME, ME), TemporarilyUnavailableError)
            world.clock.advance(LONGEST)
        error = await refused(world.broker.token(ACME, ME), LoginRequiredError)
        assert "3 times in a row" in error.detail
        world.provider.reply = None
        again = await refused(world.broker.token(ACME, ME), LoginRequiredError)
        assert again.detail == error.detail, "and it is not asked again at once"
        world.clock.advance(LONGEST)
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"

    run(story)


def test_a_no_without_a_reason_counts_in_a_row_and_against_its_own_login() -> None:
    """400, 401 and 403 alike; a success begins the count anew, and so does a new login."""

    async def story(world: World) -> None:
        await world.signed_in()

        async def refuses(*statuses: int) -> list[type[AgentError]]:
            met = []
            for status in statuses:
                world.provider.reply = world.provider.json({}, status)
                met.append(type(await refused(world.broker.token(ACME, ME), AgentError)))
                world.clock.advance(LONGEST)
            world.provider.reply = None
            return met

        kept = [TemporarilyUnavailableError] * 2
        assert await refuses(400, 401) == kept
        assert (await world.broker.token(ACME, ME)).value.reveal() == "access-1"
        world.clock.advance(3600)
        assert await refuses(403, 400, 401, 403) == [*kept, *[LoginRequiredError] * 2]
        assert isinstance(world.broker.sessions.get(KEY), Active)
        await world.broker.logout("acme", "default", forget=True)
        await world.signed_in()
        assert await refuses(400, 403) == kept

    run(story)
