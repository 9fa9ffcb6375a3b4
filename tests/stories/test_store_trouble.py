"""Stories of a store that does not answer or is damaged: nothing is lost or overwritten."""

import pytest

from tests.real.agent import Agent, AgentOptions
from tests.real.keychain import Keychain
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.status import status_of

SERVICE = "tool-agent"


def listed(keychain: Keychain) -> list[str | None]:
    """Return the secrets of our items; none while one goes away under secret-tool's eyes."""
    try:
        return [item.secret for item in keychain.search(SERVICE)]
    except AssertionError:
        return []


@pytest.mark.parametrize("store", ["keychain"])
def test_no_keychain(agent: Agent, platforms: Platforms) -> None:
    """Without a keychain `login` says why, and how to choose a vault; nobody is sent anywhere."""
    refused = agent.run("login", "workflows")
    assert refused.returncode == 75, refused
    assert "TOOL_AGENT_STORE=vault" in refused.stderr
    assert platforms.counters()["authorize_requests"] == 0
    key = platforms.accounts["nrepo"]["api_key"]
    assert agent.run("login", "nrepo", "--api-key", text=key + "\n").returncode == 75
    assert platforms.counters()["logins"] == 0
    status = status_of(agent)
    assert status["state"] == "degraded"
    assert status["store"]["problems"]


class TestKeychain:
    """Over the real gnome-keyring."""

    @pytest.fixture
    def agent_options(self, keychain: Keychain) -> AgentOptions:
        """Return an agent that uses the test's own keychain."""
        return AgentOptions(store="keychain", environ=keychain.environ)

    def test_login_and_logout(self, agent: Agent, keychain: Keychain, platforms: Platforms) -> None:
        """`secret-tool search` shows the grant after a login and nothing after the logout."""
        agent.good("login", "workflows")
        (item,) = keychain.search(SERVICE)
        assert "workflows/default" in str(item.attributes) + item.label
        assert item.secret is not None
        agent.restart()
        agent.token("workflows")
        until(lambda: len(listed(keychain)) == 1, "the old generation goes")
        assert listed(keychain) != [item.secret]
        key = platforms.accounts["nrepo"]["api_key"]
        agent.good("login", "nrepo", "--api-key", text=key + "\n")
        assert len(keychain.search(SERVICE)) == 2
        assert "the OS keychain" in status_of(agent)["store"]["rests"]
        agent.good("logout", "workflows")
        agent.good("logout", "nrepo")
        assert keychain.search(SERVICE) == []

    def test_locked(self, agent: Agent, keychain: Keychain, platforms: Platforms) -> None:
        """A locked keychain is said to be locked; what is cached is served, the rest comes back."""
        agent.good("login", "workflows")
        token = agent.token("workflows")
        keychain.lock()
        assert agent.token("workflows") == token
        key = platforms.accounts["nrepo"]["api_key"]
        refused = agent.run("login", "nrepo", "--api-key", text=key + "\n")
        assert refused.returncode == 75, refused
        assert "locked" in refused.stderr
        agent.restart()
        waiting = agent.run("token", "workflows")
        assert waiting.returncode == 75, waiting
        assert "locked" in waiting.stderr
        status = status_of(agent)
        assert status["state"] == "degraded"
        assert "locked" in " ".join(status["reasons"])
        keychain.unlock()
        assert platforms.userinfo(agent.token("workflows")) == 200
        assert platforms.counters()["replays"] == 0

    @pytest.mark.long
    def test_hangs(self, agent: Agent, keychain: Keychain, platforms: Platforms) -> None:
        """A keychain that does not answer holds nobody up: cached is served, the rest says so."""
        agent.good("login", "workflows")
        token = agent.token("workflows")
        with keychain.frozen():
            assert agent.token("workflows") == token
            key = platforms.accounts["nrepo"]["api_key"]
            refused = agent.run("login", "nrepo", "--api-key", text=key + "\n")
            assert refused.returncode == 75, refused
            assert agent.token("workflows") == token
            assert status_of(agent)["state"] == "degraded"
        agent.restart()
        assert platforms.userinfo(agent.token("workflows")) == 200
        assert platforms.counters()["replays"] == 0

    def test_item_deleted_by_hand(self, agent: Agent, keychain: Keychain) -> None:
        """A person who deletes the item is asked to log in, and the new login works."""
        agent.good("login", "workflows")
        agent.restart()
        (item,) = keychain.search(SERVICE)
        keychain.delete(item)
        refused = agent.run("token", "workflows")
        assert refused.returncode in {4, 75}, refused
        assert "hint:" in refused.stderr
        agent.run("logout", "workflows")
        agent.good("login", "workflows")
        assert len(keychain.search(SERVICE)) == 1

    def test_rotation_while_locked(
        self, agent: Agent, keychain: Keychain, platforms: Platforms
    ) -> None:
        """A rotation that cannot be saved is held in memory, said in status, and saved later."""
        platforms.faults(access_token_ttl=30)
        agent.good("login", "workflows")
        platforms.faults(token_delay=1, token_times=1, access_token_ttl=3600)
        waiting = agent.begin("token", "workflows", "--min-ttl", "60s")
        platforms.waiting_at("cre", "token")
        keychain.lock()
        out, err = waiting.communicate()
        assert waiting.returncode == 0, err
        assert platforms.userinfo(out.strip()) == 200
        status = status_of(agent)
        assert status["state"] == "degraded"
        assert "only in memory" in " ".join(status["reasons"])
        keychain.unlock()
        assert agent.stop() == 0, "the last chance to save it"
        agent.start()
        assert platforms.userinfo(agent.token("workflows")) == 200
        assert platforms.counters()["replays"] == 0


def test_damaged_database(agent: Agent, platforms: Platforms) -> None:
    """A damaged grants.db is never overwritten: every command says so, and status is degraded."""
    agent.good("login", "workflows")
    agent.kill()
    database = agent.home.database
    whole = database.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"\0" * len(whole), b"text, no database\n" * 99):
        for rest in agent.home.state.glob("grants.db-*"):
            rest.unlink()
        database.write_bytes(damage)
        agent.start()
        for words in (("token", "workflows"), ("login", "workflows"), ("logout", "workflows")):
            refused = agent.run(*words)
            assert refused.returncode == 75, (damage[:20], refused)
            assert "grants.db" in refused.stderr
            assert "hint:" in refused.stderr
        status = status_of(agent)
        assert status["state"] == "degraded"
        assert "grants.db" in " ".join(status["reasons"])
        agent.kill()
        assert database.read_bytes() == damage
    for rest in agent.home.state.glob("grants.db-*"):
        rest.unlink()
    database.write_bytes(whole)
    agent.start()
    assert platforms.userinfo(agent.token("workflows")) == 200


def test_another_key(agent: Agent) -> None:
    """A vault that is sealed with another key is not opened, not overwritten, and said to be so."""
    agent.good("login", "workflows")
    agent.kill()
    before = agent.home.database.read_bytes()
    credential = agent.home.path / "credentials" / "tool-agent-vault-key"
    right = credential.read_bytes()
    credential.chmod(0o600)
    credential.write_bytes(b"x" * 32)
    agent.start()
    for words in (("token", "workflows"), ("login", "workflows")):
        refused = agent.run(*words)
        assert refused.returncode == 75, refused
        assert "hint:" in refused.stderr
    assert status_of(agent)["state"] == "degraded"
    agent.kill()
    assert agent.home.database.read_bytes() == before
    credential.write_bytes(right)
    agent.start()
    agent.token("workflows")


def test_unknown_store(agent: Agent) -> None:
    """A store that does not exist is refused at the start, with the nearest name."""
    agent.kill()
    refused = agent.run("token", "cre", environ={"TOOL_AGENT_STORE": "memroy"})
    assert refused.returncode == 78, refused
    assert "'memory'" in refused.stderr
    assert agent.run("status").returncode == 69
