"""The browser login that begins anew or by a platform's own steps, and a key to the loopback."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.core.fakes import KEY, ME, ORIGIN, World
from tests.core.flows import LOOPBACK, RETRY, STEPS, begun, ended, run, text, token_reply
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.broker.login_browser import STRANGER
from tool_agentd.model import GrantKind, HttpReply, HttpRequest
from tool_agentd.secret import Secret


def state_of(view: LoginView) -> str:
    """Return the state of a login's address."""
    return parse_qs(urlsplit(view.url or "").query)["state"][0]


def no_organization(view: LoginView) -> str:
    """Return the callback of a provider that wants something else first."""
    said = "the user has no organization yet"
    return f"/callback?error=access_denied&error_description={said}&state={state_of(view)}"


def test_a_login_that_may_be_tried_again_goes_on_in_the_browser() -> None:
    """The page waits and goes on to a fresh address: state and verifier are new, the port stays."""

    async def story(world: World) -> None:
        view = await begun(world)
        listener = world.loopback.listeners[0]
        page = await listener.answer(no_organization(view))
        assert (page.ok, page.text) == (False, "Make one first.")
        login = world.broker.login(view.id)
        assert page.goes_on == login.view.url
        assert state_of(login.view) != state_of(view)
        assert login.view.state is LoginState.AWAITING_BROWSER
        assert "Make one first." in login.view.said[-1]
        world.provider.reply = token_reply(world, refresh_token="r")  # noqa: S106 - a made-up one
        page = await listener.answer(f"/callback?code=c&state={state_of(login.view)}")
        assert page.ok
        assert not page.goes_on
        assert (await ended(world, view)).state is LoginState.DONE
        assert len(world.loopback.listeners) == 1

    run(RETRY, story)


def test_a_login_is_tried_again_only_so_often() -> None:
    """Then the error ends it; another error does at once."""

    async def story(world: World) -> None:
        view = await begun(world)
        answer = world.loopback.listeners[0].answer
        for _ in range(2):
            assert (await answer(no_organization(world.broker.login(view.id).view))).goes_on
        page = await answer(no_organization(world.broker.login(view.id).view))
        assert not page.goes_on
        assert "no organization" in page.text
        assert (await ended(world, view)).state is LoginState.CANCELLED

    run(RETRY, story)


def test_an_error_of_a_stranger_starts_nothing_anew() -> None:
    """A callback with another state is nobody's word on this login."""

    async def story(world: World) -> None:
        view = await begun(world)
        target = no_organization(view).replace(state_of(view), "forged")
        listener, login = world.loopback.listeners[0], world.broker.login(view.id)
        for _ in range(3):
            assert not listener.belongs(target)
        assert login.view.state is LoginState.AWAITING_BROWSER
        assert login.view.said == (STRANGER,), "said once"
        assert listener.belongs(no_organization(view))
        await world.broker.logins.cancel(view.id)

    run(RETRY, story)


def test_a_pasted_error_gives_the_next_address() -> None:
    """Where the browser is on another machine, the person carries the address over again."""

    async def story(world: World) -> None:
        view = await begun(world)
        login = world.broker.login(view.id)
        login.offer({"redirect_url": Secret(f"http://127.0.0.1:5555{no_organization(view)}")})
        seen = await login.watch(str(login.view.revision), 5)
        while not seen.said:
            seen = await login.watch(str(login.view.revision), 5)
        assert (login.view.url or "") in seen.said[-1]
        await world.broker.logins.cancel(view.id)

    run(RETRY, story)


def test_a_platform_may_make_the_address_and_redeem_the_code_itself() -> None:
    """`begin` gives it the challenge, `redeem` the verifier; state and callback stay ours."""

    async def story(world: World) -> None:
        refresh = world.provider.issue().reveal()
        seen: dict[str, Any] = {}

        def create(request: HttpRequest) -> HttpReply:
            seen["create"] = {name: text(value) for name, value in request.json.items()}
            return world.provider.json({"data": {"auth_url": f"{ORIGIN}/login?id=1"}})

        def exchange(request: HttpRequest) -> HttpReply:
            seen["exchange"] = {name: text(value) for name, value in request.json.items()}
            data = {
                "access_token": "first",
                "refresh_token": refresh,
                "expiry": world.clock.now().wall + 60,
                "email": "ada@acme.example",
                "actor": "user:1",
            }
            return world.provider.json({"data": data})

        world.provider.routes |= {"/create": create, "/exchange": exchange}
        view = await begun(world)
        assert view.url == f"{ORIGIN}/login?id=1"
        created = seen["create"]
        assert created["redirect_url"] == "http://127.0.0.1:5555/callback"
        page = await world.loopback.listeners[0].answer(
            f"/callback?code=the-code&state={created['state']}"
        )
        assert page.ok, page.text
        assert seen["exchange"]["code"] == "the-code"
        assert len(seen["exchange"]["challenge"]) == 43
        assert seen["exchange"]["challenge"] != created["challenge"]
        view = await ended(world, view)
        assert view.text.startswith("Logged in to Acme as ada@acme.example.")
        credential = await world.broker.token(TokenAsk("acme"), ME)
        assert (credential.value.reveal(), credential.expires_at) == (
            "first",
            world.clock.now().wall + 60,
        )
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == refresh

    run(STEPS, story)


def test_an_address_that_is_no_page_opens_nothing() -> None:
    """What the platform calls its page is held against the same rule as any other."""

    async def story(world: World) -> None:
        world.provider.routes["/create"] = lambda _: world.provider.json(
            {"data": {"auth_url": "file:///etc/passwd"}}
        )
        view = await ended(world, await begun(world))
        assert view.state is LoginState.FAILED
        assert view.url is None
        assert world.loopback.listeners[0].closed

    run(STEPS, story)


# -- a key to the loopback -------------------------------------------------------------------------


def test_a_site_sends_a_key_to_the_loopback() -> None:
    """It is tried at the platform before it is stored, and rests as a key."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        view = await begun(world)
        listener = world.loopback.listeners[0]
        assert listener.brings == "api_key"
        assert unquote(urlsplit(view.url or "").query) == f"callback={listener.redirect_uri}"
        page = await listener.answer("/callback?api_key=ak_1")
        assert page.ok, page.text
        held = await world.store.read(KEY)
        assert held is not None
        assert (held.grant.kind, held.secret.reveal()) == (GrantKind.API_KEY, "ak_1")
        assert held.grant.identity.name == "ada@acme.example"

    run(LOOPBACK, story)


def test_a_random_path_plays_the_states_part() -> None:
    """128 bits; a callback that does not have them is no callback of this login."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_1")
        view = await begun(world)
        callback = world.loopback.listeners[0].redirect_uri
        assert len(callback.rpartition("/")[2]) == 32
        login = world.broker.login(view.id)
        login.offer({"redirect_url": Secret("http://127.0.0.1:5555/callback?api_key=ak_1")})
        while login.view.notice is None:
            await login.watch(str(login.view.revision), 5)
        assert not login.view.state.over
        login.offer({"redirect_url": Secret(f"{callback}?api_key=ak_1")})
        assert (await ended(world, view)).state is LoginState.DONE

    run(LOOPBACK + "random_path = true\n", story)


@pytest.mark.parametrize(
    ("query", "state", "words"),
    [
        ("error=access_denied", LoginState.CANCELLED, "declined"),
        ("state=1", LoginState.FAILED, "no api_key"),
        ("api_key=WRONG", LoginState.FAILED, "shape"),
        ("api_key=ak_unknown", LoginState.FAILED, "does not accept"),
    ],
)
def test_a_wrong_key_ends_the_login_at_once(query: str, state: LoginState, words: str) -> None:
    """The page and the client hear why; the key stands in neither, and nothing is stored."""

    async def story(world: World) -> None:
        view = await begun(world)
        page = await world.loopback.listeners[0].answer(f"/callback?{query}")
        view = await ended(world, view)
        assert view.state is state
        assert view.error is not None
        assert view.error.detail == page.text
        assert words in page.text
        assert "ak_unknown" not in page.text
        assert await world.store.list() == ()

    run(LOOPBACK, story)
