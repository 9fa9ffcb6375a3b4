"""`login` as a person meets it: the browser, a key on stdin, Ctrl-C, and their absence."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.fake_agent import problem
from tests.contract.fake_login import ASKING, AWAITING, URL, Login
from tests.contract.typed import LIMIT, Typist, typist


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


@pytest.fixture
def browser(person: Typist) -> Path:
    """Be a browser that writes down what it is given; return the FIFO that it writes to."""
    fifo = person.home / "visited"
    os.mkfifo(fifo)
    program = person.home / "my browser"
    program.write_text(
        f'#!/bin/sh\nprintf "%s|" "$@" "$MARK" > {fifo}\necho noise; echo noise >&2\n'
    )
    program.chmod(stat.S_IRWXU)
    person.environ |= {"BROWSER": f"'{program}' --new", "MARK": "mine"}
    return fifo


def test_the_browser_is_opened_by_the_client(person: Typist, browser: Path) -> None:
    """BROWSER is split by shell words, the address appended, the client's environment given."""
    login = Login(person, {"state": "starting", "method": "browser"})
    with person.start("login", "cre") as process:
        assert login.polled.wait(LIMIT)
        login.become(**AWAITING)
        assert browser.read_text() == f"--new|{URL}|mine|"
        login.become(state="working")
        login.become(state="done", text="Logged in as a@b")
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert (stdout, process.returncode) == (b"Logged in as a@b\n", 0)
    assert stderr.decode() == f"The browser opens; if it does not, go to:\n  {URL}\n"
    assert login.started == {}
    assert not login.cancelled.is_set()


def test_every_option_reaches_the_agent(person: Typist) -> None:
    """Options are sent as typed; what was not typed is not sent."""
    login = Login(person, {"state": "done", "text": ""})
    done = person.type(
        *("login", "cre", "--account", "w", "--method", "browser", "--lifetime", "1h"),
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert login.started == {
        "account": "w",
        "method": "browser",
        "lifetime": "1h",
    }


@pytest.mark.parametrize("words", [["--no-browser"], []], ids=["asked for", "no display"])
def test_without_a_browser_the_address_is_printed(
    person: Typist, words: list[str], browser: Path
) -> None:
    """--no-browser, or no BROWSER and no display: the address goes to stderr."""
    if not words:
        del person.environ["BROWSER"]
    login = Login(person, AWAITING)
    with person.start("login", "cre", *words) as process:
        assert login.polled.wait(LIMIT)
        login.become(state="done", text="ok")
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert (stdout, process.returncode) == (b"ok\n", 0)
    assert stderr.decode() == f"To sign in, go to:\n  {URL}\n"
    assert stat.S_ISFIFO(browser.stat().st_mode)  # nobody has written to it


def test_a_code_is_shown_beside_the_address(person: Typist) -> None:
    """What the person types at another screen."""
    login = Login(person, AWAITING | {"method": "device", "user_code": "ABCD-EFGH"})
    with person.start("login", "cre", "--no-browser") as process:
        assert login.polled.wait(LIMIT)
        login.become(state="done")
        assert "ABCD-EFGH" in process.communicate(timeout=LIMIT)[1].decode()


@pytest.mark.parametrize("command", ["false", "/no/such/browser", "'open quote"])
def test_a_browser_that_fails_is_said(person: Typist, command: str) -> None:
    """The login goes on, and the address is there to be opened by hand."""
    login = Login(person, AWAITING)
    with person.start("login", "cre", env=person.environ | {"BROWSER": command}) as process:
        assert process.stderr is not None
        said = b""
        while said.count(URL.encode()) < (2 if command == "false" else 1):
            said += os.read(process.stderr.fileno(), 65536)
        login.become(state="done")
        process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    if command == "false":
        assert b"false ended with status 1" in said
    elif command.startswith("/"):
        assert b"cannot run /no/such/browser: No such file" in said


def test_a_login_that_is_under_way_is_joined(person: Typist, browser: Path) -> None:
    """No second browser opens; and Ctrl-C leaves the other client's login alone."""
    login = Login(person, AWAITING | {"joined": True})
    with person.start("login", "cre") as process:
        assert login.polled.wait(LIMIT)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "under way already" in stderr.decode()
    assert not login.cancelled.is_set()
    assert stat.S_ISFIFO(browser.stat().st_mode)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupt_cancels_the_login_in_the_agent(
    person: Typist, number: int, status: int
) -> None:
    """Ctrl-C, a closed terminal and a kill end the wait there too."""
    login = Login(person, AWAITING)
    with person.start("login", "cre", "--no-browser") as process:
        assert login.polled.wait(LIMIT)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, stdout) == (status, b"")
    assert login.cancelled.is_set()
    assert b"Traceback" not in stderr


@pytest.mark.parametrize(
    ("over", "status", "said"),
    [
        (
            {
                "state": "failed",
                "error": {"code": "provider_error", "detail": "refused", "hint": "ask", "exit": 1},
            },
            1,
            "tool-agent: refused\nhint: ask\n",
        ),
        ({"state": "cancelled"}, 3, "tool-agent: the login was cancelled\n"),
        ({"state": "failed"}, 1, "tool-agent: the login failed\n"),
    ],
)
def test_the_end_of_a_login_that_failed(
    person: Typist, over: dict[str, Any], status: int, said: str
) -> None:
    """The agent's reason, its hint and its exit status; nothing on stdout, nothing cancelled."""
    login = Login(person, AWAITING)
    with person.start("login", "cre", "--no-browser") as process:
        assert login.polled.wait(LIMIT)
        login.become(**over)
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, stdout) == (status, b"")
    assert stderr.decode().endswith(said)
    assert not login.cancelled.is_set()


def test_an_agent_that_forgets_the_login(person: Typist) -> None:
    """A restart of the agent in between is an error with its own words."""
    login = Login(person, AWAITING)
    login.agent.on("GET", "/v1/logins/l1", problem("unknown_login", "gone", "log in again"))
    done = person.type("login", "cre", "--no-browser")
    assert (done.returncode, done.stderr.endswith("tool-agent: gone\nhint: log in again\n")) == (
        1,
        True,
    )


@pytest.mark.parametrize("stdin", ["nrp_key\n", "nrp_key", "nrp_key\r\n", "nrp_key\nmore\n"])
def test_a_key_from_stdin(person: Typist, stdin: str) -> None:
    """One line, without its break, answers the question; it is in no argument and no output."""
    login = Login(person, ASKING)
    done = person.type("login", "cre", "--api-key", stdin=stdin)
    assert (done.stdout, done.stderr, done.returncode) == ("Logged in as a@b\n", "", 0)
    assert login.inputs == [{"key": "nrp_key"}]
    assert login.started == {"method": "api-key"}


@pytest.mark.parametrize(
    ("stdin", "said"),
    [("", "no key on stdin"), ("\n", "no key on stdin"), ("x" * 20_000, "longer than any key")],
)
def test_no_key_on_stdin_starts_no_login(person: Typist, stdin: str, said: str) -> None:
    """It fails before the agent hears of it."""
    done = person.type("login", "cre", "--api-key", stdin=stdin)
    assert (done.returncode, done.stdout, person.agent.requests) == (2, "", [])
    assert said in done.stderr


def test_a_refused_key_cancels_the_login(person: Typist) -> None:
    """Without a terminal there is no second try, and nothing stays behind."""
    login = Login(person, ASKING)
    login.agent.on("POST", "/v1/logins/l1/input", problem("invalid_request", "no such key", "x"))
    done = person.type("login", "cre", "--api-key", stdin="bad-key\n")
    assert (done.returncode, done.stderr) == (2, "tool-agent: no such key\nhint: x\n")
    assert login.cancelled.is_set()


@pytest.mark.parametrize("words", [[], ["--no-input"]])
def test_a_question_without_a_terminal_names_the_option(person: Typist, words: list[str]) -> None:
    """It fails at once, says what would have answered, and cancels the login."""
    login = Login(person, ASKING)
    done = person.type("login", "cre", "--method", "api-key", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: give it on stdin: tool-agent login cre --api-key" in done.stderr
    assert (login.inputs, login.cancelled.is_set()) == ([], True)


def test_an_auth_key(person: Typist) -> None:
    """From stdin by `-`; as an argument it works and warns."""
    login = Login(person, ASKING)
    assert person.type("login", "cre", "--auth-key", "-", stdin="ena_1\n").stderr == ""
    login.become(**ASKING)
    assert "--auth-key -" in person.type("login", "cre", "--auth-key", "ena_2").stderr
    assert login.inputs == [{"key": "ena_1"}, {"key": "ena_2"}]
    assert login.started == {"method": "auth-key"}


def test_an_own_variable_is_verified_and_nothing_opens(person: Typist, browser: Path) -> None:
    """Its value goes in the body of the second request; no browser, no question."""
    login = Login(person, {"state": "done", "text": "CRE_API_KEY is valid; nothing was stored."})
    done = person.type("login", "cre", CRE_API_KEY="own")
    assert done.stdout == "CRE_API_KEY is valid; nothing was stored.\n"
    assert login.started == {"credential": {"variable": "CRE_API_KEY", "value": "own"}}
    first, second = person.agent.asked("POST", "/v1/tools/cre/logins")
    assert (first.body, second.headers.get("tool-agent-unset")) == (b"{}", None)
    assert stat.S_ISFIFO(browser.stat().st_mode)
