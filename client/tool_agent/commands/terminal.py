"""The person's terminal: questions, and one line that says what is awaited and for how long yet."""

import getpass
import os
import sys
import time
import warnings

from tool_agent import paths
from tool_agent.errors import ToolAgentError
from tool_agent.output import note

_ERASE = "\r\x1b[K"
"""Back to the line's begin, and erase it (ECMA-48 EL)."""


class Terminal:
    """What may be asked and shown here."""

    def __init__(self, *, no_input: bool = False, quiet: bool = False) -> None:
        """Look once: stdin decides about questions, stderr about the line."""
        there = not no_input and sys.stdin is not None
        self.asks = there and sys.stdin.isatty()
        self.reads = there and not sys.stdin.isatty()
        """Whether the lines of stdin may answer questions."""
        self._shows = (
            not quiet
            and sys.stderr is not None
            and sys.stderr.isatty()
            and os.environ.get(paths.TERM, "dumb") != "dumb"
        )
        self._shown = ""

    def wait_line(self, what: str, ends_at: float | None) -> None:
        """Show what is awaited and for how long yet (`ends_at`: wall time in seconds)."""
        if not self._shows:
            return
        text = f"Waiting for {what}"
        if ends_at is not None:
            left = max(0, round(ends_at - time.time()))
            text += f", {left // 60}:{left % 60:02} min left" if left >= 60 else f", {left} s left"  # noqa: PLR2004 - a minute
        if text != self._shown:
            self._write(_ERASE + text)
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write(_ERASE)
            self._shown = ""

    def say(self, text: str) -> None:
        """Write lines for the person."""
        self.clear()
        note(text)

    def ask(self, label: str, *, secret: bool) -> str:
        """Ask one question on the terminal; a secret is not echoed.

        Raises ToolAgentError (cancelled) at the end of input.
        """
        self.clear()
        prompt = label if label.endswith((" ", "\n")) else label.rstrip(":") + ": "
        try:
            if secret:
                with warnings.catch_warnings():
                    # Without a way to switch echo off we rather fail than show a secret.
                    warnings.simplefilter("error", getpass.GetPassWarning)
                    return getpass.getpass(prompt)
            os.write(sys.stderr.fileno(), prompt.encode())
            line = sys.stdin.readline()
        except EOFError:
            line = ""
        except getpass.GetPassWarning:
            raise ToolAgentError(
                "the terminal cannot switch its echo off",
                code="configuration",
                hint="give the secret on stdin",
            ) from None
        if not line:
            raise ToolAgentError("the input ended", code="cancelled")
        return line.rstrip("\r\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
