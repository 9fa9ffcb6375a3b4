"""Stories of a token that runs out: one refresh for everyone, nothing lost, nothing replayed."""

import json

from tests.real.agent import Agent, AgentOptions
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.status import state_of, status_of

CROWD = 30


def test_crowd_on_an_expired_token(agent: Agent, platforms: Platforms) -> None:
    """Many processes on an expired token cause exactly one refresh, and all get the same token."""
    platforms.faults(access_token_ttl=30)
    agent.good("login", "workflows")
    platforms.reset()
    platforms.faults(token_delay=0.5)
    crowd = [agent.begin("token", "workflows", "--min-ttl", "60s") for _ in range(CROWD)]
    told = [process.communicate() for process in crowd]
    assert [process.returncode for process in crowd] == [0] * CROWD, told
    assert len({out for out, _ in told}) == 1
    counters = platforms.counters()
    assert (counters["refreshes"], counters["token_requests"], counters["replays"]) == (1, 1, 0)


def test_restart_after_a_kill(agent: Agent, platforms: Platforms) -> None:
    """An agent that was killed goes on from its store: the rotated token is good, none replayed."""
    agent.good("login", "workflows")
    seen = {agent.token("workflows")}
    for _ in range(3):
        agent.restart()
        seen.add(agent.token("workflows"))
    assert len(seen) == 4
    counters = platforms.counters()
    assert (counters["code_exchanges"], counters["refreshes"], counters["replays"]) == (1, 3, 0)


def test_killed_before_the_provider_acts(agent: Agent, platforms: Platforms) -> None:
    """Killed after the post, the agent's successor goes on; the client does not even notice."""
    agent.good("login", "workflows")
    agent.restart()
    platforms.faults(token_delay=20, token_times=1)
    waiting = agent.begin("token", "workflows")
    platforms.waiting_at("cre", "token")
    agent.kill()
    out, err = waiting.communicate()
    assert "Traceback" not in err
    if waiting.returncode == 0:  # it started another agent and asked that
        assert platforms.userinfo(out.strip()) == 200
    else:
        assert (waiting.returncode, out) == (75, "")
    agent.home.sweep()
    agent.start()
    assert platforms.userinfo(agent.token("workflows")) == 200
    assert platforms.counters()["replays"] == 0


def test_killed_after_the_provider_acted(agent: Agent, platforms: Platforms) -> None:
    """A rotation whose answer was lost: one honest try with the old token, then a login is due."""
    agent.good("login", "workflows")
    agent.restart()
    platforms.faults(token_delay_after=20, token_times=1)
    with agent.wire() as waiting:
        waiting.request("GET", "/v1/tools/workflows/token")
        platforms.waiting_at("cre", "token")
        until(lambda: platforms.counters()["refreshes"] == 1, "the rotation")
        agent.kill()
    agent.start()
    for _ in range(3):
        refused = agent.run("token", "workflows")
        assert (refused.returncode, refused.stdout) == (4, ""), refused
        assert "used" in refused.stderr, "the provider's own reason"
    assert platforms.counters()["replays"] == 1
    assert "Logged in" in agent.good("login", "workflows")


def test_provider_fails(agent: Agent, platforms: Platforms) -> None:
    """A provider that answers 500 costs nothing: the valid token is served, the grant is kept."""
    platforms.faults(access_token_ttl=100)
    agent.good("login", "workflows")
    token = agent.token("workflows")
    platforms.faults(token_status=500)
    assert agent.token("workflows") == token
    wanted = agent.run("token", "workflows", "--min-ttl", "200s")
    assert wanted.returncode == 75, wanted
    assert agent.token("workflows") == token
    assert state_of(agent, "workflows") == "active"
    platforms.reset()
    until(lambda: agent.run("token", "workflows", "--min-ttl", "200s").returncode == 0, "a renewal")
    assert agent.token("workflows") != token
    assert platforms.counters()["replays"] == 0


def test_provider_fails_without_a_token(agent: Agent, platforms: Platforms) -> None:
    """With no valid token and a provider that fails: try again later, and later it works."""
    agent.good("login", "workflows")
    agent.restart()
    for fault in (
        {"token_status": 500},
        {"token_status": 503, "token_headers": {"Retry-After": "7"}},
        {"token_drop": "before"},
        {"token_body": "<html>please sign in to the hotel's network</html>"},
        {"token_status": 429},
    ):
        platforms.reset()
        platforms.faults(**fault)
        agent.restart()  # which waits for nothing
        failed = agent.run("token", "workflows")
        assert failed.returncode in {75, 1}, (fault, failed)
        assert failed.stdout == ""
        assert state_of(agent, "workflows") == "active", fault
    platforms.reset()
    until(lambda: agent.run("token", "workflows").returncode == 0, "the provider is asked again")
    assert platforms.userinfo(agent.token("workflows")) == 200
    assert platforms.counters()["replays"] == 0


def test_provider_refuses(agent: Agent, platforms: Platforms) -> None:
    """`invalid_grant` ends the session with the provider's reason: exit 4, in `status` as well."""
    platforms.faults(access_token_ttl=30)
    agent.good("login", "workflows")
    platforms.end_sessions()
    refused = agent.run("token", "workflows", "--min-ttl", "60s")
    assert refused.returncode == 4, refused
    assert "an administrator ended it" in refused.stderr
    assert "hint: run 'tool-agent login workflows'" in refused.stderr
    assert agent.run("status").returncode == 4
    shown = agent.run("status", "--json")
    assert shown.returncode == 4
    (account,) = json.loads(shown.stdout)["accounts"]
    assert account["state"] == "expired"
    assert "an administrator ended it" in account["reason"]
    requests = platforms.counters()["token_requests"]
    agent.restart()
    again = agent.run("token", "workflows")
    assert again.returncode == 4
    assert "an administrator ended it" in again.stderr, "the reason outlives the agent"
    assert platforms.counters()["token_requests"] == requests, "a dead grant is not tried again"
    assert "Logged in" in agent.good("login", "workflows")
    assert status_of(agent)["accounts"][0]["state"] == "active"


def test_more_life_than_a_token_has(agent: Agent, platforms: Platforms) -> None:
    """A min-ttl that no fresh token reaches is an error after one refresh, never a loop."""
    platforms.faults(access_token_ttl=30)
    agent.good("login", "workflows")
    refused = agent.run("token", "workflows", "--min-ttl", "1h")
    assert refused.returncode == 2, refused
    assert "--min-ttl" in refused.stderr
    assert platforms.counters()["refreshes"] == 1


def test_narrower_scope(agent: Agent, platforms: Platforms) -> None:
    """A scope that was not granted is this request's error only; the session goes on."""
    agent.good("login", "workflows")
    refused = agent.run("token", "workflows", "--scope", "workflows:deploy")
    assert refused.returncode not in {0, 4}, refused
    assert refused.stdout == ""
    assert state_of(agent, "workflows") == "active"
    narrow = agent.token("workflows", "--scope", "openid")
    assert platforms.userinfo(narrow) == 200
    assert platforms.counters()["replays"] == 0


def test_lifetime(agent: Agent) -> None:
    """`--lifetime` shows in status, and a lifetime that makes no sense is refused."""
    agent.good("login", "workflows", "--lifetime", "1h")
    assert "for 60 min more" in agent.good("status") or "for 59 min more" in agent.good("status")
    assert agent.run("login", "workflows", "--lifetime", "soon").returncode == 2


def test_two_agents_over_one_store(agent: Agent, platforms: Platforms) -> None:
    """Agents that share a store take turns: no token is replayed, and a logout is heard of."""
    agent.good("login", "workflows")
    elsewhere = {"TOOL_AGENT_SOCK": str(agent.home.path / "run" / "other" / "agent.sock")}
    other = Agent(agent.home, AgentOptions(store="vault:credential"))
    other.start(environ=elsewhere)
    try:
        platforms.faults(access_token_ttl=1)  # at most one use a token: each asks its provider
        for _ in range(3):
            crowd = [
                agent.begin("token", "workflows", "--scope", scope, environ=environ)
                for scope in ("openid", "email", "profile")
                for environ in ({}, elsewhere)
            ]
            told = [process.communicate() for process in crowd]
            assert {process.returncode for process in crowd} == {0}, told
        assert platforms.counters()["replays"] == 0
        platforms.reset()
        platforms.faults(access_token_ttl=1)
        agent.good("logout", "workflows")
        refused = agent.run("token", "workflows", "--min-ttl", "1s", environ=elsewhere)
        assert refused.returncode == 4, refused
        assert platforms.counters()["token_requests"] == 0
        platforms.reset()
        agent.good("login", "workflows")
        good = agent.good("token", "workflows", environ=elsewhere)
        assert platforms.userinfo(good) == 200, "it finds the new login by itself"
        assert platforms.counters()["replays"] == 0
    finally:
        other.kill()
