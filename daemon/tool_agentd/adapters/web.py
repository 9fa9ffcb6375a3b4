"""Outbound HTTP: the one place where a secret is revealed to the network.

Nothing leaves before the address has been compared with the origins that may receive it. No
proxy, no netrc, no cookie jar, no redirect. Every failure is an error of ours that names the host
and never more of the address: a query may hold a secret.
"""

import asyncio
import json
import ssl
import zlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tool_agent._version import __version__
from tool_agentd.adapters.web_certificate import issuer_of
from tool_agentd.definition.address import AddressError, origin_of
from tool_agentd.errors import (
    ConfigurationError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import HttpReply, HttpRequest, Instant
from tool_agentd.ports import Clock
from tool_agentd.secret import Secret

CONNECT = 5.0
"""Seconds for address, connection and TLS together (sessions.md, "Refreshing")."""
MAX_BODY = 1024 * 1024
"""Bytes of a body, as sent and once more after decompression: a token reply has a few thousand."""
_MAX_HEADER = 32 * 1024
"""Bytes of one header; content security policies of large providers pass aiohttp's 8 KiB."""
_INSPECT = 3.0
"""Seconds for a second look at a certificate that was refused, to name its issuer."""


class _BodyError(Exception):
    """The body is too large, or not what its headers say. Its text may be shown."""


class WebHttp:
    """`ports.Http` over aiohttp, with the operating system's own trust store."""

    def __init__(self, clock: Clock) -> None:
        """Stamp replies with this clock; nothing is opened before the first request."""
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection. A later request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Send it and return the whole answer; see `ports.Http`.

        `deadline` is in seconds of the running loop and covers everything, the body's last byte
        included. A certificate that does not hold is a TemporarilyUnavailableError too: a captive
        portal looks just like it, and no grant may die of one.
        """
        origin = _permitted(request.url, allowed)
        url = _url(request.url, origin)
        host = url.host_port_subcomponent or ""
        headers, body = _written(request)
        sent = self._clock.now()
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request.method, url, headers, body, sent)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                detail = f"no connection to {host} within {CONNECT:g} s"
                raise UnreachableError(detail) from None
            detail = f"{host} did not answer within {deadline:g} s"
            raise TemporarilyUnavailableError(detail) from None
        except ssl.SSLCertVerificationError as error:
            refused = error
        except _BodyError as error:
            raise TemporarilyUnavailableError(f"{host} answered with {error}") from None
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(_described(error, host)) from None
        except (aiohttp.ClientError, OSError, EOFError, ValueError) as error:
            raise TemporarilyUnavailableError(_described(error, host)) from None
        raise await _certificate_error(url, host, refused)

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        sent: Instant,
    ) -> HttpReply:
        session = self._opened()
        async with session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as reply:
            content = await _body(reply)
            named: dict[str, str] = {}
            for name, value in reply.headers.items():
                named.setdefault(name.lower(), value)
            named.pop("set-cookie", None)  # a secret; it goes on as one, in `cookies`
            cookies = {name: Secret(morsel.coded_value) for name, morsel in reply.cookies.items()}
            return HttpReply(
                status=reply.status,
                headers=named,
                body=content,
                sent=sent,
                received=self._clock.now(),
                cookies=cookies,
            )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            import truststore  # noqa: PLC0415 - only an agent that talks to a provider needs it

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                    # A kept connection may be dead after sleep, and a refresh that was posted on
                    # it could not be told from one that arrived.
                    force_close=True,
                    # A slow provider must not use up what the others need; flights are few.
                    limit=0,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_connect=CONNECT),
                headers={
                    "User-Agent": f"tool-agent/{__version__}",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                },
                auto_decompress=False,
                trust_env=False,
                max_field_size=_MAX_HEADER,
            )
        return self._session


# -- before anything leaves ----------------------------------------------------------------------


def _permitted(address: str, allowed: Collection[str]) -> str:
    """Return the origin of an address, which must be one of `allowed`."""
    try:
        origin = origin_of(address)
    except AddressError as error:
        raise ConfigurationError(f"nothing is sent to {error}") from None
    if origin not in {_normal(entry) for entry in allowed}:
        raise ConfigurationError(
            f"nothing is sent to {origin}: it is not among the origins of this login",
            hint="add it to `origins` in the tool definition, then log in again",
        )
    return origin


def _normal(entry: str) -> str | None:
    try:
        return origin_of(entry)
    except AddressError:
        return None


def _url(address: str, origin: str) -> URL:
    """Return what aiohttp sends to, having seen that it reads the same origin in it as we do."""
    try:
        url = URL(address)
        if origin_of(str(url.origin())) == origin:
            return url
    except (ValueError, AddressError):
        pass
    raise ConfigurationError(f"nothing is sent to {origin}: its address can be read in two ways")


def _written(request: HttpRequest) -> tuple[dict[str, str], bytes | None]:
    """Reveal the secrets of a request: its headers, and its body."""
    headers = {name: _revealed(value) for name, value in request.headers.items()}
    for name, value in headers.items():
        # Line breaks would begin a header, or a request, of their own (RFC 9110 section 5.5).
        if not (name.isascii() and name.isprintable() and value.isprintable()):
            raise ConfigurationError(f"the header {name!r} has characters that none may have")
    if request.form is not None and request.json is not None:
        raise ConfigurationError("a request has both a form and a JSON body")
    if request.form is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        pairs = {name: _revealed(value) for name, value in request.form.items()}
        return headers, urlencode(pairs).encode("ascii")
    if request.json is not None:
        headers.setdefault("Content-Type", "application/json")
        return headers, json.dumps(_revealed_tree(request.json)).encode()
    return headers, None


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _revealed_tree(tree: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(tree, Secret):
        return tree.reveal()
    if isinstance(tree, Mapping):
        return {name: _revealed_tree(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_revealed_tree(value) for value in tree]
    return tree


# -- what comes back -----------------------------------------------------------------------------


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, decompressed as far as the cap allows and not a byte further."""
    coding = reply.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        raise _BodyError("a compression that was not asked for")
    # 32 + 15: a gzip or zlib header, whichever it is, and the largest window.
    unpacker = None if coding in {"", "identity"} else zlib.decompressobj(32 + zlib.MAX_WBITS)
    read, content = 0, bytearray()
    async for chunk in reply.content.iter_any():
        read += len(chunk)
        if unpacker is None:
            content += chunk
        else:
            try:
                content += unpacker.decompress(chunk, MAX_BODY + 1 - len(content))
            except zlib.error:
                raise _BodyError("a body that cannot be decompressed") from None
        if max(read, len(content)) > MAX_BODY:
            raise _BodyError(f"more than {MAX_BODY // 1024} KiB")
    if unpacker is not None and read and not unpacker.eof:
        raise _BodyError("a body that is cut short")
    return bytes(content)


def _described(error: Exception, host: str) -> str:
    """Return what went wrong, in words of ours: an exception's own may repeat the address."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the address of {host} cannot be found"
        case ssl.SSLError():
            return f"no secure connection to {host}"
        case aiohttp.ClientConnectorError(os_error=OSError(strerror=str(why))) if why:
            return f"no connection to {host}: {why.lower()}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return f"{host} broke off in the middle of its answer"
        case ConnectionResetError() | BrokenPipeError():
            return f"{host} broke off the connection"
        case aiohttp.ClientResponseError():
            return f"{host} answered with something that is not HTTP"
        case OSError(strerror=str(why)) if why:
            return f"no connection to {host}: {why.lower()}"
        case _:
            return f"the exchange with {host} failed ({type(error).__name__})"


async def _certificate_error(
    url: URL, host: str, error: ssl.SSLCertVerificationError
) -> UnreachableError:
    inner = getattr(error, "certificate_error", error)
    why = getattr(inner, "verify_message", "") or "it does not hold"
    try:
        async with asyncio.timeout(_INSPECT):
            issuer = await issuer_of(url.raw_host or "", url.port or 443)
    except (OSError, ValueError):
        issuer = None
    by = f" (issued by {issuer})" if issuer else ""
    return UnreachableError(  # the certificate comes before anything of ours is sent
        f"the certificate of {host}{by} is not trusted: {why}",
        hint="sign in to the network if it asks for it, check this machine's clock, or add your "
        "own authority's certificate to the operating system's trust store",
    )
