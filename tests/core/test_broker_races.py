"""What happens at once: logins, renewals and logouts of one account that cross each other."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, ME, World
from tests.core.test_broker_logins import begun, callback, code_exchange
from tool_agentd.broker import TokenAsk, revocations
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.broker.login import LoginState
from tool_agentd.errors import (
    LoginRequiredError,
    StoreUnavailableError,
    UnknownAccountError,
)
from tool_agentd.model import AccountKey, Grant, HeldGrant
from tool_agentd.secret import Secret
from tool_agentd.session import Expired, Found, SignedOut, step

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with one tool."""

    async def told() -> None:
        await asyncio.wait_for(story(World(acme=ACME)), 10)

    asyncio.run(told())


def hold_writes(world: World) -> tuple[asyncio.Event, asyncio.Event]:
    """Make the store's next write wait; return the events `entered` and `go on`."""
    write = world.store.write
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def held(grant: Grant, secret: Secret, *, expected: int) -> Grant:
        entered.set()
        await go_on.wait()
        return await write(grant, secret, expected=expected)

    world.store.write = held  # type: ignore[method-assign]  # the moment in question
    return entered, go_on


async def full(grant: Grant, secret: Secret, *, expected: int) -> Grant:
    """Write nothing: the disk is full."""
    message = "the disk is full"
    raise StoreUnavailableError(message)


async def signed_out(world: World) -> bool:
    """Tell whether a request for a token is told to log in."""
    try:
        await world.broker.token(ASK, ME)
    except LoginRequiredError:
        return True
    return False


def test_the_store_is_read_once_however_many_come_first() -> None:
    """A second reading would put back what the first client has rotated since."""

    async def story(world: World) -> None:
        await world.signed_in()
        listed = world.store.list
        calls = 0

        async def counted() -> tuple[Grant, ...]:
            nonlocal calls
            calls += 1
            grants = await listed()
            await asyncio.sleep(0)
            return grants

        world.store.list = counted  # type: ignore[method-assign]  # to count
        await asyncio.gather(*(world.broker.token(ASK, ME) for _ in range(20)))
        assert calls == 1
        assert world.provider.refreshes == 1

    run(story)


def test_an_old_look_into_the_store_changes_nothing() -> None:
    """What was seen there before a rotation is no news after it."""

    async def story(world: World) -> None:
        old = await world.signed_in()
        await world.broker.token(ASK, ME)
        state = world.broker.sessions.get(KEY)
        assert step(state, Found(old)) is state

    run(story)


@pytest.mark.parametrize("forget", [False, True])
def test_a_logout_finds_what_is_saved_meanwhile(forget: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A rotation is committed between the logout's look and its deed: that one goes too."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        await world.broker.token(ASK, ME)
        retire, delete = world.store.retire, world.store.delete
        deed: Any = delete if forget else retire

        async def rotate_first(seen: Grant) -> Any:  # noqa: ANN401 - what either of them returns
            world.store.retire, world.store.delete = retire, delete  # type: ignore[method-assign]  # it happens once
            await world.store.write(grant, world.provider.issue(), expected=seen.generation)
            return await deed(seen)

        world.store.retire = world.store.delete = rotate_first  # type: ignore[assignment]  # the race
        await world.broker.logout("acme", None, forget=forget)
        assert await world.store.list() == ()
        assert await signed_out(world)

    run(story)


def test_a_login_without_a_refresh_token_replaces_what_was_there() -> None:
    """The new login lasts as long as its token; the old grant does not come back after it."""

    async def story(world: World) -> None:
        await world.signed_in()
        view = await begun(world)
        world.provider.reply = world.provider.json(
            {"access_token": "only", "token_type": "Bearer", "expires_in": 60}
        )
        await world.loopback.listeners[0].answer(callback(view))
        assert await world.store.list() == ()
        assert (await world.broker.token(ASK, ME)).value.reveal() == "only"
        report = await world.broker.logout("acme", None)
        assert report.told.revoked == ("access token",)
        assert await signed_out(world)

    run(story)


def test_a_new_login_forgets_what_of_the_old_one_was_not_saved() -> None:
    """Otherwise the next renewal would post the old person's token."""

    async def story(world: World) -> None:
        await world.signed_in()
        write = world.store.write
        world.store.write = full  # type: ignore[method-assign]  # the fault
        await world.broker.token(ASK, ME)
        world.store.write = write  # type: ignore[method-assign]  # the disk is free again
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == "refresh-4"
        assert (await world.broker.status())[1] == []

    run(story)


@pytest.mark.parametrize("method", ["browser", "api-key"])
def test_a_login_that_is_being_stored_is_not_broken_off(method: str) -> None:
    """Ctrl-C too late: the outcome is the login, and both sides say so."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.keys.add("ak_1")
        view = await begun(world, method)
        entered, go_on = hold_writes(world)
        world.provider.reply = code_exchange(world)
        if method == "browser":
            shown = asyncio.ensure_future(world.loopback.listeners[0].answer(callback(view)))
        else:
            world.broker.login(view.id).offer({"secret": Secret("ak_1")})
        await entered.wait()
        cancelled = asyncio.ensure_future(world.broker.logins.cancel(view.id))
        await asyncio.sleep(0)
        go_on.set()
        view = await cancelled
        assert view.state is LoginState.DONE
        expected = "first" if method == "browser" else "ak_1"
        assert (await world.broker.token(ASK, ME)).value.reveal() == expected
        if method == "browser":
            assert (await shown).ok

    run(story)


def test_a_key_login_that_is_cancelled_in_time_stores_nothing() -> None:
    """The platform was still being asked: the key is not taken."""

    async def story(world: World) -> None:
        view = await begun(world, "api-key")
        send = world.provider.send
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - the types of the port
            asked.set()
            await go_on.wait()
            return await send(*args, **more)

        world.provider.keys.add("ak_1")
        world.provider.send = slow  # type: ignore[method-assign]  # the moment in question
        world.broker.login(view.id).offer({"secret": Secret("ak_1")})
        await asked.wait()
        assert (await world.broker.logins.cancel(view.id)).state is LoginState.CANCELLED
        go_on.set()
        await world.broker.close()
        assert world.broker.sessions.get(KEY) == SignedOut()
        assert await world.store.list() == ()

    run(story)


def test_a_login_that_cannot_be_stored_is_revoked() -> None:
    """The disk is full by then: nothing is left at the provider either."""

    async def story(world: World) -> None:
        view = await begun(world)
        world.store.write = full  # type: ignore[method-assign]  # the fault
        world.provider.reply = code_exchange(world)
        page = await world.loopback.listeners[0].answer(callback(view))
        assert not page.ok
        assert not world.provider.living

    run(story)


def test_a_login_does_not_wait_for_a_refresh_that_hangs() -> None:
    """The person signs in again because nothing moves; what the refresh still brings is dropped."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        gate, world.provider.gate = world.provider.gate, None
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        assert (await world.loopback.listeners[0].answer(callback(view))).ok
        world.provider.reply = None
        gate.set()
        with pytest.raises(LoginRequiredError):
            await caller
        assert (await world.broker.token(ASK, ME)).value.reveal() == "first"
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == "refresh-2"
        await world.broker.close()
        assert not world.provider.revoked

    run(story)


def test_a_rotation_that_crosses_a_login_costs_it_one_more_look() -> None:
    """The store has a newer generation than the login saw: the login is stored all the same."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        view = await begun(world)
        write = world.store.write

        async def rotate_first(grant_: Grant, secret: Secret, *, expected: int) -> Grant:
            world.store.write = write  # type: ignore[method-assign]  # it happens once
            await write(grant, world.provider.issue(), expected=expected)
            return await write(grant_, secret, expected=expected)

        world.store.write = rotate_first  # type: ignore[method-assign,assignment]  # the race
        world.provider.reply = code_exchange(world)
        assert (await world.loopback.listeners[0].answer(callback(view))).ok
        (kept,) = await world.store.list()
        assert kept.generation == 3

    run(story)


def test_a_late_rotation_is_revoked_as_soon_as_it_can_be() -> None:
    """The provider is too busy to be told at once; status says so until it was."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        world.provider.unrevokable = {"refresh-"}
        report = await world.broker.logout("acme", None)
        assert report.told.queued
        world.provider.gate.set()
        with pytest.raises(LoginRequiredError):
            await caller
        await asyncio.sleep(0)
        assert len((await world.broker.status())[1]) == 1
        world.provider.unrevokable = set()
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert not world.provider.living
        assert (await world.broker.status())[1] == []
        assert await world.store.list() == ()

    run(story)


def test_a_logout_waits_for_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens are to be revoked, a person waits once."""
    monkeypatch.setattr(revocations, "PATIENCE", 0.02)

    async def story(world: World) -> None:
        await world.signed_in()
        for scope in ("a", "b", "c"):
            await world.broker.token(TokenAsk("acme", scope=scope), ME)
        world.provider.revoke_gate = asyncio.Event()
        report = await world.broker.logout("acme", None)
        assert report.told.queued
        assert "did not answer" in report.told.reason
        assert await signed_out(world)

    run(story)


def test_an_access_token_that_is_not_revoked_is_said_and_not_queued() -> None:
    """It ends by itself; the refresh token is what counts."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.provider.unrevokable = {"access-"}
        report = await world.broker.logout("acme", None)
        assert report.told.revoked == ("refresh token",)
        assert not report.told.queued
        assert report.alive_until == world.clock.now().wall + 3600
        assert await world.store.list() == ()

    run(story)


def test_a_method_that_is_gone_keeps_the_revocation() -> None:
    """The definition was edited: the token waits until it is right again."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        whole = world.broker.catalogue
        world.broker.catalogue = World(acme=ACME.replace("login.browser", "login.web")).catalogue
        report = await world.broker.logout("acme", None)
        assert report.told.queued
        assert "browser" in report.told.reason
        await world.broker.tick()
        assert len(await world.store.list()) == 1
        world.broker.catalogue = whole
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert await world.store.list() == ()
        assert not world.provider.living

    run(story)


def test_a_lifetime_that_is_over_is_over_everywhere() -> None:
    """Lists say so at once; the next tick erases the grant and revokes it."""

    async def story(world: World) -> None:
        view = await begun(world, lifetime=600.0)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        world.clock.advance(600)
        (account,) = world.broker.accounts("acme")
        assert isinstance(account.state, Expired)
        assert await signed_out(world)
        await world.broker.tick()
        assert not world.provider.living
        assert await world.store.read(KEY) is None
        world.restarted()
        with pytest.raises(LoginRequiredError, match="lifetime"):
            await world.broker.token(ASK, ME)

    run(story)


def test_an_item_that_the_person_deleted_ends_the_session() -> None:
    """One login_required with that reason, in lists as well, and a logout clears it away."""

    async def story(world: World) -> None:
        await world.signed_in()

        async def deleted(key: AccountKey) -> HeldGrant | None:
            message = f"{key} is signed out: its item is no longer in the keychain"
            raise LoginRequiredError(message)

        world.store.read = deleted  # type: ignore[method-assign]  # as the keychain box says it
        with pytest.raises(LoginRequiredError, match="no longer in the keychain"):
            await world.broker.token(ASK, ME)
        (account,) = world.broker.accounts("acme")
        assert isinstance(account.state, Expired)
        await world.broker.logout("acme", None)
        assert await world.store.list() == ()
        with pytest.raises(UnknownAccountError):
            await world.broker.logout("acme", None)

    run(story)


def test_whoami_renews_a_token_that_died_before_its_time() -> None:
    """The platform no longer takes the token; the login behind it is as good as ever."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.provider.dead.add("access-1")
        who, credential = await world.broker.identity(ASK, ME)
        assert who.text == "I am ada@acme.example"
        assert credential.value.reveal() == "access-2"

    run(story)


def test_a_login_without_a_method_joins_the_one_that_runs() -> None:
    """Whoever does not say how, means the one under way."""

    async def story(world: World) -> None:
        first = await begun(world, "api-key")
        second = await begun(world, method=None)  # type: ignore[arg-type]  # as the client sends it
        assert second.id == first.id

    run(story)
