"""An agent with hardly a descriptor, under a flood or left without any; and a log nobody reads."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.child import DEADLINE
from tests.real.home import BIN, Home
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories import practice

HEADS, BODIES, SILENT = 100, 100, 500
ASKED = 6
LATE = 1.0
"""Seconds that a flood may cost a good client."""
LINES = 100
"""Lines of agent.log that it may cost, in a minute."""


@contextlib.contextmanager
def flood(agent: Agent) -> Iterator[list[int]]:
    """Flood an agent from another process for the length of a block.

    What is yielded holds, after it, how many connections were closed and made again.
    """
    closed: list[int] = []
    child = Path(__file__).with_name("flood_child.py")
    counts = map(str, (HEADS, BODIES, SILENT))
    with subprocess.Popen(
        [sys.executable, str(child), str(agent.home.socket), *counts],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield closed
        finally:
            process.stdin.close()
            closed.append(int(process.stdout.read()))
            assert process.wait(DEADLINE) == 0


def asked(agent: Agent) -> float:
    """Ask for a token on a connection of its own; return the seconds that it took."""
    began = time.monotonic()
    assert agent.http("GET", "/v1/tools/nrepo/token").status == 200
    return time.monotonic() - began


def taken(agent: Agent) -> int:
    """Return the limit at which an agent has no descriptor left: its first one that is free."""
    numbers = {int(name) for name in os.listdir(f"/proc/{agent.pid}/fd")}  # noqa: PTH208 - no paths are wanted
    return next(number for number in range(len(numbers) + 1) if number not in numbers)


@pytest.mark.parametrize("limit", [64, 1024])
def test_a_flood_keeps_nobody_waiting(limit: int, home: Home, platforms: Platforms) -> None:
    """200 slow and 500 silent clients cost others less than 1 s, a kept one nothing, and few lines.

    The agent goes on to refresh meanwhile: its own descriptors are kept for it.
    """
    home.define("workflows", practice.workflows(platforms.urls["cre"]))
    home.environ["BROWSER"] = platforms.browser()
    options = AgentOptions(
        store="vault:credential",
        environ=platforms.env,
        prefix=("prlimit", f"--nofile={limit}:{limit}"),
    )
    with running_agent(home, options) as agent:
        key = platforms.accounts["nrepo"]["api_key"]
        agent.good("login", "nrepo", "--api-key", text=key + "\n")
        agent.good("login", "workflows")
        usual = max(asked(agent) for _ in range(3))
        with agent.wire() as kept:
            assert kept.request("GET", "/v1/agent").reply().status == 200
            with flood(agent) as closed:
                took = sorted(asked(agent) for _ in range(ASKED))
                assert agent.good("token", "nrepo").startswith("nrp_")
                target = "/v1/tools/workflows/token?scope=openid"
                assert agent.http("GET", target).status == 200
                assert kept.request("GET", "/v1/agent").reply().status == 200, "it had one only"
        assert took[-2] < usual + LATE, took  # all but one: this machine does other things too
        assert limit > 64 or closed[0] >= HEADS + BODIES + SILENT - limit, (
            "there was no room for all"
        )
        counters = platforms.counters()
        assert (counters["refreshes"], counters["replays"]) == (1, 0)
        lines = home.log.read_text().splitlines()
        assert len(lines) < LINES
        assert "Traceback" not in "".join(lines)


def test_without_a_descriptor_nothing_is_lost(home: Home, platforms: Platforms) -> None:
    """With none for a provider or the store, a refresh is a typed error, and succeeds later."""
    home.define("workflows", practice.workflows(platforms.urls["cre"]))
    home.environ["BROWSER"] = platforms.browser()
    options = AgentOptions(store="vault:credential", environ=platforms.env)
    with running_agent(home, options) as agent:
        agent.good("login", "workflows")
        platforms.reset()
        target = "/v1/tools/workflows/token?scope=openid"
        with agent.wire() as wire:
            assert wire.request("GET", "/v1/agent").reply().status == 200
            usual = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
            here = taken(agent)
            for spare in range(4):  # one by one: what fails first is another thing each time
                resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (here + spare, usual[1]))
                reply = wire.request("GET", target).reply()
                if reply.status == 200:
                    break
                assert reply.json["code"] in {"temporarily_unavailable", "store_unavailable"}
                assert reply.json["detail"]
            else:
                assert spare == 3
            assert spare > 0, "there was no trouble at all"
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, usual)
        until(lambda: agent.http("GET", target).status == 200, "the refresh succeeds")
        agent.restart()
        assert agent.http("GET", target).status == 200, "and what it brought is stored"
        assert platforms.counters()["replays"] == 0
        assert "Traceback" not in home.log.read_text()


def test_without_a_descriptor_a_client_is_let_in(home: Home) -> None:
    """Where the kernel gives none, one at rest is seen out; alone, a client is told."""
    with running_agent(home) as agent:
        with agent.wire() as kept:
            assert kept.request("GET", "/v1/agent").reply().status == 200
            usual = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
            full = taken(agent)
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (full, usual[1]))
            assert agent.http("GET", "/v1/agent").status == 200
            assert kept.rest() == b"", "it was hung up on"
        until(lambda: taken(agent) < full, "they are gone")
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (taken(agent), usual[1]))
        told = agent.http("GET", "/v1/agent")
        assert (told.status, told.json["code"]) == (503, "temporarily_unavailable")
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, usual)
        assert agent.http("GET", "/v1/agent").status == 200


def test_a_full_pipe_does_not_stop_the_agent(home: Home) -> None:
    """Where nobody reads its stderr any more, the agent begins, serves and ends all the same."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"#" * 4096)
    fcntl.fcntl(writer, fcntl.F_SETFL, 0)
    command = [str(BIN / "tool-agentd"), "run", "--log-level", "debug"]
    with subprocess.Popen(command, stderr=writer, env=home.environ, cwd="/") as process:
        try:
            until(lambda: home.agent_pid() == process.pid, "the agent serves")
            agent = Agent(home, AgentOptions())
            assert agent.http("GET", "/v1/agent").status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
            os.close(writer)
            os.close(reader)
