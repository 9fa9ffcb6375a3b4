"""The loopback listener: where the browser comes back to after a login (RFC 8252 section 7.3).

It lives while one login is pending and takes one callback; another one only where the answer to
the first was a page that sends the browser on to a fresh login. A callback is a top-level
navigation by GET to the exact host and path, with a `code` (or what else the login brings), an
`error` or a `state` in its query; whatever else knocks (another Host after DNS rebinding, another
path, a POST, an image or a fetch that a web page makes) is turned away and uses nothing up.

A callback whose state is not this login's is turned away likewise, with a page that says so, and
the login's terminal says it once: neither a program of this machine nor a page that the person lets
navigate can end a pending login. The first one that belongs to the login ends the wait, whatever
else is in it. Who connects is not asked (/proc/net/tcp would tell the uid): the state, which only
the person's browser and the provider know, proves more, and a browser may well come through a relay
of another user: a container, `ssh -L`, Windows beside WSL.

The browser is sent on at once to a page without the query, whose address cannot be guessed: the
code leaves the address bar, and no other user of this machine can read the name on that page.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import parse_qsl

from aiohttp import web

from tool_agentd.adapters.loopback_page import HEADERS, render
from tool_agentd.adapters.loopback_socket import bound, refusal
from tool_agentd.errors import AgentError
from tool_agentd.model import Page

Answer = Callable[[str], Awaitable[Page]]
"""Takes the path and query of the callback, once, and returns what the person reads."""

_REQUEST = 5.0
"""Seconds for a request to arrive in full; a browser on the same machine takes milliseconds."""
_GRACE = 15.0
"""Seconds that the outcome's page stays to be fetched, for a browser that is slow to follow."""
_LINE = 16 * 1024
"""Bytes of a request line or a header. Codes of some providers are JWTs of several KiB."""
_HEADERS = 64
"""Headers of a request; browsers send about 20."""
_PARAMETERS = 64
"""Parameters of a callback; the protocol knows eight."""
_CONNECTIONS = 64
"""Connections at once; browsers open up to 6. More are closed unread."""

_log = logging.getLogger(__name__)
_silent = logging.getLogger(__name__ + ".aiohttp")
_silent.disabled = True  # aiohttp's own records quote requests, and a request here holds a code


class LoopbackListener:
    """One login's listener: `listen` once; it ends by itself once the outcome has been read.

    `close` is for a login that ends otherwise, by time or by cancellation. Closed earlier, the
    person's browser finds nobody who tells how the login went.
    """

    def __init__(self) -> None:
        """Make a listener that does not listen yet."""
        self._servers: list[asyncio.Server] = []
        self._http: web.Server | None = None
        self._deadlines: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._authority = ""
        self._path = ""
        self._page_path = "/done/" + secrets.token_urlsafe(16)
        self._answer: Answer | None = None
        self._belongs: Callable[[str], bool] | None = None
        self._brings = frozenset({"code", "error", "state"})
        self._outcome: asyncio.Task[Page] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._served = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def redirect_uri(self) -> str:
        """The address that the provider is to send the browser to; after `listen`."""
        return f"http://{self._authority}{self._path}"

    async def listen(  # noqa: PLR0913 - each one is a fact of its own
        self,
        host: str,
        port: int,
        path: str,
        answer: Answer,
        *,
        brings: str = "code",
        belongs: Callable[[str], bool] | None = None,
    ) -> None:
        """Bind the loopback addresses of `host` and wait for the one callback.

        `127.0.0.1` binds that alone; `localhost` binds ::1 too, where the machine has it. Port 0
        is any free one. `answer` is called once at most, and once more after each page of its that
        goes on; an AgentError that it raises is shown to the person. `brings` is the parameter
        that makes a callback; one that `belongs` disowns is turned away. Raises
        ConflictError where a port is taken, ConfigurationError where it may not be used,
        TemporarilyUnavailableError where the machine has no socket to give.
        """
        sockets = bound(host, port)
        self._authority = f"{host}:{sockets[0].getsockname()[1]}"
        self._path, self._answer, self._belongs = path, answer, belongs
        self._brings = frozenset({brings, "error", "state"})
        self._http = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            logger=_silent,
            keepalive_timeout=0,
            lingering_time=0,
            max_line_size=_LINE,
            max_field_size=_LINE,
            max_headers=_HEADERS,
        )
        loop = asyncio.get_running_loop()
        for one in sockets:
            address = one.getsockname()
            try:
                self._servers.append(await loop.create_server(self._connected, sock=one))
            except OSError as error:
                # Two sockets may bind one port; only the first of them may listen on it.
                for other in sockets:
                    other.close()
                await self.close()
                raise refusal(address[0], address[1], error) from None

    async def wait_closed(self) -> None:
        """Return when the listener has ended, by itself or by `close`."""
        await self._closed.wait()

    async def close(self) -> None:
        """Stop listening and drop every connection. An answer under way is left to finish."""
        ending, self._ending = self._ending, None
        if ending is not None and ending is not asyncio.current_task():
            ending.cancel()
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        http, self._http = self._http, None
        for connection in http.connections if http is not None else ():
            connection.force_close()
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()
        self._closed.set()

    # -- connections -------------------------------------------------------------------------------

    def _connected(self) -> asyncio.BaseProtocol:
        http = self._http
        if http is None or len(http.connections) >= _CONNECTIONS:
            return _Unread()
        protocol = http()
        loop = asyncio.get_running_loop()
        self._deadlines[protocol] = loop.call_later(_REQUEST, self._too_slow, protocol)
        return protocol

    def _too_slow(self, protocol: web.RequestHandler) -> None:
        self._deadlines.pop(protocol, None)
        protocol.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        timer = self._deadlines.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        reply = await self._reply(request)
        reply.headers.update(HEADERS)
        reply.force_close()
        if isinstance(reply, _Outcome):
            # Written here rather than by aiohttp, so that the listener ends after it, not before.
            await reply.prepare(request)
            await reply.write_eof()
            if reply.last:
                self._served.set()
        return reply

    async def _reply(self, request: web.BaseRequest) -> web.Response:
        if request.headers.getall("Host", []) != [self._authority]:
            return _plain(421, "This listener answers to its own address alone.")
        path, _mark, query = request.raw_path.partition("?")
        if path not in {self._path, self._page_path}:
            return _plain(404, "There is nothing here.")
        if request.method != "GET":
            return _plain(405, "Only GET is answered here.")
        if not self._navigates(request):
            return _plain(403, "Only a browser's own navigation is answered here.")
        if path == self._path:
            return self._callback(request.raw_path, query)
        if self._outcome is None:
            return _plain(404, "There is nothing here.")
        return _Outcome(await asyncio.shield(self._outcome))

    def _navigates(self, request: web.BaseRequest) -> bool:
        """Tell a navigation of the whole window from what a page loads on its own.

        Every current browser sends Sec-Fetch-* (Fetch Metadata) and no page can forge them; other
        programs send none.
        """
        own = f"http://{self._authority}"
        return (
            request.headers.get("Origin", own) == own
            and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
            and request.headers.get("Sec-Fetch-Dest", "document") == "document"
        )

    def _callback(self, target: str, query: str) -> web.Response:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_PARAMETERS)
        except ValueError:
            return _plain(400, "This is not how a login comes back.")
        if not self._brings & {name for name, _value in pairs}:
            return _plain(400, "A login comes back with a code or an error; this brought neither.")
        answer = self._answer
        if answer is None:
            return _plain(410, "This login has had its answer already.")
        if self._belongs is not None and not self._belongs(target):
            return _plain(
                400,
                "This does not belong to the login that waits here: its state is another.\n"
                "Nothing was stored, and the login goes on. Use the page that it opened.",
            )
        self._answer = None
        self._outcome = asyncio.ensure_future(self._answered(answer, target))
        self._ending = asyncio.ensure_future(self._end(self._outcome))
        return web.Response(status=303, headers={"Location": self._page_path})

    async def _answered(self, answer: Answer, target: str) -> Page:
        """Return the page; where it goes on, its browser will be back with another callback."""
        page = await _outcome(answer, target)
        if page.goes_on:
            self._answer = answer
        return page

    async def _end(self, outcome: asyncio.Task[Page]) -> None:
        """Close once the page was read, or after the grace; not at all while the login goes on."""
        await asyncio.wait([outcome])
        if outcome.result().goes_on:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._served.wait()
        await self.close()


class _Unread(asyncio.Protocol):
    """A connection that is dropped before a byte of it is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class _Outcome(web.Response):
    """The page that tells how it went."""

    def __init__(self, page: Page) -> None:
        super().__init__(text=render(page), content_type="text/html", charset="utf-8")
        self.last = not page.goes_on


async def _outcome(answer: Answer, target: str) -> Page:
    try:
        return await answer(target)
    except AgentError as error:
        text = error.detail if error.hint is None else f"{error.detail}\n\n{error.hint}"
        return Page("The login did not succeed", text, ok=False)
    except Exception as error:  # noqa: BLE001 - the person must not be left with a blank window
        # No traceback: a frame of it may hold the code.
        _log.error("the answer to a login callback failed: %s", type(error).__name__)
        return Page("The login did not succeed", "The agent met an error of its own.", ok=False)


def _plain(status: int, text: str) -> web.Response:
    headers = {"Allow": "GET"} if status == 405 else None  # noqa: PLR2004 - RFC 9110
    return web.Response(status=status, text=text + "\n", headers=headers)


class LoopbackListeners:
    """Implements ports.Loopback: a listener for each login."""

    async def listen(  # noqa: PLR0913 - each one is a fact of its own
        self,
        host: str,
        port: int,
        path: str,
        answer: Answer,
        *,
        brings: str = "code",
        belongs: Callable[[str], bool] | None = None,
    ) -> LoopbackListener:
        """Return a listener that waits for one callback; see `LoopbackListener.listen`."""
        listener = LoopbackListener()
        await listener.listen(host, port, path, answer, brings=brings, belongs=belongs)
        return listener
