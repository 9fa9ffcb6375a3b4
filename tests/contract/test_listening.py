"""The agent's socket: what stands in its place is never destroyed, and only its own is replaced."""

import os
import socket
import stat
from pathlib import Path

import pytest

from tool_agentd.adapters.listening import listen
from tool_agentd.errors import ConfigurationError, ConflictError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A path for a socket in a directory of our own."""
    tmp_path.chmod(0o700)
    return tmp_path / "agent.sock"


def test_the_socket_is_private_and_goes_with_its_agent(place: Path) -> None:
    """Mode 0600 while it listens, and nothing at the path afterwards."""
    listening = listen(str(place))
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    listening.close()
    assert not place.exists()


def test_a_stale_socket_of_ours_is_replaced(place: Path) -> None:
    """An agent that was killed leaves one behind."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    listen(str(place)).close()


def test_a_second_agent_is_refused(place: Path) -> None:
    """The first one goes on."""
    listening = listen(str(place))
    with pytest.raises(ConflictError):
        listen(str(place))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))
    listening.close()


def test_a_socket_that_answers_without_a_lock_is_left_alone(place: Path) -> None:
    """Some other program listens there."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        with pytest.raises(ConflictError):
            listen(str(place))
        assert place.is_socket()


@pytest.mark.parametrize("kind", ["file", "link", "broken link", "directory", "pipe"])
def test_what_is_no_socket_is_left_as_it_is(place: Path, kind: str) -> None:
    """A slip in TOOL_AGENT_SOCK costs nobody a private key."""
    key = place.with_name("id_ed25519")
    key.write_text("precious")
    match kind:
        case "file":
            key.rename(place)
        case "link":
            place.symlink_to(key)
        case "broken link":
            place.symlink_to("nowhere")
        case "directory":
            place.mkdir()
        case _:
            os.mkfifo(place)
    before = place.lstat()
    with pytest.raises(ConfigurationError, match="left as it is"):
        listen(str(place))
    assert place.lstat() == before
    assert place.read_text() == "precious" if kind in {"file", "link"} else True


@pytest.mark.parametrize("path", ["relative/agent.sock", "/tmp/x/agent.sock/", "/" + "x" * 200])  # noqa: S108 - none is made
def test_a_path_that_cannot_hold_a_socket_is_refused(path: str) -> None:
    """Relative, ending in a slash, or longer than the kernel takes."""
    with pytest.raises(ConfigurationError):
        listen(path)
