"""One connection on the socket: who is at the other end, and how long it may take to speak.

aiohttp's own connection is kept; what is added is the peer, read once, and the deadline of the
head. A peer of another user gets zero bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from tool_agent import wire
from tool_agentd.api.answers import problem
from tool_agentd.errors import AgentError, InvalidRequestError
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


Admits = Callable[[Any], Peer | None]
"""Takes a connected socket and returns its peer; None for one that gets no answer."""


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

    __slots__ = ("_admits", "_busy", "_company", "_deadline", "peer")

    def __init__(
        self,
        manager: web.Server,
        *,
        admits: Admits,
        company: Company,
        **options: Any,  # noqa: ANN401 - aiohttp's own
    ) -> None:
        """Prepare for a connection that `admits` may refuse."""
        super().__init__(manager, **options)
        self._admits = admits
        self._company = company
        self._deadline: asyncio.TimerHandle | None = None
        self._busy = False
        self.peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the peer; answer only one that is admitted."""
        peer = self._admits(transport.get_extra_info("socket"))
        if peer is None:
            self._force_close = True
            transport.abort()  # type: ignore[attr-defined]  # a Unix stream's transport has it
            return
        self.peer = peer
        self._company.come(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Let the clock run from the first byte of a request to the end of its head."""
        super().data_received(data)
        # A head that came whole, as nearly all do, waits in aiohttp's queue for its handler and
        # needs no clock: making and cancelling one costs a tenth of a served request.
        if self._deadline is None and not self._busy and not getattr(self, "_messages", ()):
            self._deadline = self._loop.call_later(HEAD_DEADLINE, self._lose_patience)

    def begin(self) -> None:
        """The head is complete: from here the handler keeps the time."""
        self._busy = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def end(self) -> None:
        """The reply is made; the next byte begins another request."""
        self._busy = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clock, and say who has gone."""
        self.begin()
        self._company.go(self)
        super().connection_lost(exc)

    def announce(self, seconds: float, words: str) -> None:
        """Send an interim answer, to a client that says it reads one."""
        request = self._current_request
        if self.transport is None or request is None or wire.INTERIM_HEADER not in request.headers:
            return
        head = (
            f"HTTP/1.1 {wire.PROCESSING} Processing\r\n"
            f"{wire.WAIT_HEADER}: {seconds:.0f}\r\n"
            f"{wire.STDERR_HEADER}: {quote(words)}\r\n\r\n"
        )
        self.transport.write(head.encode())

    def _lose_patience(self) -> None:
        self._deadline = None
        if self.transport is not None:
            body = TOO_SLOW
            head = (
                "HTTP/1.1 408 Request Timeout\r\n"
                f"Content-Type: {wire.PROBLEM}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
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


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server(web.Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Handler, *, admits: Admits) -> None:
        """Serve `handler` to the peers that `admits` lets in."""
        super().__init__(handler)
        self._admits = admits
        company = getattr(handler, "company", None)
        self._company = company if isinstance(company, Company) else Company(lambda _: None)

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            admits=self._admits,
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
