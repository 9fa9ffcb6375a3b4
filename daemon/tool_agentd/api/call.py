"""Call: one request as the routes see it, what a route reads of it, and the table of routes."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from tool_agentd.api.answers import Answer
from tool_agentd.errors import InvalidRequestError, NotFoundError, TooLargeError
from tool_agentd.model import Peer
from tool_agentd.secret import Secret

BODY_LIMIT = 256 * 1024
"""Bytes of a request's body: a thousand times the largest honest one."""
BODY_DEADLINE = 2.0
"""Seconds for a body, as for a head."""

REMEMBERED = 512
"""Paths whose route is remembered: more than there are tools; a client that invents paths only
empties it."""

T = TypeVar("T")


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a route reads. What is secret in it is a `Secret`; `repr` shows nothing of it at all."""

    def __repr__(self) -> str:
        """Return the name of the type: the words of a command may hold a key."""
        return f"{type(self).__name__}(...)"


class Reads(msgspec.Struct, frozen=True):
    """What a route reads of a request; it is checked by this, and described by this."""

    query: dict[str, tuple[str, ...]] = {}
    """The parameters of the query, each with its choices; none where any text will do."""
    many: str = ""
    """The parameter that may be there any number of times."""
    body: Any = None
    """The shape of a JSON body, or None."""


NOTHING = Reads()
Routed = TypeVar("Routed", bound=Callable[..., Awaitable[Answer]])


def reads(
    *query: str,
    many: str = "",
    body: Any = None,  # noqa: ANN401 - a type
    **choices: tuple[str, ...],
) -> Callable[[Routed], Routed]:
    """Declare what a route reads: names in the query, by keyword those that have choices."""
    declared = Reads(dict.fromkeys(query, ()) | choices, many, body)

    def declare(handler: Routed) -> Routed:
        handler.reads = declared  # type: ignore[attr-defined]  # a function takes any attribute
        return handler

    return declare


def reads_of(handler: Callable[..., Awaitable[Answer]]) -> Reads:
    """Return what a route reads."""
    found: Reads = getattr(handler, "reads", NOTHING)
    return found


class Call(msgspec.Struct, frozen=True):
    """A request whose head has been checked."""

    request: web.BaseRequest
    peer: Peer
    params: tuple[str, ...]
    """The parts of the path that the route leaves open, decoded."""
    accept: str
    reads: Reads = NOTHING

    def query(self) -> dict[str, str]:
        """Return the query's values, but for the one that may be there any number of times.

        Raises InvalidRequestError for one that the route does not read, and for a repeated one.
        """
        known, many = self.reads.query, self.reads.many
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
        return decoded(await self.body() or b"{}", shape)


def decoded(raw: bytes, shape: type[T]) -> T:
    """Return JSON as `shape` has it. Raises InvalidRequestError naming what is wrong."""
    try:
        found = msgspec.json.decode(raw, type=shape, dec_hook=_secret)
        # msgspec takes the last of two equal keys. Whoever looks at a request before us may take
        # the first, and would let pass something else than what is done.
        json.loads(raw, object_pairs_hook=_once, parse_int=str)
    except _TwiceError as error:
        message = f"the body has {str(error)[:32]!r} twice"
        raise InvalidRequestError(message) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        message = f"the body is not what this route reads: {_plain(error)}"
        raise InvalidRequestError(message) from None
    return found


def _secret(type_: type, value: object) -> Secret:
    """Wrap what a body says, where its shape has a Secret (msgspec's dec_hook)."""
    if type_ is not Secret or not isinstance(value, str):
        message = "Expected `str`, got something else"
        raise ValueError(message)
    return Secret(value)


class _TwiceError(Exception):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _too_large() -> str:
    return f"the body is over {BODY_LIMIT // 1024} KiB"


def _plain(error: BaseException) -> str:
    """Return msgspec's words; they name types and places, never values."""
    return str(error).replace("`", "")[:200]


Handler = Callable[[Call], Awaitable[Answer]]


class Right(Enum):
    """What a route lets its caller have: what a lock or a scoped socket takes away."""

    READ = "read"
    """Says what is there: no credential, and none is used for it."""
    TOKEN = "token"  # noqa: S105 - a right's name
    """Hands out a credential: all that a scoped socket serves."""
    USE = "use"
    """Uses a login for the caller, or gives its file to a command."""
    MANAGE = "manage"
    """Changes what the agent holds, or what it does."""
    ANSWER = "answer"
    """Answers for the person: never from another namespace, whatever its policy lets it have."""
    OWN = "own"
    """The agent's own life, which a lock does not touch: status, stop, unlock."""


UNLOCKED = frozenset({Right.READ, Right.OWN})
"""What a locked agent still answers."""


class Route(NamedTuple):
    """Who answers, and what that lets the caller have."""

    handler: Handler
    right: Right


class Routes:
    """The route table: method and path, with `*` for a part that is left open."""

    def __init__(self) -> None:
        """Start empty."""
        self._fixed: dict[tuple[str, ...], dict[str, Route]] = {}
        self._open: dict[tuple[int, str], list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        self._found: dict[tuple[str, str], tuple[Route, tuple[str, ...]]] = {}

    def add(self, method: str, path: str, handler: Handler, right: Right) -> None:
        """Serve `handler` for a method and a path such as `/v1/tools/*/token`."""
        route = Route(handler, right)
        parts = tuple(path.strip("/").split("/"))
        if "*" not in parts:
            self._fixed.setdefault(parts, {})[method] = route
            return
        bucket = self._open.setdefault((len(parts), parts[1]), [])
        for pattern, methods in bucket:
            if pattern == parts:
                methods[method] = route
                return
        bucket.append((parts, {method: route}))

    def find(self, method: str, raw_path: str) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the open parts. Raises NotFoundError or InvalidRequestError."""
        known = self._found.get((method, raw_path))
        if known is None:
            known = self._find(method, raw_path)
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[method, raw_path] = known
        return known

    def _find(self, method: str, raw_path: str) -> tuple[Route, tuple[str, ...]]:
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
        route = methods.get(method)
        if route is None:
            message = f"this route does not take {method[:16]}"
            raise InvalidRequestError(message, hint=f"it takes: {', '.join(sorted(methods))}")
        return route, opened

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
