"""Stories of somebody who looks afterwards: who had what, who was refused, what became of it."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.canary import Canary, LeakError
from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.platforms import Platforms

UID = os.getuid()
PATIENCE = 1.0
"""Seconds that an answer waits for its line."""


@pytest.fixture(autouse=True)
def journal(home: Home, furnished: None) -> Iterator[socket.socket]:
    """A journal as systemd has it, to which the agent sends."""
    path = str(home.path / "journal.sock")
    home.configure(f'[audit]\nsocket = "{path}"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(0)
        yield listening


def lines(agent: Agent) -> list[dict[str, Any]]:
    """Return the trail, as the file has it."""
    text = (agent.home.state / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def words(told: list[dict[str, Any]]) -> list[str]:
    """Return event and outcome of each line."""
    return [f"{line['event']} {line['outcome']}" for line in told]


def sent_to(journal: socket.socket) -> list[bytes]:
    """Return what the journal was sent so far."""
    found = []
    while True:
        try:
            found.append(journal.recv(65536))
        except BlockingIOError:
            return found


def test_a_day_with_a_login(
    agent: Agent, platforms: Platforms, canary: Canary, journal: socket.socket
) -> None:
    """Each thing is one line, in order, with who asked; no secret is in them, here or there."""
    agent.good("login", "workflows")
    asked = agent.begin("token", "workflows")
    assert asked.wait() == 0
    assert asked.stdout is not None
    assert asked.stderr is not None
    canary.watch(asked.stdout.read().strip(), "the token")
    asked.stdout.close()
    asked.stderr.close()
    agent.good("whoami", "workflows")
    agent.good("exec", "workflows", "--", "true")
    agent.good("env", "workflows", "-s")
    assert agent.http("GET", "/v1/env?tool=workflows&tool=nrepo").status == 401, "all or nothing"
    platforms.faults(access_token_ttl=30)
    agent.token("workflows", "--scope", "openid", "--min-ttl", "20s")
    assert agent.http("GET", "/v1/agent", headers={"Origin": "https://evil.example"}).status == 403
    assert words(lines(agent))[-1] == "denial denied", "in the file before the client has it"
    assert agent.run("token", "ghost").returncode == 2
    agent.good("logout", "workflows")
    assert agent.run("token", "workflows").returncode == 4, "which is no denial"
    told = lines(agent)
    assert words(told) == [
        "agent started",
        "login ok",
        "grant ok",
        "use ok",
        "grant ok",
        "grant ok",
        "refresh rotated",
        "grant ok",
        "denial denied",
        "logout ok",
        "revocation ok",
    ]
    assert {line["agent"] for line in told} == {agent.pid}
    assert [line.get("uid") for line in told] == [None, *[UID] * 9, None]
    assert told[2]["pid"] == asked.pid
    assert {line["tool"] for line in told if "tool" in line} == {"workflows"}
    assert {line["account"] for line in told if "account" in line} == {"default"}
    assert told[6]["scope"] == told[7]["scope"] == "openid"
    assert told[1]["fingerprint"] == told[6]["fingerprint"] != told[10]["fingerprint"]
    datagrams = sent_to(journal)
    assert len(datagrams) == len(told)
    for line, datagram in zip(told, datagrams, strict=True):
        assert f"TOOL_AGENT_EVENT={line['event']}\n".encode() in datagram
    canary.text("the journal", b"\n".join(datagrams))
    shown = agent.good("audit")
    assert len(shown.splitlines()) == len(told)
    assert "[" + told[1]["fingerprint"][:8] + "]" in shown
    assert agent.stop() == 0
    assert words(lines(agent))[-1] == "agent stopped"


def test_the_search_looks_into_the_trail(agent: Agent) -> None:
    """A secret that did get into the file would be found there: the scan of every story looks."""
    bird = Canary()
    planted = bird.make("planted")
    path = agent.home.state / "audit.jsonl"
    agent.run("audit")
    with path.open("a") as trail:
        trail.write(f'{{"detail":"{planted}"}}\n')
    with pytest.raises(LeakError, match=r"planted \(raw\) in ~/state/tool-agent/audit.jsonl"):
        bird.assert_clean(home=agent.home.path, processes=())
    bird = Canary()
    bird.text("the journal", f"MESSAGE={bird.make('planted')}\n")
    with pytest.raises(LeakError, match="the journal"):
        bird.assert_all_clean()


def test_what_is_shown(agent: Agent) -> None:
    """By number, event, tool and time, as text and as one document; each mistake is named."""
    for _ in range(3):
        agent.http("GET", "/v1/tools", headers={"Referer": "https://evil.example"})
    assert len(agent.good("audit", "-n", "2").splitlines()) == 2
    said = json.loads(agent.good("audit", "--json", "--event", "denial"))
    assert (said["schema"], len(said["lines"])) == (1, 3)
    assert {line["event"] for line in said["lines"]} == {"denial"}
    assert agent.good("audit", "--tool", "ghost") == "The audit trail has no such line."
    assert agent.good("audit", "--event", "denial", "--since", "1h").count("web page") == 3
    assert "no such line" in agent.good("audit", "--since", "2999-01-01")
    for wrong in (("--event", "nothing"), ("--since", "soon"), ("-n", "0"), ("-n", "100000")):
        assert agent.run("audit", *wrong).returncode == 2, wrong


def test_a_trail_that_cannot_be_written(agent: Agent, tmp_path: Path) -> None:
    """Service goes on, `status` is degraded and says why; mended, the lines are there."""
    agent.good("login", "workflows")
    path = agent.home.state / "audit.jsonl"
    path.rename(tmp_path / "before")
    path.symlink_to(tmp_path / "precious")
    agent.good("whoami", "workflows")
    agent.http("GET", "/v1/tools", headers={"Origin": "https://evil.example"})
    status = json.loads(agent.good("status", "--json"))
    assert status["state"] == "degraded"
    assert any("audit trail is not written" in reason for reason in status["reasons"])
    assert not (tmp_path / "precious").exists()
    path.unlink()
    agent.good("logout", "workflows")
    assert agent.stop() == 0
    assert words(lines(agent)) == [
        "use ok",
        "denial denied",
        "logout ok",
        "revocation ok",
        "agent stopped",
    ]


def test_a_cached_token_waits_for_no_line_of_others(agent: Agent, platforms: Platforms) -> None:
    """While the trail is held up, a denial waits for its line, and a token is served at once."""
    agent.good("login", "workflows")
    agent.token("workflows")
    with agent.wire() as denied:
        held = os.open(agent.home.state, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            denied.request("GET", "/v1/tools", headers={"Origin": "https://evil.example"})
            began = time.monotonic()
            assert agent.http("GET", "/v1/tools/workflows/token").status == 200
            served = time.monotonic() - began
            assert denied.reply().status == 403
            waited = time.monotonic() - began
        finally:
            os.close(held)
    assert served < waited / 2
    assert waited > PATIENCE / 2
