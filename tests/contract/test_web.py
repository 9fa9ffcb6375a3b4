"""Outbound HTTP against real servers that misbehave in every way a network knows."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.canary import Canary
from tests.contract.rude_server import TIMEOUT, Server, answer, running, send, unavailable
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.web import MAX_BODY, WebHttp
from tool_agentd.errors import (
    ConfigurationError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import HttpRequest
from tool_agentd.secret import Secret


def test_a_reply_comes_back_whole() -> None:
    """Status, headers by lower-case name and the first of each, body, cookies, both moments."""
    server = Server(
        answer(
            b"hello",
            "418 Teapot",
            X_One="1",
            x_one="2",
            Set_Cookie='sid="a b"; Path=/; HttpOnly',
        )
    )
    reply = send(server)
    assert (reply.status, reply.body, reply.headers["x-one"]) == (418, b"hello", "1")
    assert reply.cookies == {"sid": Secret('"a b"')}
    assert "set-cookie" not in reply.headers
    assert 0 <= reply.sent.until(reply.received) < TIMEOUT


def test_secrets_are_revealed_in_headers_form_and_json() -> None:
    """Each goes where it was put, and only there."""
    server = Server(answer(b""))
    send(server, headers={"Authorization": Secret("Bearer s3"), "Accept": "text/plain"})
    send(server, method="POST", form={"token": Secret("s+ &3"), "a": "b"})
    send(server, method="POST", json={"a": [Secret("s3"), 1, None], "b": {"c": Secret("é")}})
    first, second, third = server.requests
    assert b"authorization: bearer s3\r\n" in first.lower()
    assert b"accept: text/plain\r\n" in first.lower()
    assert b"user-agent: tool-agent/" in first.lower()
    assert second.endswith(b"\r\n\r\ntoken=s%2B+%263&a=b")
    assert b"content-type: application/x-www-form-urlencoded\r\n" in second.lower()
    assert json.loads(third.split(b"\r\n\r\n")[1]) == {"a": ["s3", 1, None], "b": {"c": "é"}}
    assert b"content-type: application/json\r\n" in third.lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://localhost:{port}/",
        "http://127.0.0.1.evil.example:{port}/",
        "http://example.com/",
        "https://127.0.0.1:{port}/",
        "http://user@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@evil.example/",
        "http://127.0.0.1:{port}@evil.example/",
        "ftp://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "/relative",
        "",
        "http://[::1",
        "http://127.0.0.1:{port}/\r\nX: y",
    ],
)
def test_nothing_leaves_for_another_origin(url: str) -> None:
    """Neither a connection nor a name lookup: the refusal comes first, and names no path."""
    server = Server(answer(b""))

    async def story() -> None:
        async with running(server) as web:
            request = HttpRequest("GET", url.format(port=server.port))
            with pytest.raises(ConfigurationError, match="nothing is sent to"):
                await web.send(request, allowed=[server.origin, "nonsense"])
            assert web._session is None

    asyncio.run(story())
    assert server.requests == []


def test_http_to_another_machine_is_refused_even_if_allowed() -> None:
    """A secret goes over TLS, or nowhere."""

    async def story() -> None:
        web = WebHttp(SystemClock())
        with pytest.raises(ConfigurationError, match="http address of another machine"):
            await web.send(
                HttpRequest("GET", "http://example.com/"), allowed=["http://example.com"]
            )

    asyncio.run(story())


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0b"])
def test_a_header_cannot_begin_another(value: str) -> None:
    """A line break in a value is refused, and the value is not repeated."""
    server = Server(answer(b""))
    with pytest.raises(ConfigurationError) as refused:
        send(server, headers={"X-Key": Secret(value)})
    assert value not in refused.value.detail
    assert server.requests == []


def test_a_redirect_is_not_followed() -> None:
    """It is the caller's to judge, and no second request is made."""
    server = Server(answer(b"", "302 Found", Location="http://127.0.0.1:1/?x"))
    assert send(server).status == 302
    assert len(server.requests) == 1


def test_a_page_with_200_is_a_reply_like_any() -> None:
    """A captive portal's HTML is told apart above, by the reader of tokens."""
    assert send(Server(answer(b"<html>", Content_Type="text/html"))).body == b"<html>"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP"])
def test_a_compressed_body_is_read(coding: str) -> None:
    """Nobody asked for it, but some servers insist."""
    body = zlib.compress(b"hello") if coding == "deflate" else gzip.compress(b"hello")
    assert send(Server(answer(body, Content_Encoding=coding))).body == b"hello"


def test_a_body_of_just_the_limit_is_read() -> None:
    """1 MiB as it is, and 1 MiB after decompression."""
    body = b"x" * MAX_BODY
    assert len(send(Server(answer(body))).body) == MAX_BODY
    packed = answer(gzip.compress(body), Content_Encoding="gzip")
    assert len(send(Server(packed)).body) == MAX_BODY


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "oversized": (answer(b"x" * (MAX_BODY + 1)), "more than 1024 KiB"),
    "a bomb": (
        answer(gzip.compress(b"\0" * 50_000_000, 1), Content_Encoding="gzip"),
        "more than 1024 KiB",
    ),
    "no gzip": (answer(b"hello", Content_Encoding="gzip"), "cannot be decompressed"),
    "half a gzip": (
        answer(gzip.compress(b"hello" * 99)[:20], Content_Encoding="gzip"),
        "cut short",
    ),
    "another coding": (answer(b"hello", Content_Encoding="br"), "not asked for"),
    "cut short": (answer(b"hello" * 9)[:-5], "broke off"),
    "no answer": (b"", "broke off"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9\r\n\r\n", "not HTTP"),
    "a huge header": (answer(b"", X="y" * 100_000), "not HTTP"),
    "a bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not HTTP"),
    "a bad chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "",
    ),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_answer_is_an_outage(name: str) -> None:
    """Each names the host and says what was wrong, never more of the address."""
    data, said = BAD_BODIES[name]
    assert said in unavailable(Server(data))


def test_a_bomb_is_not_unpacked_further_than_the_limit() -> None:
    """50 MB of zeros in a few KiB cost no more memory than an honest body."""
    server = Server(BAD_BODIES["a bomb"][0])
    tracemalloc.start()
    try:
        unavailable(server)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MAX_BODY


def test_a_connection_serves_one_request() -> None:
    """A kept one may be dead after sleep, with a refresh token posted into it."""
    after: asyncio.Queue[bytes] = asyncio.Queue()

    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"hello"))
        await writer.drain()
        after.put_nowait(await reader.read())

    async def story() -> None:
        server = Server(stay)
        async with running(server) as web, asyncio.timeout(TIMEOUT):
            for _ in range(2):
                request = HttpRequest("POST", server.origin, form={"a": "b"})
                await web.send(request, allowed=[server.origin])
                assert await after.get() == b""
        assert len(server.requests) == 2

    asyncio.run(story())


def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    """A server that never stops does not fill the memory."""

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    assert "more than 1024 KiB" in unavailable(Server(endless))


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nhel"])
def test_a_server_that_drips_is_left_at_the_deadline(start: bytes) -> None:
    """The deadline is for everything: no byte now and then prolongs it."""
    dripping = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        dripping.set()
        await reader.read()  # until the client goes

    assert "did not answer within 0.2 s" in unavailable(Server(drip), deadline=0.2)
    assert dripping.is_set()


def test_a_reset_after_200_is_an_outage() -> None:
    """The grant may or may not have been rotated; what is known is said."""

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello")
        await writer.drain()
        writer.transport.abort()

    assert "broke off" in unavailable(Server(reset))


def test_a_post_is_sent_once() -> None:
    """A dropped connection is not tried again behind our back: a refresh token is in it."""
    server = Server(b"")
    with pytest.raises(TemporarilyUnavailableError) as failed:
        send(server, method="POST", form={"refresh_token": Secret("r")})
    assert not isinstance(failed.value, UnreachableError), "it has arrived, and nobody may deny it"
    assert len(server.requests) == 1


def test_nobody_there_is_an_outage() -> None:
    """A port on which nothing listens."""

    async def story() -> None:
        server = Server()
        async with running(server):
            pass
        web = WebHttp(SystemClock())
        try:
            with pytest.raises(UnreachableError, match=r"no connection to 127\.0\.0\.1"):
                await web.send(HttpRequest("GET", server.origin), allowed=[server.origin])
        finally:
            await web.close()

    asyncio.run(story())


def test_a_name_that_does_not_exist_is_an_outage() -> None:
    """RFC 6761 reserves .invalid for this."""

    async def story() -> None:
        web = WebHttp(SystemClock())
        url = "https://nobody.invalid"
        try:
            with pytest.raises(UnreachableError, match=r"nobody\.invalid"):
                await web.send(HttpRequest("GET", url + "/?a=b"), allowed=[url])
        finally:
            await web.close()

    asyncio.run(story())


def test_one_slow_server_does_not_delay_others() -> None:
    """120 requests hang; the next one is answered all the same."""
    arrived = asyncio.Semaphore(0)

    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await reader.read()

    async def story() -> None:
        slow, quick = Server(hang), Server(answer(b"hello"))
        async with running(slow) as web, running(quick), asyncio.timeout(TIMEOUT):
            request = HttpRequest("GET", slow.origin)
            tasks = [
                asyncio.create_task(web.send(request, allowed=[slow.origin])) for _ in range(120)
            ]
            for _ in tasks:
                await arrived.acquire()
            reply = await web.send(HttpRequest("GET", quick.origin), allowed=[quick.origin])
            assert reply.body == b"hello"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither http_proxy nor netrc changes where a secret goes or what goes with it."""
    (tmp_path / "netrc").write_text("default login mallory password x\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = Server(answer(b"hello"))
    assert send(server).body == b"hello"
    assert b"authorization" not in server.requests[0].lower()


def test_no_log_holds_a_secret(canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, of asyncio and aiohttp too, whatever comes back."""
    secrets = [canary.make(name) for name in ("header", "form", "cookie", "body")]
    header, form, cookie, body = secrets
    good = answer(body.encode(), Set_Cookie=f"b@d sid={cookie}; x")
    with caplog.at_level("DEBUG"):
        for data in (good, good[:-3], b"HTTP/1.1 " + body.encode() + b"\r\n\r\n"):
            server = Server(data)
            try:
                send(server, method="POST", headers={"X": Secret(header)}, form={"f": Secret(form)})
            except TemporarilyUnavailableError as error:
                canary.text("an error", repr(error) + error.detail)
    canary.text("logs", caplog.text)
    assert not any(secret in caplog.text for secret in secrets)


def test_a_closed_adapter_opens_again() -> None:
    """Closing lets go of connections, not of the ability to make them."""
    server = Server(answer(b"hello"))

    async def story() -> None:
        async with running(server) as web:
            for _ in range(2):
                reply = await web.send(HttpRequest("GET", server.origin), allowed=[server.origin])
                assert reply.body == b"hello"
                await web.close()

    asyncio.run(story())


@pytest.mark.parametrize("parts", [{"form": {}, "json": {}}])
def test_a_request_has_one_body(parts: Mapping[str, Any]) -> None:
    """Two would mean that a definition says something it does not mean."""
    with pytest.raises(ConfigurationError, match="both"):
        send(Server(), method="POST", **parts)
