"""Stories of a person who wants to be asked: in a terminal of their own, by a program, or not."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.agent import Agent
from tests.real.child import ChildError
from tests.real.home import BIN, Home
from tests.real.presence import requires
from tests.real.terminal import CTRL_C, Terminal
from tests.real.waiting import until
from tool_agent import wire

SESSION = '[policy.workflows]\nconfirm = "session"\n'
SOON = 10.0
"""Seconds, far fewer than the 30 that an answer is waited for."""
FOREIGN = (("--mount",), ("--pid", "--fork"))


class Shell:
    """A shell at a terminal of its own: a terminal session."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def asks(self) -> None:
        """Type the command that wants a token."""
        self.terminal.type('tool-agent token workflows >/dev/null; echo "status=$?"\n')

    def gets(self, status: int) -> None:
        """Wait for its exit status."""
        self.terminal.expect(rf"status={status}\b")


@contextmanager
def shell(agent: Agent) -> Iterator[Shell]:
    """A terminal with a shell."""
    with Terminal(["/bin/sh"], agent.environ({"PS1": "", "PS2": ""})) as terminal:
        yield Shell(terminal)
        if agent.canary is not None:
            agent.canary.text("a terminal", terminal.shown)


@contextmanager
def approving(agent: Agent, *words: str) -> Iterator[Terminal]:
    """A terminal with `tool-agent approve`, typed at its shell, that waits for questions."""
    line = f"trap : INT; tool-agent approve {' '.join(words)}; exit $?"
    with Terminal(["/bin/sh", "-c", line], agent.environ()) as terminal:
        terminal.expect("Waiting for questions")
        until(lambda: asked_by(agent) == "ask", "the terminal looks")
        yield terminal


def asked_by(agent: Agent) -> str:
    """Return what the policy would do with a request of a process that never asked."""
    verdict: str = json.loads(agent.good("why", "workflows", "--json"))["policy"]["verdict"]
    return verdict


def answered(terminal: Terminal, word: str) -> str:
    """Wait for a question, answer it, and return what was shown."""
    found = terminal.expect(r"Hand out a credential\?[\s\S]*eny: ")
    terminal.type(word + "\n")
    return found[0]


def approvals(agent: Agent, event: str = "approval") -> list[str]:
    """Return the details of the trail's lines."""
    said = json.loads(agent.good("audit", "--event", event, "--json"))
    return [line["detail"] for line in said["lines"]]


@pytest.fixture
def asking(home: Home, agent: Agent) -> Agent:
    """An agent that asks once for each terminal session, and is signed in."""
    agent.good("login", "workflows")
    home.configure(SESSION)
    agent.good("reload")
    return agent


def test_a_login_that_asks_is_answered_in_a_terminal(agent: Agent) -> None:
    """Promise 15: with nobody there it is denied; then yes, and no, as the person says."""
    agent.good("login", "workflows", "--confirm")
    refused = agent.run("token", "workflows")
    assert refused.returncode == 77
    assert "tool-agent approve" in refused.stderr
    assert "confirmed each time" in agent.good("status")
    with agent.terminal("approve") as terminal:
        terminal.expect("Waiting for questions")
        for typed, status in (("o\n", 0), ("d\n", 77)):
            asking = agent.begin("token", "workflows")
            terminal.expect("'workflows'")
            terminal.expect("eny: ")
            terminal.type(typed)
            asking.communicate(timeout=30)
            assert asking.returncode == status
    assert agent.run("approve").returncode == 2


def test_a_terminal_session_is_asked_about_once(asking: Agent) -> None:
    """Once is once; for the session is for this terminal, until SIGUSR1 or a lock; a no holds.

    The trail says who has answered, each time.
    """
    with approving(asking) as person, shell(asking) as here, shell(asking) as there:
        here.asks()
        shown = answered(person, "o")
        here.gets(0)
        assert "'/usr/bin/" in shown
        assert 'rule      confirm = "session"' in shown
        here.asks()
        answered(person, "s")
        here.gets(0)
        here.asks()
        here.gets(0)
        there.asks()
        shown = answered(person, "d")
        there.gets(77)
        there.asks()
        there.gets(77)
        assert "was refused a moment ago" in there.terminal.shown
        os.kill(asking.pid, signal.SIGUSR1)
        here.asks()
        answered(person, "s")
        here.gets(0)
        here.asks()
        here.gets(0)
        asking.good("lock", text="open sesame\n")
        asking.good("unlock", text="open sesame\n")
        here.asks()
        answered(person, "o")
        here.gets(0)
    where = r"by process \d+ at pts/\d+$"
    said = [re.sub(where, "HERE", line) for line in approvals(asking)]
    once, session = "yes, once, HERE", "yes, for the session, HERE"
    assert said == [once, session, session, once], "what was approved before is no new approval"
    assert sum(re.search(where, line) is not None for line in approvals(asking, "denial")) == 1


def test_whoever_leaves_ends_the_question(asking: Agent) -> None:
    """The questioner's terminal, and nobody is asked any more; the answerer's, and it is a no."""
    with approving(asking) as person:
        with shell(asking) as here:
            here.asks()
            person.expect("eny: ")
        person.expect("This question is over")
        with shell(asking) as here:
            here.asks()
            person.expect("eny: ")
            began = time.monotonic()
            person.type(CTRL_C)
            here.gets(77)
            assert time.monotonic() - began < SOON
            assert "nobody can be asked" in here.terminal.shown
            assert "keep 'tool-agent approve' open" in here.terminal.shown
            assert person.wait() == wire.EXIT_INTERRUPTED


def test_once_leaves_after_one_answer(asking: Agent) -> None:
    """`approve --once` ends; then a program of the person's is asked, and the trail names it."""
    with shell(asking) as here:
        with approving(asking, "--once") as person:
            here.asks()
            answered(person, "once")
            assert person.wait() == 0
        here.gets(0)
        program = asking.home.path / "ask"
        program.write_text('#!/bin/sh\ncase $1 in *"terminal session?"*) exit 0; esac; exit 1\n')
        program.chmod(0o700)
        asking.home.configure(f'{SESSION}[prompt]\nprogram = "{program}"\n')
        asking.good("reload")
        here.asks()
        here.gets(0)
    assert approvals(asking)[-1] == f"yes, for the session, by the program {program}"


@pytest.mark.long
def test_nobody_answers(asking: Agent) -> None:
    """After 30 s it is a no, and whoever asked was told how long to wait, and for what."""
    with approving(asking) as person, shell(asking) as here:
        here.asks()
        person.expect("eny: ")
        person.expect("This question is over")
        here.gets(77)
        assert "within 30 s" in here.terminal.shown


def test_nobody_else_answers_for_the_person(asking: Agent, home: Home) -> None:
    """Neither peers in other namespaces, whatever the rules let in, nor a scoped socket."""
    requires("root", "unshare", "curl")
    url = f"http://tool-agent{wire.APPROVALS}"

    def refused(socket: Path, *around: str) -> str:
        done = subprocess.run(
            [*around, "curl", "--silent", "--unix-socket", str(socket), url],
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(done.stdout)
        assert said.get("code") == "denied", said
        return str(said["hint"])

    for options in FOREIGN:
        assert "foreign = true" in refused(home.socket, "unshare", *options, "--")
    home.configure(SESSION + '[policy."*"]\nforeign = true\n')
    asking.good("reload")
    for options in FOREIGN:
        assert "outside of it" in refused(home.socket, "unshare", *options, "--")
    path = asking.good("socket", "create", "--tool", "workflows")
    assert "agent's own socket" in refused(Path(path))
    explained = ["unshare", "--mount", "--", str(BIN / "tool-agent"), "why", "workflows", "--json"]
    done = subprocess.run(
        explained, capture_output=True, text=True, env=asking.environ(), check=False
    )
    assert done.returncode == 77
    assert "[policy.workflows]" in done.stderr


def test_an_editors_moment_opens_nothing(asking: Agent, home: Home) -> None:
    """An emptied config.toml that is written again opens nothing; broken, none starts with it."""
    file = home.config / "config.toml"
    file.write_text("")
    home.define("odd", "[")
    until(lambda: "odd.toml" in asking.run("status").stdout, "the agent has looked")
    assert asking.run("token", "workflows").returncode == 77
    file.unlink()
    until(lambda: asking.run("token", "workflows").returncode == 0, "it is gone for good")
    asking.kill()
    file.write_text('[policy.workflows]\nconfirm = "sometimes"\n')
    with pytest.raises(ChildError, match=r"policy\.workflows\.confirm: Invalid enum value"):
        asking.start()
