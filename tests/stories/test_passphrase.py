"""Stories of a vault that a passphrase seals, which nobody has typed yet."""

import pytest

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions
from tests.real.platforms import Platforms
from tests.stories.status import status_of


@pytest.fixture
def agent_options(platforms: Platforms) -> AgentOptions:
    """Return an agent whose vault waits for its passphrase."""
    return AgentOptions(store="vault:passphrase", environ={"TOOL_AGENT_PASSPHRASE_FILE": ""})


def test_sealed_until_unlocked(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """The first passphrase makes the vault; after a restart only that one opens it again."""
    right = canary.make("the passphrase")
    key = platforms.accounts["nrepo"]["api_key"]
    refused = agent.run("login", "nrepo", "--api-key", text=key + "\n")
    assert refused.returncode == 75, refused
    assert "tool-agent unlock" in refused.stderr
    assert platforms.counters()["identity_requests"] == 0
    with agent.terminal("unlock") as terminal:
        terminal.expect("(?i)passphrase")
        terminal.type(right + "\n")
        assert terminal.wait() == 0, terminal.shown
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    assert agent.token("nrepo") == key
    agent.restart()
    waiting = agent.run("token", "nrepo")
    assert waiting.returncode == 75, waiting
    assert "tool-agent unlock" in waiting.stderr
    assert status_of(agent)["state"] == "degraded"
    wrong = agent.run("unlock", text="not this one\n")
    assert wrong.returncode != 0
    assert agent.run("token", "nrepo").returncode == 75
    assert agent.run("unlock", text=right + "\n").returncode == 0
    assert agent.token("nrepo") == key
    assert status_of(agent)["state"] == "ready"
