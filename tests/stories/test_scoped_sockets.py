"""Stories of scoped sockets: what goes into a container or to another machine, and nothing more."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.plain_user import PYTHON, PlainUser
from tests.real.platforms import Platforms
from tests.real.unix_http import Wire
from tests.real.waiting import until

REFUSED = [
    ("status",),
    ("tool", "list"),
    ("account", "list"),
    ("whoami", "workflows"),
    ("token", "reports"),
    ("token", "workflows", "--account", "other"),
    ("env",),
    ("env", "workflows", "reports"),
    ("login", "workflows", "--no-browser"),
    ("logout", "workflows"),
    ("import", "workflows"),
    ("socket", "list"),
    ("socket", "create", "--tool", "workflows"),
    ("why", "workflows"),
    ("reload",),
    ("stop",),
]

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])
try:
    s.sendall(b"GET /v1/tools/workflows/token HTTP/1.1\\r\\nHost: tool-agent\\r\\n"
              b"Accept: text/plain\\r\\nConnection: close\\r\\n\\r\\n")
    said = b""
    while chunk := s.recv(65536):
        said += chunk
except ConnectionError:
    said = b""
sys.stdout.buffer.write(said.rpartition(b"\\r\\n\\r\\n")[2])
"""


@pytest.fixture(autouse=True)
def _two_tools(sharing: None) -> None:
    """Have a second tool, which such a socket must not serve."""


def made(agent: Agent, *words: str) -> Path:
    """Make a socket for `workflows`; return its path."""
    return Path(agent.good("socket", "create", "--tool", "workflows", *words))


def over(path: Path) -> dict[str, str | None]:
    """Return the environment of a client of this socket."""
    return {"TOOL_AGENT_SOCK": str(path)}


def listed(agent: Agent) -> list[dict[str, Any]]:
    """Return the sockets that there are."""
    found: list[dict[str, Any]] = json.loads(agent.good("socket", "list", "--json"))["sockets"]
    return found


def test_one_tool_and_nothing_else(agent: Agent) -> None:
    """It serves the access tokens of its tool's account; everything else is denied."""
    agent.good("login", "workflows")
    path = made(agent)
    served = agent.run("token", "workflows", environ=over(path))
    assert served.stdout.strip() == agent.token("workflows")
    exported = agent.run("env", "workflows", environ=over(path))
    assert exported.stdout.startswith("WORKFLOWS_TOKEN="), "and no other socket's path"
    for words in REFUSED:
        done = agent.run(*words, environ=over(path))
        assert (done.returncode, done.stdout) == (77, ""), (words, done)
    assert agent.good("token", "reports"), "the agent's own socket is as it was"


def test_scope(agent: Agent) -> None:
    """It hands out no wider scope than it was made for, whoever asks for more or for nothing."""
    agent.good("login", "workflows")
    path = made(agent, "--scope", "workflows:read")
    narrow = agent.run("token", "workflows", "--format", "json", environ=over(path))
    assert narrow.returncode == 0
    assert narrow.stdout != agent.good("token", "workflows", "--format", "json")
    wider = agent.run("token", "workflows", "--scope", "openid email", environ=over(path))
    assert (wider.returncode, wider.stdout) == (77, "")
    assert "email openid goes beyond" in wider.stderr


def test_lifetime(agent: Agent) -> None:
    """When its lifetime is over it serves nothing, and then it is gone."""
    agent.good("login", "workflows")
    path = made(agent, "--lifetime", "2s")
    with Wire(path) as kept:
        target = "/v1/tools/workflows/token"
        assert kept.request("GET", target).reply().status == 200
        until(
            lambda: kept.request("GET", target).reply().status == 403,
            "a connection that was there before is refused too",
        )
    made(agent, "--lifetime", "unlimited")
    assert [one["ends_at"] for one in listed(agent)][-1] is None


def test_revoked(agent: Agent) -> None:
    """Revoking takes the socket away and cuts off whoever is connected."""
    agent.good("login", "workflows")
    path = made(agent)
    with Wire(path) as kept:
        assert kept.request("GET", "/v1/tools/workflows/token").reply().status == 200
        agent.good("socket", "revoke", str(path))
        assert kept.rest() == b""
    assert not path.parent.exists()
    assert listed(agent) == []
    assert agent.run("socket", "revoke", str(path)).returncode == 1


def test_outlives_the_agent(agent: Agent) -> None:
    """A killed agent's sockets are served again by the next, at the same paths."""
    agent.good("login", "workflows")
    usual, chosen = made(agent), made(agent, "--path", str(agent.home.path / "chosen.sock"))
    agent.restart()
    for path in (usual, chosen):
        assert agent.run("token", "workflows", environ=over(path)).returncode == 0


def test_a_key_is_served_with_a_warning(agent: Agent, platforms: Platforms) -> None:
    """Where the account has a key and no access tokens, that is said when the socket is made."""
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    done = agent.run("socket", "create", "--tool", "nrepo")
    assert done.returncode == 0
    assert "does not end with the socket" in done.stderr
    served = agent.run("token", "nrepo", environ=over(Path(done.stdout.strip())))
    assert served.stdout.strip() == key


def test_bad_paths(agent: Agent, home: Home) -> None:
    """A path where others could put a socket of theirs, or where something is, is refused."""
    shared = home.path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    taken = home.path / "taken"
    taken.write_text("mine")
    for path, why in [
        (shared / "s.sock", "writable by others"),
        (taken, "is no socket"),
        (home.path / "missing" / "s.sock", "is not there"),
        (home.socket, "in use"),
        (Path("/proc/self/s.sock"), "cannot make the socket"),
    ]:
        done = agent.run("socket", "create", "--tool", "workflows", "--path", str(path))
        assert done.returncode in {1, 78}, done
        assert why in done.stderr
        assert "TOOL_AGENT_SOCK" not in done.stderr, "that is the agent's own socket"
    assert taken.read_text() == "mine"
    assert listed(agent) == []


def test_another_user_is_admitted(agent: Agent, home: Home, plain_user: PlainUser) -> None:
    """With --uid that user is served, its own user and every other one gets zero bytes."""
    agent.good("login", "workflows")
    path = made(agent, "--uid", str(plain_user.uid))
    other = made(agent, "--uid", str(plain_user.uid + 1))
    home.path.chmod(0o711)
    for folder in (home.path / "run", home.socket.parent, path.parent.parent):
        folder.chmod(0o711)
    asked = plain_user.run(PYTHON, "-c", ASK, str(path))
    assert (asked.stdout.strip(), asked.stderr) == (agent.token("workflows"), "")
    denied = plain_user.run(PYTHON, "-c", ASK, str(other))
    assert (denied.stdout, denied.stderr) == ("", "")
    ours = agent.run("token", "workflows", environ=over(path))
    assert (ours.returncode, ours.stdout) == (75, "")
