"""An agent for the client's tests: real HTTP over a Unix socket, its answers told in advance."""

import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tool_agent import wire

CRE = "CRE_API_KEY; before=session; header=Authorization%3A%20Apikey%20%7B%7D"
"""What the agent says about the variable of the tool `cre`."""


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body, decoded."""
        return json.loads(self.body)

    def last(self, name: str) -> str | None:
        """Return a parameter's value."""
        return dict(self.query).get(name)


Answer = bytes | Callable[[Request], bytes]


def http(
    status: int, body: bytes = b"", kind: str = wire.REPLY, *headers: tuple[str, str]
) -> bytes:
    """Return a whole HTTP message."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def reply(
    stdout: str = "", code: int = 0, stderr: str = "", *, status: int = 200, env: str = ""
) -> bytes:
    """Return a reply for pipes."""
    headers = [(wire.EXIT_HEADER, str(code)), (wire.STDERR_HEADER, quote(stderr))]
    if env:
        headers.append((wire.ENV_HEADER, env))
    return http(status, stdout.encode(), wire.REPLY, *headers)


def document(fields: object, status: int = 200, *, env: str = "") -> bytes:
    """Return a JSON answer."""
    headers = [(wire.ENV_HEADER, env)] if env else []
    return http(status, json.dumps(fields).encode(), wire.JSON, *headers)


def problem(code: str, detail: str, hint: str = "", *, env: str = "") -> bytes:
    """Return an error as the agent sends it to those who accept JSON."""
    status, leaves = wire.ERRORS[code]
    headers = [(wire.ENV_HEADER, env)] if env else []
    fields = {"code": code, "detail": detail, "hint": hint, "exit": leaves}
    return http(status, json.dumps(fields).encode(), wire.PROBLEM, *headers)


def gated(env: str, answer: Answer) -> Callable[[Request], bytes]:
    """Answer 428 to a client that has yet to look for the variables of `env`."""
    entries = [entry.partition(";")[0].replace("+", " ") for entry in env.split(",")]
    names = {name for entry in entries for name in entry.split()}

    def answers(request: Request) -> bytes:
        looked = request.headers.get("tool-agent-unset")
        if looked is not None and not names <= {name.strip() for name in looked.split(",")}:
            return http(428, b"", wire.REPLY, (wire.ENV_HEADER, env), (wire.EXIT_HEADER, "1"))
        return answer(request) if callable(answer) else answer

    return answers


class FakeAgent:
    """Serves until it is closed; one thread for each connection."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`."""
        self.path = path
        self.requests: list[Request] = []
        self.connections = 0
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer this route with each of `answers` in turn; the last one goes on for ever."""
        self._answers[method, path] = list(answers)

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests for one route, in order."""
        return [each for each in self.requests if (each.method, each.path) == (method, path)]

    def close(self) -> None:
        """Stop listening, and drop every connection."""
        if self._listener.fileno() < 0:
            return
        self.path.unlink(missing_ok=True)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while request := _read(stream):
                    self.requests.append(request)
                    raw = self._answer(request)
                    if raw:
                        connection.sendall(raw)
                    if not raw or b"\r\nConnection: close\r\n" in raw:
                        return
        except OSError:
            pass  # the client is gone

    def _answer(self, request: Request) -> bytes:
        queue = self._answers.get((request.method, request.path))
        if not queue:
            return problem("not_found", f"no {request.method} {request.path} in this test")
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        return answer(request) if callable(answer) else answer


def _read(stream: BinaryIO) -> Request | None:
    first = stream.readline().decode().split()
    if not first:
        return None
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    parts = urlsplit(first[1])
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    return Request(first[0], unquote(parts.path), query, headers, body)
