"""Stories of logins in memory only, by device code, and by a key that the browser brings."""

import json

from tests.real.agent import Agent
from tests.real.platforms import Platforms


def test_an_ephemeral_login_is_gone_with_the_agent(agent: Agent, platforms: Platforms) -> None:
    """It serves, is listed as what it is, and leaves nothing in the store."""
    key = platforms.accounts["nrepo"]["api_key"]
    said = agent.good("login", "nrepo", "--api-key", "--ephemeral", text=key + "\n")
    assert said == "Logged in to NeuralRepo as alice@example.com."
    assert agent.token("nrepo") == key
    assert "in memory only" in agent.good("account", "list", "nrepo")
    [account] = json.loads(agent.good("account", "list", "nrepo", "--json"))["accounts"]
    assert account["ephemeral"] is True
    agent.restart()
    assert agent.run("token", "nrepo").returncode == 4
    assert json.loads(agent.good("account", "list", "--json"))["accounts"] == []


def test_an_ephemeral_auth_key_says_when_it_ends(agent: Agent, platforms: Platforms) -> None:
    """The platform gives an hour and nothing to renew it: nobody has to ask for ephemeral."""
    key = platforms.accounts["encore"]["ephemeral_auth_key"]
    agent.good("login", "encore", "--auth-key", "-", text=key + "\n")
    [account] = json.loads(agent.good("account", "list", "encore", "--json"))["accounts"]
    assert account["ephemeral"] is True
    assert 3000 < account["ends_at"] - account["obtained_at"] <= 3600
    assert "in memory only" in agent.good("account", "list", "encore")
    platforms.end_sessions_of("encore")
    refused = agent.run("whoami", "encore")
    assert refused.returncode == 4
    assert "this session has ended" in refused.stderr
    assert "this session has ended" in agent.run("token", "encore").stderr


def test_a_device_login_shows_the_code_and_needs_no_callback(
    agent: Agent, platforms: Platforms
) -> None:
    """The person compares the code and says yes; the client hears it from the agent's polls."""
    environ = {"BROWSER": platforms.browser()}
    said = agent.run("login", "encore", "--method", "device", environ=environ)
    assert said.returncode == 0, said
    assert "edith@example.com" in said.stdout
    assert "the code" in said.stderr
    assert agent.good("whoami", "encore") == "logged in as edith@example.com"
    token = agent.token("encore")
    assert token.startswith("eat_")
    assert agent.run("logout", "encore").returncode == 0
    assert agent.run("token", "encore").returncode == 4


def test_a_site_sends_its_key_to_this_machine(agent: Agent, platforms: Platforms) -> None:
    """The browser brings the key back; neither the client's output nor its address shows it."""
    environ = {"BROWSER": platforms.browser()}
    said = agent.run("login", "nrepo", "--method", "browser", environ=environ)
    assert said.returncode == 0, said
    assert said.stdout == "Logged in to NeuralRepo as alice@example.com.\n"
    key = agent.token("nrepo")
    assert key.startswith("nrp_")
    assert key not in said.stdout + said.stderr
    assert agent.run("logout", "nrepo").returncode == 0
