"""What NeuralRepo's page says and its transcript does not show: the prompt, and what goes wrong."""

import json

import pytest

from tests.canary import Canary
from tests.platforms.far import call
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.stories.spoken import Spoken
from tests.stories.status import state_of


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


@pytest.fixture
def nrepo(agent: Agent) -> Spoken:
    """The command `nrepo`."""
    return Spoken(agent, "nrepo")


def test_the_prompt(nrepo: Spoken, platforms: Platforms) -> None:
    """As on the page: the prompt, nothing of what is typed, and whose key it is."""
    account = platforms.accounts["nrepo"]
    with nrepo.at_a_terminal("login --api-key") as terminal:
        terminal.expect(r"Paste your API key \(nrp_<64-hex-chars>\): ")
        terminal.type("nrp_123\n")
        for _ in range(2):
            terminal.expect(r"nrp_<64-hex-chars>\r\nhint: nothing was sent")
            terminal.expect(r"Paste your API key \(nrp_<64-hex-chars>\): ")
            terminal.type("nrp_123\n")
        terminal.expect("nrp_<64-hex-chars>\r\nnothing was sent")
        assert terminal.wait() == 1
    assert platforms.counters()["identity_requests"] == 0, "it did not leave the machine"
    with nrepo.at_a_terminal("login --api-key") as terminal:
        terminal.expect(r"Paste your API key \(nrp_<64-hex-chars>\): ")
        terminal.type("nrp_123\n")
        terminal.expect(r"Paste your API key \(nrp_<64-hex-chars>\): ")
        terminal.type(account["api_key"] + "\n")
        terminal.expect(r"Logged in as alice@example\.com\r\n")
        assert terminal.wait() == 0
        assert account["api_key"] not in terminal.shown
    assert platforms.counters()["identity_requests"] == 1


@pytest.mark.parametrize("wrong", ["nrp_", "nrp_" + "0" * 63, "nrp_" + "g" * 64, "ghp_" + "0" * 64])
def test_another_pattern(nrepo: Spoken, agent: Agent, platforms: Platforms, wrong: str) -> None:
    """What is no key of NeuralRepo's never leaves the machine."""
    before = platforms.counters()
    done = nrepo.types('nrepo login --api-key <<< "$KEY"', {"KEY": wrong})
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "nrp_<64-hex-chars>" in done.stderr
    assert platforms.counters() == before
    assert state_of(agent, "nrepo") == "none"


def test_the_browser(nrepo: Spoken, agent: Agent, platforms: Platforms) -> None:
    """It opens the authorization page, and only an approval brings a key, which is stored."""
    denied = nrepo.types("nrepo login", {"BROWSER": platforms.browser(PERSON_ANSWER="deny")})
    assert (denied.returncode, denied.stdout) == (1, ""), denied
    assert state_of(agent, "nrepo") == "none"
    assert platforms.counters()["keys_created"] == 0
    done = nrepo.types("nrepo login")
    assert (done.returncode, done.stdout) == (0, "Logged in as alice@example.com\n"), done
    seen = platforms.counters()
    assert (seen["authorize_requests"], seen["keys_created"]) == (2, 1)
    key = agent.token("nrepo")
    assert key not in done.stderr
    agent.restart()
    assert nrepo.types("nrepo whoami").stdout == "Logged in as alice@example.com\n"


def test_a_key_that_is_revoked(nrepo: Spoken, agent: Agent, platforms: Platforms) -> None:
    """Created here, revoked here: whoever is signed in with it is told, in JSON by default."""
    own = {"KEY": platforms.accounts["nrepo"]["api_key"]}
    assert nrepo.types('nrepo login --api-key <<< "$KEY"', own).returncode == 0
    created = agent.run("as", "nrepo", "key", "create", "machine", "--json")
    made = json.loads(created.stdout)
    assert nrepo.types('nrepo login --api-key <<< "$KEY"', {"KEY": made["key"]}).returncode == 0
    revoked = nrepo.types(f"nrepo key revoke {made['id']} --human")
    assert revoked.stdout == f"API key {made['id']} revoked.\n"
    done = nrepo.types("nrepo whoami")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["code"] == "auth_required"
    human = nrepo.types("nrepo whoami --human")
    assert human.returncode == 1
    assert not human.stderr.startswith("{")
    url = f"{platforms.env['NREPO_API_URL']}/user/me"
    assert call("GET", url, headers={"X-API-Key": made["key"]}).status == 401


def test_the_errors_as_json(nrepo: Spoken, platforms: Platforms, canary: Canary) -> None:
    """A platform that fails, one that is away, and a key that nobody issued: each has its code."""
    own = {"KEY": platforms.accounts["nrepo"]["api_key"]}
    assert nrepo.types('nrepo login --api-key <<< "$KEY"', own).returncode == 0
    platforms.faults(platform="nrepo", keys_drop="before")
    away = nrepo.types("nrepo key list")
    assert (away.returncode, away.stdout) == (1, "")
    assert json.loads(away.stderr)["code"] == "network_error"
    platforms.reset()
    gone = nrepo.types("nrepo key revoke key_0")
    assert gone.returncode == 1
    assert json.loads(gone.stderr) == {"error": "API key not found", "code": "http_404"}
    unknown = {"KEY": canary.make("a key that nobody issued", prefix="nrp_")}
    done = nrepo.types('nrepo login --api-key <<< "$KEY"', unknown)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not accept this key" in done.stderr
    assert nrepo.types("nrepo whoami --human").returncode == 0, "the key before it is kept"
