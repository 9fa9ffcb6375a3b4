"""The login by device code (RFC 8628), from the code to its renewals."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.core.fakes import KEY, ME, ORIGIN, World
from tests.core.flows import DEVICE, begun, ended, run, text, token_reply
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import LoginState
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.model import GrantKind, HttpReply, HttpRequest


def device_world(world: World, answers: list[HttpReply | Exception]) -> None:
    """Let the provider give a code, and answer polls like this."""
    said: Iterator[HttpReply | Exception] = iter(answers)

    def poll(request: HttpRequest) -> HttpReply:
        answer = next(said)
        if isinstance(answer, Exception):
            raise answer
        return answer

    world.provider.routes["/device"] = lambda _: world.provider.json(
        {
            "device_code": "dev",
            "user_code": "BCDF-GHJK",
            "verification_uri": f"{ORIGIN}/activate",
            "verification_uri_complete": f"{ORIGIN}/activate?code=BCDF-GHJK",
            "expires_in": 600,
        }
    )
    world.provider.routes["/poll"] = poll


def refused(world: World, code: str, status: int = 400, detail: str = "not now") -> HttpReply:
    """Return an error in this platform's envelope."""
    return world.provider.json({"ok": False, "error": {"code": code, "detail": detail}}, status)


def test_a_device_login_shows_its_code_and_keeps_its_pace() -> None:
    """Five seconds, five more for good after `slow_down`, and doubled while nobody answers."""

    async def story(world: World) -> None:
        world.clock.held = asyncio.Event()
        refresh = world.provider.issue().reveal()
        answers: list[HttpReply | Exception] = [
            refused(world, "auth_pending"),
            refused(world, "rate_limited", 429),
            TemporarilyUnavailableError("acme.example does not answer"),
            world.provider.json({}, 502),
            refused(world, "auth_pending"),
            token_reply(world, refresh_token=refresh),
        ]
        device_world(world, answers)
        view = await begun(world)
        assert view.state is LoginState.AWAITING_BROWSER
        assert (view.user_code, view.url) == ("BCDF-GHJK", f"{ORIGIN}/activate?code=BCDF-GHJK")
        assert view.expires_at == world.clock.now().wall + 600
        world.clock.held.set()
        view = await ended(world, view)
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert view.text.startswith("Logged in to Acme as ada@acme.example.")
        assert world.clock.pauses == [5, 5, 10, 20, 40, 10]
        device, poll = world.provider.requests[0], world.provider.requests[1]
        assert device.form is not None
        assert poll.form is not None
        assert text(device.form["scope"]) == "read"
        assert len(text(device.form["code_challenge"])) == 43
        assert text(poll.form["device_code"]) == "dev"
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == refresh
        assert held.grant.method == "device"
        # A path that leads to a token keeps nothing.
        assert dict(held.grant.kept) == {"email": "ada@acme.example", "actor": "user:1"}

    run(DEVICE, story)


def test_a_device_login_is_renewed_like_any_other() -> None:
    """At the definition's own address; the platform's reason reaches whoever asks."""

    async def story(world: World) -> None:
        refresh = world.provider.issue().reveal()
        device_world(world, [token_reply(world, refresh_token=refresh)])
        await ended(world, await begun(world))
        world.clock.advance(3600)
        ask = TokenAsk("acme")
        assert (await world.broker.token(ask, ME)).value.reveal() == "access-1"
        who, _ = await world.broker.identity(ask, ME)
        assert (who.text, who.identity.subject) == ("I am ada@acme.example", "user:1")
        world.clock.advance(3600)
        world.provider.reply = refused(world, "auth_key_deleted", 422, "the auth key was deleted")
        for _ in range(2):  # the first asks the provider, the second hears what came of it
            with pytest.raises(Exception, match="the auth key was deleted"):
                await world.broker.token(ask, ME)

    run(DEVICE, story)


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [
        ("access_denied", LoginState.CANCELLED, "declined"),
        ("expired_token", LoginState.CANCELLED, "expired"),
        ("invalid_grant", LoginState.FAILED, "not now"),
    ],
)
def test_a_device_login_ends_with_the_platforms_word(
    code: str, state: LoginState, words: str
) -> None:
    """Nothing is stored, and nothing is asked again."""

    async def story(world: World) -> None:
        device_world(world, [refused(world, code)])
        view = await ended(world, await begun(world))
        assert view.state is state
        assert view.error is not None
        assert words in view.error.detail
        assert view.url is None
        assert await world.store.list() == ()

    run(DEVICE, story)


def test_a_device_login_gives_up_when_its_code_is_over() -> None:
    """Also at a provider that never says so."""

    async def story(world: World) -> None:
        device_world(world, [refused(world, "auth_pending") for _ in range(500)])
        view = await ended(world, await begun(world))
        assert view.state is LoginState.CANCELLED
        assert sum(world.clock.pauses) == pytest.approx(605, abs=10)

    run(DEVICE, story)


def test_a_cancelled_device_login_stops_asking() -> None:
    """Ctrl-C ends it in the middle of a wait."""

    async def story(world: World) -> None:
        world.clock.held = asyncio.Event()
        device_world(world, [])
        view = await begun(world)
        view = await world.broker.logins.cancel(view.id)
        assert view.state is LoginState.CANCELLED
        assert [one.url for one in world.provider.requests] == [f"{ORIGIN}/device"]

    run(DEVICE, story)


def test_a_token_without_an_end_rests_in_the_store() -> None:
    """Where the definition says so: it is served as it is, over a restart too."""

    async def story(world: World) -> None:
        device_world(world, [token_reply(world, expiry=None)])
        assert (await ended(world, await begun(world))).state is LoginState.DONE
        held = await world.store.read(KEY)
        assert held is not None
        assert (held.grant.kind, held.secret.reveal()) == (GrantKind.SESSION, "first")
        world.restarted()
        world.clock.advance(365 * 86400)
        credential = await world.broker.token(TokenAsk("acme"), ME)
        assert (credential.value.reveal(), credential.expires_at) == ("first", None)

    without_end = DEVICE.replace('expiry = { field = "expiry" }', "expiry = { never = true }")
    run(without_end, story)
