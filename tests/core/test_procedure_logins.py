"""Logins by steps: what they bring, where it is kept, and what becomes of one that breaks off."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, ORIGIN, World
from tests.core.scripted import HEAD, LOGIN, Script, Typist
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.errors import InvalidRequestError, LoginRequiredError, ProviderError
from tool_agentd.model import GrantKind
from tool_agentd.secret import Secret
from tool_agentd.session import Active, grant_of

LOGOUT = f"""
[[logout.revoke]]
post = "{ORIGIN}/sign-out"
headers = {{ Cookie = "{{secret}}" }}
"""

EXCHANGE = f"""
[login.auth-key]
flow = "exchange"
credential = "session"
[[login.auth-key.step]]
take = {{ expiry = "token.expiry", email = "email" }}
take_secret = {{ access = "token.access", refresh = "token.refresh" }}
[[login.auth-key.step.ask]]
name = "auth_key"
label = "Auth key: "
secret = true
pattern = "ena_[a-z]+"
[login.auth-key.step.request]
post = "{ORIGIN}/auth-key"
json = {{ key = "{{auth_key}}" }}
[login.auth-key.obtain]
access_token = "access"
refresh_token = "refresh"
expires_at = "expiry"
name = "email"

[refresh]
token = "{ORIGIN}/token"
client_id = "cli"
"""

POLL = f"""
[login.browser]
flow = "poll"
credential = "session"
[[login.browser.step]]
take = {{ id = "id" }}
take_secret = {{ ticket = "secret" }}
open = "{ORIGIN}/signin?id={{id}}&secret={{ticket}}"
[login.browser.step.request]
post = "{ORIGIN}/begin"
json = {{}}
[[login.browser.step]]
take = {{ status = "status" }}
take_secret = {{ cookie = "cookie" }}
[login.browser.step.request]
post = "{ORIGIN}/poll"
json = {{ id = "{{id}}", secret = "{{ticket}}" }}
[login.browser.step.until]
value = "status"
equals = ["approved"]
every = "2s"
awaits = "your sign-in"
[login.browser.obtain]
secret = "cookie"
"""


class Place(World):
    """A world with a scripted platform."""

    def __init__(self, text: str) -> None:
        """Begin with the definition `text`."""
        super().__init__(acme=text)
        self.script = Script(self.clock)
        self.provider = self.script
        self.broker = self.restarted()

    async def begun(self, method: str, **more: Any) -> Login:  # noqa: ANN401 - LoginOrder's fields
        """Start a login."""
        order = LoginOrder(self.catalogue.get("acme"), KEY, method, **more)
        view, _ = await self.broker.start_login(order)
        return self.broker.login(view.id)

    async def done(self, method: str, *answers: str, **more: Any) -> LoginView:  # noqa: ANN401 - as above
        """Start a login, answer its questions, and wait for its end."""
        login = await self.begun(method, **more)
        await Typist(login, *answers).run()
        await login.finished()
        return login.view

    async def value(self) -> str:
        """Return what a client gets."""
        credential = await self.broker.token(TokenAsk("acme"), ME)
        return credential.value.reveal()


def run(text: str, story: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""
    asyncio.run(asyncio.wait_for(story(Place(text)), 10))


def test_password() -> None:
    """Name and password bring a session, which serves, is verified, and ends when it says."""

    async def story(place: Place) -> None:
        end = place.clock.now().wall + 500
        place.script.on("/sign-in", {"verified": True, "ends": end}, cookies={"sid": "s1"})
        place.script.on("/me", {"email": "ada@acme.example"})
        view = await place.done("password", "ada@acme.example", "hush")
        assert view.state is LoginState.DONE, view.error
        assert view.text == "Logged in to Acme as ada@acme.example."
        assert view.said == ()
        assert place.script.to("/sign-in")[0].json == {
            "email": "ada@acme.example",
            "password": "hush",
        }
        assert place.script.to("/me")[0].headers == {"Cookie": "sid=s1"}
        grant = grant_of(place.broker.sessions.get(KEY))
        assert grant is not None
        assert (grant.kind, grant.method, grant.ends_at) == (GrantKind.SESSION, "password", end)
        assert grant.kept == (("email", "ada@acme.example"),)
        assert await place.value() == "sid=s1"
        held = await place.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == "sid=s1"
        place.clock.advance(501)
        with pytest.raises(LoginRequiredError, match="Acme"):
            await place.value()

    run(HEAD + LOGIN, story)


def test_unverified() -> None:
    """A step whose condition is met is done, and what it says is told on the way."""

    async def story(place: Place) -> None:
        place.script.on("/sign-in", {"verified": False}, cookies={"sid": "s1"})
        place.script.on("/mail", {})
        place.script.on("/me", {"email": "ada@acme.example"})
        view = await place.done("password", "a@b", "hush")
        assert view.said == ("A mail is sent to a@b.",)
        assert place.script.to("/mail")[0].json == {"email": "a@b"}

    run(HEAD + LOGIN, story)


def test_a_wrong_password() -> None:
    """The platform's refusal is the login's error, and nothing is kept."""

    async def story(place: Place) -> None:
        place.script.on("/sign-in", {"message": "Invalid email or password"}, 401)
        view = await place.done("password", "a@b", "wrong")
        assert view.state is LoginState.FAILED
        assert isinstance(view.error, ProviderError)
        assert view.error.detail == "Invalid email or password"
        assert await place.store.list() == ()
        assert grant_of(place.broker.sessions.get(KEY)) is None

    run(HEAD + LOGIN, story)


def test_no_session_in_the_answer() -> None:
    """An answer without what the login is to bring is an error, and not a login."""

    async def story(place: Place) -> None:
        place.script.on("/sign-in", {"verified": True})
        view = await place.done("password", "a@b", "hush")
        assert isinstance(view.error, ProviderError)
        assert "without the session" in view.error.detail

    run(HEAD + LOGIN, story)


def test_a_session_that_is_left() -> None:
    """A session that came before a later step failed is ended at the platform."""

    async def story(place: Place) -> None:
        place.script.on("/sign-in", {"verified": False}, cookies={"sid": "s1"})
        place.script.on("/mail", {"message": "no"}, 400)
        place.script.on("/sign-out", {})
        view = await place.done("password", "a@b", "hush")
        assert view.state is LoginState.FAILED
        assert [one.headers for one in place.script.to("/sign-out")] == [{"Cookie": "sid=s1"}]
        assert await place.store.list() == ()

    run(HEAD + LOGIN + LOGOUT, story)


def test_exchange() -> None:
    """A key brings a refresh token and an access token, whose life the answer says."""

    async def story(place: Place) -> None:
        expiry = "1970-01-12T14:46:40Z"  # 1,003,600 s: an hour after the clock's begin
        token = {"access": "a1", "refresh": "r1", "expiry": expiry}
        place.script.on("/auth-key", {"token": token, "email": "app"})
        view = await place.done("auth-key", "ena_x")
        assert view.state is LoginState.DONE, view.error
        grant = grant_of(place.broker.sessions.get(KEY))
        assert grant is not None
        assert (grant.kind, grant.identity.name) == (GrantKind.REFRESH_TOKEN, "app")
        held = await place.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == "r1"
        credential = await place.broker.token(TokenAsk("acme"), ME)
        assert credential.value.reveal() == "a1"
        assert credential.expires_at == 1_003_600

    run(HEAD + EXCHANGE, story)


def test_exchange_that_does_not_last() -> None:
    """Without a refresh token the session rests in memory, and ends with its token."""

    async def story(place: Place) -> None:
        token = {"access": "a1", "expiry": place.clock.now().wall + 3600}
        place.script.on("/auth-key", {"token": token, "email": "app"})
        view = await place.done("auth-key", inputs={"auth_key": Secret("ena_x")})
        assert view.state is LoginState.DONE, view.error
        grant = grant_of(place.broker.sessions.get(KEY))
        assert grant is not None
        assert grant.ephemeral
        assert await place.store.read(KEY) is None
        assert await place.value() == "a1"
        place.clock.advance(3601)
        await place.broker.tick()
        assert not isinstance(place.broker.sessions.get(KEY), Active)

    run(HEAD + EXCHANGE, story)


def test_a_key_of_the_wrong_shape() -> None:
    """It never leaves the machine."""

    async def story(place: Place) -> None:
        login = await place.begun("auth-key", inputs={"auth_key": Secret("ghp_x")})
        view = await login.watch("starting", 5)
        assert view.state is LoginState.AWAITING_INPUT
        assert view.notice is not None
        assert place.script.sent == []
        await place.broker.logins.cancel(view.id)

    run(HEAD + EXCHANGE, story)


def test_what_nobody_asks() -> None:
    """An answer in advance to no question is refused before anything begins."""

    async def story(place: Place) -> None:
        with pytest.raises(InvalidRequestError, match="password") as caught:
            await place.begun("auth-key", inputs={"password": Secret("x")})
        assert "auth_key" in (caught.value.hint or "")
        assert grant_of(place.broker.sessions.get(KEY)) is None

    run(HEAD + EXCHANGE, story)


def test_poll() -> None:
    """The person is sent to a page, and the platform asked until they have answered there."""

    async def story(place: Place) -> None:
        place.clock.held = asyncio.Event()
        place.script.on("/begin", {"id": "7", "secret": "t1"})
        place.script.on("/poll", {"status": "pending"})
        place.script.on("/poll", {"status": "approved", "cookie": "sid=s1"})
        login = await place.begun("browser")
        view = await login.watch("starting", 5)
        while not view.awaits:
            view = await login.watch(str(view.revision), 5)
        assert view.state is LoginState.AWAITING_BROWSER
        assert view.url == ORIGIN + "/signin?id=7&secret=t1"
        assert view.awaits == "your sign-in"
        place.clock.held.set()
        await login.finished()
        assert login.view.state is LoginState.DONE, login.view.error
        assert login.view.url is None
        assert await place.value() == "sid=s1"

    run(HEAD + POLL, story)


def test_cancelled() -> None:
    """A poll is broken off at once."""

    async def story(place: Place) -> None:
        place.clock.held = asyncio.Event()
        place.script.on("/begin", {"id": "7", "secret": "t1"})
        place.script.on("/poll", {"status": "pending"})
        login = await place.begun("browser")
        await login.watch("starting", 5)
        view = await place.broker.logins.cancel(login.view.id)
        assert view.state is LoginState.CANCELLED
        assert (view.url, view.awaits) == (None, "")

    run(HEAD + POLL, story)
