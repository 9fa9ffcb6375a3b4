"""One connection on the socket: who is at the other end, and how long it may take to speak.

aiohttp's own connection is kept; what is added is the peer, read once, and the deadline of the
head. A peer of another user gets zero bytes, and so does one that has ended, or has become another
program, when its answer is ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

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


class Connection(web.RequestHandler):
    """A request handler that knows its peer and loses patience."""

    __slots__ = ("_admits", "_busy", "_deadline", "_presence", "_tell_gone", "peer")

    def __init__(
        self,
        manager: web.Server,
        *,
        admits: Admits,
        gone: Gone,
        **options: Any,  # noqa: ANN401 - aiohttp's own
    ) -> None:
        """Prepare for a connection that `admits` may refuse."""
        super().__init__(manager, **options)
        self._admits = admits
        self._tell_gone = gone
        self._presence: Presence | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._busy = False
        self.peer: Peer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the peer; answer only one that is admitted."""
        presence = self._admits(transport.get_extra_info("socket"))
        if presence is None:
            self._force_close = True
            transport.abort()  # type: ignore[attr-defined]  # a Unix stream's transport has it
            return
        self._presence = presence
        self.peer = presence.peer
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
        """Stop the clock, and let the peer out of sight."""
        self.begin()
        self._let_go()
        super().connection_lost(exc)

    def _lose_patience(self) -> None:
        self._deadline = None
        if self.transport is not None and self.present():
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


async def _unwritten(resp: web.StreamResponse) -> tuple[web.StreamResponse, bool]:
    """Tell aiohttp that the client has hung up."""
    return resp, True


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server(web.Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Handler, *, admits: Admits, gone: Gone) -> None:
        """Serve `handler` to the peers that `admits` lets in; `gone` hears who left too early."""
        super().__init__(handler)
        self._admits = admits
        self._gone = gone

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            admits=self._admits,
            gone=self._gone,
            loop=self._loop,
            keepalive_timeout=KEEP_ALIVE,
            tcp_keepalive=False,
            access_log=None,
            lingering_time=0,
            max_line_size=HEAD_LINE_LIMIT,
            max_field_size=HEAD_LINE_LIMIT,
            auto_decompress=False,
        )
