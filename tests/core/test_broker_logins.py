"""Logins and logouts in the broker: what is stored, what is told, and what a race leaves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.core.fakes import ACME, KEY, ME, World
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.errors import (
    ConflictError,
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
    UnknownAccountError,
)
from tool_agentd.model import HttpReply, Page, Standing
from tool_agentd.secret import Secret
from tool_agentd.session import Active, SignedOut

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        await asyncio.wait_for(story(World()), 10)

    asyncio.run(told())


async def begun(world: World, method: str = "browser", **more: Any) -> LoginView:  # noqa: ANN401 - LoginOrder's fields
    """Start a login and wait until it waits for its person."""
    order = LoginOrder(world.catalogue.get("acme"), KEY, method, **more)
    view, _ = await world.broker.start_login(order)
    return await world.broker.login(view.id).watch("starting", 5)


def callback(view: LoginView, **changes: str) -> str:
    """Return the redirect of a provider that agreed."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(view.url or "").query).items()}
    said = {"code": "the-code", "state": asked["state"], **changes}
    return "/callback?" + "&".join(f"{name}={value}" for name, value in said.items() if value)


def code_exchange(world: World) -> HttpReply:
    """Return what the token endpoint says to a good code."""
    return world.provider.json(
        {
            "access_token": "first",
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": world.provider.issue().reveal(),
        }
    )


async def ended(world: World, view: LoginView) -> LoginView:
    """Wait for a login's end."""
    login = world.broker.login(view.id)
    await login.finished()
    return login.view


def test_the_token_of_a_login_is_served_where_no_tool_shares_it() -> None:
    """What the login brought is what the tool asks for: no refresh is needed."""

    async def story() -> None:
        world = World(acme=ACME)
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        assert (await world.broker.token(ASK, ME)).value.reveal() == "first"

    asyncio.run(story())


def test_a_browser_login_from_start_to_token() -> None:
    """The grant is stored with its scopes and origins, and each tool gets its own scopes."""

    async def story(world: World) -> None:
        view = await begun(world)
        asked = parse_qs(urlsplit(view.url or "").query)
        assert asked["code_challenge_method"] == ["S256"]
        assert set(asked["scope"][0].split()) == {"read", "write", "offline_access", "deploy"}
        world.provider.reply = code_exchange(world)
        page = await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        assert page == Page("Signed in to Acme", "Logged in to Acme as ada@acme.example.", ok=True)
        view = await ended(world, view)
        assert (view.state, view.text) == (LoginState.DONE, page.text)
        # The login includes what deploy needs; acme gets a token without that.
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"
        assert world.provider.scopes == ["offline_access read write"]
        held = await world.store.read(KEY)
        assert held is not None
        assert held.grant.origins == ("https://acme.example",)
        assert held.secret.reveal() in world.provider.living

    run(story)


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"state": "wrong"}, LoginState.FAILED, "state"),
        ({"code": "", "error": "access_denied"}, LoginState.CANCELLED, "declined"),
        ({"code": "", "error": "server_error"}, LoginState.FAILED, "server_error"),
        ({"code": ""}, LoginState.FAILED, "code"),
    ],
)
def test_a_wrong_callback_ends_the_login_and_stores_nothing(
    changes: dict[str, str], state: LoginState, words: str
) -> None:
    """Promise 12: the page and the client both say what was wrong."""

    async def story(world: World) -> None:
        view = await begun(world)
        page = await world.loopback.listeners[0].answer(callback(view, **changes))
        assert not page.ok
        view = await ended(world, view)
        assert view.state is state
        assert view.error is not None
        assert words in view.error.detail
        assert await world.store.list() == ()
        assert world.broker.sessions.get(KEY) == SignedOut()

    run(story)


def test_the_pasted_address_does_what_the_browser_would() -> None:
    """Without a browser on this machine the person copies the address."""

    async def story(world: World) -> None:
        view = await begun(world)
        assert view.prompts[0].name == "redirect_url"
        world.provider.reply = code_exchange(world)
        pasted = "http://127.0.0.1:5555" + callback(view)
        world.broker.login(view.id).offer({"redirect_url": Secret(pasted)})
        view = await ended(world, view)
        assert view.state is LoginState.DONE
        assert world.loopback.listeners[0].closed

    run(story)


def test_a_pasted_slip_can_be_pasted_again() -> None:
    """Text that is no callback at all does not end the login."""

    async def story(world: World) -> None:
        view = await begun(world)
        login = world.broker.login(view.id)
        login.offer({"redirect_url": Secret("https://acme.example/authorize?client_id=client")})
        view = await login.watch("awaiting_browser", 0.05)
        assert view.state is LoginState.AWAITING_BROWSER
        world.provider.reply = code_exchange(world)
        login.offer({"redirect_url": Secret("http://127.0.0.1:5555" + callback(view))})
        assert (await ended(world, view)).state is LoginState.DONE

    run(story)


def test_a_second_login_joins_the_first() -> None:
    """Two terminals, one browser window; another way of signing in takes its place."""

    async def story(world: World) -> None:
        first = await begun(world)
        order = LoginOrder(world.catalogue.get("acme"), KEY, "browser")
        second, joined = await world.broker.start_login(order)
        assert joined
        assert second.id == first.id
        other = LoginOrder(world.catalogue.get("acme"), KEY, "api-key")
        third, joined = await world.broker.start_login(other)
        assert not joined
        assert third.id != first.id
        assert world.broker.login(first.id).view.state is LoginState.CANCELLED

    run(story)


def test_a_cancelled_login_stores_nothing_and_listens_no_more() -> None:
    """Ctrl-C in the client is Ctrl-C here."""

    async def story(world: World) -> None:
        view = await begun(world)
        view = await world.broker.logins.cancel(view.id)
        assert view.state is LoginState.CANCELLED
        assert world.loopback.listeners[0].closed
        assert world.broker.sessions.get(KEY) == SignedOut()

    run(story)


def test_what_a_cancelled_login_still_brings_is_revoked() -> None:
    """The code was posted already: the grant that comes is not left lying at the provider."""

    async def story(world: World) -> None:
        view = await begun(world)
        world.provider.gate = asyncio.Event()
        world.provider.reply = code_exchange(world)
        shown = asyncio.ensure_future(world.loopback.listeners[0].answer(callback(view)))
        await world.provider.arrived.wait()
        await world.broker.logins.cancel(view.id)
        world.provider.gate.set()
        assert not (await shown).ok
        await world.broker.close()
        assert not world.provider.living
        assert await world.store.list() == ()

    run(story)


def test_a_taken_port_is_said_before_the_browser_opens() -> None:
    """The login fails at once, naming what is taken."""

    async def story(world: World) -> None:
        world.loopback.taken = True
        view = await begun(world)
        view = await ended(world, view)
        assert isinstance(view.error, ConflictError)
        assert view.url is None

    run(story)


def test_a_broken_store_is_said_before_the_browser_opens() -> None:
    """Nobody signs in at a provider for a grant that cannot be kept."""

    async def story(world: World) -> None:
        async def broken() -> tuple[()]:
            message = "the keychain is locked"
            raise StoreUnavailableError(message)

        world.store.list = broken  # type: ignore[method-assign]  # the fault
        with pytest.raises(StoreUnavailableError):
            await begun(world)

    run(story)


def test_a_key_is_tried_before_it_is_stored() -> None:
    """A good key is served from then on; its identity is the platform's word."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        view = await begun(world, "api-key")
        assert [(p.name, p.secret) for p in view.prompts] == [("secret", True)]
        world.broker.login(view.id).offer({"secret": Secret(" ak_1\n")})
        view = await ended(world, view)
        assert view.state is LoginState.DONE
        credential = await world.broker.token(ASK, ME)
        assert credential.headers["Authorization"].reveal() == "Key ak_1"
        assert credential.expires_at is None
        assert credential.env["ACME_KEY"].reveal() == "ak_1"
        world.restarted()
        assert (await world.broker.token(ASK, ME)).value.reveal() == "ak_1"
        with pytest.raises(InvalidRequestError):
            await world.broker.token(TokenAsk("acme", scope="read"), ME)

    run(story)


@pytest.mark.parametrize(
    ("key", "down", "code"),
    [
        ("ak_2", False, "provider_error"),
        ("ak_1", True, "temporarily_unavailable"),
        ("AK 1", False, "invalid_request"),
        ("", False, "invalid_request"),
    ],
)
def test_a_key_that_does_not_hold_is_not_stored(key: str, code: str, *, down: bool) -> None:
    """Refused, unreachable and misshapen are three different errors."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        world.provider.down = down
        view = await begun(world, "api-key")
        login = world.broker.login(view.id)
        for asked in range(3 if code == "invalid_request" else 1):
            assert login.view.notices == asked
            login.offer({"secret": Secret(key)})
            await login.watch("working", 5)
        view = await ended(world, view)
        assert view.error is not None
        assert view.error.code == code
        assert await world.store.list() == ()

    run(story)


def test_a_new_login_replaces_the_old_one() -> None:
    """The person logs in again, with a key instead: one grant, the new one."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.provider.keys.add("ak_1")
        view = await begun(world, "api-key", inputs=None)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"
        world.broker.login(view.id).offer({"secret": Secret("ak_1")})
        await ended(world, view)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "ak_1"
        assert len(await world.store.list()) == 1

    run(story)


def test_a_lifetime_ends_the_session() -> None:
    """`--lifetime` as ssh-add's -t: afterwards a login is required, and says why."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        view = await begun(world, "api-key", lifetime=3600.0)
        world.broker.login(view.id).offer({"secret": Secret("ak_1")})
        await ended(world, view)
        await world.broker.token(ASK, ME)
        world.clock.advance(3600)
        with pytest.raises(LoginRequiredError, match="lifetime"):
            await world.broker.token(ASK, ME)

    run(story)


def test_logout_tells_the_provider_and_erases() -> None:
    """The refresh token is revoked first, then the access token; nothing is left."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        report = await world.broker.logout("acme", None)
        assert report.told.revoked == ("refresh token", "access token")
        assert report.alive_until is None
        assert world.provider.revoked == ["refresh-2", "access-1"]
        assert await world.store.list() == ()
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        with pytest.raises(UnknownAccountError):
            await world.broker.logout("acme", None)

    run(story)


def test_logout_offline_is_gone_here_and_told_later() -> None:
    """Promise 24: erased at once, queued across a restart, then revoked."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.provider.down = True
        report = await world.broker.logout("acme", None)
        assert report.told.queued
        assert report.alive_until == world.clock.now().wall + 3600
        (kept,) = await world.store.list()
        assert kept.standing is Standing.REVOKE_ONLY
        with pytest.raises(LoginRequiredError):
            await world.broker.token(ASK, ME)
        world.restarted()
        await world.broker.tick()
        assert len(await world.store.list()) == 1
        world.provider.down = False
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert await world.store.list() == ()
        assert not world.provider.living

    run(story)


def test_forget_tells_nobody() -> None:
    """`logout --forget` drops what would be queued."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.down = True
        await world.broker.logout("acme", None, forget=True)
        assert await world.store.list() == ()

    run(story)


def test_logout_breaks_off_a_login_that_runs() -> None:
    """Whoever logs out does not want to be logged in a second later."""

    async def story(world: World) -> None:
        await world.signed_in()
        view = await begun(world)
        await world.broker.logout("acme", None)
        assert (await ended(world, view)).state is LoginState.CANCELLED
        assert world.broker.sessions.get(KEY) == SignedOut()

    run(story)


def test_whoami_asks_the_platform() -> None:
    """Session, stored key and the person's own variable all get the tool's own words."""

    async def story(world: World) -> None:
        await world.signed_in()
        who, _ = await world.broker.identity(ASK, ME)
        assert who.text == "I am ada@acme.example"
        assert isinstance(world.broker.sessions.get(KEY), Active)
        world.provider.keys.add("ak_own")
        who, own = await world.broker.identity(ASK, ME, ("ACME_KEY", Secret("ak_own")))
        assert (who.identity.name, own.account) == ("ada@acme.example", "")
        with pytest.raises(InvalidRequestError):
            await world.broker.identity(ASK, ME, ("PATH", Secret("ak_own")))

    run(story)


def test_a_definition_that_is_gone_keeps_its_logins() -> None:
    """A tool whose file was removed is unknown; put back, its login is still there."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        kept = world.broker.catalogue
        world.broker.catalogue = type(kept)()
        assert world.broker.accounts() == []
        world.broker.catalogue = kept
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-1"

    run(story)
