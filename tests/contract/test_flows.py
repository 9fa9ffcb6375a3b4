"""Every flow of a login with its real parts: HTTP, loopback, shipped definitions, platforms."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources

import pytest

from tests.platforms.far import ROOT
from tests.real.platforms import Platforms, platforms, running_platforms
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.adapters.web import WebHttp
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.errors import LoginRequiredError
from tool_agentd.model import AccountKey, GrantKind, HeldGrant, Peer
from tool_agentd.secret import Secret

__all__ = ["platforms", "running_platforms"]  # fixtures

ME = Peer(uid=1000, gid=1000, pid=4711)
TIMEOUT = 60.0
"""Seconds for one story; each takes a few, on a machine that does nothing else."""


class PersonsClock(SystemClock):
    """The real clocks; a pause between two polls lasts until the person is done, or no time."""

    def __init__(self) -> None:
        """Every pause waits for the person at first."""
        self.patience = 0.0
        """Pauses up to this length take no time."""
        self.waits = asyncio.Event()
        self.done = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait for the person, where the pause is long enough."""
        if seconds > self.patience:
            self.waits.set()
            await self.done.wait()


@dataclass
class Stage:
    """An agent without its socket, before the platforms."""

    broker: Broker
    store: MemoryStore
    clock: PersonsClock

    async def begin(self, tool: str, method: str, **inputs: str) -> LoginView:
        """Start a login and return it once it waits for its person, or is over."""
        definition = self.broker.catalogue.get(tool)
        key = AccountKey(tool, "default")
        given = {name: Secret(text) for name, text in inputs.items()}
        view, _ = await self.broker.start_login(
            LoginOrder(definition, key, method, inputs=given or None)
        )
        login = self.broker.login(view.id)
        while login.view.state in {LoginState.STARTING, LoginState.WORKING}:
            await login.watch(str(login.view.revision), 20)
        return login.view

    async def end(self, view: LoginView) -> LoginView:
        """Wait for the end of a login, which must be a good one."""
        login = self.broker.login(view.id)
        await login.finished()
        assert login.view.error is None, login.view.error.detail
        assert login.view.state is LoginState.DONE
        return login.view

    async def whoami(self, tool: str) -> str:
        """Return what the platform says of the credential."""
        who, _ = await self.broker.identity(TokenAsk(tool), ME)
        return who.text

    async def held(self, tool: str) -> HeldGrant:
        """Return what is stored."""
        found = await self.store.read(AccountKey(tool, "default"))
        assert found is not None
        return found


@asynccontextmanager
async def staged(platforms: Platforms) -> AsyncIterator[Stage]:
    """An agent over the shipped definitions, with the platforms in the place of the world.

    CRE's own port is one for the whole machine; another client of the platform takes any.
    """
    folder = resources.files("tool_agentd") / "tools"
    sources = {
        one.name: SourceText(one.name, one.read_text("utf-8").replace("port = 53682", "port = 0"))
        for one in folder.iterdir()
        if one.name.endswith(".toml")
    }
    catalogue = load(sources, None, {**platforms.env, "CRE_CLI_CLIENT_ID": "workflow-tools"}, {})
    clock = PersonsClock()
    web = WebHttp(clock)
    store = MemoryStore(Means())
    broker = Broker(store, web, clock, LoopbackListeners(), os.urandom, catalogue)
    try:
        yield Stage(broker, store, clock)
    finally:
        await broker.close()
        await web.close()


def run(platforms: Platforms, story: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a story against a deadline."""

    async def told() -> None:
        async with asyncio.timeout(TIMEOUT), staged(platforms) as stage:
            await story(stage)

    asyncio.run(told())


async def visits(url: str | None, **environ: str) -> str:
    """Let the person visit an address; return the text of the last page."""
    assert url is not None
    person = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.platforms.person",
        url,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await person.communicate()
    return out.decode()


def test_a_device_login_and_its_renewals(platforms: Platforms) -> None:
    """RFC 8628 with PKCE as this platform has it, then its own renewal address."""
    platforms.faults(access_token_ttl=2)

    async def story(stage: Stage) -> None:
        view = await stage.begin("encore", "device")
        assert view.user_code is not None
        assert view.user_code in (view.url or "")
        assert "Device connected" in await visits(view.url)
        stage.clock.done.set()
        assert "edith@example.com" in (await stage.end(view)).text
        assert await stage.whoami("encore") == "logged in as edith@example.com"
        held = await stage.held("encore")
        assert held.grant.kind is GrantKind.REFRESH_TOKEN
        first = await stage.broker.token(TokenAsk("encore"), ME)
        platforms.faults(access_token_ttl=3600)
        second = await stage.broker.token(TokenAsk("encore", min_ttl=60), ME)
        assert first.value != second.value
        assert (await stage.held("encore")).secret != held.secret
        assert platforms.counters()["replays"] == 0

    run(platforms, story)


def test_a_device_login_that_polls_too_fast_slows_down(platforms: Platforms) -> None:
    """The platform asks for five seconds more; the person says no in the end."""
    platforms.faults(device_interval=1)

    async def story(stage: Stage) -> None:
        stage.clock.patience = 5  # without a pause between them, the second poll is too early
        view = await stage.begin("encore", "device")
        login = stage.broker.login(view.id)
        await stage.clock.waits.wait()
        await visits(view.url, PERSON_ANSWER="deny")
        stage.clock.done.set()
        await login.finished()
        assert login.view.state is LoginState.CANCELLED
        assert login.view.error is not None
        assert "the person refused" in login.view.error.detail

    run(platforms, story)


def test_a_platform_with_its_own_way_to_the_browser_and_back(platforms: Platforms) -> None:
    """`begin` and `redeem`; the callback is ours, on a free port of 127.0.0.1."""

    async def story(stage: Stage) -> None:
        view = await stage.begin("encore", "browser")
        assert "Signed in to Encore" in await visits(view.url)
        assert "edith@example.com" in (await stage.end(view)).text
        assert await stage.whoami("encore") == "logged in as edith@example.com"

    run(platforms, story)


def test_a_login_that_is_tried_again_in_the_same_window(platforms: Platforms) -> None:
    """The waiting page sends the browser on; the listener is still there for the second answer."""
    platforms.faults(no_organization=1)

    async def story(stage: Stage) -> None:
        view = await stage.begin("cre", "browser")
        assert "Signed in to Chainlink CRE" in await visits(view.url)
        done = await stage.end(view)
        assert len(done.said) == 1
        assert platforms.counters()["authorize_requests"] == 2

    run(platforms, story)


def test_a_refusal_on_the_platforms_page(platforms: Platforms) -> None:
    """The browser and the client hear it at once."""

    async def story(stage: Stage) -> None:
        view = await stage.begin("encore", "browser")
        assert "Not signed in to Encore" in await visits(view.url, PERSON_ANSWER="deny")
        login = stage.broker.login(view.id)
        await login.finished()
        assert login.view.state is LoginState.CANCELLED

    run(platforms, story)


def test_an_ephemeral_auth_key_ends_with_its_reason(platforms: Platforms) -> None:
    """Nothing of it is stored; its platform's no ends it, and everyone hears why."""
    keys = platforms.accounts["encore"]

    async def story(stage: Stage) -> None:
        view = await stage.begin("encore", "auth-key", auth_key=keys["ephemeral_auth_key"])
        await stage.end(view)
        assert await stage.store.list() == ()
        assert await stage.whoami("encore") == f"logged in as app {keys['app_slug']}"
        [account] = stage.broker.accounts("encore")
        assert getattr(account.state, "grant").ends_because.endswith("ended after 1 h")  # noqa: B009 - one of several states has it
        platforms.end_sessions_of("encore")
        with pytest.raises(LoginRequiredError, match="this session has ended"):
            await stage.whoami("encore")
        with pytest.raises(LoginRequiredError, match="this session has ended"):
            await stage.broker.token(TokenAsk("encore"), ME)

    run(platforms, story)


def test_a_site_that_sends_a_key_to_the_loopback(platforms: Platforms) -> None:
    """The key is tried before it is stored; the page that the person ends at does not show it."""

    async def story(stage: Stage) -> None:
        view = await stage.begin("nrepo", "browser")
        text = await visits(view.url)
        assert "Signed in to NeuralRepo" in text
        await stage.end(view)
        held = await stage.held("nrepo")
        assert held.grant.kind is GrantKind.API_KEY
        assert held.secret.reveal() not in text
        assert await stage.whoami("nrepo") == "Logged in as alice@example.com"

    run(platforms, story)


def test_a_platform_session_lives_in_its_cookie(platforms: Platforms) -> None:
    """It is served as a Cookie header, and a logout ends it at the platform."""
    account = platforms.accounts["libretto"]

    async def story(stage: Stage) -> None:
        view = await stage.begin(
            "libretto", "password", email=account["email"], password=account["password"]
        )
        await stage.end(view)
        held = await stage.held("libretto")
        assert held.grant.kind is GrantKind.SESSION
        assert held.grant.ends_at is not None
        credential = await stage.broker.token(TokenAsk("libretto"), ME)
        assert credential.headers["Cookie"] == held.secret
        assert account["email"] in await stage.whoami("libretto")
        report = await stage.broker.logout("libretto", None)
        assert report.told.revoked == ("session",)

    run(platforms, story)
