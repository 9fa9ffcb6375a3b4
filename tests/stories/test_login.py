"""Stories of a login in the browser: from the first command to the last."""

import json
import signal

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.terminal import CTRL_C
from tests.stories.status import state_of

pytestmark = pytest.mark.fixed_port

NO_BROWSER = {"BROWSER": None}


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


@pytest.mark.parametrize("store", ["memory", "vault:credential", "vault:passphrase"])
def test_first_login(agent: Agent, platforms: Platforms) -> None:
    """Login, whoami, token, env, exec and logout do what they say, and logout leaves nothing."""
    said = agent.run("login", "workflows")
    assert said.returncode == 0, said
    assert said.stdout == "Logged in to Workflows as ada@example.com.\n"
    assert agent.good("whoami", "workflows") == "Workflows knows you as ada@example.com"
    token = agent.token("workflows")
    assert platforms.userinfo(token) == 200
    assert agent.token("workflows") == token, "a cached token is served again"
    exported = agent.good("env", "workflows", "-s")
    assert f"WORKFLOWS_TOKEN={token}" in exported.replace("'", "")
    shown = agent.run("exec", "workflows", "--", "printenv", "WORKFLOWS_TOKEN")
    assert (shown.returncode, shown.stdout) == (0, token + "\n")
    counters = platforms.counters()
    assert (counters["code_exchanges"], counters["refreshes"]) == (1, 0)

    living = platforms.living()["cre"]["refresh_tokens"]
    ended = agent.run("logout", "workflows")
    assert ended.returncode == 0
    assert "revoked at the provider: refresh token, access token" in ended.stdout
    assert platforms.living()["cre"]["refresh_tokens"] == living - 1
    assert platforms.userinfo(token) == 401
    assert agent.run("token", "workflows").returncode == 4
    assert json.loads(agent.good("status", "--json"))["accounts"] == []


def test_builtin_login(agent: Agent, platforms: Platforms) -> None:
    """The definition that ships signs in at its fixed port, and words its whoami as the tool."""
    assert "Logged in to Chainlink CRE as ada@example.com." in agent.good("login", "cre")
    shown = agent.good("whoami", "cre")
    assert "Email:           ada@example.com" in shown
    assert "Deploy Access:   Enabled" in shown
    who = json.loads(agent.good("whoami", "cre", "--json"))
    assert who["schema"] == 1
    assert who["fields"]["organization"] == "Example Organization"
    agent.token("cre")
    refused = agent.run("env", "cre")
    assert refused.returncode == 78, "the variable holds an API key, and this is a session"
    assert "CRE_API_KEY holds its key" in refused.stderr
    assert "tool-agent exec cre -- COMMAND" in refused.stderr, "the tool's own file carries it"
    assert agent.run("exec", "cre", "--", "true").returncode == 0
    assert agent.run("logout", "cre").returncode == 0


def test_consent_denied(agent: Agent, platforms: Platforms) -> None:
    """Who refuses at the provider's page hears at once that the login was refused: exit 3."""
    environ = {"BROWSER": platforms.browser(PERSON_ANSWER="deny")}
    refused = agent.run("login", "workflows", environ=environ)
    assert refused.returncode == 3, refused
    assert "Traceback" not in refused.stderr
    assert platforms.counters()["code_exchanges"] == 0
    assert state_of(agent, "workflows") == "none"
    assert "Logged in" in agent.good("login", "workflows"), "and may change their mind"


def test_wrong_state(agent: Agent, platforms: Platforms) -> None:
    """A callback with another state is turned away; the person is told, and may come back."""
    platforms.faults(callback_fields={"state": "somebody-else-s"}, callback_times=1)
    with agent.terminal("login", "workflows", environ=NO_BROWSER, echoes=True) as terminal:
        url = terminal.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        platforms.person(url)
        terminal.expect("its state is missing or another")
        assert platforms.counters()["token_requests"] == 0
        platforms.person(url)
        terminal.expect(r"Logged in to Workflows as ada@example\.com\.")
        assert terminal.wait() == 0
    assert agent.run("logout", "workflows").returncode == 0


def test_error_at_the_callback(agent: Agent, platforms: Platforms) -> None:
    """An error that the provider sends to the callback ends the wait at once, in its words."""
    fields = {"code": None, "error": "server_error", "error_description": "the moon is full"}
    platforms.faults(callback_fields=fields)
    refused = agent.run("login", "workflows")
    assert refused.returncode in {1, 75}, refused
    assert "the moon is full" in refused.stderr
    assert state_of(agent, "workflows") == "none"


def test_pasted_address(agent: Agent, platforms: Platforms) -> None:
    """Without a browser the address is printed, and the pasted redirect address is accepted."""
    with agent.terminal("login", "workflows", environ=NO_BROWSER, echoes=True) as terminal:
        url = terminal.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        terminal.expect("paste the address")
        callback = platforms.person(url, PERSON_STOP="before-callback").stdout.strip()
        terminal.type(callback + "\n")
        terminal.expect(r"Logged in to Workflows as ada@example\.com\.")
        assert terminal.wait() == 0
    assert platforms.userinfo(agent.token("workflows")) == 200


def test_ctrl_c(agent: Agent, platforms: Platforms) -> None:
    """Ctrl-C ends the client with 130 and cancels the login in the agent too."""
    with agent.terminal("login", "workflows", environ=NO_BROWSER) as terminal:
        url = terminal.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        terminal.expect("paste the address")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.shown
    assert state_of(agent, "workflows") == "none"
    visited = platforms.person(url)
    assert visited.returncode != 0, "nobody listens for the callback any more"
    assert platforms.counters()["code_exchanges"] == 0


def test_terminated_client(agent: Agent) -> None:
    """A client that is told to end cancels its login as well."""
    with agent.terminal("login", "workflows", environ=NO_BROWSER) as terminal:
        terminal.expect("paste the address")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
    assert state_of(agent, "workflows") == "none"


@pytest.mark.usefixtures("sharing")
def test_second_login_joins(agent: Agent, platforms: Platforms) -> None:
    """A second login of the account joins the first: one visit, one grant, both hear of it."""
    with agent.terminal("login", "workflows", environ=NO_BROWSER) as first:
        url = first.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        with agent.terminal("login", "reports", environ=NO_BROWSER) as second:
            second.expect("under way already")
            assert second.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0] == url
            assert platforms.person(url).returncode == 0
            first.expect("Logged in to Workflows")
            second.expect("Logged in to Workflows")
            assert (first.wait(), second.wait()) == (0, 0)
    assert platforms.counters()["code_exchanges"] == 1


def test_joiner_may_leave(agent: Agent, platforms: Platforms) -> None:
    """Ctrl-C at a login that was only joined leaves the first one alone."""
    with agent.terminal("login", "workflows", environ=NO_BROWSER) as first:
        url = first.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        with agent.terminal("login", "workflows", environ=NO_BROWSER) as second:
            second.expect("under way already")
            second.type(CTRL_C)
            assert second.wait() == 130
        assert platforms.person(url).returncode == 0
        first.expect("Logged in to Workflows")
        assert first.wait() == 0


def test_login_anew(agent: Agent, platforms: Platforms) -> None:
    """A login where one is signed in replaces it, and the old session serves until then."""
    agent.good("login", "workflows")
    before = agent.token("workflows")
    with agent.terminal("login", "workflows", environ=NO_BROWSER) as terminal:
        url = terminal.expect(r"http://127\.0\.0\.1:\d+/authorize\S+")[0]
        assert agent.token("workflows") == before
        assert platforms.person(url).returncode == 0
        terminal.expect("Logged in to Workflows")
        assert terminal.wait() == 0
    assert agent.token("workflows") != before
    assert len(json.loads(agent.good("account", "list", "workflows", "--json"))["accounts"]) == 1


def test_two_accounts(agent: Agent) -> None:
    """A second account lives beside the first; `account switch` and --account choose."""
    agent.good("login", "workflows")
    agent.good("login", "workflows", "--account", "work")
    default, work = agent.token("workflows"), agent.token("workflows", "--account", "work")
    assert default != work
    agent.good("account", "switch", "workflows", "work")
    assert agent.token("workflows") == work
    chosen = {"TOOL_AGENT_ACCOUNT_WORKFLOWS": "default"}
    assert agent.good("token", "workflows", environ=chosen) == default
    unknown = agent.run("account", "switch", "workflows", "play")
    assert unknown.returncode == 2
    assert agent.run("logout", "workflows", "--account", "work").returncode == 0
    assert agent.token("workflows") == default


@pytest.mark.usefixtures("sharing")
def test_login_without_refresh_token(agent: Agent, platforms: Platforms) -> None:
    """A provider that gives nothing lasting is served from until the token ends, and it says so."""
    platforms.faults(token_fields={"refresh_token": None})
    assert "this login ends with its token" in agent.good("login", "workflows")
    assert platforms.userinfo(agent.token("workflows")) == 200
    narrower = agent.run("token", "reports")
    assert narrower.returncode == 4
    assert "gave nothing to renew it with" in narrower.stderr
    assert platforms.userinfo(agent.token("workflows")) == 200, "what there is goes on"
    agent.restart()
    assert agent.run("token", "workflows").returncode == 4
