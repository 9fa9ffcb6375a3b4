"""A process that a fixture owns: started, read line by line, stopped."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

DEADLINE = 30.0
"""Seconds that a part may take to start or to answer: long for a machine under load, short enough
that a test which hangs says so."""


class ChildError(Exception):
    """A process that a test stands on ended or fell silent; the message ends with its stderr."""


class Child:
    """One process. Its stderr goes to the file `log`, so that a full pipe never stops it."""

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv` in `cwd` with exactly `environ` (None: this process's own)."""
        self.log = log
        self._name = Path(argv[0]).name
        self._read = b""
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environ,
                cwd=cwd,
                bufsize=0,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def line(self, *, seconds: float = DEADLINE) -> str:
        """Return its next line of stdout, without the end.

        Raises:
            ChildError: it ended, or `seconds` passed.
        """
        stdout = self.process.stdout
        assert stdout is not None
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise self._error(f"said nothing for {seconds:g} s")
                chunk = os.read(stdout.fileno(), 65536)
                if not chunk:
                    raise self._error("ended")
                self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def send(self, text: str, *, close: bool = False) -> None:
        """Write `text` to its stdin, and with `close` the end of input."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(text.encode())
        if close:
            stdin.close()

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """End it, politely at first, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._reap()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold it still: connections to it are accepted, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _reap(self) -> None:
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _error(self, what: str) -> ChildError:
        status = self.process.poll()
        ended = "" if status is None else f" (status {status})"
        tail = self.log.read_text(errors="replace")[-2000:]
        return ChildError(f"{self._name} {what}{ended}: {tail or 'nothing on stderr'}")
