"""Who may speak to the agent, and who may look into it."""

import os
import resource
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.platforms.far import Far
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.home import Home
from tests.real.plain_user import PYTHON, PlainUser
from tests.real.platforms import Platforms
from tests.real.presence import requires

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
try:
    s.connect(sys.argv[1])
    s.sendall(b"GET /v1/agent HTTP/1.1\\r\\nHost: tool-agent\\r\\n\\r\\n")
    s.shutdown(socket.SHUT_WR)
    said = b""
    while chunk := s.recv(65536):
        said += chunk
except ConnectionError:
    said = b""
except PermissionError:
    said = b"not let in"
sys.stdout.buffer.write(said)
"""

LOOK = """
import ctypes, os, sys
pid = int(sys.argv[1])
for name in ("mem", "environ", "maps", "fd", "auxv"):
    path = f"/proc/{pid}/{name}"
    try:
        os.readlink(f"{path}/0") if name == "fd" else open(path, "rb").read(name != "mem")
        print(name)
    except PermissionError:
        pass
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
    print("ptrace")
pidfd = os.pidfd_open(pid)
if libc.syscall(438, pidfd, 0, 0) >= 0:  # pidfd_getfd
    print("pidfd_getfd")
"""
"""Prints what another process of the same user, without a privilege, can look into."""


@pytest.fixture
def at_large(home: Home) -> Iterator[Agent]:
    """An agent whose socket everybody can reach, as if its modes had been lost."""
    with running_agent(home) as agent:
        home.path.chmod(0o755)
        (home.path / "run").chmod(0o755)
        home.socket.parent.chmod(0o755)
        home.socket.chmod(0o666)
        yield agent


def test_another_user_gets_nothing(at_large: Agent, plain_user: PlainUser) -> None:
    """A process of another uid gets zero bytes, even where the socket is 0666."""
    asked = plain_user.run(PYTHON, "-c", ASK, str(at_large.home.socket))
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")
    assert at_large.http("GET", "/v1/agent").status == 200, "its own user is answered still"
    (line,) = at_large.http("GET", "/v1/audit?event=denial").json["lines"]
    assert (line["uid"], line["detail"]) == (plain_user.uid, "another user's process")


def test_modes_keep_others_out(home: Home, plain_user: PlainUser) -> None:
    """With the modes as they are, another user does not even reach the socket."""
    with running_agent(home) as agent:
        home.path.chmod(0o755)
        (home.path / "run").chmod(0o755)
        asked = plain_user.run(PYTHON, "-c", ASK, str(agent.home.socket))
        assert asked.stdout == "not let in"


def test_modes(serving: Agent) -> None:
    """The socket is 0600, in a folder that is 0700."""
    assert stat.S_IMODE(serving.home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(serving.home.socket.parent.stat().st_mode) == 0o700


@pytest.fixture
def powerless() -> tuple[str, ...]:
    """Return a prefix that takes every privilege from a command, so that root is a plain user."""
    if os.geteuid() != 0:
        return ()
    requires("setpriv")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")


def look(agent: Agent, powerless: tuple[str, ...]) -> set[str]:
    """Return what another process of the agent's user can look into."""
    done = subprocess.run(
        [*powerless, PYTHON, "-c", LOOK, str(agent.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_nobody_looks_in(home: Home, powerless: tuple[str, ...]) -> None:
    """Memory, environment, descriptors and ptrace are closed to the same user, and no core."""
    requires(PYTHON)
    with running_agent(home, AgentOptions(prefix=powerless)) as agent:
        assert look(agent, powerless) == set()
        limit = resource.prlimit(agent.pid, resource.RLIMIT_CORE)
        assert limit == (0, 0)


def test_debuggable(home: Home, powerless: tuple[str, ...]) -> None:
    """With --debuggable one can look in: that the other test sees nothing is the agent's doing."""
    requires(PYTHON)
    options = AgentOptions(prefix=powerless, words=("--debuggable",))
    with running_agent(home, options) as agent:
        assert {"environ", "maps", "fd"} <= look(agent, powerless)


def test_children_are_not_ours(running_platforms: Far, serving: Agent) -> None:
    """The agent's environment holds no secret, and its command line none."""
    command = f"/proc/{serving.pid}/cmdline"
    with open(command, "rb") as file:  # noqa: PTH123 - a file of proc
        said = file.read().decode()
    for account in Platforms(running_platforms).accounts.values():
        for value in account.values():
            assert value not in said
