"""The commands that ask once and print, their usage, and the agent that is started for them."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.fake_agent import document, http, problem, reply
from tests.contract.typed import PROGRAM, Typist, typist
from tool_agent import start, wire
from tool_agent._version import __version__
from tool_agent.commands import COMMANDS, SUMMARIES
from tool_agent.errors import NoAgentError, ToolAgentError


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


@pytest.mark.parametrize(
    ("words", "method", "path", "query"),
    [
        (["status"], "GET", "/v1/agent", ()),
        (["stop"], "POST", "/v1/agent/stop", ()),
        (["reload"], "POST", "/v1/agent/reload", ()),
        (["tool", "list"], "GET", "/v1/tools", ()),
        (["tool", "show", "cre"], "GET", "/v1/tools/cre", ()),
        (["account", "list"], "GET", "/v1/accounts", ()),
        (["account", "list", "cre"], "GET", "/v1/accounts", (("tool", "cre"),)),
        (["account", "switch", "cre", "a b"], "POST", "/v1/tools/cre/accounts/a b/choose", ()),
        (["logout", "cre"], "DELETE", "/v1/tools/cre/accounts/-", ()),
        (["logout", "cre", "--account", "w"], "DELETE", "/v1/tools/cre/accounts/w", ()),
        (["logout", "cre", "--forget"], "DELETE", "/v1/tools/cre/accounts/-", (("forget", "1"),)),
        (["logout", "--all"], "DELETE", "/v1/accounts", ()),
        (["whoami", "cre"], "GET", "/v1/tools/cre/identity", ()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_is_a_pipe(
    person: Typist, words: list[str], method: str, path: str, query: tuple[tuple[str, str], ...]
) -> None:
    """One request, and what comes back is printed; the exit status is the agent's."""
    person.agent.on(method, path, reply("the answer\n", 4, "remark\n"))
    done = person.type(*words)
    assert (done.stdout, done.stderr, done.returncode) == ("the answer\n", "remark\n", 4)
    (request,) = person.agent.requests
    assert (request.method, request.path, request.query) == (method, path, query)
    assert request.headers["accept"] == wire.REPLY


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["status", "--json"], "/v1/agent"),
        (["tool", "list", "--json"], "/v1/tools"),
        (["account", "list", "--json"], "/v1/accounts"),
    ],
)
def test_json_is_printed_as_it_is(person: Typist, words: list[str], path: str) -> None:
    """The agent's document, one line break at its end, and the exit status of its header."""
    body = b'{"schema": 1, "x": "\xc3\xa9"}'
    person.agent.on("GET", path, http(200, body, wire.JSON, (wire.EXIT_HEADER, "4")))
    done = person.type(*words)
    assert (done.stdout, done.returncode) == (body.decode() + "\n", 4)
    person.agent.on("GET", path, problem("locked", "locked", "unlock it"))
    done = person.type(*words)
    assert (done.stdout, done.returncode) == ("", 5)
    assert done.stderr == "tool-agent: locked\nhint: unlock it\n"


def test_a_definition_is_checked_by_the_agent(person: Typist) -> None:
    """The file's bytes go in the body, its name beside them; no file is a usage error."""
    file = person.home / "my tool.toml"
    file.write_bytes(b"schema = 1\n\xff")
    person.agent.on("POST", "/v1/tools/check", reply("", 78, "my tool.toml: bad\n", status=500))
    done = person.type("tool", "check", str(file))
    assert (done.stderr, done.returncode) == ("my tool.toml: bad\n", 78)
    (request,) = person.agent.requests
    assert (request.body, request.query) == (b"schema = 1\n\xff", (("file", str(file)),))
    assert person.type("tool", "check", "none.toml").returncode == 2


def test_quiet_keeps_errors(person: Typist) -> None:
    """--quiet hides the remarks of a success only."""
    person.agent.on("GET", "/v1/tools/cre/token", reply("t\n", 0, "remark\n"))
    assert person.type("token", "cre", "--quiet").stderr == ""
    person.agent.on("GET", "/v1/tools/cre/token", reply("", 4, "no session\n"))
    assert person.type("token", "cre", "--quiet").stderr == "no session\n"


def test_without_an_agent(person: Typist) -> None:
    """For status it is 69, for stop done; the others refuse and name the next command."""
    person.agent.close()
    done = person.type("status")
    assert (done.returncode, done.stdout) == (69, "")
    done = person.type("status", "--json")
    assert done.returncode == 69
    assert json.loads(done.stdout) == {
        "schema": 1,
        "state": "stopped",
        "socket": str(person.agent.path),
    }
    done = person.type("stop")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no agent runs" in done.stderr
    for words in (["token", "x"], ["env"], ["login", "x"], ["whoami", "x"], ["tool", "list"]):
        done = person.type(*words, "--no-start")
        assert (done.returncode, done.stdout) == (69, "")
        assert done.stderr.endswith("hint: run 'tool-agent start'\n")


@pytest.mark.parametrize(
    "words",
    [
        ["token"],
        ["token", "a", "b"],
        ["token", "a", "--format", "xml"],
        ["token", "a", "--x"],
        ["token", "a", "--account"],
        ["token", "a", "--quiet=1"],
        ["env", "--shell", "cmd"],
        ["nonsense"],
        ["logout"],
        ["logout", "a", "--all"],
        ["tool"],
        ["account", "switch", "a"],
        ["login", "a", "--api-key", "--method", "browser"],
        ["env", "-k", "--json"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2(person: Typist, words: list[str]) -> None:
    """It says what is wrong on stderr, asks the agent nothing, and prints nothing on stdout."""
    done = person.type(*words)
    assert (done.returncode, done.stdout, person.agent.requests) == (2, "", [])
    assert re.fullmatch(r"tool-agent: .+\nhint: .+\n|Usage: [^\0]+", done.stderr)


@pytest.mark.parametrize("command", ["lock", "unlock"])
def test_a_passphrase_is_no_argument(person: Typist, command: str) -> None:
    """It is refused before anything is asked or started, and not repeated on the screen."""
    done = person.type(command, "correct-horse")
    assert (done.returncode, done.stdout) == (2, "")
    assert "never an argument" in done.stderr
    assert "correct-horse" not in done.stderr


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_every_command_has_its_help(person: Typist, words: list[str]) -> None:
    """--help prints to stdout and asks the agent nothing; so does --version."""
    done = person.type(*words, "--help")
    assert (done.returncode, done.stderr, person.agent.requests) == (0, "", [])
    assert done.stdout.startswith("Usage: tool-agent " + " ".join(words))
    assert person.type("--version").stdout == f"tool-agent {__version__}\n"


def test_the_list_of_commands_is_whole() -> None:
    """Each command has a summary."""
    assert COMMANDS.keys() == SUMMARIES.keys()


def test_an_unexpected_error_is_one_line_without_its_text(person: Typist, tmp_path: Path) -> None:
    """No traceback, and nothing of what the error says, which might be a secret."""
    (tmp_path / "sitecustomize.py").write_text(
        "import _socket\n"
        "def broken(*_): raise LookupError('a-secret')\n"
        "class Broken(_socket.socket): connect = broken\n"
        "_socket.socket = Broken\n"
    )
    done = person.type("token", "cre", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tool-agent: internal error: LookupError at sitecustomize.py:2\n"


# -- starting the agent --------------------------------------------------------------------------

DAEMON = '''#!{python}
"""Stands in for tool-agentd: the lock, the socket and the readiness line are real."""
import fcntl, json, os, socket, sys
assert sys.argv[1:3] == ["run", "--ready-fd"], sys.argv
ready = int(sys.argv[3])
path = os.environ["TOOL_AGENT_SOCK"]
mode = open(path + ".mode").read()
def say(text):
    os.write(ready, text.encode() + b"\\n"); os.close(ready)
if mode == "broken":
    say(json.dumps({{"code": "configuration", "detail": "bad config.toml", "hint": "mend it"}}))
    sys.exit(78)
if mode == "dies":
    sys.exit(3)
lock = open(path + ".lock", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say(json.dumps({{"code": "conflict", "detail": "another agent runs"}}))
    sys.exit(1)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(64)
with open(path + ".started", "a") as log:
    print(os.getpid(), os.getsid(0), os.getcwd(), os.readlink("/proc/self/fd/0"), file=log)
say("ready")
body = b"sesame\\n"
head = "HTTP/1.1 200 OK\\r\\nContent-Type: application/vnd.tool-agent.reply\\r\\n"
head += "Tool-Agent-Exit: 0\\r\\nConnection: close\\r\\nContent-Length: 7\\r\\n\\r\\n"
while True:
    connection, _ = listener.accept()
    asked = connection.recv(65536)
    if asked:
        connection.sendall(head.encode() + body)
    connection.close()
    if asked.startswith(b"POST /v1/agent/stop"):
        os.unlink(path)
        break
'''


@pytest.fixture
def installed(person: Typist) -> Iterator[Path]:
    """Install the client and a stand-in for the agent side by side; return the client."""
    person.agent.close()
    folder = person.home / "bin"
    folder.mkdir()
    client = folder / "tool-agent"
    client.write_text(PROGRAM.read_text())
    daemon = folder / "tool-agentd"
    daemon.write_text(DAEMON.format(python=sys.executable))
    for program in (client, daemon):
        program.chmod(stat.S_IRWXU)
    mode(person, "serves")
    yield client
    if person.agent.path.exists():
        person.type("stop")


def mode(person: Typist, text: str) -> None:
    """Tell the stand-in what to do."""
    Path(f"{person.agent.path}.mode").write_text(text)


def typed(person: Typist, client: Path, *words: str) -> tuple[int, str, str]:
    """Run a command of the installed client."""
    done = subprocess.run(
        [client, *words],
        env=person.environ,
        cwd=person.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_command_starts_the_agent(person: Typist, installed: Path) -> None:
    """It is another session's, in /, without our stdin; and it is there for the next command."""
    assert typed(person, installed, "token", "cre") == (0, "sesame\n", "")
    assert typed(person, installed, "token", "cre") == (0, "sesame\n", "")
    pid, session, folder, stdin = (
        Path(f"{person.agent.path}.started").read_text().strip().split(" ")
    )
    assert (pid, folder, stdin) == (session, "/", "/dev/null")
    assert int(pid) != os.getsid(0)


def test_twenty_at_once_leave_one_agent(person: Typist, installed: Path) -> None:
    """The agents' lock decides; every command gets its answer."""
    with ThreadPoolExecutor(20) as crowd:
        done = list(crowd.map(lambda _: typed(person, installed, "token", "cre"), range(20)))
    assert done == [(0, "sesame\n", "")] * 20
    assert len(Path(f"{person.agent.path}.started").read_text().splitlines()) == 1


def test_start_says_where(person: Typist, installed: Path) -> None:
    """Its stdout stays empty; a second start is no error."""
    path = str(person.agent.path)
    assert typed(person, installed, "start") == (0, "", f"the agent answers at {path}\n")
    assert typed(person, installed, "start") == (0, "", f"an agent runs already at {path}\n")
    assert typed(person, installed, "start", "--quiet") == (0, "", "")


def test_an_agent_that_does_not_start_says_why(person: Typist, installed: Path) -> None:
    """Its own error is passed on; one that says nothing is reported with its status."""
    mode(person, "broken")
    assert typed(person, installed, "token", "cre") == (
        *(78, ""),
        "tool-agent: bad config.toml\nhint: mend it\n",
    )
    mode(person, "dies")
    status, stdout, stderr = typed(person, installed, "token", "cre")
    assert (status, stdout) == (69, "")
    assert "status 3" in stderr


def test_an_agent_that_is_never_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the limit the start is given up, and nothing of it is left behind."""
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o700)
    monkeypatch.setattr(start, "_program", lambda: [str(silent)])
    monkeypatch.setattr(start, "TIME_LIMIT", 0.2)
    with pytest.raises(NoAgentError, match="did not start"):
        start.start_agent(str(tmp_path / "s"))
    silent.unlink()
    with pytest.raises(ToolAgentError, match="cannot start tool-agentd"):
        start.start_agent(str(tmp_path / "s"))


def test_the_document_of_a_fake_is_one() -> None:
    """The stand-in for the agent speaks what the client reads."""
    assert document({}).startswith(b"HTTP/1.1 200 ")
