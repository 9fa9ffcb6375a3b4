"""Stories of a person who asks why: a login that works, and one that was lost."""

import json

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until


def test_a_login_that_works_is_explained(agent: Agent, platforms: Platforms) -> None:
    """Rule, session, token and history; the person's own variable by name."""
    platforms.faults(access_token_ttl=100)
    agent.good("login", "workflows")
    text = agent.good("why", "workflows")
    assert "the access token in memory" in text
    assert "signed in by browser" in text
    assert "the only one" in text
    said = json.loads(agent.good("why", "workflows", "--json"))
    assert said["answers"] == {"rule": "token", "credential": "session", "variable": None}
    assert said["history"][0]["event"] == "login"
    assert said["history"][0]["by"].startswith("pid ")
    sent = platforms.counters()
    agent.good("why", "workflows")
    assert platforms.counters() == sent, "nothing is asked for it"


def test_a_login_that_was_lost_is_explained(agent: Agent, platforms: Platforms) -> None:
    """Killed after the provider rotated: the history says all of it, after a restart too."""
    agent.good("login", "workflows")
    agent.restart()
    platforms.faults(token_delay_after=20, token_times=1)
    with agent.wire() as waiting:
        waiting.request("GET", "/v1/tools/workflows/token")
        platforms.waiting_at("cre", "token")
        until(lambda: platforms.counters()["refreshes"] == 1, "the rotation")
        agent.kill()
    agent.start()
    refused = agent.run("token", "workflows")
    assert refused.returncode == 4
    assert "tool-agent why workflows" in refused.stderr
    agent.restart()
    said = json.loads(agent.good("why", "workflows", "--json"))
    assert said["answers"]["rule"] == "nothing"
    events = [line["event"] for line in said["history"]]
    assert events == ["login", "intent", "replayed", "refused", "ended"]
    assert said["history"][1]["fingerprint"] == said["history"][2]["fingerprint"]
    text = agent.good("why", "workflows")
    assert "the last one was interrupted" in text
    assert "the session ended by itself" in text
    assert platforms.counters()["replays"] == 1
