"""HTTP by hand over a Unix socket: what a test sends is exactly what the agent gets."""

import contextlib
import json
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.real.child import DEADLINE

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON has every type
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """A connection to a Unix socket."""

    def __init__(self, path: Path | str, *, seconds: float = DEADLINE) -> None:
        """Connect; nothing that is awaited may take longer than `seconds`."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, data: bytes) -> Self:
        """Send bytes; a peer that has hung up meanwhile is no error: read what it said."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)
        return self

    def finish(self) -> Self:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):  # the other side was faster
            self._socket.shutdown(socket.SHUT_WR)
        return self

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Self:
        """Send one request, with Host and Content-Length unless `headers` have their own."""
        fields = {"Host": "tool-agent"}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        fields |= headers or {}
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
        return self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def reply(self, *, bodyless: bool = False) -> Reply:
        """Read one answer; `bodyless` for one to HEAD.

        Raises:
            EOFError: the other side hung up first.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if bodyless else int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Reply(int(lines[0].split(" ")[1]), headers, body)

    def rest(self) -> bytes:
        """Read until the other side hangs up."""
        try:
            while True:
                self._fill()
        except EOFError:
            return self._buffer

    def has_said(self) -> bool:
        """Whether anything has arrived by now, the end included; nothing is taken."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def flood(self, data: bytes) -> int:
        """Send as much as the other side takes without being read from; return how much."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)  # noqa: FBT003 - the library's signature
        sent = 0
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while sent < len(data):
                sent += self._socket.send(data[sent:])
        return sent

    def _fill(self) -> None:
        try:
            chunk = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise EOFError(f"hung up after {self._buffer[:200]!r}")
        self._buffer += chunk
