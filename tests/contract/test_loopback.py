"""The loopback listener over real sockets: one callback, and whatever else knocks."""

import asyncio
import base64
import errno
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.canary import Canary
from tests.real.loopback import free_on_both, has_ipv6
from tool_agentd.adapters import loopback, loopback_socket
from tool_agentd.adapters.loopback import LoopbackListener, LoopbackListeners
from tool_agentd.adapters.loopback_page import render
from tool_agentd.errors import ConflictError, ProviderError
from tool_agentd.model import Page

GOOD = Page("Signed in to Demo", "alice@example.com", ok=True)
TIMEOUT = 20.0


@dataclass
class Answered:
    """What the listener was asked, and a gate that an answer waits at."""

    targets: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    page: Page | Exception = GOOD

    async def __call__(self, target: str) -> Page:
        """Answer once the gate is open."""
        self.targets.append(target)
        await self.gate.wait()
        if isinstance(self.page, Exception):
            raise self.page
        return self.page


@dataclass(frozen=True)
class Got:
    """A reply."""

    status: int
    headers: dict[str, str]
    body: str


async def raw(port: int, data: bytes, host: str = "127.0.0.1") -> bytes:
    """Send bytes and return all that comes back."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        await writer.drain()
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def ask(
    listener: LoopbackListener,
    target: str,
    *,
    method: str = "GET",
    host: str | None = None,
    address: str = "127.0.0.1",
    **headers: str,
) -> Got:
    """Send a request as a program would."""
    authority = urlsplit(listener.redirect_uri).netloc
    lines = [f"{method} {target} HTTP/1.1", f"Host: {authority if host is None else host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    sent = "\r\n".join(lines) + "\r\n\r\n"
    port = int(authority.rpartition(":")[2])
    head, _, body = (await raw(port, sent.encode(), address)).decode().partition("\r\n\r\n")
    status, *rest = head.split("\r\n")
    found = dict(line.split(": ", 1) for line in rest)
    return Got(int(status.split()[1]), {k.lower(): v for k, v in found.items()}, body)


@asynccontextmanager
async def listening(
    answered: Answered, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[LoopbackListener]:
    """Listen for the length of a block."""
    listener = await LoopbackListeners().listen(host, port, "/callback", answered)
    try:
        yield listener
    finally:
        answered.gate.set()
        await listener.close()


def run(story: Callable[[Answered], Awaitable[None]]) -> None:
    """Run a story against a deadline, in asyncio's debug mode."""

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT):
            await story(Answered())

    asyncio.run(bounded(), debug=True)


def test_a_callback_is_answered_once_and_the_listener_ends() -> None:
    """303 to a page without the query, the page says what happened, then nobody listens."""

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            redirect = await ask(listener, "/callback?code=c&state=s")
            assert (redirect.status, redirect.body) == (303, "")
            there = redirect.headers["location"]
            assert re.fullmatch(r"/done/[\w-]{22}", there)
            waiting = asyncio.create_task(ask(listener, there))
            answered.gate.set()
            page = await waiting
            assert page.status == 200
            assert "<h1>" in page.body
            assert "alice@example.com" in page.body
            await listener.wait_closed()
            with pytest.raises(ConnectionRefusedError):
                await ask(listener, there)
        assert answered.targets == ["/callback?code=c&state=s"]

    run(story)


@pytest.mark.parametrize("kind", ["detail", "surprise"])
def test_an_error_of_the_answer_is_told_to_the_person(kind: str) -> None:
    """Ours with detail and hint; any other without a word of it."""

    async def story(answered: Answered) -> None:
        error = ProviderError("the state is <another>", hint="log in again")
        answered.page = error if kind == "detail" else ValueError("a secret")
        answered.gate.set()
        async with listening(answered) as listener:
            there = (await ask(listener, "/callback?error=x")).headers["location"]
            page = await ask(listener, there)
            if kind == "detail":
                assert "the state is &lt;another&gt;" in page.body
                assert "log in again" in page.body
            else:
                assert "a secret" not in page.body
            assert "did not succeed" in page.body
            await listener.wait_closed()

    run(story)


def test_headers_forbid_what_a_page_could_leak() -> None:
    """On every answer, refusals too; and the style's hash in the policy is the style's own."""

    async def story(answered: Answered) -> None:
        answered.gate.set()
        async with listening(answered) as listener:
            refused = await ask(listener, "/other")
            redirect = await ask(listener, "/callback?code=c")
            page = await ask(listener, redirect.headers["location"])
            for got in (refused, redirect, page):
                assert got.headers["cache-control"] == "no-store"
                assert got.headers["referrer-policy"] == "no-referrer"
                assert got.headers["x-content-type-options"] == "nosniff"
                assert "default-src 'none'" in got.headers["content-security-policy"]
                assert "script" not in got.headers["content-security-policy"]
                assert "set-cookie" not in got.headers
            [style] = re.findall("<style>(.*)</style>", page.body)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in page.headers["content-security-policy"]

    run(story)


ATTACKS: dict[str, tuple[str, dict[str, str], int]] = {
    "another Host": ("/callback?code=c", {"host": "evil.example"}, 421),
    "a Host without port": ("/callback?code=c", {"host": "127.0.0.1"}, 421),
    "localhost for 127.0.0.1": ("/callback?code=c", {"host": "localhost:80"}, 421),
    "an empty Host": ("/callback?code=c", {"host": ""}, 421),
    "another path": ("/callback/?code=c", {}, 404),
    "an encoded path": ("/%63allback?code=c", {}, 404),
    "the root": ("/?code=c", {}, 404),
    "an absolute target": ("http://evil.example/callback?code=c", {}, 404),
    "a page before the callback": ("/done/x", {}, 404),
    "POST": ("/callback?code=c", {"method": "POST", "Content_Length": "0"}, 405),
    "HEAD": ("/callback?code=c", {"method": "HEAD"}, 405),
    "OPTIONS": ("/callback?code=c", {"method": "OPTIONS"}, 405),
    "another Origin": ("/callback?code=c", {"Origin": "https://evil.example"}, 403),
    "no Origin to speak of": ("/callback?code=c", {"Origin": "null"}, 403),
    "a fetch": ("/callback?code=c", {"Sec_Fetch_Mode": "no-cors"}, 403),
    "an image": ("/callback?code=c", {"Sec_Fetch_Dest": "image"}, 403),
    "a frame": ("/callback?code=c", {"Sec_Fetch_Dest": "iframe"}, 403),
    "no query": ("/callback", {}, 400),
    "a strange query": ("/callback?x=y", {}, 400),
    "a thousand parameters": ("/callback?code=c" + "&a=b" * 1000, {}, 400),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_no_callback_uses_nothing_up(name: str) -> None:
    """It is turned away, nobody is asked, and the real callback still works."""
    target, changes, status = ATTACKS[name]

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            assert (await ask(listener, target, **changes)).status == status
            assert answered.targets == []
            good = await ask(
                listener,
                "/callback?code=c",
                Sec_Fetch_Site="cross-site",
                Sec_Fetch_Mode="navigate",
                Sec_Fetch_Dest="document",
            )
            assert good.status == 303
            assert len(answered.targets) == 1

    run(story)


def test_of_many_callbacks_at_once_one_is_taken() -> None:
    """The others get 410, and the answer is asked for once."""

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            calls = [ask(listener, f"/callback?code=c{n}&state=s") for n in range(20)]
            statuses = sorted([got.status for got in await asyncio.gather(*calls)])
            assert statuses == [303] + [410] * 19
            assert len(answered.targets) == 1

    run(story)


def test_the_page_is_found_by_its_browser_alone() -> None:
    """Its address is not guessable from the outside, and no other path leads there."""

    async def story(answered: Answered) -> None:
        answered.gate.set()
        async with listening(answered) as listener:
            there = (await ask(listener, "/callback?code=c")).headers["location"]
            assert (await ask(listener, "/done/")).status == 404
            assert (await ask(listener, there + "x")).status == 404
            assert (await ask(listener, there, host="evil.example")).status == 421
            assert (await ask(listener, there)).status == 200

    run(story)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /callback?code=c HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /callback?code=" + b"c" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"\r\n" * 5000,
        bytes(range(256)) * 20 + b"\r\n\r\n",
    ],
    ids=["TLS", "two Hosts", "a long line", "many headers", "empty lines", "noise"],
)
def test_noise_uses_nothing_up(
    data: bytes, canary: Canary, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no request end their own connection, and nothing of them is logged."""
    code = canary.make("the code")

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            port = urlsplit(listener.redirect_uri).port or 0
            await raw(port, data + code.encode() + b"\r\n\r\n")
            assert answered.targets == []
            assert (await ask(listener, f"/callback?code={code}")).status == 303

    with caplog.at_level("DEBUG"):
        run(story)
    assert code not in caplog.text


def test_a_silent_connection_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers without an end are; an answer that takes longer than their deadline is not."""
    monkeypatch.setattr(loopback, "_REQUEST", 0.05)

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            port = urlsplit(listener.redirect_uri).port or 0
            there = (await ask(listener, "/callback?code=c")).headers["location"]
            page = asyncio.create_task(ask(listener, there))
            # Twice: the second one's deadline begins after that of the page's request.
            for _ in range(2):
                assert await raw(port, b"GET /callback?code=c HTTP/1.1\r\nHost: ") == b""
            assert not page.done()
            answered.gate.set()
            assert (await page).status == 200

    run(story)


def test_too_many_connections_are_closed_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a connection ends at once; with room again the callback works."""
    monkeypatch.setattr(loopback, "_CONNECTIONS", 3)

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            port = urlsplit(listener.redirect_uri).port or 0
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert await raw(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
            for _reader, writer in held:
                writer.close()
                await writer.wait_closed()
            while True:
                try:
                    got = await ask(listener, "/callback?code=c")
                except (ValueError, IndexError):  # an empty reply: still counted as connected
                    continue
                break
            assert got.status == 303

    run(story)


def test_the_listener_ends_after_a_grace_if_nobody_reads_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A browser that was closed meanwhile leaves no listener behind."""
    monkeypatch.setattr(loopback, "_GRACE", 0.01)

    async def story(answered: Answered) -> None:
        answered.gate.set()
        async with listening(answered) as listener:
            await ask(listener, "/callback?code=c")
            await listener.wait_closed()

    run(story)


def test_closing_stops_listening_at_once() -> None:
    """A login that was cancelled leaves nothing behind, idle connections included."""

    async def story(answered: Answered) -> None:
        async with listening(answered) as listener:
            port = urlsplit(listener.redirect_uri).port or 0
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await listener.close()
            await listener.wait_closed()
            assert await reader.read() == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await raw(port, b"")

    run(story)


def test_localhost_is_both_addresses() -> None:
    """The browser may choose either; with the name as the only Host."""
    if not has_ipv6():
        pytest.skip("this machine has no ::1")

    async def story(answered: Answered) -> None:
        async with listening(answered, "localhost") as listener:
            authority = urlsplit(listener.redirect_uri).netloc
            assert authority.startswith("localhost:")
            assert (await ask(listener, "/x", address="::1")).status == 404
            assert (await ask(listener, "/x", address="127.0.0.1")).status == 404
            numeric = authority.replace("localhost", "127.0.0.1")
            assert (await ask(listener, "/callback?code=c", host=numeric)).status == 421
            assert (await ask(listener, "/callback?code=c", address="::1")).status == 303

    run(story)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_port_that_is_taken_on_either_address_is_a_conflict(
    address: str, *, listens: bool
) -> None:
    """It names the address; nothing of ours stays bound."""
    if not has_ipv6():
        pytest.skip("this machine has no ::1")
    family = socket.AF_INET6 if address == "::1" else socket.AF_INET
    port = free_on_both()
    with socket.socket(family) as other:
        other.bind((address, port))
        if listens:
            other.listen()

        async def story(answered: Answered) -> None:
            with pytest.raises(ConflictError, match=rf"{re.escape(address)}\]?:{port}"):
                await LoopbackListeners().listen("localhost", port, "/callback", answered)

        run(story)
    other_address = "127.0.0.1" if address == "::1" else "::1"
    with socket.socket(socket.AF_INET if address == "::1" else socket.AF_INET6) as probe:
        probe.bind((other_address, port))


def test_a_second_login_on_a_fixed_port_waits_for_no_timeout() -> None:
    """The first is a conflict while it lives; right after its end the port is free again."""

    async def story(answered: Answered) -> None:
        answered.gate.set()
        async with listening(answered, "localhost") as first:
            port = urlsplit(first.redirect_uri).port or 0
            with pytest.raises(ConflictError, match="another program listens"):
                await LoopbackListeners().listen("localhost", port, "/callback", answered)
            there = (await ask(first, "/callback?code=c")).headers["location"]
            await ask(first, there)
            await first.wait_closed()
        async with listening(answered, "localhost", port) as second:
            assert second.redirect_uri == first.redirect_uri

    run(story)


def test_without_ipv6_the_one_address_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ::1 has nobody there who could be mistaken for us."""
    real = loopback_socket._one

    def without(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(family, address, port)

    monkeypatch.setattr(loopback_socket, "_one", without)

    async def story(answered: Answered) -> None:
        async with listening(answered, "localhost") as listener:
            assert (await ask(listener, "/callback?code=c")).status == 303

    run(story)


def test_the_page_escapes_what_it_is_told() -> None:
    """A name from a provider is text, in the title too."""
    text = render(Page("<script>alert(1)</script>", '"><img src=x>&', ok=False))
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") == 2
