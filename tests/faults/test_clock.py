"""Clocks that jump and machines that sleep: no token is served past its end, no login is lost."""

import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.far_ends import Driver, PracticePlatform
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.real.presence import absent, requires
from tests.real.waiting import until

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
HOURS, YEAR = 7200, 31_536_000
JUMPS = (HOURS, -HOURS, YEAR, -YEAR)
"""Seconds from the true time, one after another."""
SHORT_LIFE = 2
"""Seconds that a token lives where a test waits for its end."""


class JumpingClock:
    """The wall clock of one agent; its boot clock goes on as the machine's does."""

    def __init__(self, home: Home) -> None:
        requires("faketime")
        found = [str(file) for pattern in LIBRARIES for file in Path("/").glob(pattern[1:])]
        if not found:
            absent("libfaketime is absent (Debian package libfaketime)")
        self._file = home.path / "clock"
        self.set(0)
        self.environ = {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it to so many seconds from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)


@pytest.fixture
def clock(home: Home) -> JumpingClock:
    """The agent's clock."""
    return JumpingClock(home)


@pytest.fixture
def driver(home: Home, clock: JumpingClock, platforms: Platforms) -> Iterator[Driver]:
    """An agent under that clock, with a login."""
    far = PracticePlatform(platforms)
    far.define(home)
    # LD_PRELOAD would be taken from an agent that is not debuggable.
    agent = Agent(home, AgentOptions(store="vault:credential", words=("--debuggable",)))
    agent.start(environ=clock.environ)
    driver = Driver(agent, far)
    try:
        assert driver.log_in()
        yield driver
    finally:
        agent.kill()


def good(driver: Driver) -> bool:
    """Tell whether the token that is served now is one that the provider takes now."""
    reply = driver.token()
    return reply.status == http.client.OK and driver.far.takes(reply.json["access_token"])


def told(line: Line, driver: Driver) -> None:
    """Count the account as it is now."""
    fine = good(driver)
    line.runs += 1
    line.went_on += fine
    line.lost += not fine
    line.replayed += driver.far.seen().replays
    assert (line.lost, line.replayed) == (0, 0)


def test_the_wall_clock_jumps(driver: Driver, clock: JumpingClock, line: Line) -> None:
    """Two hours and a year, both ways and back again: the login goes on, and nothing is stale."""
    line.fault = "the wall clock jumps by 2 h and a year, both ways"
    for jump in JUMPS:
        before = driver.token().json
        clock.set(jump)
        after = driver.token().json
        if jump > 0:
            assert before["access_token"] != after["access_token"], "it was over, by the wall clock"
        assert driver.agent.http("GET", "/v1/agent").json["schema"]
        told(line, driver)
        clock.set(0)
        told(line, driver)
    driver.agent.kill()
    driver.agent.start(environ={})
    told(line, driver)


def test_a_token_ends_while_the_wall_clock_goes_back(
    driver: Driver, clock: JumpingClock, platforms: Platforms, line: Line
) -> None:
    """The boot clock knows that a token is over, however far back the wall clock was set."""
    line.fault = "a token ends while the wall clock goes back"
    platforms.faults(access_token_ttl=SHORT_LIFE)
    driver.token(min_ttl=driver.far.life)
    first = driver.token().json["access_token"]
    over = time.monotonic() + SHORT_LIFE
    for jump in (-HOURS, -YEAR):
        clock.set(jump)
        assert driver.agent.http("GET", "/v1/agent").status == http.client.OK
    until(lambda: time.monotonic() > over, "the token's end")
    assert driver.token().json["access_token"] != first
    told(line, driver)


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.long)])
def test_the_agent_sleeps(
    seconds: int, driver: Driver, clock: JumpingClock, platforms: Platforms, line: Line
) -> None:
    """An agent that was stopped for a while wakes with the true time, and serves nothing stale."""
    line.fault = f"SIGSTOP for {seconds} s, and the clock moves on"
    platforms.faults(access_token_ttl=max(seconds // 2, 1))
    driver.token(min_ttl=driver.far.life)
    first = driver.token().json["access_token"]
    platforms.faults(access_token_ttl=3600)
    os.kill(driver.agent.pid, signal.SIGSTOP)
    clock.set(HOURS)
    over = time.monotonic() + seconds
    until(lambda: time.monotonic() > over, "the end of its sleep", seconds=seconds + 10)
    os.kill(driver.agent.pid, signal.SIGCONT)
    assert driver.token().json["access_token"] != first
    told(line, driver)
    assert driver.far.seen().refreshes <= 4, "no storm after it"
