"""Stories of a login with an API key: from stdin, from a prompt, and everything wrong with one."""

import json

import pytest

from tests.canary import Canary
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.terminal import CTRL_D
from tests.stories.status import state_of

pytestmark = pytest.mark.fixed_port


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


def test_key_from_stdin(agent: Agent, platforms: Platforms) -> None:
    """A key on stdin is verified and stored, serves over a restart, and logout erases it."""
    key = platforms.accounts["nrepo"]["api_key"]
    said = agent.good("login", "nrepo", "--api-key", text=key + "\n")
    assert said == "Logged in to NeuralRepo as alice@example.com."
    assert platforms.counters()["identity_requests"] == 1
    assert agent.token("nrepo") == key
    assert agent.good("whoami", "nrepo", "--human") == "Logged in as alice@example.com"
    assert json.loads(agent.good("whoami", "nrepo"))["name"] == "alice@example.com"  # by key
    header = json.loads(agent.good("token", "nrepo", "--format", "json"))["headers"]
    assert header == {"X-API-Key": key}
    agent.restart()
    assert agent.token("nrepo") == key
    environ = agent.run("exec", "nrepo", "--", "printenv", "NEURALREPO_API_KEY")
    assert environ.stdout == key + "\n"
    assert agent.run("logout", "nrepo").returncode == 0
    agent.restart()
    assert agent.run("token", "nrepo").returncode == 4


def test_key_at_a_prompt(agent: Agent, platforms: Platforms) -> None:
    """At a terminal the key is asked for without echo, and a wrong shape is asked again."""
    key = platforms.accounts["nrepo"]["api_key"]
    with agent.terminal("login", "nrepo", "--api-key") as terminal:
        terminal.expect("Paste your API key")
        terminal.type(key + "\n")
        terminal.expect(r"Logged in to NeuralRepo as alice@example\.com\.")
        assert terminal.wait() == 0
        assert key not in terminal.shown
    assert agent.token("nrepo") == key


def test_prompt_is_left(agent: Agent) -> None:
    """The end of input at the prompt cancels the login, here and in the agent."""
    with agent.terminal("login", "nrepo", "--api-key") as terminal:
        terminal.expect("Paste your API key")
        terminal.type(CTRL_D)
        assert terminal.wait() == 3
    assert state_of(agent, "nrepo") == "none"


def test_wrong_shape(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """A key of the wrong shape never leaves the machine, and the answer shows the right one."""
    before = platforms.counters()
    wrong = canary.make("a key of another tool", prefix="ghp_")
    refused = agent.run("login", "nrepo", "--api-key", text=wrong + "\n")
    assert refused.returncode == 2, refused
    assert "nrp_<64-hex-chars>" in refused.stderr
    assert platforms.counters() == before
    assert state_of(agent, "nrepo") == "none"


def test_no_key_on_stdin(agent: Agent) -> None:
    """An empty stdin is a usage error that says what to do."""
    refused = agent.run("login", "nrepo", "--api-key")
    assert refused.returncode == 2
    assert "hint:" in refused.stderr
    assert state_of(agent, "nrepo") == "none"


def test_key_refused(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """A key that the platform refuses is not stored, and the platform's refusal is told."""
    unknown = canary.make("a key that nobody issued", prefix="nrp_")
    refused = agent.run("login", "nrepo", "--api-key", text=unknown + "\n")
    assert refused.returncode == 1, refused
    assert "does not accept this key" in refused.stderr
    assert platforms.counters()["identity_requests"] == 1
    assert agent.run("token", "nrepo").returncode == 4


def test_platform_down(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """A network failure is called one, never a bad key: exit 75, and nothing is stored."""
    agent.kill()
    agent.start(environ={"NREPO_API_URL": "http://127.0.0.1:1/api/v1"})
    key = canary.make("a good key", prefix="nrp_")
    failed = agent.run("login", "nrepo", "--api-key", text=key + "\n")
    assert failed.returncode == 75, failed
    assert "accept" not in failed.stderr
    assert "127.0.0.1:1" in failed.stderr
    assert state_of(agent, "nrepo") == "none"


def test_platform_stumbles(agent: Agent, platforms: Platforms) -> None:
    """A platform that fails with 500, or cuts the line, is told from one that refuses."""
    key = platforms.accounts["nrepo"]["api_key"]
    platforms.faults(identity_status=500, identity_times=1)
    assert agent.run("login", "nrepo", "--api-key", text=key + "\n").returncode == 75
    platforms.faults(identity_drop="before")
    assert agent.run("login", "nrepo", "--api-key", text=key + "\n").returncode == 75
    platforms.reset()
    assert agent.run("login", "nrepo", "--api-key", text=key + "\n").returncode == 0


def test_revoked_key(agent: Agent, platforms: Platforms) -> None:
    """A stored key that its owner has deleted: whoami says that a login is needed."""
    key = platforms.accounts["cre"]["api_key"]
    said = agent.good("login", "cre", "--api-key", text=key + "\n")
    assert said == "Logged in to Chainlink CRE as Example Organization."
    assert "Organization ID" in agent.good("whoami", "cre")
    platforms.faults(identity_status=401)
    refused = agent.run("whoami", "cre")
    assert refused.returncode == 4, refused
    assert "does not accept this key" in refused.stderr
    platforms.reset()
    assert f"CRE_API_KEY='{key}'" in agent.good("env", "cre", "-s").replace(
        f"CRE_API_KEY={key}", f"CRE_API_KEY='{key}'"
    )


def test_unknown_tool(agent: Agent) -> None:
    """A misspelt tool is answered with the nearest name, by every command alike."""
    for words in (
        ("token", "nrepp"),
        ("login", "nrepp"),
        ("whoami", "nrepp"),
        ("logout", "nrepp"),
        ("env", "nrepp"),
        ("tool", "show", "nrepp"),
    ):
        unknown = agent.run(*words)
        assert unknown.returncode == 2, unknown
        assert unknown.stdout == ""
        assert "did you mean 'nrepo'?" in unknown.stderr
    assert agent.run("exec", "nrepp", "--", "true").returncode == 125
