"""Open the person's browser with the client's own environment; the agent never does."""

import os
import shlex
import shutil
import subprocess
import sys

from tool_agent import paths

_OPENERS = (["xdg-open"], ["gio", "open"], ["wslview"])
"""What opens an address on a Linux desktop, the most common first."""


def command() -> list[str] | None:
    """Return the command that opens an address, which is to be appended; None without a display.

    BROWSER, where set, counts as a display.
    """
    chosen = os.environ.get(paths.BROWSER, "")
    try:
        words = shlex.split(chosen)
    except ValueError:  # an open quote
        words = []
    if words:
        return words
    if sys.platform == "darwin":
        return ["open"]
    if os.environ.get(paths.DISPLAY) or os.environ.get(paths.WAYLAND_DISPLAY):
        return next((list(opener) for opener in _OPENERS if shutil.which(opener[0])), None)
    return None


class Browser:
    """A browser that was started, in the background: xdg-open returns at once, others stay."""

    def __init__(self, command: list[str], url: str) -> None:
        """Start it. It has no terminal, and Ctrl-C at ours does not end it. Raises OSError."""
        self.name = command[0]
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(  # noqa: S603 - the person's own command
            [*command, url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def failed(self) -> int | None:
        """Reap it; return its exit status once, when it has ended with one that is not 0."""
        status = self._process.poll() if self._process is not None else None
        if status is None:
            return None
        self._process = None
        return status or None

    def leave(self) -> None:
        """Let it be: it may outlive us."""
        if self._process is not None:
            self._process.poll()
            self._process.returncode = self._process.returncode or 0  # no warning that it runs on
