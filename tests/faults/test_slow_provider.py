"""A provider that takes twenty seconds: who waits, who does not, and what is kept."""

import http.client
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.faults.fake_time import libfaketime
from tests.faults.far_ends import Driver, PracticePlatform
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.real.waiting import until

SLOW = 20.0
"""Seconds that a refresh takes."""
TOLD, LATE = 9.0, 0.5
"""Seconds after which a caller hears something, and what a machine under load may add to them."""
QUICK = 10
"""How much faster the agent's clocks go in the short form."""
ROUNDS, ASKED = 7, 4000
"""Rounds of the long form, and requests in each of a round's three parts: some forty are slower
than a part's p99, and a part takes less than half of the nine seconds."""
ALLOWED = 0.2
"""By how much the p99 may be more than usual."""

OTHER = "other"


@dataclass
class Waits:
    """How long requests for a cached token took, part by part of each round: its p99 in seconds."""

    driver: Driver
    before: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def ask(self, part: list[float], count: int) -> None:
        """Ask so often over one connection; each answer is the same token."""
        target = f"/v1/tools/{self.driver.far.tool}/token?account={OTHER}"
        took, tokens = [], set()
        with self.driver.agent.wire() as wire:
            for _ in range(count):
                began = time.perf_counter()
                reply = wire.request("GET", target).reply()
                took.append(time.perf_counter() - began)
                tokens.add(reply.json["access_token"])
        assert len(tokens) == 1, "it is cached"
        part.append(sorted(took)[int(count * 0.99)])

    def figures(self) -> tuple[float, float, str]:
        """Return how much slower it is beside a slow refresh, the machine's noise, and the words.

        The noise is what two parts differ by beside which nothing happened.
        """
        before, beside, after = map(statistics.median, (self.before, self.beside, self.after))
        usual = statistics.median([*self.before, *self.after])
        ratio, noise = beside / usual - 1, abs(after / before - 1)
        words = (
            f"another account's cached token has a p99 of {beside * 1000:.2f} ms beside it and "
            f"{usual * 1000:.2f} ms without ({ratio:+.0%}; two undisturbed parts of the same run "
            f"differ by {noise:.0%})"
        )
        return ratio, noise, words


@pytest.fixture
def driver(home: Home, platforms: Platforms, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """An agent with two logins, whose clocks go as fast as the test says."""
    far = PracticePlatform(platforms)
    far.define(home)
    agent = Agent(home, AgentOptions(store="vault:credential", words=()))
    speed = request.param
    fast = {} if speed == 1 else libfaketime() | {"FAKETIME": f"+0 x{speed}"}
    agent.start(environ=fast)
    driver = Driver(agent, far)
    try:
        assert driver.log_in()
        assert driver.log_in(account=OTHER)
        yield driver
    finally:
        agent.kill()


def served(driver: Driver) -> str | None:
    """Return the token that the slow account is served, if it is."""
    reply = driver.token(account="default")
    return reply.json["access_token"] if reply.status == http.client.OK else None


def one_slow_refresh(driver: Driver, platforms: Platforms, waits: Waits, asked: int) -> float:
    """Let one refresh take long; return how long its caller waited, in the test's seconds."""
    last = served(driver)
    with driver.agent.wire() as waiting:
        began = time.monotonic()
        target = f"/v1/tools/{driver.far.tool}/token?account=default&min_ttl={driver.far.life}"
        waiting.request("GET", target)
        platforms.waiting_at("cre", "token")
        waits.ask(waits.beside, asked)
        assert not waiting.has_said(), "it was under way all the while"
        reply = waiting.reply()
        told = time.monotonic() - began
    assert (reply.status, reply.json["code"]) == (503, "temporarily_unavailable")
    assert "retry-after" in reply.headers
    until(lambda: served(driver) not in {None, last}, "the rotation that comes")
    return told


@pytest.mark.parametrize(
    ("driver", "speed", "rounds", "asked"),
    [
        (QUICK, QUICK, 1, 50),
        pytest.param(1, 1, ROUNDS, ASKED, marks=pytest.mark.long),
    ],
    indirect=["driver"],
)
def test_a_slow_provider(  # noqa: PLR0913 - a story names what it stands on
    driver: Driver, speed: int, rounds: int, asked: int, platforms: Platforms, line: Line
) -> None:
    """Its callers are told in time, its rotation is saved when it comes, and nobody else waits."""
    line.fault = f"a refresh takes {SLOW:.0f} s"
    waits = Waits(driver)
    refreshes = driver.far.seen().refreshes
    waits.ask([], asked)
    for number in range(1, rounds + 1):
        waits.ask(waits.before, asked)
        platforms.faults(token_delay_after=SLOW / speed, token_times=1)
        assert one_slow_refresh(driver, platforms, waits, asked) < TOLD / speed + LATE
        waits.ask(waits.after, asked)
        line.runs += 1
        seen = driver.far.seen()
        assert (seen.refreshes, seen.replays) == (refreshes + number, 0)
        line.went_on += driver.far.takes(served(driver) or "")
    driver.agent.kill()
    driver.agent.start(environ={})
    assert driver.far.takes(served(driver) or ""), "the rotation was saved"
    assert driver.far.seen().replays == 0
    if speed == 1:
        ratio, noise, line.note = waits.figures()
        assert ratio <= ALLOWED + noise, line.note
