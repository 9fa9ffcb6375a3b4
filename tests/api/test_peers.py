"""Who may speak to the agent, and who may look into it."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.platforms.far import Far
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.child import DEADLINE
from tests.real.home import Home
from tests.real.plain_user import PYTHON, PlainUser, another_user
from tests.real.platforms import Platforms
from tests.real.presence import absent, requires
from tool_agent import wire

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


@dataclass(frozen=True, slots=True)
class SameUser:
    """A user without a privilege, who runs the agent, and whatever else."""

    agent: tuple[str, ...]
    """What stands before the agent's command."""
    anything: tuple[str, ...]
    """What stands before any other."""
    uid: int

    def looks_at(self, agent: Agent) -> set[str]:
        """Return what another process of this user can look into."""
        done = subprocess.run(
            [*self.anything, PYTHON, "-c", LOOK, str(agent.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())


@pytest.fixture(params=["root without a privilege", "plain user"])
def same_user(
    request: pytest.FixtureRequest, home: Home, powerless: tuple[str, ...]
) -> Iterator[SameUser]:
    """A user, to whom the home belongs: root is a special one, also without its privileges."""
    requires(PYTHON)
    if request.param != "plain user":
        yield SameUser(powerless, powerless, os.getuid())
        return
    with another_user() as user:
        # An environment of its own: the agent runs isolated, without a PYTHONPATH.
        user.run(PYTHON, "-m", "venv", "--without-pip", str(user.home / "venv"))
        (site,) = user.home.glob("venv/lib/python3*/site-packages")
        modules = [path for path in sys.path if path and not path.startswith(sys.base_prefix)]
        (site / "tests.pth").write_text("\n".join(modules))
        python = (str(user.home / "venv/bin/python"),)
        found = user.run(*python, "-I", "-c", "import tool_agentd.service")
        if found.returncode != 0:
            absent(f"{PYTHON} cannot run the agent as another user: {found.stderr[-200:]}")
        for path in (home.path, *home.path.rglob("*")):
            os.chown(path, user.uid, user.gid)
        yield SameUser(tuple(user.argv(*python)), tuple(user.argv()), user.uid)


def test_nobody_looks_in(home: Home, same_user: SameUser) -> None:
    """Memory, environment, descriptors and ptrace are closed to the same user, and no core."""
    with running_agent(home, AgentOptions(prefix=same_user.agent)) as agent:
        status = Path(f"/proc/{agent.pid}/status").read_text()
        assert f"Uid:\t{same_user.uid}\t" in status
        assert same_user.looks_at(agent) == set()
        limits = Path(f"/proc/{agent.pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


def test_debuggable(home: Home, same_user: SameUser) -> None:
    """With --debuggable one can look in: that the other test sees nothing is the agent's doing."""
    options = AgentOptions(prefix=same_user.agent, words=("--debuggable",))
    with running_agent(home, options) as agent:
        assert {"environ", "maps", "fd"} <= same_user.looks_at(agent)


CLIENT = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])

def ask(path):
    s.sendall(f"GET {path} HTTP/1.1\\r\\nHost: tool-agent\\r\\n\\r\\n".encode())

def answer():
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += s.recv(1)
    length = int(head.lower().partition(b"content-length:")[2].split(b"\\r")[0])
    while length:
        length -= len(s.recv(length))
    return head.split(b" ")[1].decode()

def rest():
    said = b""
    try:
        while chunk := s.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said

for line in open(0, "rb", buffering=0):  # not a byte more, for whom it becomes
    exec(line)
"""
"""A client that does what it is told, a line at a time."""

BECOME_CAT = "s.setblocking(True); os.dup2(s.fileno(), 0); os.execv('/bin/cat', ['cat'])"


@pytest.fixture
def client(serving: Agent) -> Iterator["subprocess.Popen[str]"]:
    """A client that has connected."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", CLIENT, str(serving.home.socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def tell(client: "subprocess.Popen[str]", line: str) -> None:
    """Have a client do something."""
    assert client.stdin is not None
    client.stdin.write(line + "\n")
    client.stdin.flush()


def says(client: "subprocess.Popen[str]", line: str) -> str:
    """Have a client do something, and return the line that it prints."""
    tell(client, line)
    assert client.stdout is not None
    return client.stdout.readline().strip()


def logged(agent: Agent, pid: int, why: str) -> bool:
    """Tell whether the log has that a process got no answer."""
    return any(
        f"no answer for pid {pid}," in line and why in line
        for line in agent.home.log.read_text().splitlines()
    )


def test_a_kept_connection_stays_served(serving: Agent, client: "subprocess.Popen[str]") -> None:
    """One process may ask on one connection as often as it likes."""
    for _ in range(3):
        assert says(client, "ask('/v1/tools/nrepo/token'); print(answer(), flush=True)") == "200"


def test_the_child_of_one_that_has_ended_gets_nothing(
    serving: Agent, client: "subprocess.Popen[str]"
) -> None:
    """Who was served, leaves the connection to a child and ends, is served no more: each answer."""
    assert says(client, "ask('/v1/tools/nrepo/token'); print(answer(), flush=True)") == "200"
    tell(client, "os.fork() and os._exit(0)")  # one line: the two read from one pipe
    client.wait(DEADLINE)
    assert says(client, "ask('/v1/tools/nrepo/token'); print(rest(), flush=True)") == "b''"
    assert logged(serving, client.pid, "has ended")


def test_an_answer_that_comes_after_the_end_is_not_written(
    serving: Agent, platforms: Platforms, client: "subprocess.Popen[str]"
) -> None:
    """The provider takes its time; whoever asked ends meanwhile, and its child reads nothing."""
    platforms.faults(token_delay=0.5, token_times=1)
    tell(client, "ask('/v1/tools/workflows/token?scope=openid%20email%20profile')")
    platforms.waiting_at("cre", "token")
    tell(client, "os.fork() and os._exit(0)")  # one line: the two read from one pipe
    client.wait(DEADLINE)
    assert says(client, "print(rest(), flush=True)") == "b''"
    assert logged(serving, client.pid, "has ended")


def test_an_answer_that_comes_to_another_program_is_not_written(
    serving: Agent, platforms: Platforms, client: "subprocess.Popen[str]"
) -> None:
    """The provider takes its time; whoever asked runs another program then, which reads nothing."""
    platforms.faults(token_delay=0.5, token_times=1)
    tell(client, "ask('/v1/tools/workflows/token?scope=profile%20workflows:read')")
    platforms.waiting_at("cre", "token")
    tell(client, BECOME_CAT)
    assert client.stdout is not None
    assert client.stdout.read() == ""
    client.wait(DEADLINE)
    assert logged(serving, client.pid, "another program")


def test_a_peer_in_another_namespace_gets_nothing(serving: Agent) -> None:
    """A container's peer is denied, and told what would allow it; here it would be served."""
    requires("unshare", "root", "curl")
    url = "http://tool-agent/v1/tools/nrepo/token"
    asked = ("curl", "--silent", "--unix-socket", str(serving.home.socket), url)
    for options in (["--user"], ["--mount"], ["--pid", "--fork"]):
        done = subprocess.run(
            ["unshare", *options, "--", *asked], capture_output=True, text=True, check=True
        )
        problem = json.loads(done.stdout)
        assert problem["code"] == "denied"
        assert "foreign" in problem["hint"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["access_token"].startswith("nrp_")


def test_no_container_answers_for_the_person(home: Home) -> None:
    """A peer in another namespace that may have everything else is not asked, and told where."""
    requires("unshare", "root", "curl")
    home.configure('[policy."*"]\nforeign = true\n')
    asked = ("unshare", "--user", "--", "curl", "--silent", "--unix-socket", str(home.socket))
    with running_agent(home):
        found = {}
        for path in (wire.APPROVALS, wire.TOOLS):
            url = f"http://tool-agent{path}"
            done = subprocess.run([*asked, url], capture_output=True, text=True, check=True)
            found[path] = json.loads(done.stdout)
    assert found[wire.APPROVALS]["code"] == "denied"
    assert "tool-agent approve" in found[wire.APPROVALS]["hint"]
    assert "tools" in found[wire.TOOLS]


def test_children_are_not_ours(running_platforms: Far, serving: Agent) -> None:
    """The agent's environment holds no secret, and its command line none."""
    command = f"/proc/{serving.pid}/cmdline"
    with open(command, "rb") as file:  # noqa: PTH123 - a file of proc
        said = file.read().decode()
    for account in Platforms(running_platforms).accounts.values():
        for value in account.values():
            assert value not in said
