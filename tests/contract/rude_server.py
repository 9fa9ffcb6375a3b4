"""A server for the tests of outbound HTTP: it does exactly what it was told, however rude."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.web import WebHttp
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.model import HttpReply, HttpRequest

TIMEOUT = 30.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that reads one request per connection and writes what it was told to."""

    reply: bytes | Handler = b""
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request whole, then reply."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.requests.append(head + await reader.readexactly(length))
            if isinstance(self.reply, bytes):
                writer.write(self.reply)
                await writer.drain()
            else:
                await self.reply(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    @property
    def origin(self) -> str:
        """Its origin."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[WebHttp]:
    """Run a server and an adapter for the length of a block."""
    web = WebHttp(SystemClock())
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server.tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        await web.close()
        listening.close()


def send(
    server: Server,
    path: str = "/",
    *,
    method: str = "GET",
    deadline: float = TIMEOUT,
    allowed: tuple[str, ...] | None = None,
    **parts: Any,  # noqa: ANN401 - headers, form and json as HttpRequest has them
) -> HttpReply:
    """Send one request to a server."""

    async def story() -> HttpReply:
        async with running(server) as web, asyncio.timeout(TIMEOUT):
            request = HttpRequest(method, server.origin + path, **parts)
            origins = (server.origin,) if allowed is None else allowed
            return await web.send(request, allowed=origins, deadline=deadline)

    return asyncio.run(story())


def unavailable(server: Server, path: str = "/?token=in-the-query", **more: Any) -> str:  # noqa: ANN401 - as send
    """Send a request that must fail as unavailable; return what is said."""
    with pytest.raises(TemporarilyUnavailableError) as failed:
        send(server, path, **more)
    said = failed.value.detail
    assert "in-the-query" not in said
    assert f"127.0.0.1:{server.port}" in said
    return said
