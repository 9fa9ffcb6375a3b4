"""Processes: starting them, timing them whole, and what the kernel says about one that idles."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bench.exchange import ServerError, Target, once

LOOK_EVERY = 0.0005
"""Seconds between two looks for a socket that is to appear: far less than a start takes."""
START_LIMIT = 20.0
"""Seconds after which a server that does not answer is given up."""
STOP_LIMIT = 5.0
"""Seconds that a server gets to end in order; then it is killed."""
PROC = Path("/proc")


def program(name: str) -> str:
    """Return the path of a command that is installed beside this interpreter."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise SystemExit(f"bench: {path} is not installed; `make bench` installs it")
    return str(path)


def module(name: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment of a module of this repository."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return [sys.executable, "-m", name, *arguments], environ


def spawn(argv: list[str], environ: Mapping[str, str], log: Path | None = None) -> int:
    """Start a process without stdin and stdout and return its pid. stderr goes to `log`."""
    opened = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    stderr = (os.POSIX_SPAWN_OPEN, 2, log or os.devnull, opened, 0o600)
    return os.posix_spawn(
        argv[0],
        argv,
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            stderr,
        ],
    )


def whole(argv: list[str], environ: Mapping[str, str]) -> float:
    """Return the seconds from starting a process to its end. ServerError where it fails."""
    start = time.perf_counter()
    pid = spawn(argv, environ)
    _, status = os.waitpid(pid, 0)
    taken = time.perf_counter() - start
    if status:
        ended = os.waitstatus_to_exitcode(status)
        raise ServerError(f"{' '.join(argv)} ended with {ended}")
    return taken


class Server:
    """A server process of ours on a Unix socket; `start` may follow `stop`."""

    def __init__(
        self, argv: list[str], environ: Mapping[str, str], target: Target, log: Path
    ) -> None:
        """`target` is the exchange that tells that it answers."""
        self._argv = argv
        self._environ = environ
        self._target = target
        self.log = log
        self.pid = 0

    def start(self) -> float:
        """Start it and return the seconds until it has answered once."""
        Path(self._target.path).unlink(missing_ok=True)
        began = time.perf_counter()
        self.pid = spawn(self._argv, self._environ, self.log)
        while True:
            try:
                once(self._target)
            except (FileNotFoundError, ConnectionRefusedError):
                self._still_starting(began)
                time.sleep(LOOK_EVERY)
            else:
                return time.perf_counter() - began

    def _still_starting(self, began: float) -> None:
        ended, _ = os.waitpid(self.pid, os.WNOHANG)
        if ended:
            self.pid = 0  # it is gone, and its number may soon be another's
        if ended or time.perf_counter() - began > START_LIMIT:
            self.stop()
            said = self.log.read_text(errors="replace")[-500:] if self.log.exists() else ""
            raise ServerError(f"{self._argv[0]} did not start: {said}")

    def stop(self) -> None:
        """End it and wait for that."""
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGTERM)
        end = time.perf_counter() + STOP_LIMIT
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.perf_counter() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(LOOK_EVERY)
        self.pid = 0


def kernel_tells() -> bool:
    """Whether there is a /proc with what the two functions below read."""
    return (PROC / "self" / "status").exists()


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes (VmRSS of proc_pid_status(5))."""
    return _field(PROC / str(pid) / "status", "VmRSS") * 1024


def switches(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep so far."""
    return sum(
        _field(thread / "status", "voluntary_ctxt_switches")
        for thread in (PROC / str(pid) / "task").iterdir()
    )


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise ServerError(f"{path} has no {name}")
