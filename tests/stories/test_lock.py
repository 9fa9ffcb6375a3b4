"""Stories of an agent that is locked: what stops, what survives, and who gets in again."""

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.logind import OURS, Logind, system_bus
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.status import status_of

LOCKED = "tool-agent: the agent is locked\nhint: run 'tool-agent unlock'\n"
TOLD = 1.0
"""Seconds in which a lock stops every credential (promise 13)."""


def locked(agent: Agent) -> bool:
    """Tell whether a token is refused as a locked agent refuses it."""
    done = agent.run("token", "nrepo")
    return (done.returncode, done.stdout, done.stderr) == (5, "", LOCKED)


def unlock(agent: Agent, passphrase: str) -> None:
    """Unlock, once the pause after a wrong passphrase is over."""
    until(
        lambda: agent.run("unlock", text=passphrase + "\n").returncode == 0,
        "the agent is unlocked",
    )


def test_a_lock_stops_everything_and_survives_a_restart(
    agent: Agent, platforms: Platforms, canary: Canary
) -> None:
    """Typed twice; no command gets a credential, nor after kill -9; then no login is needed."""
    right = canary.make("the passphrase of the lock")
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    with agent.terminal("lock") as terminal:
        terminal.expect("Passphrase: ")
        terminal.type(right + "\n")
        terminal.expect("Passphrase again: ")
        terminal.type("another\n")
        assert terminal.wait() == 2, terminal.shown
    assert agent.token("nrepo") == key
    with agent.terminal("lock") as terminal:
        terminal.expect("Passphrase: ")
        terminal.type(right + "\n")
        terminal.expect("Passphrase again: ")
        terminal.type(right + "\n")
        assert terminal.wait() == 0, terminal.shown
    assert locked(agent)
    for words in (
        ("exec", "nrepo", "--", "true"),
        ("env", "nrepo"),
        ("whoami", "nrepo"),
        ("login", "nrepo"),
        ("logout", "nrepo"),
        ("lock",),
    ):
        refused = agent.run(*words, text="x\n")
        leave = 125 if words[0] == "exec" else 5
        assert (refused.returncode, refused.stderr) == (leave, LOCKED), words
    status = agent.run("status")
    assert status.returncode == 0
    assert " is locked: " in status.stdout
    agent.restart()
    assert locked(agent)
    assert status_of(agent)["state"] == "locked"
    wrong = agent.run("unlock", text="not this one\n")
    assert (wrong.returncode, "wrong passphrase" in wrong.stderr) == (5, True)
    body = json.dumps({"passphrase": right}).encode()
    soon = agent.http("POST", "/v1/agent/unlock", body=body)
    assert (soon.status, soon.headers["retry-after"]) == (423, "1")
    unlock(agent, right)
    assert agent.token("nrepo") == key
    assert status_of(agent)["state"] == "ready"
    again = agent.run("unlock", text=right + "\n")
    assert again.returncode == 2
    assert "is not locked" in again.stderr


def test_a_lock_is_heard_while_the_platform_keeps_a_refresh(
    agent: Agent, platforms: Platforms
) -> None:
    """Who waits is told within a second; what the platform brings late is kept, and not served."""
    agent.good("login", "workflows")
    agent.restart()
    platforms.faults(token_delay_after=2, token_times=1)
    with agent.wire() as waiting:
        waiting.request("GET", "/v1/tools/workflows/token")
        platforms.waiting_at("cre", "token")
        agent.good("lock", text="open sesame\n")
        began = time.monotonic()
        reply = waiting.reply()
        assert time.monotonic() - began < TOLD
    assert (reply.status, reply.json["code"]) == (423, "locked")
    assert agent.run("token", "workflows").stderr == LOCKED
    unlock(agent, "open sesame")
    until(lambda: agent.run("token", "workflows").returncode == 0, "the rotation that comes")
    assert platforms.userinfo(agent.token("workflows")) == 200
    assert platforms.counters()["replays"] == 0


@pytest.mark.parametrize(("store", "ephemeral"), [("memory", False), ("vault:credential", True)])
def test_no_login_is_lost_by_a_lock(
    agent: Agent,
    platforms: Platforms,
    ephemeral: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Whatever the store, and for a login in memory too, the unlock is enough."""
    words = ["--ephemeral"] if ephemeral else []
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", *words, text=key + "\n")
    agent.good("lock", text="open sesame\n")
    assert locked(agent)
    unlock(agent, "open sesame")
    assert agent.token("nrepo") == key


@pytest.mark.parametrize("store", ["vault:passphrase"])
@pytest.mark.parametrize("same", [pytest.param(True, marks=pytest.mark.long), False])
def test_a_lock_seals_the_vault_too(
    home: Home,
    agent_options: AgentOptions,
    platforms: Platforms,
    same: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A typed passphrase of the vault is dropped; one prompt serves both where it is the same."""
    agent = Agent(home, agent_options)
    home.environ["TOOL_AGENT_PASSPHRASE_FILE"] = ""
    agent.start()
    try:
        agent.good("unlock", text="of the vault\n")
        key = platforms.accounts["nrepo"]["api_key"]
        agent.good("login", "nrepo", "--api-key", text=key + "\n")
        passphrase = "of the vault" if same else "of the lock"
        agent.good("lock", text=passphrase + "\n")
        said = agent.run("unlock", text=passphrase + "\n")
        assert said.returncode == 0, said
        if not same:
            assert "the vault is still sealed" in said.stderr
            assert agent.run("token", "nrepo").returncode == 75
            agent.good("unlock", text="of the vault\n")
        assert agent.token("nrepo") == key
    finally:
        agent.kill()


def test_a_persons_own_variable_serves_behind_a_lock(agent: Agent, canary: Canary) -> None:
    """It is theirs, and never was the agent's to lock."""
    key = canary.make("the person's own key", prefix="cre_")
    agent.good("lock", text="open sesame\n")
    assert locked(agent)
    environ = {"CRE_API_KEY": key}
    assert agent.good("token", "cre", environ=environ) == key
    shown = agent.run("exec", "cre", "--", "printenv", "CRE_API_KEY", environ=environ)
    assert (shown.returncode, shown.stdout) == (0, key + "\n"), shown


def test_sigusr1_drops_what_is_held_and_locks_nothing(agent: Agent, platforms: Platforms) -> None:
    """The next request renews; a token that was dropped is not served again."""
    agent.good("login", "workflows")
    before = agent.token("workflows")
    requests = platforms.counters()["token_requests"]
    os.kill(agent.pid, signal.SIGUSR1)
    until(lambda: agent.token("workflows") != before, "the token is dropped")
    assert platforms.counters()["token_requests"] == requests + 1
    assert status_of(agent)["state"] == "ready"


@pytest.fixture
def logind(home: Home) -> Iterator[Logind]:
    """A system bus with logind, and an agent that listens to it."""
    with system_bus() as made:
        home.environ["DBUS_SYSTEM_BUS_ADDRESS"] = made.address
        home.configure("[lock]\non_suspend = true\non_screen_lock = true\n")
        yield made.start()


def test_a_screen_lock_locks_by_the_passphrase_remembered(
    logind: Logind, agent: Agent, platforms: Platforms
) -> None:
    """Without one it only drops what is held; with one the agent is locked within a second."""
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    agent.good("lock", "--remember", text="open sesame\n")
    unlock(agent, "open sesame")
    assert status_of(agent)["lock"] == {"locked": False, "passphrase_kept": True}
    logind.locks(OURS)
    until(lambda: locked(agent), "the agent is locked", seconds=TOLD)
    unlock(agent, "open sesame")
    agent.good("lock", "--kept")
    assert locked(agent)
