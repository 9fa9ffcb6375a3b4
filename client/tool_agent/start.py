"""Start the agent where none runs, and wait until its socket answers. Never on the hot path."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from tool_agent import paths
from tool_agent.agent import Connection
from tool_agent.errors import NoAgentError, ToolAgentError, reply_error

TIME_LIMIT = 10.0
"""Seconds until the socket must answer. A start takes about half of one; a slow disk some more."""

LONGEST_LINE = 64 * 1024
"""Bytes of what the agent may say at its start: one line."""

RETRY_AFTER = 0.02
"""Seconds between two looks at the socket, while another client's agent is starting."""

_started: list[subprocess.Popen[bytes]] = []
"""The agents that this process started. They outlive it; kept so that Python does not warn."""


def start_agent(path: str) -> None:
    """Start an agent that serves `path`, detached from this process and its terminal.

    Returns once its socket answers, or that of another client which was faster: the agents' own
    lock decides. Raises the agent's own error where it says why it does not start, else
    NoAgentError.
    """
    deadline = time.monotonic() + TIME_LIMIT
    reader, writer = os.pipe()
    try:
        process = _spawn(path, writer)
    except OSError as error:
        os.close(reader)
        raise NoAgentError(f"cannot start tool-agentd: {error.strerror}", startable=False) from None
    finally:
        os.close(writer)
    try:
        line = _first_line(reader, deadline)
    except BaseException as error:
        process.terminate()
        process.wait()
        if isinstance(error, TimeoutError):
            raise NoAgentError(
                f"the agent did not start within {TIME_LIMIT:.0f} s",
                startable=False,
                hint="run 'tool-agentd run' to see why",
            ) from None
        raise
    finally:
        os.close(reader)
    _judge(line, process, path, deadline)


def _judge(line: bytes, process: subprocess.Popen[bytes], path: str, deadline: float) -> None:
    """Decide by what the new agent said."""
    if line == b"ready":
        _started.append(process)
        return
    problem = _problem(line)
    status = process.wait()
    if problem is None:
        raise NoAgentError(
            f"tool-agentd ended with status {status} before it was ready",
            startable=False,
            hint="run 'tool-agentd run' to see why",
        )
    if problem.code == "conflict":
        _await_socket(path, deadline)
        return
    raise problem


def _spawn(path: str, writer: int) -> subprocess.Popen[bytes]:
    # The agent works out the socket's place by itself, from the same environment; only a path
    # that was given to the Python API has to be said.
    environ = dict(os.environ)
    if paths.socket_path() != path:
        environ[paths.SOCK] = path
    elif environ.get(paths.SOCK):
        environ[paths.SOCK] = os.path.abspath(environ[paths.SOCK])  # it runs in another folder
    return subprocess.Popen(  # noqa: S603 - our own program, found beside this one
        [*_program(), "run", "--ready-fd", str(writer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environ,
        pass_fds=(writer,),
        start_new_session=True,
    )


def _program() -> list[str]:
    """Return the command of the agent: beside our own, else the module of this interpreter."""
    ours = Path(sys.argv[0]).absolute()
    beside = [Path(sys.executable)]
    if ours.name == "tool-agent":  # and not a program that uses the Python API
        beside.insert(0, ours)
    for known in beside:
        program = known.parent / "tool-agentd"
        if program.is_file() and os.access(program, os.X_OK):
            return [str(program)]
    return [sys.executable, "-I", "-m", "tool_agentd"]


def _first_line(reader: int, deadline: float) -> bytes:
    """Return the line that the agent writes, or what it wrote before it closed the pipe."""
    said = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while b"\n" not in said and len(said) < LONGEST_LINE:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError
        chunk = os.read(reader, LONGEST_LINE)
        if not chunk:
            break
        said += chunk
    return said.partition(b"\n")[0]


def _problem(line: bytes) -> ToolAgentError | None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        problem = json.loads(line)
        return reply_error(
            str(problem["code"]), str(problem["detail"]), str(problem.get("hint") or "")
        )
    return None


def _await_socket(path: str, deadline: float) -> None:
    """Wait for the agent that another client is starting."""
    while True:
        try:
            with Connection(path) as connection:
                connection.connect()
        except NoAgentError as error:
            if not error.startable or time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_AFTER)
        else:
            return
