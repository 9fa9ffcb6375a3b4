"""Call: one request as the routes see it, and the table that finds its route."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from tool_agentd.api.answers import Answer
from tool_agentd.errors import InvalidRequestError, NotFoundError, TooLargeError
from tool_agentd.model import Peer

BODY_LIMIT = 256 * 1024
"""Bytes of a request's body: a thousand times the largest honest one."""
BODY_DEADLINE = 2.0
"""Seconds for a body, as for a head."""

REMEMBERED = 512
"""Paths whose route is remembered: more than there are tools; a client that invents paths only
empties it."""

T = TypeVar("T")


class Call(msgspec.Struct, frozen=True):
    """A request whose head has been checked."""

    request: web.BaseRequest
    peer: Peer
    params: tuple[str, ...]
    """The parts of the path that the route leaves open, decoded."""
    accept: str

    def query(self, *known: str, many: str = "") -> dict[str, str]:
        """Return the query's values, but for `many`, which may be there any number of times.

        Raises InvalidRequestError for an unknown or repeated one.
        """
        found: dict[str, str] = {}
        if "?" not in self.request.raw_path:
            return found
        for name, value in self.request.query.items():
            if many and name == many:
                continue
            if name not in known:
                message = f"the query has no {name[:32]!r} here"
                allowed = ", ".join((*known, many) if many else known) or "nothing"
                raise InvalidRequestError(message, hint=f"it may have: {allowed}")
            if name in found:
                message = f"{name} is given twice"
                raise InvalidRequestError(message)
            found[name] = value
        return found

    async def body(self) -> bytes:
        """Return the body. Raises TooLargeError or InvalidRequestError."""
        length = self.request.content_length
        if length is not None and length > BODY_LIMIT:
            raise TooLargeError(_too_large())
        parts = bytearray()
        try:
            async with asyncio.timeout(BODY_DEADLINE):
                async for part in self.request.content.iter_any():
                    parts += part
                    if len(parts) > BODY_LIMIT:
                        raise TooLargeError(_too_large())
        except TimeoutError:
            message = f"the body was not complete within {BODY_DEADLINE:.0f} s"
            raise InvalidRequestError(message) from None
        except (ConnectionError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and self.request.protocol.connected:
                raise  # aiohttp has this type for a connection that is closed before it is read
            # Nobody reads the answer; the log need not tell.
            message = "the client hung up in the middle of the body"
            raise InvalidRequestError(message) from None
        except web.RequestPayloadError:
            message = "the body does not have the form that its head announces"
            raise InvalidRequestError(message) from None
        return bytes(parts)

    async def json(self, shape: type[T]) -> T:
        """Return the body decoded as `shape`. Raises InvalidRequestError naming what is wrong."""
        raw = await self.body()
        try:
            return msgspec.json.decode(raw or b"{}", type=shape)
        except (msgspec.DecodeError, RecursionError) as error:
            message = f"the body is not what this route reads: {_plain(error)}"
            raise InvalidRequestError(message) from None


def _too_large() -> str:
    return f"the body is over {BODY_LIMIT // 1024} KiB"


def _plain(error: BaseException) -> str:
    """Return msgspec's words; they name types and places, never values."""
    return str(error).replace("`", "")[:200]


Handler = Callable[[Call], Awaitable[Answer]]


class Routes:
    """The route table: method and path, with `*` for a part that is left open."""

    def __init__(self) -> None:
        """Start empty."""
        self._fixed: dict[tuple[str, ...], dict[str, Handler]] = {}
        self._open: dict[tuple[int, str], list[tuple[tuple[str, ...], dict[str, Handler]]]] = {}
        self._found: dict[tuple[str, str], tuple[Handler, tuple[str, ...]]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Serve `handler` for a method and a path such as `/v1/tools/*/token`."""
        parts = tuple(path.strip("/").split("/"))
        if "*" not in parts:
            self._fixed.setdefault(parts, {})[method] = handler
            return
        bucket = self._open.setdefault((len(parts), parts[1]), [])
        for pattern, methods in bucket:
            if pattern == parts:
                methods[method] = handler
                return
        bucket.append((parts, {method: handler}))

    def find(self, method: str, raw_path: str) -> tuple[Handler, tuple[str, ...]]:
        """Return the handler and the open parts. Raises NotFoundError or InvalidRequestError."""
        known = self._found.get((method, raw_path))
        if known is None:
            known = self._find(method, raw_path)
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[method, raw_path] = known
        return known

    def _find(self, method: str, raw_path: str) -> tuple[Handler, tuple[str, ...]]:
        parts = tuple(raw_path.strip("/").split("/"))
        methods = self._fixed.get(parts)
        opened: tuple[str, ...] = ()
        if methods is None and len(parts) > 1:
            for pattern, candidates in self._open.get((len(parts), parts[1]), ()):
                if all(p in {"*", part} for p, part in zip(pattern, parts, strict=True)):
                    methods = candidates
                    opened = tuple(
                        unquote(part) for p, part in zip(pattern, parts, strict=True) if p == "*"
                    )
                    break
        if methods is None:
            message = "the agent has no such route"
            raise NotFoundError(message, hint="its routes are described at /v1/openapi.json")
        handler = methods.get(method)
        if handler is None:
            message = f"this route does not take {method[:16]}"
            raise InvalidRequestError(message, hint=f"it takes: {', '.join(sorted(methods))}")
        return handler, opened

    def paths(self) -> Mapping[str, list[str]]:
        """Return every path with its methods, for the description."""
        found: dict[str, list[str]] = {}
        for parts, methods in self._fixed.items():
            found["/" + "/".join(parts)] = sorted(methods)
        for bucket in self._open.values():
            for parts, methods in bucket:
                found["/" + "/".join(parts)] = sorted(methods)
        return found


def flag(value: str | None) -> bool:
    """Read a yes or no of a query."""
    return value in {"1", "true", "yes"}


Json = dict[str, Any]
