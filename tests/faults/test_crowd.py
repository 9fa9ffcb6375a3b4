"""Many at once: one refresh for a crowd, and accounts whose tokens never live for long."""

import http.client
import threading
import time
from collections import Counter

import pytest

from tests.faults.far_ends import Driver, PracticePlatform
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.platforms import Platforms

CROWD, SHORT_CROWD = 200, 50
ACCOUNTS = 20
LIFE = 5
"""Seconds that a token of these accounts lives."""
LONG = 600.0
"""Seconds for which they are asked for."""
ASKERS = 4
"""Programs that ask at the same time, each for all of the accounts."""
PACE = 0.2
"""Seconds between two rounds of each: a machine has more to do than this test."""


@pytest.mark.parametrize("crowd", [SHORT_CROWD, pytest.param(CROWD, marks=pytest.mark.long)])
def test_a_crowd_on_an_expired_token(
    crowd: int, home: Home, platforms: Platforms, line: Line
) -> None:
    """So many processes on a token that has run out cause one refresh, and get the same token."""
    line.fault = f"{crowd} processes on an expired token"
    far = PracticePlatform(platforms)
    far.define(home)
    agent = Agent(home, AgentOptions(store="vault:credential"))
    agent.start()
    try:
        platforms.faults(access_token_ttl=30)
        assert Driver(agent, far).log_in()
        platforms.reset()
        platforms.faults(token_delay=1)
        processes = [agent.begin("token", far.tool, "--min-ttl", "60s") for _ in range(crowd)]
        told = [process.communicate() for process in processes]
        line.runs = crowd
        line.went_on = sum(process.returncode == 0 for process in processes)
        line.lost = crowd - line.went_on
        seen = far.seen()
        line.replayed = seen.replays
        assert line.lost == 0, told
        assert len({out for out, _ in told}) == 1
        assert (seen.requests, seen.refreshes, seen.replays) == (1, 1, 0)
    finally:
        agent.kill()


@pytest.mark.long
def test_accounts_whose_tokens_never_live_for_long(
    home: Home, platforms: Platforms, line: Line
) -> None:
    """Twenty accounts with tokens of five seconds, for ten minutes: no login lost, no replay."""
    line.fault = f"{ACCOUNTS} accounts, tokens of {LIFE} s, {LONG / 60:.0f} min (refreshes)"
    far = PracticePlatform(platforms)
    far.define(home)
    agent = Agent(home, AgentOptions(store="vault:credential", words=()))
    agent.start()
    platforms.faults(access_token_ttl=LIFE)
    try:
        for number in range(ACCOUNTS):
            assert Driver(agent, far).log_in(account=f"a{number}")
        answers: Counter[int] = Counter()
        stale: list[str] = []
        until = time.monotonic() + LONG
        over = threading.Event()

        def ask() -> None:
            driver = Driver(agent, far)
            while time.monotonic() < until and not over.wait(PACE):
                for number in range(ACCOUNTS):
                    reply = driver.token(account=f"a{number}")
                    answers[reply.status] += 1
                    if reply.status == http.client.OK and reply.json["expires_at"] < time.time():
                        stale.append(f"a{number}")

        askers = [threading.Thread(target=ask) for _ in range(ASKERS)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        good = [Driver(agent, far).token(account=f"a{n}").status for n in range(ACCOUNTS)]
        seen = far.seen()
        line.runs = seen.refreshes
        line.went_on = seen.refreshes
        line.lost = sum(status != http.client.OK for status in good)
        line.replayed = seen.replays
        assert (set(answers), stale, line.lost, seen.replays) == ({http.client.OK}, [], 0, 0)
        assert seen.refreshes >= ACCOUNTS * LONG / LIFE / 2
    finally:
        agent.kill()
