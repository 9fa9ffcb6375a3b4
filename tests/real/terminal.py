"""A terminal of a test's own, with a command at it: what it shows, and what its person types."""

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self

from tests.real.child import DEADLINE, ChildError

_TAKE = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the command's own (tty_ioctl(4)), so that Ctrl-C reaches it."""

CTRL_C = "\x03"
CTRL_D = "\x04"


class Terminal:
    """One command at a terminal."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start `argv`, whose first word is a path."""
        self._master, slave = pty.openpty()
        # Wide, so that no line of a message is folded.
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, b"\x32\x00\xf4\x01\x00\x00\x00\x00")
        self.shown = ""
        self._seen = 0
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-S", "-c", _TAKE, *argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=dict(environ) | {"TERM": "xterm"},
                start_new_session=True,
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until it shows something new that matches `pattern`.

        Raises:
            ChildError: it ended, or showed nothing for long.
        """
        until = time.monotonic() + DEADLINE
        while True:
            found = re.compile(pattern).search(self.shown, self._seen)
            if found:
                self._seen = found.end()
                return found
            if not self._read(until):
                raise ChildError(f"{pattern!r} was not shown: {self.shown!r}")

    def type(self, text: str) -> None:
        """Type; a line ends with a line feed."""
        os.write(self._master, text.encode())

    def wait(self) -> int:
        """Wait for its end; return its exit status."""
        until = time.monotonic() + DEADLINE
        while self._read(until):
            pass
        return self.process.wait(DEADLINE)

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            return False
        self.shown += chunk.decode(errors="replace")
        return bool(chunk)
