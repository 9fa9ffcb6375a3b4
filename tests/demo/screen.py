"""What the demo shows: headings, explanations, what it types, and what comes back."""

import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

WIDTH = 100
"""Columns of a line; what is longer (an authorization request, say) is cut, with three dots."""

BOLD, DIM, GREEN, RESET = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"
"""ECMA-48 SGR."""


READER_GONE = 128 + signal.SIGPIPE
"""The exit status of a program that writes to nobody."""


@dataclass
class Section:
    """One step as it was shown, without colours."""

    title: str
    lines: list[str] = field(default_factory=list)


class Screen:
    """Writes to a stream, and remembers what it wrote."""

    def __init__(
        self, stream: TextIO = sys.stdout, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Use colours on a terminal only, and not with NO_COLOR or a dumb one."""
        self._stream = stream
        self._colours = (
            stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        )
        self.sections: list[Section] = []

    def heading(self, title: str, explanation: str) -> None:
        """Begin a step."""
        self.sections.append(Section(title))
        self._write(f"\n{title}", BOLD)
        self.remark(explanation)

    def remark(self, text: str) -> None:
        """Say something that no command says; `#` as in a shell."""
        self._line(f"# {text}", DIM)

    def command(self, text: str) -> None:
        """Show what is typed."""
        self._line(f"$ {text}", GREEN)

    def output(self, text: str) -> None:
        """Show what came back."""
        for line in text.splitlines():
            self._line(line)

    def plain(self, text: str = "") -> None:
        """Show a line that belongs to no step."""
        self._write(text)

    def _line(self, text: str, colour: str = "") -> None:
        if not text.startswith(("$ ", "# ")) and len(text) > WIDTH:
            text = text[: WIDTH - 3] + "..."
        if self.sections:
            self.sections[-1].lines.append(text)
        self._write(text, colour)

    def _write(self, text: str, colour: str = "") -> None:
        if self._colours and colour:
            text = f"{colour}{text}{RESET}"
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except BrokenPipeError:  # `make demo | head`: nobody reads on, and nothing more is said
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
            sys.exit(READER_GONE)


TAIL = re.compile(r"(?m)^[\w-]{12}$")
"""The last characters of a token, as the demo shows them."""

VARYING = (
    (re.compile(r"\S*/tool-agent-demo-\w+"), "/tmp/tool-agent-demo"),  # noqa: S108 - only text
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:40000"),
    (re.compile(r"\bpid \d+"), "pid 1234"),
    (re.compile(r"\bup \d+ s"), "up 1 s"),
    (re.compile(r"\bfor 59 min\b"), "for 60 min"),
    (re.compile(r"\borg_[0-9a-f]{16}"), "org_0123456789abcdef"),
    (re.compile(r"\bnrp_[0-9a-f]{8}\b"), "nrp_01234567"),
    (re.compile(r"\bexample-[0-9a-f]{4}\b"), "example-0123"),
    (re.compile(r"#\d+"), "#1"),
    (re.compile(r"\brefreshes \d+"), "refreshes 3"),
    (re.compile(r"\bsealed: [0-9a-f]{24}"), "sealed: 0123456789abcdef01234567"),
    (re.compile(r"\((\d+) bytes\)"), "(84 bytes)"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-01-01 12:00:00"),
    (re.compile(r"^\[/\d+\]", re.MULTILINE), "[/1]"),
)
"""What differs from run to run, and what stands for it in the README."""


def normalised(text: str) -> str:
    """Return `text` as it would be in every run. Idempotent."""
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    seen: dict[str, str] = {}
    return TAIL.sub(lambda tail: seen.setdefault(tail[0], f"...token-{len(seen) + 1:03}"), text)
