"""Actions whose credential is refused, and actions that a logout ends."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, ORIGIN
from tests.core.scripted import HEAD, Typist
from tests.core.test_actions import TEXT, WHO, sign_in, started
from tests.core.test_procedure_logins import EXCHANGE, Place
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import LoginState
from tool_agentd.errors import LoginRequiredError, UnknownAccountError
from tool_agentd.secret import Secret
from tool_agentd.session import Active, Expired, SignedOut

INVITE = f"""
[action.invite]
title = "invite"
text = "Invited: {{id}}."
[[action.invite.step]]
carries = "session"
take = {{ id = "id" }}
[action.invite.step.request]
post = "{ORIGIN}/invite"
"""
RENEWED = HEAD + EXCHANGE + INVITE
"""A login that is renewed, and an action that it signs."""


def run(text: str, story: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""
    asyncio.run(asyncio.wait_for(story(Place(text)), 10))


async def exchanged(place: Place) -> None:
    """Sign in with a key, and have a second access token ready."""
    expiry = place.clock.now().wall + 3600
    token = {"access": "a1", "refresh": "r1", "expiry": expiry}
    place.script.on("/auth-key", {"token": token, "email": "app"})
    view = await place.done("auth-key", "ena_x")
    assert view.state is LoginState.DONE, view.error
    fresh = {"access_token": "a2", "token_type": "Bearer", "expires_in": 3600}
    place.script.on("/token", fresh)


def test_a_token_that_is_refused_early_is_renewed_once() -> None:
    """The person is not asked to log in again for a token that died before its time."""

    async def story(place: Place) -> None:
        await exchanged(place)
        place.script.on("/invite", {"message": "expired"}, 401)
        place.script.on("/invite", {"id": "i1"})
        login = await started(place, "invite")
        await login.finished()
        assert login.view.text == "Invited: i1.", login.view.error
        assert [one.headers for one in place.script.to("/invite")] == [
            {"Cookie": "a1"},
            {"Cookie": "a2"},
        ]
        assert all(one.allowed == {ORIGIN} for one in place.script.to("/invite"))

    run(RENEWED, story)


def test_a_renewed_token_that_is_refused_too() -> None:
    """It is renewed once and no more; the login is kept, and the person is told."""

    async def story(place: Place) -> None:
        await exchanged(place)
        place.script.on("/invite", {"message": "not you"}, 401)
        login = await started(place, "invite")
        await login.finished()
        assert isinstance(login.view.error, LoginRequiredError)
        assert "not you" in login.view.error.detail
        assert len(place.script.to("/invite")) == 2
        assert len(place.script.to("/token")) == 1
        assert isinstance(place.broker.sessions.get(KEY), Active)

    run(RENEWED, story)


def test_a_platform_session_that_is_refused_has_ended() -> None:
    """An action's 401, and that of key management, leave the reason for whoever asks."""

    async def story(place: Place, *, keys: bool) -> None:
        await sign_in(place)
        if keys:
            place.script.on("/keys", {"message": "session expired"}, 401)
            with pytest.raises(LoginRequiredError):
                await place.broker.list_keys(TokenAsk("acme"), ME)
        else:
            place.script.on("/invite", {"message": "session expired"}, 401)
            login = await started(place, "invite", email="b@c")
            await login.finished()
            assert isinstance(login.view.error, LoginRequiredError)
        state = place.broker.sessions.get(KEY)
        assert isinstance(state, Expired)
        assert "session expired" in state.reason
        with pytest.raises(LoginRequiredError, match="session expired"):
            await place.value()

    for keys in (False, True):

        async def one(place: Place, keys: bool = keys) -> None:  # noqa: FBT001 - bound for the loop
            await story(place, keys=keys)

        run(TEXT, one)


def test_a_logout_ends_an_action_that_waits() -> None:
    """Signing up does not go on asking with a session that is ended, and is not done."""

    async def story(place: Place) -> None:
        place.clock.held = asyncio.Event()
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/sign-out", {})
        place.script.on("/me", WHO)
        place.script.on("/session", {"verified": False})
        login = await started(place, "signup", email="ada@acme.example")
        while not login.view.awaits:
            await login.watch(str(login.view.revision), 5)
        asked = len(place.script.to("/session"))
        await place.broker.logout("acme", None)
        assert login.view.state is LoginState.CANCELLED
        place.clock.held.set()
        await asyncio.sleep(0)
        assert len(place.script.to("/session")) == asked
        assert place.broker.sessions.get(KEY) == SignedOut()

    run(TEXT, story)


def test_a_logout_ends_an_action_at_its_prompts() -> None:
    """What is typed afterwards signs nobody in, although nobody was signed in before."""

    async def story(place: Place) -> None:
        login = await started(place, "signup")
        await login.watch("starting", 5)
        assert place.broker.logins.accounts == {KEY}
        with pytest.raises(UnknownAccountError):
            await place.broker.logout("acme", None)
        assert login.view.state is LoginState.CANCELLED
        assert place.broker.logins.accounts == set()
        assert place.script.sent == []

    run(TEXT, story)


def test_a_logout_while_it_is_asked_who_this_is() -> None:
    """What an action brings after a logout is ended at the platform; a later login goes on."""

    async def story(place: Place) -> None:
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/sign-out", {})
        place.script.on("/me", WHO)
        login = await started(place, "signup")
        await login.watch("starting", 5)
        gate, arrived = asyncio.Event(), asyncio.Event()
        inner = place.script.send

        async def send(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on as it is
            if args[0].url.endswith("/me"):
                arrived.set()
                await gate.wait()
            return await inner(*args, **more)

        place.script.send = send  # type: ignore[method-assign]  # waits while it is asked who this is
        login.offer({"email": Secret("ada@acme.example")})
        await arrived.wait()
        with pytest.raises(UnknownAccountError):
            await place.broker.logout("acme", None)
        later = await place.begun("password")
        gate.set()
        await place.broker._background.settle()  # what the action left behind
        assert len(place.script.to("/sign-out")) == 1
        assert not later.view.state.over
        await place.broker.logins.cancel(later.view.id)
        assert place.broker.sessions.get(KEY) == SignedOut()

    run(TEXT, story)


def test_what_was_typed_is_forgotten() -> None:
    """A login that is over holds no answer any more, neither taken nor left, however it ended."""

    async def story(place: Place) -> None:
        place.script.on("/sign-in", {"message": "wrong"}, 401)
        login = await place.begun(
            "password", inputs={"email": Secret("a@b"), "password": Secret("hush-hush")}
        )
        await login.finished()
        assert login.view.state is LoginState.FAILED
        assert not login.preset
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        signup = await started(place, "signup")
        await Typist(signup).run()
        await signup.watch("starting", 5)
        signup.offer({"email": Secret("x" * 600)})  # refused: its notice stays for the watchers
        while signup.view.notice is None:
            await signup.watch(str(signup.view.revision), 5)
        await place.broker.logins.cancel(signup.view.id)
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, dict) and "password" in one]
        secrets = [one["password"] for one in held if isinstance(one["password"], Secret)]
        assert secrets == []

    run(TEXT, story)
