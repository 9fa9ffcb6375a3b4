"""Commands typed at the installed client, in a clean environment of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.fake_agent import FakeAgent

PROGRAM = Path(sys.executable).parent / "tool-agent"

LIMIT = 30.0
"""Seconds that a command may take on a machine under load; one that hangs fails by it."""


@dataclass
class Typist:
    """Types commands; `environ` is all that they see."""

    home: Path
    agent: FakeAgent
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Point the client at the fake agent, and keep it out of the person's home."""
        self.environ = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOOL_AGENT_SOCK": str(self.agent.path),
        }

    def type(
        self, *words: str, stdin: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [PROGRAM, *words],
            input=stdin,
            env=self.environ | environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def start(self, *words: str, **options: object) -> "subprocess.Popen[bytes]":
        """Start a command; stdin, stdout and stderr are pipes unless `options` say otherwise."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # the options vary
            [PROGRAM, *words], **({"env": self.environ, "cwd": self.home} | streams | options)
        )


@contextmanager
def typist(folder: Path) -> Iterator[Typist]:
    """Give a typist with a fake agent, in `folder`."""
    with FakeAgent(folder / "a.sock") as agent:
        yield Typist(folder, agent)
