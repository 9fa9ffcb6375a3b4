"""A provider that answers a refresh with anything at all, over real sockets, seen by a broker.

Whatever comes, the caller gets a typed error, the login is kept, nobody asks again before its time,
and an honest answer afterwards is a token.
"""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.rude_server import Server, answer, running
from tests.core.fakes import ACME, KEY, ME, ORIGIN, FakeClock, FakeLoopback, catalogue
from tool_agentd.adapters import web
from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.adapters.web import MAX_BODY
from tool_agentd.broker import Broker, TokenAsk, flights, renewal
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.errors import AgentError, LoginRequiredError, UnreachableError
from tool_agentd.model import Grant, GrantKind, HttpRequest
from tool_agentd.oauth.token import MAX_LIFE
from tool_agentd.secret import Secret

ASK = TokenAsk("acme")
GOOD = {"access_token": "access", "token_type": "Bearer", "refresh_token": "next"}
TIMEOUT = 20.0


@dataclass
class Far:
    """A broker that is signed in at a server."""

    server: Server
    broker: Broker
    clock: FakeClock
    store: MemoryStore

    async def failure(self) -> AgentError:
        """Return the error that a request gets."""
        with pytest.raises(AgentError) as caught:
            await self.broker.token(ASK, ME)
        return caught.value

    async def secret(self) -> str | None:
        """Return the refresh token that is stored."""
        held = await self.store.read(KEY)
        return held.secret.reveal() if held is not None else None


def run(server: Server, story: Callable[[Far], Awaitable[None]]) -> None:
    """Run a story with a broker that is signed in at a server."""

    async def told() -> None:
        async with running(server) as http, asyncio.timeout(TIMEOUT):
            clock, store = FakeClock(), MemoryStore(Means())
            http._clock = clock  # replies are stamped as the story's time has it
            grant = Grant(
                KEY,
                GrantKind.REFRESH_TOKEN,
                "browser",
                "session",
                (server.origin,),
                obtained_at=clock.now().wall,
                scopes=("read", "write"),
            )
            await store.write(grant, Secret("first"), expected=0)
            tools = catalogue(acme=ACME.replace(ORIGIN, server.origin))
            broker = Broker(store, http, clock, FakeLoopback(), bytes, tools)
            await story(Far(server, broker, clock, store))

    asyncio.run(told())


def said(body: Any, status: str = "200 OK", **headers: str) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a JSON reply, or one of these bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer(raw, status, **headers)


def with_number(number: str) -> bytes:
    """Return a good reply whose `expires_in` is this text."""
    return said(json.dumps(GOOD).encode()[:-1] + b', "expires_in": ' + number.encode() + b"}")


REDIRECT = "http://127.0.0.1:1/elsewhere"
BOMB = gzip.compress(b'{"access_token":"' + b"a" * 50_000_000, 1)

OUTAGES: dict[str, bytes] = {
    "a gzip bomb": answer(BOMB, Content_Encoding="gzip"),
    "a bomb in a bomb": answer(gzip.compress(BOMB, 1), Content_Encoding="gzip, gzip"),
    "oversized": said(json.dumps(GOOD).encode() + b" " * MAX_BODY),
    "a page with 200": answer(b"<html>sign in to the hotel</html>", Content_Type="text/html"),
    "nothing with 200": answer(b""),
    "half a body": said(GOOD)[:-9],
    "a list": said([GOOD]),
    "a key twice": said(b'{"access_token":"a","access_token":"b","token_type":"Bearer"}'),
    "deep": said(b'{"access_token":"a","x":' + b"[" * 90_000 + b"]" * 90_000 + b"}"),
    "no UTF-8": said(b'{"access_token":"\xff\xfe","token_type":"Bearer"}'),
    "UTF-16": said(json.dumps(GOOD).encode("utf-16")),
    "500": said({}, "500 No"),
    "502 with a page": answer(b"<html>", "502 Bad Gateway"),
    "503": answer(b"", "503 Busy"),
    "429": answer(b"", "429 Slow"),
    "404": answer(b"", "404 Gone"),
    "temporarily_unavailable": said({"error": "temporarily_unavailable"}, "400 No"),
    "not HTTP": b"220 mail.example ESMTP\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "a length below nothing": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n" + b"x" * 1000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    b"\r\n0\r\n\r\n",
    "a chunk without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n{",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "headers without number": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade"
    b"\r\n\r\n" + b"x" * 100,
    **{
        f"{status} elsewhere": answer(b"", f"{status} Moved", Location=REDIRECT)
        for status in (301, 302, 303, 307, 308)
    },
    **{
        f"{status} back here": answer(b"", f"{status} Moved", Location="/again")
        for status in (307, 308)
    },
}


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_keeps_the_login_and_is_not_asked_again_at_once(name: str) -> None:
    """One request, one typed error with when to come back; then an honest answer is a token."""
    server = Server(OUTAGES[name])

    async def story(far: Far) -> None:
        error = await far.failure()
        assert error.code == "temporarily_unavailable"
        assert error.retry_after is not None
        assert 1 <= error.retry_after <= LONGEST
        assert "first" not in error.detail
        assert (await far.failure()).code == "temporarily_unavailable"
        assert len(server.requests) == 1, "no redirect is followed, and nothing is posted twice"
        assert await far.secret() == "first"
        server.reply = said(GOOD)
        far.clock.advance(LONGEST)
        assert (await far.broker.token(ASK, ME)).value.reveal() == "access"
        assert await far.secret() == "next"

    run(server, story)


DRIPS: dict[str, bytes] = {
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X-Drip: y\r\n" * 1000,
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"{" * 10_000,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 1000,
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_drips_is_left_in_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers hear in time that it takes long; the flight ends at its deadline."""
    monkeypatch.setattr(flights, "PATIENCE", 0.05)
    monkeypatch.setattr(renewal, "FLIGHT_DEADLINE", 0.4)
    gone = asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            for byte in DRIPS[name]:
                writer.write(bytes([byte]))
                await writer.drain()
                step = loop.create_future()
                loop.call_later(0.001, step.set_result, None)
                await step
        except ConnectionError:
            pass
        gone.set()

    async def story(far: Far) -> None:
        error = await far.failure()
        assert "has not answered for" in error.detail
        await far.broker._flights.land()
        assert "did not answer within" in (await far.failure()).detail
        assert len(far.server.requests) == 1
        assert await far.secret() == "first"
        await gone.wait()

    run(Server(drip), story)


FLOODS: dict[str, bytes] = {
    "100 and 199": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 \r\n\r\n" * 1000,
    "103 with links": (b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </a>\r\n" * 60 + b"\r\n") * 40,
}
FLOOD_MEMORY = 16 * 1024 * 1024
"""Bytes: what one read brings, 256 KiB of shortest answers, is some 7 MB of objects until it is
passed over."""


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_early_answers_stops_nobody_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1xx without end, as fast as the wire takes it: others are served, and it ends, as an outage.

    What came is not kept: the memory that it takes does not grow with it.
    """
    monkeypatch.setattr(renewal, "FLIGHT_DEADLINE", 0.5)
    flooding = asyncio.Event()

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while True:
                writer.write(FLOODS[name])
                await writer.drain()
                flooding.set()
                await asyncio.sleep(0)

    async def story(far: Far) -> None:
        flying = asyncio.ensure_future(far.failure())
        await flooding.wait()
        tracemalloc.start()
        steps = 0
        while not flying.done():
            await asyncio.sleep(0)
            steps += 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert steps > 3, "a step of somebody else's in between"
        error = await flying
        assert error.code == "temporarily_unavailable"
        assert error.retry_after is not None
        assert await far.secret() == "first"
        assert len(far.server.requests) == 1
        assert peak < FLOOD_MEMORY

    run(Server(flood), story)


def test_a_reset_after_200_is_no_end_of_the_login() -> None:
    """The rotation may have happened or not: the login is kept, and what is known is said."""

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said(GOOD)[:-30])
        await writer.drain()
        writer.transport.abort()

    async def story(far: Far) -> None:
        assert "broke off" in (await far.failure()).detail
        assert await far.secret() == "first"

    run(Server(reset), story)


def test_a_server_that_takes_no_connection_is_left_after_its_own_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS that never begins: the limit for a connection, not that of a flight."""
    monkeypatch.setattr(web, "CONNECT", 0.1)
    came = asyncio.Event()

    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.set()
            await reader.read(-1)
            writer.close()

        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        http = web.WebHttp(FakeClock())
        url = f"https://127.0.0.1:{port}"
        try:
            with pytest.raises(UnreachableError, match=r"no connection to .* within 0\.1 s"):
                await http.send(HttpRequest("POST", url), allowed=[url], deadline=120)
            assert came.is_set()
        finally:
            await http.close()
            listening.close()

    asyncio.run(asyncio.wait_for(story(), TIMEOUT))


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-5", '"soon"', "9" * 5000]
)
def test_a_number_that_is_none_costs_no_login(number: str) -> None:
    """The rotation that stands beside it is kept, and the token has a finite life."""

    async def story(far: Far) -> None:
        served = await far.broker.token(ASK, ME)
        assert served.expires_at is not None
        assert 0 <= served.expires_at - far.clock.now().wall <= MAX_LIFE
        assert await far.secret() == "next"

    run(Server(with_number(number)), story)


def test_a_token_of_another_type_is_not_served_and_its_rotation_is_kept() -> None:
    """DPoP has replaced the old refresh token all the same."""

    async def story(far: Far) -> None:
        assert (await far.failure()).code == "provider_error"
        assert await far.secret() == "next"

    run(Server(said(GOOD | {"token_type": "DPoP"})), story)


def test_a_narrower_scope_is_served() -> None:
    """RFC 6749 section 3.3: the provider may grant less; the login is what it was."""

    async def story(far: Far) -> None:
        assert (await far.broker.token(ASK, ME)).value.reveal() == "access"
        held = await far.store.read(KEY)
        assert held is not None
        assert held.grant.scopes == ("read", "write")

    run(Server(said(GOOD | {"scope": "read", "token_type": "bEARER"})), story)


def test_only_a_readable_refusal_ends_it() -> None:
    """`invalid_grant`, whatever the status; and afterwards nobody asks any more."""

    async def story(far: Far) -> None:
        error = await far.failure()
        assert isinstance(error, LoginRequiredError)
        assert "invalid_grant" in error.detail
        assert await far.secret() is None
        await far.failure()
        assert len(far.server.requests) == 1

    run(Server(said({"error": "invalid_grant"}, "503 Busy", Retry_After="9")), story)


def test_an_empty_refusal_is_believed_the_third_time_and_a_success_restores() -> None:
    """400 without a body, three times in a row; the grant stays."""
    server = Server(answer(b"", "400 Bad Request"))

    async def story(far: Far) -> None:
        codes = []
        for _ in range(3):
            codes.append((await far.failure()).code)
            far.clock.advance(LONGEST)
        assert codes == ["temporarily_unavailable"] * 2 + ["login_required"]
        assert await far.secret() == "first"
        server.reply = said(GOOD)
        await far.broker.token(ASK, ME)

    run(server, story)
