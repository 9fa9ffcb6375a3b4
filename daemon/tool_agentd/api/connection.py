"""One connection on the socket: who is at the other end, and how long it may take to speak.

aiohttp's own connection is kept; what is added is the peer, read once, the deadline of the head,
and whose turn it is, by which the door knows who may be seen out. A peer of another user gets zero
bytes, and so does one that has ended, or has become another program, when its answer is ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from aiohttp import StreamReader, web

from tool_agent import wire
from tool_agentd.api.answers import problem
from tool_agentd.errors import AgentError, InvalidRequestError, TemporarilyUnavailableError
from tool_agentd.model import Peer

HEAD_DEADLINE = 2.0
"""Seconds from a request's first byte to the end of its head: a client on the same machine needs
a thousandth of that, and one that does not finish holds a descriptor."""
KEEP_ALIVE = 60.0
"""Seconds after which an idle kept connection is closed."""
HEAD_LINE_LIMIT = 8190
"""Bytes of the request line and of each header field, as aiohttp has it."""

REQUEST_TIMEOUT = 408
"""RFC 9110 section 15.5.9."""
TOO_SLOW = msgspec.json.encode(
    problem(
        InvalidRequestError(f"the request was not complete within {HEAD_DEADLINE:.0f} s"),
        REQUEST_TIMEOUT,
    )
)
FULL = TemporarilyUnavailableError(
    "the agent has more connections than it has room for, and this one waited longest",
    hint="ask again, and close the connections that are not used",
    retry_after=1,
)


class Presence(Protocol):
    """A peer, kept in sight from when it connected until its connection ends."""

    @property
    def peer(self) -> Peer:
        """As it was when it connected."""
        ...

    def gone(self) -> str:
        """Return why it may have no answer any more; empty while it may.

        Its process has ended, or runs another program than when it connected. Takes microseconds.
        """
        ...

    def close(self) -> None:
        """Let it out of sight; again is no error."""
        ...


Admits = Callable[[Any], Presence | None]
"""Takes a connected socket and returns its peer, in sight; None for one that gets no answer."""
Gone = Callable[[Peer, str], None]
"""Hears of a peer that got no answer, and why."""


def _whole(status: str, body: bytes, *fields: str) -> bytes:
    """Return a last answer, for a connection whose own machinery is not to be waited for."""
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {wire.PROBLEM}",
        f"Content-Length: {len(body)}",
        *fields,
        "Connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


NO_ROOM = _whole(
    "503 Service Unavailable",
    msgspec.json.encode(problem(FULL)),
    f"Retry-After: {FULL.retry_after}",
)
"""What is said to a request that has to make room for another."""


class Company:
    """The connections that are open, by their peers."""

    def __init__(self, left: Callable[[Peer], None]) -> None:
        """`left` is told of each peer whose connection is closed."""
        self._left = left
        self._open: dict[int, Connection] = {}

    def come(self, connection: "Connection") -> None:
        """Count a connection in; its peer is an object of its own."""
        self._open[id(connection.peer)] = connection

    def go(self, connection: "Connection") -> None:
        """Count a connection out."""
        if connection.peer is not None and self._open.pop(id(connection.peer), None) is not None:
            self._left(connection.peer)

    def present(self, peer: Peer) -> bool:
        """Tell whether a peer's connection is open."""
        return id(peer) in self._open

    def announce(self, peer: Peer, seconds: float, words: str) -> None:
        """Tell a client of ours that its answer takes longer (102, RFC 2518 section 10.1)."""
        connection = self._open.get(id(peer))
        if connection is not None:
            connection.announce(seconds, words)


class Connection(web.RequestHandler):
    """A request handler that knows its peer and loses patience."""

    __slots__ = (
        "_admits",
        "_body",
        "_busy",
        "_company",
        "_deadline",
        "_presence",
        "_server",
        "_tell_gone",
        "peer",
        "since",
    )

    def __init__(
        self,
        manager: "Server",
        *,
        admits: Admits,
        gone: Gone,
        company: Company,
        **options: Any,  # noqa: ANN401 - aiohttp's own
    ) -> None:
        """Prepare for a connection that `admits` may refuse."""
        super().__init__(manager, **options)
        self._admits = admits
        self._tell_gone = gone
        self._presence: Presence | None = None
        self._server = manager
        self._company = company
        self._deadline: asyncio.TimerHandle | None = None
        self._busy = False
        self._body: StreamReader | None = None
        self.since = self._loop.time()
        self.peer: Peer | None = None

    @property
    def pid(self) -> int:
        """The process at the other end."""
        return self.peer.pid if self.peer is not None else 0

    @property
    def awaited(self) -> bool:
        """Whether it is the client's turn: at rest, in a head, or in a body that lasts."""
        return not self._busy or (self._body is not None and not self._body.is_eof())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the peer; answer only one that is admitted."""
        presence = self._admits(transport.get_extra_info("socket"))
        if presence is None:
            self._force_close = True
            transport.abort()  # type: ignore[attr-defined]  # a Unix stream's transport has it
            return
        self._presence = presence
        self.peer = presence.peer
        self._server.guests[self] = None
        self._company.come(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Let the clock run from the first byte of a request to the end of its head."""
        super().data_received(data)
        # A head that came whole, as nearly all do, waits in aiohttp's queue for its handler and
        # needs no clock: making and cancelling one costs a tenth of a served request.
        if self._deadline is None and not self._busy and not getattr(self, "_messages", ()):
            self._deadline = self._loop.call_later(HEAD_DEADLINE, self._lose_patience)
            self.since = self._loop.time()

    def begin(self, body: StreamReader | None = None) -> None:
        """The head is complete: from here the handler keeps the time. `body` has yet to be read."""
        self._busy = True
        self._body = body
        self.since = self._loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def end(self) -> None:
        """The reply is made; the next byte begins another request."""
        self._busy = False
        self._body = None
        self.since = self._loop.time()

    def present(self) -> bool:
        """Tell whether the peer may still be written to; where not, the connection is cut.

        Asked before each answer. A route that writes its answer in parts asks before each part.
        """
        presence = self._presence
        if presence is None:  # the connection is lost
            return False
        why = presence.gone()
        if not why:
            return True
        self._let_go()
        if self.transport is not None:
            self.transport.abort()
        self.force_close()
        self._tell_gone(presence.peer, why)
        return False

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Write an answer, if its peer is still there: every one passes here, errors too."""
        # No coroutine around aiohttp's: it is awaited at once, and costs as much as the check.
        if self.present():
            return super().finish_response(request, resp, start_time)
        return _unwritten(resp)

    def _let_go(self) -> None:
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock, let the peer out of sight, and say who has gone."""
        self.begin()
        self._let_go()
        self._company.go(self)
        super().connection_lost(exc)
        self._server.lost(self)

    def see_out(self) -> None:
        """Close it for another's sake: at once, and off the list of guests.

        A request that is not answered yet is told why; a client at rest is hung up on, as after
        KEEP_ALIVE, and one that does not read what it has been sent is not waited for.
        """
        self._server.guests.pop(self, None)
        transport = self.transport
        if transport is not None:
            if transport.get_write_buffer_size():
                transport.abort()
            elif self._busy or self._deadline is not None:
                transport.write(NO_ROOM)
        self.force_close()

    def announce(self, seconds: float, words: str) -> None:
        """Send an interim answer, to a client that says it reads one."""
        request = self._current_request
        if self.transport is None or request is None or wire.INTERIM_HEADER not in request.headers:
            return
        if not self.present():
            return
        head = (
            f"HTTP/1.1 {wire.PROCESSING} Processing\r\n"
            f"{wire.WAIT_HEADER}: {seconds:.0f}\r\n"
            f"{wire.STDERR_HEADER}: {quote(words)}\r\n\r\n"
        )
        self.transport.write(head.encode())

    def _lose_patience(self) -> None:
        self._deadline = None
        if self.transport is not None and self.present():
            self.transport.write(_whole("408 Request Timeout", TOO_SLOW))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - quotes the request, which may hold a key
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and errors that nobody foresaw, in the shape of all errors."""
        self.begin()
        error: AgentError
        if status < 500:  # noqa: PLR2004 - RFC 9110: the client's fault
            error = InvalidRequestError("this is not a request that the agent can read")
        else:
            self.log_exception("error handling a request", exc_info=exc)
            error = AgentError("the agent met an error of its own; its log has more")
        response = web.Response(
            status=status,
            body=msgspec.json.encode(problem(error, status)),
            content_type=wire.PROBLEM,
        )
        response.force_close()
        return response


async def _unwritten(resp: web.StreamResponse) -> tuple[web.StreamResponse, bool]:
    """Tell aiohttp that the client has hung up."""
    return resp, True


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server(web.Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Handler, *, admits: Admits, gone: Gone, company: Company) -> None:
        """Serve `handler` to the peers that `admits` lets in; `gone` hears who left too early.

        `company`: who is connected to any of the agent's sockets; `guests`: to this one.
        """
        super().__init__(handler)
        self._admits = admits
        self._gone = gone
        self._company = company
        self.guests: dict[Connection, None] = {}
        """The connections whose descriptors are in use, in the order in which they came."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when one has ended."""

    def lost(self, connection: Connection) -> None:
        """Take note that a connection has ended."""
        self.guests.pop(connection, None)
        self.on_room()

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            admits=self._admits,
            gone=self._gone,
            company=self._company,
            loop=self._loop,
            keepalive_timeout=KEEP_ALIVE,
            tcp_keepalive=False,
            access_log=None,
            lingering_time=0,
            max_line_size=HEAD_LINE_LIMIT,
            max_field_size=HEAD_LINE_LIMIT,
            auto_decompress=False,
        )
