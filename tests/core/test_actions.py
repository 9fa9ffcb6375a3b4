"""Actions and API keys: who signs their requests, what they bring, and what they leave behind."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, ORIGIN
from tests.core.scripted import HEAD, LOGIN, Typist
from tests.core.test_procedure_logins import LOGOUT, Place
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.actions import ActionOrder
from tool_agentd.broker.login import Login, LoginState
from tool_agentd.broker.selection import Own
from tool_agentd.errors import (
    InvalidRequestError,
    LoginRequiredError,
    NotFoundError,
    ProviderError,
)
from tool_agentd.secret import Secret
from tool_agentd.session import Active

ACTIONS = f"""
[[credential]]
id = "key"
source = {{ env = ["ACME_KEY"], stored = true }}
pattern = "ak_[a-z0-9]+"
headers = {{ x-api-key = "{{secret}}" }}

[login.api-key]
flow = "paste"
credential = "key"
prompt = "Key: "

[action.signup]
title = "sign up"
login = "password"
text = "Welcome, {{email}}."
[[action.signup.step]]
take_cookie = "cookie"
saves = true
say = "A mail is sent to {{email}}."
[[action.signup.step.ask]]
name = "email"
label = "Email: "
option = "--email"
[action.signup.step.request]
post = "{ORIGIN}/sign-up"
json = {{ email = "{{email}}" }}
[[action.signup.step]]
take = {{ verified = "verified" }}
[action.signup.step.request]
get = "{ORIGIN}/session"
headers = {{ Cookie = "{{cookie}}" }}
[action.signup.step.until]
value = "verified"
equals = ["true"]
every = "4s"
timeout = "1m"
awaits = "the confirmation of {{email}}"
patient = "later"

[action.invite]
title = "invite"
text = "Invited: {{id}}."
[[action.invite.step]]
carries = ["key", "session"]
take = {{ id = "id" }}
[[action.invite.step.ask]]
name = "email"
label = "Email: "
argument = true
[action.invite.step.request]
post = "{ORIGIN}/invite"
json = {{ email = "{{email}}" }}

[action.join]
title = "join"
[[action.join.step]]
when = {{ signed_in = "true" }}
say = "signed in"
[[action.join.step]]
when = {{ signed_in = "false" }}
say = "signed out"

[api_keys]
accepts = ["session"]
variable = "ACME_KEY"
create_url = "{ORIGIN}/keys"
steps = ["Click Create.", "Copy it."]
[api_keys.listing]
request = {{ get = "{ORIGIN}/keys" }}
items = "data.keys"
[api_keys.issue]
request = {{ post = "{ORIGIN}/keys", json = {{ name = "{{label}}" }} }}
"""

TEXT = HEAD + ACTIONS.partition("[login.api-key]")[0] + LOGIN + LOGOUT
TEXT += "[login.api-key]" + ACTIONS.partition("[login.api-key]")[2]
OWN: Own = ("ACME_KEY", Secret("ak_1"))
WHO = {"email": "ada@acme.example"}


def run(story: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""
    asyncio.run(asyncio.wait_for(story(Place(TEXT)), 10))


async def started(place: Place, name: str, own: Own | None = None, **inputs: str) -> Login:
    """Start an action."""
    given = {ask: Secret(text) for ask, text in inputs.items()}
    order = ActionOrder(place.catalogue.get("acme"), KEY, name, given, own=own, peer=ME)
    view = await place.broker.start_action(order)
    return place.broker.login(view.id)


async def sign_in(place: Place) -> None:
    """Sign in by password."""
    place.script.on("/sign-in", {}, cookies={"sid": "s1"})
    place.script.on("/me", WHO)
    view = await place.done("password", "a@b", "hush")
    assert view.state is LoginState.DONE, view.error


def test_a_session_is_kept_before_the_wait() -> None:
    """What signing up brings is stored at once; the wait after it may be broken off."""

    async def story(place: Place) -> None:
        place.clock.held = asyncio.Event()
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/me", WHO)
        place.script.on("/session", {"verified": False})
        login = await started(place, "signup")
        await Typist(login, "ada@acme.example").run()
        view = login.view
        while not view.awaits:
            view = await login.watch(str(view.revision), 5)
        assert view.purpose == "action"
        assert view.said == ("A mail is sent to ada@acme.example.",)
        assert await place.value() == "sid=s9"
        view = await place.broker.logins.cancel(view.id)
        assert view.state is LoginState.CANCELLED
        assert view.error is not None
        assert view.error.detail == "the action signup was cancelled"
        assert await place.value() == "sid=s9"
        assert place.script.to("/sign-out") == []

    run(story)


def test_cancelled_before_it_is_stored() -> None:
    """A session that came and is not stored yet is ended at the platform."""

    async def story(place: Place) -> None:
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/sign-out", {})
        place.script.on("/me", WHO)
        login = await started(place, "signup")
        await login.watch("starting", 5)
        gate = asyncio.Event()
        arrived = asyncio.Event()
        inner = place.script.send

        async def send(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on as it is
            if args[0].url.endswith("/me"):
                arrived.set()
                await gate.wait()
            return await inner(*args, **more)

        place.script.send = send  # type: ignore[method-assign]  # waits while it is asked who this is
        login.offer({"email": Secret("ada@acme.example")})
        await arrived.wait()
        leaving = asyncio.ensure_future(place.broker.logins.cancel(login.view.id))
        await login.finished()
        gate.set()
        view = await leaving
        assert view.state is LoginState.CANCELLED
        await place.broker.close()
        assert len(place.script.to("/sign-out")) == 1
        assert await place.store.list() == ()

    run(story)


def test_cancelled_while_it_is_stored() -> None:
    """What is being stored is stored; the wait after it does not begin."""

    async def story(place: Place) -> None:
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/me", WHO)
        login = await started(place, "signup")
        await login.watch("starting", 5)
        gate = asyncio.Event()
        arrived = asyncio.Event()
        inner = place.store.write

        async def write(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on as it is
            arrived.set()
            await gate.wait()
            return await inner(*args, **more)

        place.store.write = write  # type: ignore[method-assign]  # waits in the middle
        login.offer({"email": Secret("ada@acme.example")})
        await arrived.wait()
        leaving = asyncio.ensure_future(place.broker.logins.cancel(login.view.id))
        await asyncio.sleep(0)
        gate.set()
        view = await leaving
        assert view.state is LoginState.CANCELLED
        assert view.error is not None
        assert "stored all the same" in view.error.detail
        assert await place.value() == "sid=s9"
        assert place.script.to("/session") == []

    run(story)


def test_done() -> None:
    """The text and the plain values are the outcome; the session stays."""

    async def story(place: Place) -> None:
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/me", WHO)
        place.script.on("/session", {"verified": False})
        place.script.on("/session", {"verified": True})
        login = await started(place, "signup", email="ada@acme.example")
        await login.finished()
        view = login.view
        assert view.state is LoginState.DONE, view.error
        assert view.text == "Welcome, ada@acme.example."
        assert dict(view.values) == {"email": "ada@acme.example", "verified": "true"}
        assert view.identity is not None
        assert isinstance(place.broker.sessions.get(KEY), Active)

    run(story)


def test_a_login_under_way_gives_way() -> None:
    """An action that brings a session takes the place of a login of the same account."""

    async def story(place: Place) -> None:
        waiting = await place.begun("password")
        place.script.on("/sign-up", {}, cookies={"sid": "s9"})
        place.script.on("/me", WHO)
        place.script.on("/session", {"verified": True})
        login = await started(place, "signup", email="ada@acme.example")
        await login.finished()
        assert login.view.state is LoginState.DONE, login.view.error
        assert waiting.view.state is LoginState.CANCELLED
        assert await place.value() == "sid=s9"

    run(story)


def test_the_session_signs() -> None:
    """A request that carries a credential has the session's headers; without one, login needed."""

    async def story(place: Place) -> None:
        login = await started(place, "invite", email="b@c")
        await login.finished()
        assert isinstance(login.view.error, LoginRequiredError)
        assert place.script.sent == []
        await sign_in(place)
        place.script.on("/invite", {"id": "i1"})
        login = await started(place, "invite", email="b@c")
        await login.finished()
        assert login.view.text == "Invited: i1."
        assert place.script.to("/invite")[0].headers == {"Cookie": "sid=s1"}

    run(story)


def test_the_persons_variable_signs() -> None:
    """Where its kind stands first it wins over the session; it is checked and never stored."""

    async def story(place: Place) -> None:
        await sign_in(place)
        place.script.on("/invite", {"id": "i1"})
        login = await started(place, "invite", OWN, email="b@c")
        await login.finished()
        assert login.view.state is LoginState.DONE, login.view.error
        assert place.script.to("/invite")[0].headers == {"x-api-key": "ak_1"}
        before = len(place.script.sent)
        login = await started(place, "invite", ("ACME_KEY", Secret("wrong")), email="b@c")
        await login.finished()
        assert isinstance(login.view.error, InvalidRequestError)
        assert len(place.script.sent) == before

    run(story)


def test_signed_in() -> None:
    """Steps can ask whether the account has a session."""

    async def story(place: Place) -> None:
        login = await started(place, "join")
        await login.finished()
        assert login.view.said == ("signed out",)
        await sign_in(place)
        login = await started(place, "join")
        await login.finished()
        assert login.view.said == ("signed in",)

    run(story)


def test_unknown() -> None:
    """An action that there is not, and an answer that nobody asks, are refused at once."""

    async def story(place: Place) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            await started(place, "dance")
        assert "signup, invite, join" in (caught.value.hint or "")
        with pytest.raises(InvalidRequestError, match="color"):
            await started(place, "invite", color="red")

    run(story)


def test_keys() -> None:
    """Keys are listed from where the definition says; a raw key is in its own answer only."""

    async def story(place: Place) -> None:
        ask = TokenAsk("acme")
        with pytest.raises(LoginRequiredError):
            await place.broker.list_keys(ask, ME)
        await sign_in(place)
        item = {"id": "k1", "name": "la\x1bptop", "created_at": "now", "key": "never"}
        place.script.on("/keys", {"data": {"keys": [item]}})
        place.script.on("/keys", {"id": "k2", "name": "ci", "key": "ak_new"})
        listed = await place.broker.list_keys(ask, ME, OWN)
        assert [(k.id, k.label, k.created, k.key) for k in listed] == [
            ("k1", "la?ptop", "now", None)
        ]
        issued = await place.broker.issue_key(ask, ME, " ci ", OWN)
        assert issued.key is not None
        assert issued.key.reveal() == "ak_new"
        assert "ak_new" not in repr(issued)
        sent = place.script.to("/keys")
        assert [one.headers for one in sent] == [{"Cookie": "sid=s1"}] * 2
        assert sent[1].json == {"name": "ci"}

    run(story)


def test_keys_by_hand() -> None:
    """What the platform does on its site only is told with the page and its steps."""

    async def story(place: Place) -> None:
        with pytest.raises(NotFoundError) as caught:
            await place.broker.revoke_key(TokenAsk("acme"), ME, "k1")
        assert caught.value.detail.splitlines()[1:] == ["1. Click Create.", "2. Copy it."]
        assert ORIGIN + "/keys" in (caught.value.hint or "")
        assert place.script.sent == []

    run(story)


def test_keys_that_make_no_sense() -> None:
    """A label that cannot be one, an answer without a key, a refusal: each is an error."""

    async def story(place: Place) -> None:
        await sign_in(place)
        ask = TokenAsk("acme")
        for label in ("", " ", "x" * 300, "a\nb"):
            with pytest.raises(InvalidRequestError):
                await place.broker.issue_key(ask, ME, label)
        place.script.on("/keys", {"id": "k2"})
        with pytest.raises(ProviderError, match="revoke it there"):
            await place.broker.issue_key(ask, ME, "ci")
        place.script.on("/keys", {"message": "too many keys"}, 400)
        place.script.on("/keys", {}, 401)
        with pytest.raises(ProviderError, match="no list"):
            await place.broker.list_keys(ask, ME)
        with pytest.raises(ProviderError, match="too many keys"):
            await place.broker.list_keys(ask, ME)
        with pytest.raises(LoginRequiredError):
            await place.broker.list_keys(ask, ME)

    run(story)
