"""What a person or a shell sees: stdout is the answer, everything else goes to stderr.

Written with `os.write`: nothing is left to flush when the process ends. Loaded by the hot commands.
"""

import os
import sys

from tool_agent import wire
from tool_agent.agent import Reply, percent_decode
from tool_agent.errors import ToolAgentError

STDOUT = 1
STDERR = 2


class ReaderGoneError(Exception):
    """Nobody reads stdout any more. No OSError, which click would take for its own."""


EXIT_READER_GONE = 141
"""What a shell reports for a program that SIGPIPE ended: 128 + 13."""


def answer(data: bytes) -> None:
    """Write the answer to stdout.

    Raises ReaderGoneError, and ToolAgentError where it cannot be written.
    """
    try:
        _write(STDOUT, data)
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise ToolAgentError(f"cannot write the answer to stdout: {error.strerror}") from None


def note(text: str) -> None:
    """Write lines for the person to stderr, wherever it leads."""
    if text:
        raw = text.encode("utf-8", "surrogateescape")
        try:  # noqa: SIM105 - contextlib is not loaded yet
            _write(STDERR, raw if raw.endswith(b"\n") else raw + b"\n")
        except OSError:
            pass  # nobody is listening; the exit status still tells


def complain(error: ToolAgentError) -> int:
    """Say what went wrong and what to do next; return the exit status."""
    note(f"tool-agent: {error.detail}" + (f"\nhint: {error.hint}" if error.hint else ""))
    return error.exit


def relay(reply: Reply, *, quiet: bool = False) -> int:
    """Print a reply as a pipe does: stdout, stderr and exit status are the agent's.

    With `quiet`, a success says nothing on stderr.
    """
    status = reply.exit
    if status is None or not reply.header("content-type").startswith(wire.REPLY):
        reply.raise_for_error()
        raise ToolAgentError(
            "the agent gave an answer that this version does not understand",
            hint="run 'tool-agent stop' if the agent is of another version",
        )
    if reply.body:
        answer(reply.body)
    if not (quiet and status == wire.EXIT_OK):
        note(percent_decode(reply.header(wire.STDERR_HEADER)))
    return status


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def open_missing() -> None:
    """Fill the standard descriptors that the caller closed, so that no socket takes their place.

    What is written to a closed stdout fails still, and so does reading from a closed stdin.
    """
    streams = ((sys.stdin, os.O_WRONLY), (sys.stdout, os.O_RDONLY), (sys.stderr, os.O_WRONLY))
    for stream, mode in streams:
        if stream is None:
            os.open(os.devnull, mode)  # takes the lowest free descriptor: this one
