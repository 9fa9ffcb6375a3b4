"""The definitions that ship, against the practice platforms: every way in, and what comes of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any

import pytest

from tests.platforms.far import Far, call, running
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.adapters.web import WebHttp
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.broker.actions import ActionOrder
from tool_agentd.broker.identities import Who
from tool_agentd.broker.login import LoginState, LoginView
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.definition import files
from tool_agentd.definition.catalogue import load
from tool_agentd.errors import LoginRequiredError, NotFoundError, ProviderError
from tool_agentd.model import AccountKey, Peer
from tool_agentd.secret import Secret
from tool_agentd.session import grant_of

pytestmark = pytest.mark.fixed_port

ME = Peer(uid=1000, gid=1000, pid=4711)
PATIENCE_S = 40.0
"""For what takes a second: a busy machine must not fail a test."""


class QuickClock(SystemClock):
    """A clock whose pauses are over at once; what happens meanwhile is the test's affair."""

    def __init__(self) -> None:
        """Begin with nothing to do in pauses."""
        self.pauses: list[float] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def pause(self, seconds: float) -> None:
        """Note how long it would have been."""
        self.pauses.append(seconds)
        if self.meanwhile is not None:
            await self.meanwhile()


class Agent:
    """A broker with the built-in definitions, whose addresses are the practice platforms'."""

    def __init__(self, far: Far) -> None:
        """Begin signed out."""
        self.far = far
        self.accounts: dict[str, dict[str, str]] = far.line["accounts"]
        self.clock = QuickClock()
        self.store = MemoryStore(Means())
        self.web = WebHttp(SystemClock())
        catalogue = load(DefinitionFolders(None).read(), None, far.line["env"], {})
        self.broker = Broker(
            self.store, self.web, self.clock, LoopbackListeners(), os.urandom, catalogue
        )

    def key(self, tool: str) -> AccountKey:
        """Return the tool's account."""
        return AccountKey(tool, "default")

    async def login(self, tool: str, method: str, **answers: str) -> LoginView:
        """Sign in, with answers instead of a person at the keyboard."""
        given = {name: Secret(text) for name, text in answers.items()}
        order = LoginOrder(
            self.broker.catalogue.get(tool), self.key(tool), method, inputs=given or None
        )
        view, _ = await self.broker.start_login(order)
        return await self.over(view, **answers)

    async def over(self, view: LoginView, **answers: str) -> LoginView:
        """Follow a login or an action to its end: fill in what is asked, visit what is opened."""
        login = self.broker.login(view.id)
        visited = None
        seen = ""
        while not login.view.state.over:
            state = (await login.watch(seen, PATIENCE_S)).state
            seen = state.value
            if state is LoginState.AWAITING_INPUT:
                asked = login.view.prompts
                assert asked[0].name in answers, f"asked for {asked[0].name}"
                login.offer({asked[0].name: Secret(answers.pop(asked[0].name))})
                while login.view.prompts is asked:  # noqa: ASYNC110 - a turn of the loop or two
                    await asyncio.sleep(0)
                seen = ""
            elif state is LoginState.AWAITING_BROWSER and login.view.url != visited:
                visited = login.view.url
                await asyncio.to_thread(self.far.person, f"{visited}")
        return login.view

    async def action(self, what: str, **inputs: str) -> LoginView:
        """Do one of the things that Libretto offers besides."""
        libretto = self.broker.catalogue.get("libretto")
        given = {name: Secret(text) for name, text in inputs.items()}
        order = ActionOrder(libretto, self.key("libretto"), what, given)
        return await self.over(await self.broker.start_action(order))

    async def whoami(self, tool: str) -> Who:
        """Ask the platform."""
        who, _ = await self.broker.identity(TokenAsk(tool), ME)
        return who

    def mail(self, to: str) -> list[dict[str, Any]]:
        """Return what was sent to an address, the oldest first."""
        url = self.far.line["urls"]["libretto"]
        found: list[dict[str, Any]] = call("GET", f"{url}/_/mail?to={to}").json
        return found

    async def verify(self, email: str) -> None:
        """Click the link of the newest message."""
        link = self.mail(email)[-1]["link"]
        assert (await asyncio.to_thread(call, "GET", link)).status == 200


Story = Callable[[Agent], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def process() -> Iterator[Far]:
    """One server for the module."""
    with running() as started:
        yield started


@pytest.fixture
def told(process: Far) -> Iterator[Callable[[Story], None]]:
    """Tell a story with an agent of its own, and platforms without faults."""

    def tell(story: Story) -> None:
        async def whole() -> None:
            agent = Agent(process)
            try:
                await asyncio.wait_for(story(agent), PATIENCE_S)
            finally:
                await agent.broker.close()
                await agent.web.close()

        asyncio.run(whole())

    yield tell
    call("POST", f"{process.url}/_/reset")


WAYS: list[tuple[str, str, dict[str, str], str]] = [
    ("cre", "api-key", {"secret": "api_key"}, "Email:           ada@example.com"),
    ("nrepo", "api-key", {"secret": "api_key"}, "Logged in as alice@example.com"),
    ("nrepo", "browser", {}, "Logged in as alice@example.com"),
    ("libretto", "api-key", {"secret": "api_key"}, "Account email:    grace@example.com"),
    (
        "libretto",
        "password",
        {"email": "email", "password": "password"},
        "Session email:    grace@example.com",
    ),
    ("libretto", "browser", {}, "Session email:    grace@example.com"),
    ("encore", "device", {}, "logged in as edith@example.com"),
    ("encore", "browser", {}, "logged in as edith@example.com"),
    ("encore", "auth-key", {"auth_key": "auth_key"}, "logged in as app example-"),
]


@pytest.mark.parametrize(
    ("tool", "method", "given", "words"), WAYS, ids=[f"{one[0]}-{one[1]}" for one in WAYS]
)
def test_every_way_in(
    told: Callable[[Story], None], tool: str, method: str, given: Mapping[str, str], words: str
) -> None:
    """Signed in, the platform says who it is, in the tool's words; logged out, nothing is left."""

    async def story(agent: Agent) -> None:
        answers = {name: agent.accounts[tool][what] for name, what in given.items()}
        view = await agent.login(tool, method, **answers)
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert words in (await agent.whoami(tool)).text
        await agent.broker.logout(tool, None)
        with pytest.raises(LoginRequiredError):
            await agent.whoami(tool)
        assert await agent.store.list() == ()

    told(story)


def test_a_key_fetches_cres_tenant_context(told: Callable[[Story], None]) -> None:
    """The platform takes the query as it stands, and the file is YAML of the tool's shape."""

    async def story(agent: Agent) -> None:
        await agent.login("cre", "api-key", secret=agent.accounts["cre"]["api_key"])
        tool = agent.broker.catalogue.get("cre")
        credential = await agent.broker.token(TokenAsk("cre"), ME)
        grant = grant_of(agent.broker.sessions.get(agent.key("cre")))
        assert grant is not None
        text = await agent.broker.caches.text_for(tool, "tenant", credential, grant, grant.origins)
        found = files.decode(text, "yaml")["PRODUCTION"]
        assert list(found) == [
            "tenant_id",
            "default_don_family",
            "vault_gateway_url",
            "capabilities_registry",
            "registries",
            "forwarders",
        ]
        assert [one["id"] for one in found["registries"]] == [
            "onchain:ethereum-testnet-sepolia",
            "private",
        ]
        assert found["registries"][0]["label"] == "ethereum-testnet-sepolia (0x1234...abcd)"
        assert await agent.store.caches(agent.key("cre")) == {}

    told(story)


def test_a_key_without_its_owner_is_asked_for_the_organization(
    told: Callable[[Story], None],
) -> None:
    """As the sources do: where the platform does not tell a key whose it is."""

    async def story(agent: Agent) -> None:
        agent.far.faults(identity_fields={"data": {"getOrganization": {"organizationId": "org_1"}}})
        await agent.login("cre", "api-key", secret=agent.accounts["cre"]["api_key"])
        assert (await agent.whoami("cre")).text == (
            "Account details retrieved:\n\nOrganization ID: org_1\nDeploy Access:   Enabled"
        )
        agent.far.faults(identity_fields={"data": None}, identity_times=1)
        assert "Email:           ada@example.com" not in (await agent.whoami("cre")).text

    told(story)


def test_a_refused_key_gets_the_early_access_hint(told: Callable[[Story], None]) -> None:
    """What a person of CRE's can do about it."""

    async def story(agent: Agent) -> None:
        view = await agent.login("cre", "api-key", secret="wrong")  # noqa: S106 - that is the point
        assert view.error is not None
        assert "run 'cre account access'" in (view.error.hint or "")

    told(story)


SIGNUP = {
    "name": "Zoe",
    "email": "zoe@example.com",
    "password": "long-enough",
    "organization": "Zoe & Friends",
    "slug": "example-org",
    "alert_email": "",
}


def test_an_account_from_signup_to_a_teammate_and_keys(told: Callable[[Story], None]) -> None:
    """The whole of Libretto's page: a taken slug asks for the slug alone, the mail is awaited."""

    async def story(agent: Agent) -> None:
        async def zoe_reads_her_mail() -> None:
            stored = await agent.store.list()
            assert [one.identity.name for one in stored] == ["zoe@example.com"], "saved already"
            await agent.verify("zoe@example.com")

        agent.clock.meanwhile = zoe_reads_her_mail
        libretto = agent.broker.catalogue.get("libretto")
        given = {name: Secret(text) for name, text in SIGNUP.items()}
        order = ActionOrder(libretto, agent.key("libretto"), "signup", given)
        view = await agent.broker.start_action(order)
        view = await agent.over(view, slug="zoes-org")
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert view.said[-1] == "Email verified. You're logged in."
        assert agent.clock.pauses == [4.0]
        assert "Session email:    zoe@example.com" in (await agent.whoami("libretto")).text

        view = await agent.action("invite", email="yann@example.com", role="admin")
        assert "Organization:  Zoe & Friends (zoes-org)" in view.text
        id_ = next(
            line.removeprefix("Invitation id: ")
            for line in view.text.splitlines()
            if line.startswith("Invitation id: ")
        )
        invitation = {"tenant_slug": "zoes-org", "invitation_id": id_}
        view = await agent.action("accept-invite", **invitation)
        assert view.error is not None
        assert "already a member of an organization (Zoe & Friends)" in view.error.detail

        issued = await agent.broker.issue_key(TokenAsk("libretto"), ME, "laptop-dev")
        listed = await agent.broker.list_keys(TokenAsk("libretto"), ME)
        assert [(one.id, one.label) for one in listed] == [(issued.id, "laptop-dev")]
        assert listed[0].created
        await agent.broker.revoke_key(TokenAsk("libretto"), ME, issued.id)
        assert await agent.broker.list_keys(TokenAsk("libretto"), ME) == ()
        await agent.broker.logout("libretto", None)

        async def yann_reads_his_mail() -> None:
            await agent.verify("yann@example.com")

        agent.clock.meanwhile = yann_reads_his_mail
        answers = {**invitation, "name": "Yann", "password": "long-enough"}
        view = await agent.action("accept-invite", **answers | {"tenant_slug": "wrong"})
        assert view.error is not None
        assert view.error.hint == "check the slug shown in the invitation email"
        view = await agent.action("accept-invite", **answers)
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert "Session email:    yann@example.com" in (await agent.whoami("libretto")).text

        view = await agent.action("invite", email="x@example.com", role="owner")
        assert view.error is None, "Yann is an admin"

    told(story)


def test_an_existing_email_is_told_what_to_do(told: Callable[[Story], None]) -> None:
    """The page's hint; nothing is stored."""

    async def story(agent: Agent) -> None:
        inputs = {**SIGNUP, "email": "grace@example.com", "slug": "another-org"}
        view = await agent.action("signup", **inputs)
        assert view.error is not None
        assert "log in to that account" in (view.error.hint or "")
        assert await agent.store.list() == ()

    told(story)


def test_nobody_reads_the_mail(told: Callable[[Story], None]) -> None:
    """After ten minutes the person is told, and is signed in all the same."""

    async def story(agent: Agent) -> None:
        agent.clock = Impatient()
        agent.broker = Broker(
            agent.store,
            agent.web,
            agent.clock,
            LoopbackListeners(),
            os.urandom,
            agent.broker.catalogue,
        )
        inputs = {**SIGNUP, "email": "tim@example.com", "slug": "tims-org"}
        view = await agent.action("signup", **inputs)
        assert (view.state, view.error) == (LoginState.DONE, None)
        assert view.said[-1].startswith("Timed out waiting for email verification.")
        assert (await agent.whoami("libretto")).identity.name == "tim@example.com"

        await agent.broker.logout("libretto", None)
        before = len(agent.mail("tim@example.com"))
        answers = {"email": "tim@example.com", "password": SIGNUP["password"]}
        view = await agent.login("libretto", "password", **answers)
        assert view.said[0].startswith("Heads up: your email isn't verified yet.")
        assert len(agent.mail("tim@example.com")) == before + 1, "it is sent again"

    told(story)


class Impatient(QuickClock):
    """Time passes in pauses, and they are over at once."""

    def __init__(self) -> None:
        """Begin now."""
        super().__init__()
        self.ahead = 0.0

    def now(self) -> Any:  # noqa: ANN401 - SystemClock's Instant, moved
        """Return the moment, moved by what was paused."""
        return super().now().plus(self.ahead)

    async def pause(self, seconds: float) -> None:
        """Move on."""
        await super().pause(seconds)
        self.ahead += seconds


def test_a_forgotten_password(told: Callable[[Story], None]) -> None:
    """A message for an account, and a plain word where there is none."""

    async def story(agent: Agent) -> None:
        view = await agent.action("forgot-password", email="grace@example.com")
        assert view.text.startswith("Password reset email sent to grace@example.com.")
        assert agent.mail("grace@example.com")[-1]["subject"] == "Reset your password"
        view = await agent.action("forgot-password", email="nobody@example.com")
        assert view.error is not None
        assert "There is no Libretto Cloud account" in view.error.detail

    told(story)


def test_a_session_that_the_platform_has_ended(told: Callable[[Story], None]) -> None:
    """Libretto answers 200 and null: that is nobody, and the session is over."""

    async def story(agent: Agent) -> None:
        account = agent.accounts["libretto"]
        answers = {"email": account["email"], "password": account["password"]}
        await agent.login("libretto", "password", **answers)
        url = agent.far.line["urls"]["libretto"]
        call("POST", f"{url}/_/sessions/end", json_body={"platform": "libretto", "reason": "x"})
        with pytest.raises(LoginRequiredError, match="does not accept this session"):
            await agent.whoami("libretto")

    told(story)


def test_the_kinds_of_encores_auth_keys(told: Callable[[Story], None]) -> None:
    """One-time keys work once; an ephemeral login ends after an hour; a deleted key ends all."""

    async def story(agent: Agent) -> None:
        account = agent.accounts["encore"]
        for kind in ("one_time_auth_key", "one_time_ephemeral_auth_key"):
            view = await agent.login("encore", "auth-key", auth_key=account[kind])
            assert view.error is None
            grant = grant_of(agent.broker.sessions.get(agent.key("encore")))
            assert grant is not None
            assert grant.ephemeral is ("ephemeral" in kind)
            view = await agent.login("encore", "auth-key", auth_key=account[kind])
            assert isinstance(view.error, ProviderError)
            assert view.error.detail == "this auth key works once"
        await agent.login("encore", "auth-key", auth_key=account["ephemeral_auth_key"])
        key = account["ephemeral_auth_key"]
        url = agent.far.line["urls"]["encore"]
        assert call("POST", f"{url}/_/keys/revoke", json_body={"key": key}).status == 200
        with pytest.raises(LoginRequiredError, match="the auth key was deleted"):
            await agent.whoami("encore")

    told(story)


def test_neuralrepos_keys(told: Callable[[Story], None]) -> None:
    """List, create, revoke; CRE's and Encore's are made by hand, with the page's steps."""

    async def story(agent: Agent) -> None:
        await agent.login("nrepo", "api-key", secret=agent.accounts["nrepo"]["api_key"])
        ask = TokenAsk("nrepo")
        issued = await agent.broker.issue_key(ask, ME, "ci")
        assert issued.key is not None
        assert issued.key.reveal().startswith("nrp_")
        assert issued.id in {one.id for one in await agent.broker.list_keys(ask, ME)}
        await agent.broker.revoke_key(ask, ME, issued.id)
        view = await agent.login("nrepo", "api-key", secret=issued.key.reveal())
        assert isinstance(view.error, ProviderError)
        assert "does not accept this key (HTTP 401: Invalid API key)" in view.error.detail
        for tool, step in (("cre", "Select the APIs tab"), ("encore", "App Settings > Auth Keys")):
            with pytest.raises(NotFoundError, match=step):
                await agent.broker.issue_key(TokenAsk(tool), ME, "ci")

    told(story)
