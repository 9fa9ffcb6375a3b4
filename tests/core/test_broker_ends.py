"""Platform sessions and ephemeral logins: how they are served, how they end, and what is told."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.core.fakes import ACME, KEY, ME, ORIGIN, World
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.errors import (
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import Grant, GrantKind, HttpReply, HttpRequest, Standing
from tool_agentd.secret import Secret
from tool_agentd.session import Expired

ASK = TokenAsk("acme")

COOKIE = f"""
schema = 1
name = "acme"
title = "Acme"
origins = ["{ORIGIN}"]
errors = {{ text = ["message"] }}

[[credential]]
id = "session"
source = "session"
headers = {{ Cookie = "{{secret}}", Origin = "{ORIGIN}" }}

[login.password]
flow = "password"
credential = "session"
[[login.password.step]]
take_cookie = "cookie"
take = {{ email = "email", ends = "ends" }}
[[login.password.step.ask]]
name = "password"
label = "Password: "
secret = true
[login.password.step.request]
post = "{ORIGIN}/sign-in"
json = {{ password = "{{password}}" }}
[login.password.obtain]
secret = "cookie"
expires_at = "ends"
name = "email"

[[logout.revoke]]
post = "{ORIGIN}/sign-out"
headers = {{ Cookie = "{{secret}}", Origin = "{ORIGIN}" }}

[identity.session]
request = {{ get = "{ORIGIN}/session" }}
subject = "email"
fields = {{ email = "email" }}
"""


class Far:
    """A platform that knows sessions by a cookie."""

    def __init__(self, world: World) -> None:
        """Answer in the world's provider."""
        self.world = world
        self.living = {"sid=1"}
        self.down = False
        self.ends: float | None = world.clock.now().wall + 600
        world.provider.routes |= {
            "/sign-in": self._sign_in,
            "/session": self._session,
            "/sign-out": self._sign_out,
        }

    def _sign_in(self, _: HttpRequest) -> HttpReply:
        body = {"email": "ada@acme.example", "ends": self.ends}
        return replace(self.world.provider.json(body), cookies={"sid": Secret("1")})

    def _session(self, request: HttpRequest) -> HttpReply:
        if cookie(request) in self.living:
            return self.world.provider.json({"email": "ada@acme.example"})
        return self.world.provider.json({"message": "this session was ended by an admin"}, 401)

    def _sign_out(self, request: HttpRequest) -> HttpReply:
        assert request.headers["Origin"] == ORIGIN
        if self.down:
            message = "acme.example does not answer"
            raise TemporarilyUnavailableError(message)
        self.living.discard(cookie(request))
        return self.world.provider.json({})


def cookie(request: HttpRequest) -> str:
    """Return the cookie of a request."""
    value = request.headers["Cookie"]
    return value.reveal() if isinstance(value, Secret) else value


def run(story: Callable[[World], Coroutine[Any, Any, None]], **definitions: str) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        await asyncio.wait_for(story(World(**definitions)), 10)

    asyncio.run(told())


async def ended(world: World, view: LoginView) -> LoginView:
    """Wait for a login's end."""
    login = world.broker.login(view.id)
    await login.finished()
    return login.view


async def by_password(world: World, **more: Any) -> Far:  # noqa: ANN401 - LoginOrder's fields
    """Sign in with a password."""
    far = Far(world)
    order = LoginOrder(world.catalogue.get("acme"), KEY, inputs={"password": Secret("pw")}, **more)
    view, _ = await world.broker.start_login(order)
    view = await ended(world, view)
    assert (view.state, view.error) == (LoginState.DONE, None)
    return far


async def by_browser(world: World, reply: dict[str, object], **more: Any) -> LoginView:  # noqa: ANN401 - LoginOrder's fields
    """Sign in by browser; the token endpoint answers this."""
    order = LoginOrder(world.catalogue.get("acme"), KEY, "browser", **more)
    view, _ = await world.broker.start_login(order)
    view = await world.broker.login(view.id).watch("starting", 5)
    state = parse_qs(urlsplit(view.url or "").query)["state"][0]
    world.provider.reply = world.provider.json({"token_type": "Bearer", **reply})
    await world.loopback.listeners[-1].answer(f"/callback?code=c&state={state}")
    world.provider.reply = None
    return await ended(world, view)


async def refusal(world: World) -> str:
    """Return what a request for a token hears."""
    with pytest.raises(LoginRequiredError) as refused:
        await world.broker.token(ASK, ME)
    return refused.value.detail


# -- platform sessions ---------------------------------------------------------------------------


def test_a_platform_session_is_served_from_its_box() -> None:
    """As it is, until its end; a restart finds it again."""

    async def story(world: World) -> None:
        await by_password(world)
        for broker in (world.broker, world.restarted()):
            credential = await broker.token(ASK, ME)
            assert credential.headers["Cookie"].reveal() == "sid=1"
            assert credential.expires_at == world.clock.now().wall + 600
        held = await world.store.read(KEY)
        assert held is not None
        assert (held.grant.kind, held.secret.reveal()) == (GrantKind.SESSION, "sid=1")

    run(story, acme=COOKIE)


def test_a_platform_session_cannot_be_stretched() -> None:
    """It is served to its last second; who needs more than is left hears so, once and clearly."""

    async def story(world: World) -> None:
        await by_password(world)
        world.clock.advance(590)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "sid=1"
        with pytest.raises(InvalidRequestError, match="lives 10 s"):
            await world.broker.token(TokenAsk("acme", min_ttl=60), ME)
        with pytest.raises(InvalidRequestError, match="session of its platform"):
            await world.broker.token(TokenAsk("acme", scope="read"), ME)

    run(story, acme=COOKIE)


def test_a_platform_session_ends_at_its_end_with_its_reason() -> None:
    """The tick erases it, tells the platform, and leaves the reason."""

    async def story(world: World) -> None:
        far = await by_password(world)
        world.clock.advance(601)
        before = await refusal(world)
        await world.broker.tick()
        assert await refusal(world) == before
        assert "lifetime that was set at login" not in before
        assert far.living == set()
        tombstone = await world.store.current(KEY)
        assert tombstone is not None
        assert tombstone.standing is Standing.ENDED

    run(story, acme=COOKIE)


def test_a_shorter_lifetime_is_the_persons_own_reason() -> None:
    """`--lifetime` before the platform's own end."""

    async def story(world: World) -> None:
        await by_password(world, lifetime=60.0)
        world.clock.advance(61)
        assert "the lifetime that was set at login is over" in await refusal(world)

    run(story, acme=COOKIE)


def test_a_refused_platform_session_ends_with_the_platforms_reason() -> None:
    """Nothing could renew it: from then on every request hears why."""

    async def story(world: World) -> None:
        far = await by_password(world)
        far.living.clear()
        with pytest.raises(LoginRequiredError, match="ended by an admin"):
            await world.broker.identity(ASK, ME)
        assert "ended by an admin" in await refusal(world)
        assert isinstance(world.broker.sessions.get(KEY), Expired)
        assert "ended by an admin" in str(await refusal_after_restart(world))

    run(story, acme=COOKIE)


async def refusal_after_restart(world: World) -> str:
    """Return what a request hears from the next agent."""
    world.restarted()
    return await refusal(world)


def test_a_logout_ends_the_platform_session() -> None:
    """The definition's request is sent with the cookie; nothing lives on."""

    async def story(world: World) -> None:
        far = await by_password(world)
        await world.broker.token(ASK, ME)
        report = await world.broker.logout("acme", None)
        assert report.told.revoked == ("session",)
        assert report.alive_until is None
        assert far.living == set()
        assert await world.store.list() == ()

    run(story, acme=COOKIE)


def test_a_logout_offline_is_told_later() -> None:
    """The cookie rests for its revocation only, and goes when that has gone through."""

    async def story(world: World) -> None:
        far = await by_password(world)
        await world.broker.token(ASK, ME)
        far.down = True
        report = await world.broker.logout("acme", None)
        assert (report.told.queued, report.told.lasting) == (True, "session")
        assert report.alive_until == world.clock.now().wall + 600
        assert "signed" in await refusal(world)
        far.down = False
        await world.broker.tick()
        assert far.living == set()
        assert await world.store.list() == ()

    run(story, acme=COOKIE)


# -- ephemeral logins ------------------------------------------------------------------------------


def test_an_ephemeral_login_touches_no_store() -> None:
    """Not even one that could take nothing; it is renewed, and gone with the agent."""

    async def story(world: World) -> None:
        def broken(*_: object, **__: object) -> None:
            message = "there is no keychain"
            raise StoreUnavailableError(message)

        world.store.prepare = world.store.write = broken  # type: ignore[method-assign,assignment]  # nothing may reach it
        refresh = world.provider.issue().reveal()
        said = {"access_token": "first", "refresh_token": refresh, "expires_in": 60}
        view = await by_browser(
            world, {**said, "scope": "read write offline_access"}, ephemeral=True
        )
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert await world.store.list() == ()
        for number in (1, 2):
            world.clock.advance(3600)
            assert (await world.broker.token(ASK, ME)).value.reveal() == f"access-{number}"
        assert world.provider.replays == 0
        assert await world.store.list() == ()
        [account] = world.broker.accounts("acme")
        assert isinstance(account.state.grant, Grant)  # type: ignore[union-attr]  # it is Active
        assert account.state.grant.ephemeral  # type: ignore[union-attr]  # as above
        await world.broker.close()
        assert world.provider.living == set()  # what could be revoked is

    run(story, acme=ACME)


def test_an_ephemeral_logout_revokes_and_is_told_again() -> None:
    """What waits for its revocation waits in memory."""

    async def story(world: World) -> None:
        refresh = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "a", "refresh_token": refresh}, ephemeral=True)
        world.provider.unrevokable = {"refresh"}
        report = await world.broker.logout("acme", None)
        assert report.told.queued
        assert "not signed in" in await refusal(world)
        world.provider.unrevokable = set()
        await world.broker.tick()
        assert refresh in world.provider.revoked
        assert await world.store.list() == ()

    run(story, acme=ACME)


def test_an_ephemeral_key_is_in_memory_only() -> None:
    """The next agent knows nothing of it; the key itself stays the person's."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        order = LoginOrder(
            world.catalogue.get("acme"),
            KEY,
            "api-key",
            inputs={"secret": Secret("ak_1")},
            ephemeral=True,
        )
        view, _ = await world.broker.start_login(order)
        assert (await ended(world, view)).state is LoginState.DONE
        assert (await world.broker.token(ASK, ME)).value.reveal() == "ak_1"
        assert await world.store.list() == ()
        await world.broker.close()
        world.restarted()
        assert "not signed in" in await refusal(world)

    run(story, acme=ACME)


def test_an_ephemeral_login_replaces_a_stored_one_and_the_other_way_round() -> None:
    """There is one login an account, wherever it rests."""

    async def story(world: World) -> None:
        await world.signed_in()
        refresh = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "a", "refresh_token": refresh}, ephemeral=True)
        assert await world.store.list() == ()
        stored = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "b", "refresh_token": stored})
        [grant] = await world.store.list()
        assert not grant.ephemeral
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        assert world.provider.rotated == {stored}
        await world.broker.logout("acme", None)
        assert await world.store.list() == ()
        assert "not signed in" in await refusal(world)

    run(story, acme=ACME)


def test_a_token_with_nothing_to_renew_it_is_ephemeral_by_itself() -> None:
    """It is served to its end, and then everyone hears which end it was."""

    async def story(world: World) -> None:
        await by_browser(world, {"access_token": "only", "expires_in": 3600})
        assert await world.store.list() == ()
        world.clock.advance(3590)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "only"
        world.clock.advance(10)
        said = "an ephemeral login: it ended after 1 h"
        assert said in await refusal(world)
        [account] = world.broker.accounts("acme")
        assert isinstance(account.state, Expired)
        assert account.state.reason == said
        await world.broker.tick()
        assert said in await refusal(world)
        refresh = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "new", "refresh_token": refresh})
        assert (await world.broker.token(ASK, ME)).value.reveal() == "new"

    run(story, acme=ACME)


def test_a_refused_ephemeral_token_ends_its_session() -> None:
    """Nothing renews it: the platform's no is the end, and its words are the reason."""

    async def story(world: World) -> None:
        await by_browser(world, {"access_token": "only", "expires_in": 3600})
        world.provider.dead.add("only")
        with pytest.raises(LoginRequiredError, match="does not accept this session"):
            await world.broker.identity(ASK, ME)
        assert "does not accept this session" in await refusal(world)

    run(story, acme=ACME)


def test_a_late_renewal_of_an_ephemeral_login_does_not_touch_the_next() -> None:
    """Two logins in memory are told apart, and what came too late is revoked."""

    async def story(world: World) -> None:
        first = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "a", "refresh_token": first}, ephemeral=True)
        world.clock.advance(3600)
        world.provider.arrived.clear()
        world.provider.gate = asyncio.Event()
        waiting = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        world.provider.unrevokable = {first}  # so that the renewal still goes through
        await world.broker.logout("acme", None)
        world.provider.gate.set()
        with pytest.raises(LoginRequiredError):
            await waiting
        world.provider.gate = None
        second = world.provider.issue().reveal()
        await by_browser(world, {"access_token": "b", "refresh_token": second}, ephemeral=True)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "b"
        assert {"refresh-2", "access-1"} <= set(world.provider.revoked)

    run(story, acme=ACME)


def test_an_ephemeral_wish_is_not_met_by_joining_another_login() -> None:
    """Who wants nothing stored does not get a login that is stored."""

    async def story(world: World) -> None:
        tool = world.catalogue.get("acme")
        first, _ = await world.broker.start_login(LoginOrder(tool, KEY, "browser"))
        second, joined = await world.broker.start_login(
            LoginOrder(tool, KEY, "browser", ephemeral=True)
        )
        assert not joined
        assert second.id != first.id
        assert world.broker.login(first.id).view.state is LoginState.CANCELLED
        await world.broker.close()

    run(story, acme=ACME)
