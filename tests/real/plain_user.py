"""Somebody else on this machine: commands run as another uid, without a privilege.

The tests' own Python may lie below a home that others cannot enter; the system's cannot.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.child import DEADLINE, Child
from tests.real.presence import requires

PYTHON = "/usr/bin/python3"
"""The system's Python: standard library only."""

NOBODY = 65534
"""The uid that owns nothing (Debian: nobody)."""


@dataclass(frozen=True, slots=True)
class PlainUser:
    """A uid with a home of its own."""

    uid: int
    gid: int
    home: Path
    runtime: Path
    """For XDG_RUNTIME_DIR."""

    @property
    def environ(self) -> dict[str, str]:
        """The environment of this user's commands."""
        return {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def argv(self, *command: str) -> list[str]:
        """Return `command` so that it runs as this user when it is started as root."""
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            "--inh-caps=-all",
            "--no-new-privs",
            "--",
            *command,
        ]

    def run(
        self, *command: str, text: str | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` with `text` on its stdin and `environ` added; its status is not checked."""
        return subprocess.run(
            self.argv(*command),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self.environ | dict(environ or {}),
            timeout=DEADLINE,
            check=False,
        )

    def start(self, *command: str, environ: Mapping[str, str] | None = None) -> Child:
        """Start `command` with `environ` added; whoever starts it stops it."""
        return Child(
            self.argv(*command),
            log=self.home / "stderr",
            environ=self.environ | dict(environ or {}),
            cwd=self.home,
        )

    def take(self, source: Path) -> Path:
        """Copy a file or a folder into this user's home, as theirs; return where it is."""
        target = self.home / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
        for path in (target, *target.rglob("*")):
            os.chown(path, self.uid, self.gid)
        return target


@contextmanager
def another_user(uid: int = NOBODY) -> Iterator[PlainUser]:
    """Prepare a home and a runtime directory for `uid`, and take them away afterwards."""
    requires("root", "setpriv", PYTHON)
    # Not below pytest's tmp_path, which only root may enter.
    with tempfile.TemporaryDirectory(prefix="ta-user-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        rooms = directory / "home", directory / "run"
        for room in rooms:
            room.mkdir(mode=0o700)
            os.chown(room, uid, uid)
        yield PlainUser(uid=uid, gid=uid, home=rooms[0], runtime=rooms[1])


@pytest.fixture
def plain_user() -> Iterator[PlainUser]:
    """A user other than the one who runs the tests."""
    with another_user() as user:
        yield user


@pytest.fixture
def powerless() -> tuple[str, ...]:
    """Return a prefix that takes every privilege from a command, so that root is a plain user."""
    if os.geteuid() != 0:
        return ()
    requires("setpriv")
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")
