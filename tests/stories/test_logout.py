"""Stories of a logout: erased at once, told to the provider now or when it is back."""

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.status import state_of


def test_offline(agent: Agent, platforms: Platforms) -> None:
    """Offline the account is gone at once; the restarted agent delivers the revocation."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    living = platforms.living()["cre"]["refresh_tokens"]
    platforms.faults(revoke_drop="before")
    ended = agent.run("logout", "workflows")
    assert ended.returncode == 0, ended
    assert "the provider is told as soon as it can be" in ended.stdout
    assert agent.run("token", "workflows").returncode == 4
    agent.restart()
    assert agent.run("token", "workflows").returncode == 4
    assert state_of(agent, "workflows") == "none"
    assert platforms.living()["cre"]["refresh_tokens"] == living
    platforms.reset()
    agent.restart()
    agent.run("status")  # the store is read with the first request
    until(lambda: platforms.counters()["revocations"] == 1, "the revocation")
    assert platforms.living()["cre"]["refresh_tokens"] == living - 1
    assert platforms.userinfo(token) == 401
    assert platforms.counters()["revocations"] == 1
    assert state_of(agent, "workflows") == "none"


def test_provider_is_busy(agent: Agent, platforms: Platforms) -> None:
    """503 means that the token lives still: it is queued, and a new login is not touched by it."""
    agent.good("login", "workflows")
    platforms.faults(revoke_status=503)
    report = agent.http("DELETE", "/v1/tools/workflows/accounts/-").json
    assert (report["erased"], report["revoked"]) == (True, [])
    assert report["queued"]
    platforms.reset()
    agent.good("login", "workflows")
    agent.restart()
    assert platforms.userinfo(agent.token("workflows")) == 200
    until(lambda: platforms.counters()["revocations"] == 1, "the revocation")
    assert platforms.userinfo(agent.token("workflows", "--min-ttl", "0s")) == 200


def test_forget(agent: Agent, platforms: Platforms) -> None:
    """`logout --forget` drops it here and tells nobody."""
    agent.good("login", "workflows")
    assert agent.run("logout", "workflows", "--forget").returncode == 0
    assert platforms.counters()["revoke_requests"] == 0
    agent.restart()
    assert agent.run("token", "workflows").returncode == 4
    assert platforms.counters()["revoke_requests"] == 0


def test_not_signed_in(agent: Agent) -> None:
    """A logout of nobody is an error that says so; of all, it is none."""
    refused = agent.run("logout", "workflows")
    assert refused.returncode == 2, refused
    assert "not signed in" in refused.stderr
    assert agent.good("logout", "--all") == "Nobody is logged in."


def test_all(agent: Agent, platforms: Platforms) -> None:
    """`logout --all` ends every account of every tool."""
    agent.good("login", "workflows")
    agent.good("login", "workflows", "--account", "work")
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    said = agent.good("logout", "--all")
    assert said.count("Logged out of") == 3
    for tool in ("workflows", "nrepo"):
        assert agent.run("token", tool).returncode == 4


def test_of_an_expired_session(agent: Agent, platforms: Platforms) -> None:
    """A session that the provider has ended can be logged out of; then status is 0 again."""
    platforms.faults(access_token_ttl=30)
    agent.good("login", "workflows")
    platforms.end_sessions()
    assert agent.run("token", "workflows", "--min-ttl", "60s").returncode == 4
    assert agent.run("status").returncode == 4
    assert agent.run("logout", "workflows").returncode == 0
    assert agent.run("status").returncode == 0


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("store", ["memory"])
def test_during_a_refresh(agent: Agent, platforms: Platforms) -> None:
    """A rotation that comes after the logout is revoked, not dropped: nothing is left alive."""
    agent.good("login", "workflows")
    living = platforms.living()["cre"]["sessions"]
    platforms.faults(token_delay_after=1, token_times=1)
    waiting = agent.begin("token", "reports")
    platforms.waiting_at("cre", "token")
    ended = agent.run("logout", "workflows")
    assert ended.returncode == 0
    out, _ = waiting.communicate()
    assert (waiting.returncode, out) == (4, "")
    until(lambda: platforms.living()["cre"]["sessions"] == living - 1, "the revocation")
    assert agent.run("token", "workflows").returncode == 4
