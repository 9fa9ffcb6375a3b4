"""Stories of a provider that takes twenty seconds: who waits, who does not, and what is kept."""

import time

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until

SLOW = 20
TOLD = 10.0
"""Seconds within which every caller hears something (promise 20)."""


@pytest.mark.long
def test_a_slow_rotation_is_told_in_time_and_not_lost(agent: Agent, platforms: Platforms) -> None:
    """The caller hears within ten seconds; the rotation that comes after twenty is saved."""
    agent.good("login", "workflows")
    agent.good("login", "workflows", "--account", "other")
    cached = agent.token("workflows", "--account", "other")
    agent.restart()
    cached = agent.token("workflows", "--account", "other")
    platforms.faults(token_delay_after=SLOW, token_times=1)
    with agent.wire() as waiting:
        began = time.monotonic()
        waiting.request("GET", "/v1/tools/workflows/token?account=default")
        platforms.waiting_at("cre", "token")
        for _ in range(50):
            assert agent.token("workflows", "--account", "other") == cached
        assert not waiting.has_said(), "the cached ones came first"
        reply = waiting.reply()
        assert time.monotonic() - began < TOLD
    assert (reply.status, reply.json["code"]) == (503, "temporarily_unavailable")
    assert "retry-after" in reply.headers
    words = ("token", "workflows", "--account", "default")
    until(lambda: agent.run(*words).returncode == 0, "the rotation that comes")
    requests = platforms.counters()["token_requests"]
    agent.restart()
    assert platforms.userinfo(agent.token("workflows", "--account", "default")) == 200
    counters = platforms.counters()
    assert (counters["token_requests"], counters["replays"]) == (requests + 1, 0)
