"""`login` on a terminal: the line that counts down, the pasted address, the key without echo."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.fake_agent import problem
from tests.contract.fake_login import ASKING, AWAITING, URL, Login
from tests.contract.typed import LIMIT, Typist, typist
from tool_agent.commands.approve import fact


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


class Screen:
    """A client on a terminal of its own."""

    def __init__(self, person: Typist, *words: str, term: str = "xterm") -> None:
        """Start it as the leader of a session whose terminal we hold the other end of."""
        self.fd, theirs = pty.openpty()
        self.text = ""

        def adopt() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.process: subprocess.Popen[bytes] = person.start(
            *words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=adopt,
            env=person.environ | {"TERM": term},
        )
        os.close(theirs)

    def until(self, pattern: str) -> None:
        """Read until `pattern` stands on the screen."""
        deadline = time.monotonic() + LIMIT
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come: {self.text!r}"
            assert select.select([self.fd], [], [], left)[0], self.text
            try:
                self.text += os.read(self.fd, 65536).decode()
            except OSError:
                raise AssertionError(f"{pattern!r} did not come: {self.text!r}") from None

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.fd, text.encode())

    def echo(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def close(self) -> int:
        """Wait for the client; return its exit status."""
        status = self.process.wait(LIMIT)
        os.close(self.fd)
        return status


def test_the_pasted_address_is_accepted_on_a_terminal(person: Typist) -> None:
    """The wait shows what is awaited and for how long; a pasted line reaches the agent."""
    login = Login(person, AWAITING)
    screen = Screen(person, "login", "cre", "--no-browser")
    screen.until(r"paste the address")
    screen.until(r"Waiting for the browser, (10:0\d|9:5\d) min left")
    screen.type("http://127.0.0.1:1/callback?code=c&state=s\n")
    screen.until("Logged in as a@b")
    assert screen.close() == 0
    assert login.inputs == [{"redirect_url": "http://127.0.0.1:1/callback?code=c&state=s"}]


def test_a_pasted_address_that_is_refused_is_not_the_end(person: Typist) -> None:
    """The reason is shown and the wait goes on, until the browser comes back by itself."""
    login = Login(person, AWAITING)
    login.agent.on(
        "POST", "/v1/logins/l1/input", problem("invalid_request", "wrong state", "again")
    )
    screen = Screen(person, "login", "cre", "--no-browser")
    screen.until("Waiting for")
    screen.type("http://nonsense\n")
    screen.until("wrong state")
    login.become(state="done", text="Logged in as a@b")
    screen.until("Logged in as a@b")
    assert screen.close() == 0


def test_a_slip_that_the_agent_notices_is_shown(person: Typist) -> None:
    """What was wrong with a pasted line is said at once, though the state stays the same."""
    login = Login(person, AWAITING)
    detail, hint = "this is no address of this login", "copy the whole address"
    login.after_input = {"notice": {"number": 1, "detail": detail, "hint": hint}}
    screen = Screen(person, "login", "cre", "--no-browser")
    screen.until("Waiting for")
    screen.type("a slip\n")
    screen.until(f"tool-agent: {detail}")
    screen.until(f"hint: {hint}")
    login.become(state="done", text="Logged in as a@b")
    screen.until("Logged in as a@b")
    assert (screen.close(), login.inputs) == (0, [{"redirect_url": "a slip"}])


def test_a_key_is_asked_for_without_echo(person: Typist) -> None:
    """With the label of the definition; a wrong one is asked for again, with the reason."""
    login = Login(person, ASKING)
    refusal = problem("invalid_request", "no such key")
    login.agent.on("POST", "/v1/logins/l1/input", refusal, login._input)
    screen = Screen(person, "login", "cre", "--api-key")
    screen.until(r"Paste your API key \(nrp_...\): ")
    assert not screen.echo()
    screen.type("wrong-key\n")
    screen.until("no such key[^:]*Paste your API key")
    screen.type("right-key\n")
    screen.until("Logged in as a@b")
    assert screen.close() == 0
    assert login.inputs == [{"key": "wrong-key"}, {"key": "right-key"}]
    assert "-key\r" not in screen.text


def test_the_third_wrong_key_is_the_last(person: Typist) -> None:
    """Then the login is cancelled, with the reason and its exit status."""
    login = Login(person, ASKING)
    login.agent.on("POST", "/v1/logins/l1/input", problem("invalid_request", "no such key"))
    screen = Screen(person, "login", "cre", "--api-key")
    for time_ in (1, 2, 3):
        screen.until(f"(?s)(Paste your API key.*){{{time_}}}")
        screen.type("wrong\n")
    assert screen.close() == 2
    assert (len(login.inputs), login.cancelled.is_set()) == (3, True)


@pytest.mark.parametrize(("typed", "status"), [("\x03", 130), ("\x04", 3)], ids=["^C", "^D"])
def test_a_question_that_is_broken_off(person: Typist, typed: str, status: int) -> None:
    """Ctrl-C and the end of input cancel the login and leave the terminal as it was."""
    login = Login(person, ASKING)
    screen = Screen(person, "login", "cre", "--api-key")
    screen.until("Paste your API key")
    screen.type(typed)
    assert screen.process.wait(LIMIT) == status
    assert screen.echo()
    screen.close()
    assert login.cancelled.is_set()


@pytest.mark.parametrize(("term", "words"), [("xterm", ["--quiet"]), ("dumb", [])])
def test_no_line_counts_down_where_it_would_not_show(
    person: Typist, term: str, words: list[str]
) -> None:
    """--quiet and TERM=dumb: the address is printed, and no control sequences."""
    login = Login(person, AWAITING)
    screen = Screen(person, "login", "cre", "--no-browser", *words, term=term)
    assert login.polled.wait(LIMIT)
    login.become(state="done", text="over")
    screen.until("over")
    screen.close()
    assert URL in screen.text
    assert "\x1b" not in screen.text


@pytest.mark.parametrize("width", [0, 40, 50, 80])
def test_a_fact_that_is_folded_stays_indented(width: int) -> None:
    """No part of a path begins a line, so that none of it is taken for another fact."""
    path = "/opt/" + "a/" * 30 + "tool      'another'\n\x1b[1m"
    first, *rest = fact("asked by", f"'{path}' (process 4711, terminal 'pts/3')", width).split("\n")
    assert first.startswith("  asked by  '/opt/")
    assert rest
    assert all(line.startswith(" " * 12) and line[12] != " " for line in rest)
    assert all(len(line) < max(width, 31) for line in (first, *rest))
    assert "\x1b" not in "".join((first, *rest))
