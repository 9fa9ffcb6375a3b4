"""A keychain that comes and goes: what is cached is served, the rest is told, and it comes back."""

import http.client
import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.far_ends import Driver, PracticePlatform
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.child import Child
from tests.real.home import Home
from tests.real.keychain import Keychain
from tests.real.platforms import Platforms
from tests.real.waiting import until

TOLD = 5.0
"""Seconds within which a caller hears that the keychain does not answer."""
QUICK = 1.0
"""Seconds within which a cached token is there, on a machine under load too."""
ASKED = 2
"""How often both are asked for, at least: the second time nothing is new about the trouble."""
PROMPT = 30.0
"""Seconds for which a prompt stands that nobody answers."""
BACK = 15.0
"""Seconds within which an agent uses a keychain that is back, without anybody's help."""


@contextmanager
def locked(keychain: Keychain) -> Iterator[None]:
    """Lock it for a while."""
    keychain.lock()
    yield
    keychain.unlock()


@contextmanager
def killed(keychain: Keychain) -> Iterator[None]:
    """Have no daemon for a while."""
    keychain.kill()
    yield
    keychain.start()


@contextmanager
def without_bus(keychain: Keychain) -> Iterator[None]:
    """Have no session bus for a while, and then another one at the same address."""
    path = keychain.address.removeprefix("unix:path=").partition(",")[0]
    os.kill(server_of(path), signal.SIGKILL)
    keychain.stop()
    Path(path).unlink()
    yield
    config = keychain.directory / "bus.conf"
    again = Child(
        ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
        log=keychain.directory / "dbus.stderr",
    )
    BUSES.append(again)
    again.line()
    keychain.address = f"unix:path={path}"  # without the mark of the one before
    keychain.start()


def server_of(path: str) -> int:
    """Return the process that listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
        return int(
            struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        )


BUSES: list[Child] = []
"""Those that were started again; they end with the test's keychain."""


@pytest.fixture(autouse=True)
def no_bus_is_left() -> Iterator[None]:
    """End the buses that the test has started."""
    yield
    while BUSES:
        BUSES.pop().stop()


TROUBLES: dict[str, Callable[[Keychain], AbstractContextManager[None]]] = {
    "locked": locked,
    "killed": killed,
    "without its bus": without_bus,
    "frozen, as by a prompt": Keychain.frozen,
}
LONG = {"frozen, as by a prompt", "without its bus"}


@pytest.mark.parametrize(
    "trouble",
    [pytest.param(one, marks=pytest.mark.long) if one in LONG else one for one in TROUBLES],
)
def test_it_comes_and_goes(
    trouble: str, home: Home, keychain: Keychain, platforms: Platforms, line: Line
) -> None:
    """Cached tokens go on, others are told within five seconds, and everything works afterwards."""
    line.fault = f"the keychain is {trouble}"
    far = PracticePlatform(platforms)
    far.define(home)
    agent = Agent(home, AgentOptions(store="keychain", environ=keychain.environ))
    driver = Driver(agent, far)
    with ExitStack() as stack:
        stack.callback(agent.kill)
        agent.start()
        for account in ("cached", "other"):
            assert driver.log_in(account=account)
        agent.restart()
        token = driver.token(account="cached").json["access_token"]
        platforms.reset()
        with TROUBLES[trouble](keychain):
            until_then = time.monotonic() + (PROMPT if "prompt" in trouble else 0)
            for number in itertools.count():
                if number >= ASKED and time.monotonic() > until_then:
                    break
                began = time.monotonic()
                assert driver.token(account="cached").json["access_token"] == token
                assert time.monotonic() - began < QUICK
                began = time.monotonic()
                reply = driver.token(account="other")
                assert time.monotonic() - began < TOLD
                assert (reply.status, reply.json["code"]) == (503, "store_unavailable")
                assert int(reply.headers["retry-after"]) >= 1
        until(
            lambda: driver.token(account="other").status == http.client.OK,
            "the agent uses it again by itself",
            seconds=BACK,
        )
        for account in ("cached", "other"):
            reply = driver.token(account=account, min_ttl=1)
            fine = reply.status == http.client.OK and far.takes(reply.json["access_token"])
            line.runs += 1
            line.went_on += fine
            line.lost += not fine
        line.replayed = far.seen().replays
        assert (line.lost, line.replayed) == (0, 0)
