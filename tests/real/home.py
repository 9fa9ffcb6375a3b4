"""A person's home for one test: HOME and the XDG folders, short enough for a socket's path."""

import os
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
"""Where the installed commands are: beside the interpreter that runs the tests."""


@dataclass(frozen=True)
class Home:
    """The folders, and the environment of every command that is run in them."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)
    """Shared by the agent and its clients; a test may add to it."""

    @property
    def config(self) -> Path:
        """Of config.toml and tools.d."""
        return self.path / "config" / "tool-agent"

    @property
    def state(self) -> Path:
        """Of grants.db and agent.log."""
        return self.path / "state" / "tool-agent"

    @property
    def socket(self) -> Path:
        """The agent's."""
        return self.path / "run" / "tool-agent" / "agent.sock"

    @property
    def log(self) -> Path:
        """The agent's log."""
        return self.state / "agent.log"

    @property
    def database(self) -> Path:
        """Where grants rest."""
        return self.state / "grants.db"

    def define(self, tool: str, text: str) -> Path:
        """Put a definition into tools.d, as an editor does: whole, by renaming."""
        folder = self.config / "tools.d"
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        file = folder / f"{tool}.toml"
        new = folder / f".{tool}.new"
        new.write_text(text)
        new.rename(file)
        return file

    def configure(self, text: str) -> Path:
        """Write config.toml."""
        self.config.mkdir(parents=True, mode=0o700, exist_ok=True)
        file = self.config / "config.toml"
        file.write_text(text)
        return file

    def agent_pid(self) -> int | None:
        """Return who serves the socket now, as the kernel says; None where nobody does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.socket))
                raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            except OSError:
                return None
            return int(struct.unpack("3i", raw)[0])

    def sweep(self) -> None:
        """End the agent that a command of the test has started by itself."""
        pid = self.agent_pid()
        if pid is not None:
            with open_pid(pid) as descriptor:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)


@contextmanager
def open_pid(pid: int) -> Iterator[int]:
    """A descriptor of a process, which means this process for good, whoever gets its pid later."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def new_home() -> Iterator[Home]:
    """Make a home, and take it away with the agent that was left in it."""
    # Not below pytest's tmp_path: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ta-home-") as name:
        path = Path(name)
        for room in ("home", "run", "config", "state", "data", "cache"):
            (path / room).mkdir(mode=0o700)
        environ = {
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
            "LC_ALL": "C.UTF-8",
            "HOME": str(path / "home"),
            "XDG_RUNTIME_DIR": str(path / "run"),
            "XDG_CONFIG_HOME": str(path / "config"),
            "XDG_STATE_HOME": str(path / "state"),
            "XDG_DATA_HOME": str(path / "data"),
            "XDG_CACHE_HOME": str(path / "cache"),
        }
        home = Home(path, environ)
        try:
            yield home
        finally:
            home.sweep()


@pytest.fixture
def home() -> Iterator[Home]:
    """A home for this test alone."""
    with new_home() as made:
        yield made
