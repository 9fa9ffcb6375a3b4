"""A shell that the demo types into: one process, so that variables and directories last."""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.demo.errors import DemoError

PATIENCE = 20.0
"""Seconds for one command: the slowest waits for a token of 3 s to run out, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    status: int
    text: str
    """stdout and stderr, in the order in which they were written."""


class Shell:
    """A shell, reading commands from a pipe; the leader of its own session: Ctrl-C is ours."""

    def __init__(self, environ: Mapping[str, str], cwd: Path, program: str = "sh") -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def assign(self, name: str, value: str) -> None:
        """Set a variable of the shell, not exported: no other process sees its value."""
        quoted = value.replace("'", "'\\''")
        self._send(f"{name}='{quoted}'\n")

    def run(self, command: str) -> Done:
        """Run one command and return what came back.

        Raises:
            DemoError: it takes longer than PATIENCE, or it ended the shell.
        """
        mark = secrets.token_hex(8)
        # The braces keep it in this shell, and away from the pipe that the commands come through.
        self._send(f"{{ {command}\n}} </dev/null; printf '\\n%s %s\\n' {mark} \"$?\"\n")
        said = self._read_until(f"\n{mark} ".encode(), command)
        text, _, status = said.rpartition(f"\n{mark} ".encode())
        return Done(int(status), text.decode(errors="replace"))

    def close(self) -> None:
        """End it, with whatever it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, text: str) -> None:
        if self._process.stdin is None:
            raise DemoError("the shell has no input")
        try:
            self._process.stdin.write(text.encode())
        except BrokenPipeError:
            raise DemoError("the shell ended") from None

    def _read_until(self, mark: bytes, command: str) -> bytes:
        if self._process.stdout is None:
            raise DemoError("the shell has no output")
        said = b""
        until = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (mark in said and said.endswith(b"\n")):
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise DemoError(f"no end within {PATIENCE:.0f} s: {command}")
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    raise DemoError(f"it ended the shell: {command}")
                said += chunk
        return said
