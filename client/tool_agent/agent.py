"""One HTTP/1.1 exchange with the agent over its Unix socket, on `_socket` alone.

The modules `socket`, `http` and `json` would each take longer to import than the whole exchange.
"""

import _socket
import errno
import os
import sys
from time import monotonic

from tool_agent import paths, wire
from tool_agent.errors import (
    BadReplyError,
    ForeignSocketError,
    NoAgentError,
    TimedOutError,
    ToolAgentError,
    reply_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would take longer to import than the whole exchange
    from typing import Self

TIME_LIMIT = 12.0
"""Seconds for one exchange: more than the agent takes to give up on a provider."""

WAIT_MAX = 120.0
"""Seconds that an interim answer may ask for: the agent itself asks the person for 30."""

HEAD_MAX = 64 * 1024
"""Bytes of status line and headers; aiohttp itself sends at most 8 KiB a line."""

BODY_MAX = 8 * 1024 * 1024
"""Bytes of a body; the longest honest one, a list of 10,000 accounts, is a fifth of it."""

_CHUNK = 64 * 1024
"""Bytes taken from the socket at once: its default buffer is not much larger."""

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED)
"""No socket, or one that a dead agent left behind: an agent may be started."""

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""The unreserved characters (RFC 3986 section 2.3)."""


def percent_encode(text: str) -> str:
    """Encode `text` for one path segment or one query value (RFC 3986 section 2.1)."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)


def percent_decode(text: str) -> str:
    """Decode percent-encoded UTF-8; a `%` that begins no escape stays as it is."""
    pieces = text.encode("utf-8").split(b"%")
    raw = pieces[0]
    for piece in pieces[1:]:
        try:
            raw += bytes.fromhex(piece[:2].decode("ascii")) + piece[2:]
        except ValueError:
            raw += b"%" + piece
    return raw.decode("utf-8", "replace")


def target(path: str, *query: tuple[str, str | None]) -> str:
    """Return the request target: `path` with the parameters that have a value."""
    pairs = [f"{name}={percent_encode(value)}" for name, value in query if value is not None]
    return path + ("?" + "&".join(pairs) if pairs else "")


class Reply:
    """The agent's whole answer. Its body may hold a secret; `repr` does not show it."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Hold what was received; header names are in lower case."""
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str:
        """Return a header's value; empty where it is absent."""
        return self.headers.get(name.lower(), "")

    @property
    def exit(self) -> int | None:
        """The exit status that the agent asks for, where the reply carries one."""
        text = self.header(wire.EXIT_HEADER)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None  # noqa: PLR2004 - an exit status is at most 255

    @property
    def login_required(self) -> bool:
        """Whether no session can answer."""
        return self.status == wire.ERRORS["login_required"][0]

    def raise_for_error(self) -> None:
        """Raise the typed error of a reply that is not a success. Imports json for it."""
        if self.status < 400:  # noqa: PLR2004 - RFC 9110: below are no errors
            return
        import json  # noqa: PLC0415 - off the hot path

        try:
            problem = json.loads(self.body)
            code, detail = str(problem["code"]), str(problem["detail"])
            hint, status = str(problem.get("hint") or ""), problem.get("exit")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadReplyError(
                f"the agent answered {self.status} and nothing that this version understands",
                hint="run 'tool-agent stop' if the agent is of another version",
            ) from None
        raise reply_error(code, detail, hint, status if isinstance(status, int) else None)


class Connection:
    """A connection to the agent, kept for further requests. Not for several threads at once."""

    def __init__(self, path: str | None = None) -> None:
        """Take the socket's path; `$TOOL_AGENT_SOCK` or the default place by default."""
        self.path = path or paths.socket_path()
        self._socket: _socket.socket | None = None
        self._buffer = b""
        self._deadline = 0.0
        self._fresh = True
        self.tells = False
        """Whether a terminal's stderr hears what an answer waits for."""

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._buffer = b""

    def connect(self) -> None:
        """Connect, and make sure that the agent is ours before it gets a byte of a request.

        Raises NoAgentError, ForeignSocketError, and ToolAgentError for a path too long.
        """
        if self._socket is not None:
            return
        if len(os.fsencode(self.path)) > paths.SOCKET_PATH_MAX:
            raise ToolAgentError(
                f"the socket's path is longer than the {paths.SOCKET_PATH_MAX} bytes that the"
                f" system allows: {self.path}",
                code="configuration",
                hint=f"set {paths.SOCK} to a shorter path",
            )
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            if sys.platform == "linux":
                # A blocking connect waits in line where the backlog is full; this is its limit.
                # One with a Python timeout would be refused at once.
                connection.setsockopt(
                    _socket.SOL_SOCKET,
                    _socket.SO_SNDTIMEO,
                    int(TIME_LIMIT).to_bytes(8, sys.byteorder) + bytes(8),
                )
            connection.connect(self.path)
            _check_owner(connection, self.path)
        except OSError as error:
            connection.close()
            raise _unreachable(self.path, error) from None
        except ToolAgentError:
            connection.close()
            raise
        self._socket = connection
        self._fresh = True

    def request(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        target: str,
        *,
        accept: str = wire.REPLY,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
        limit: float = TIME_LIMIT,
    ) -> Reply:
        """Send one request and return the answer, which has `limit` seconds to arrive.

        A kept connection that the agent has closed meanwhile is replaced by a new one, once, for
        a GET. Raises NoAgentError, TimedOutError, BadReplyError.
        """
        kept = self._socket is not None and not self._fresh
        try:
            self.send(method, target, accept=accept, headers=headers, body=body)
            return self.receive(limit)
        except _ClosedError:
            self.close()
            if not kept or method != "GET":
                raise
        self.send(method, target, accept=accept, headers=headers, body=body)
        return self.receive(limit)

    def send(
        self,
        method: str,
        target: str,
        *,
        accept: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
    ) -> None:
        """Send one request, whose answer `receive` takes."""
        self.connect()
        lines = f"{method} {target} HTTP/1.1\r\nHost: {wire.HOSTS[0]}\r\nAccept: {accept}\r\n"
        lines += f"{wire.INTERIM_HEADER}: {wire.PROCESSING}\r\n"
        for name, value in headers:
            lines += f"{name}: {value}\r\n"
        if body is not None:
            lines += f"Content-Length: {len(body)}\r\n"
        raw = (lines + "\r\n").encode("utf-8", "surrogateescape") + (body or b"")
        assert self._socket is not None  # noqa: S101 - connect() has set it
        self._socket.settimeout(TIME_LIMIT)
        try:
            self._socket.sendall(raw)
        except TimeoutError:
            self.close()
            raise _timed_out(TIME_LIMIT) from None
        except OSError:
            pass  # the agent may have answered already (413) and closed: read what it said
        self._fresh = False

    def fileno(self) -> int:
        """Return the descriptor, to wait for an answer together with other events."""
        return -1 if self._socket is None else self._socket.fileno()

    def receive(self, limit: float = TIME_LIMIT) -> Reply:
        """Return the answer to the request that was sent."""
        self._deadline = monotonic() + limit
        try:
            reply, last = self._read_reply()
        except ToolAgentError:
            self.close()
            raise
        except TimeoutError:
            self.close()
            raise _timed_out(limit) from None
        except (ValueError, IndexError):
            self.close()
            raise _nonsense(self.path) from None
        except BaseException:
            self.close()  # Ctrl-C halfway: what is left of the answer belongs to no request
            raise
        if last:
            self.close()
        return reply

    def _fill(self) -> bool:
        """Take what has arrived into the buffer; False at the end of the stream."""
        if self._socket is None:
            return False
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            chunk = self._socket.recv(_CHUNK)
        except ConnectionError:
            chunk = b""
        self._buffer += chunk
        return bool(chunk)

    def _read_reply(self) -> tuple[Reply, bool]:
        status, headers, protocol = self._read_head()
        while status < 200:  # noqa: PLR2004 - RFC 9110 section 15.2: interim answers precede one
            if status == wire.PROCESSING:
                self._outlast(headers)
            status, headers, protocol = self._read_head()
        last = protocol != "HTTP/1.1" or headers.get("connection", "").lower() == "close"
        if status in {204, 304}:  # RFC 9112 section 6.3: these have no body
            return Reply(status, headers, b""), last
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Reply(status, headers, self._read_chunks()), last
        length = headers.get("content-length")
        if length is None:
            while self._fill():
                self._check(len(self._buffer), BODY_MAX)
            body, self._buffer = self._buffer, b""
            return Reply(status, headers, body), True
        if not (length.isascii() and length.isdigit()):
            raise ValueError
        self._check(int(length), BODY_MAX)
        return Reply(status, headers, self._take(int(length))), last

    def _outlast(self, headers: dict[str, str]) -> None:
        """Wait longer, as the agent asks for: its person has to confirm."""
        text = headers.get(wire.WAIT_HEADER.lower(), "")
        if text.isascii() and text.isdigit():
            self._deadline = monotonic() + min(float(text), WAIT_MAX) + TIME_LIMIT
        said = percent_decode(headers.get(wire.STDERR_HEADER.lower(), ""))
        if self.tells and said and os.isatty(2):
            line = "".join(letter if letter.isprintable() else "?" for letter in said)
            os.write(2, f"tool-agent: {line}\n".encode("utf-8", "replace"))

    def _read_head(self) -> tuple[int, dict[str, str], str]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._check(len(self._buffer), HEAD_MAX)
            if not self._fill():
                raise _ClosedError.halfway(begun=bool(self._buffer))
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        protocol, status, *_ = lines[0].split(" ", 2)
        if protocol not in {"HTTP/1.1", "HTTP/1.0"} or not (status.isdigit() and len(status) == 3):  # noqa: PLR2004 - RFC 9112 section 4
            raise ValueError
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return int(status), headers, protocol

    def _read_chunks(self) -> bytes:
        """Read a chunked body (RFC 9112 section 7.1) with its trailers, which say nothing to us."""
        body = b""
        while size := int(self._line().partition(b";")[0], 16):
            self._check(len(body) + size, BODY_MAX)
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise ValueError
        while self._line():
            pass
        return body

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._check(len(self._buffer), HEAD_MAX)
            if not self._fill():
                raise _ClosedError.halfway(begun=True)
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise ValueError
        while len(self._buffer) < size:
            if not self._fill():
                raise _ClosedError.halfway(begun=True)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _check(self, size: int, most: int) -> None:
        if size > most:
            raise BadReplyError(f"the answer at {self.path} is larger than any honest one")


class _ClosedError(TimedOutError):
    """The agent closed the connection before it had answered."""

    @classmethod
    def halfway(cls, *, begun: bool) -> TimedOutError:
        """Return the error; a request whose answer has begun is never repeated."""
        return (TimedOutError if begun else cls)(
            "the agent closed the connection before it had answered",
            code="temporarily_unavailable",
            hint="run the command again",
        )


def connected(path: str | None = None, *, start: bool = True) -> Connection:
    """Return a connection to the agent, starting one where none runs (`start`)."""
    connection = Connection(path)
    try:
        connection.connect()
    except NoAgentError as error:
        if not (start and error.startable):
            raise
        from tool_agent.start import start_agent  # noqa: PLC0415 - rare, and imports subprocess

        start_agent(connection.path)
        connection.connect()
    return connection


def _check_owner(connection: _socket.socket, path: str) -> None:
    """Refuse an agent of another user's: it would get our API keys, and could hand us its own.

    Root's is let through, who could read ours anyway. The kernel remembers who called listen().
    """
    if sys.platform == "linux":
        raw = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # struct ucred
    elif sys.platform == "darwin":
        raw = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED, struct xucred
    else:
        return  # the folder's mode is what protects there
    uid = int.from_bytes(raw[4:8], sys.byteorder)  # the second field of both
    if uid not in {os.geteuid(), 0} and str(uid) != os.environ.get(paths.SOCK_UID):
        raise ForeignSocketError(
            f"the socket {path} is served by another user (uid {uid}); nothing was sent",
            code="denied",
            hint=f"set {paths.SOCK} to a socket of your own; in a container, where it may be your"
            f" agent outside, set {paths.SOCK_UID}={uid}",
        )


def _unreachable(path: str, error: OSError) -> ToolAgentError:
    if error.errno in _NOTHING_THERE:
        return NoAgentError(
            f"no agent runs at {path}", startable=True, hint="run 'tool-agent start'"
        )
    if error.errno == errno.EAGAIN:
        return _timed_out(TIME_LIMIT)
    return NoAgentError(f"cannot reach the agent at {path}: {error.strerror}", startable=False)


def _timed_out(limit: float) -> TimedOutError:
    return TimedOutError(
        f"the agent did not answer within {limit:.0f} s",
        code="temporarily_unavailable",
        hint="run 'tool-agent status'",
    )


def _nonsense(path: str) -> BadReplyError:
    return BadReplyError(
        f"what answers at {path} does not speak HTTP as the agent does",
        hint=f"look what serves it, or set {paths.SOCK}",
    )
