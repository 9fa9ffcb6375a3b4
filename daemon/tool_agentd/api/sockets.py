"""The routes of scoped sockets: make, list, revoke."""

from tool_agent import wire
from tool_agentd.api import words
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, Right, Routes, reads
from tool_agentd.api.logins import CREATED
from tool_agentd.broker.scoped import ScopedSockets, SocketOrder
from tool_agentd.definition import duration
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import ScopedSocket
from tool_agentd.ports import Clock

UNLIMITED = "unlimited"
"""A lifetime without an end, said in so many words."""
USUAL = "8h"
"""The lifetime of a socket whose person says nothing: a working day."""


UID_MAX = 2**32 - 2
"""The kernel's uid_t; the number above means nobody (chown(2))."""


class SocketBody(Body, frozen=True):
    """The body of POST /v1/sockets."""

    tool: str
    account: str | None = None
    scope: str | None = None
    lifetime: str = USUAL
    path: str | None = None
    uid: int | None = None
    foreign: bool = False


class SocketRoutes:
    """Scoped sockets over HTTP."""

    def __init__(self, scoped: ScopedSockets, clock: Clock) -> None:
        """Serve from `scoped`."""
        self._scoped = scoped
        self._clock = clock

    def add_to(self, routes: Routes) -> None:
        """Add them to the table."""
        routes.add("GET", wire.SOCKETS, self.list, Right.READ)
        routes.add("POST", wire.SOCKETS, self.create, Right.MANAGE)
        routes.add("DELETE", f"{wire.SOCKETS}/*", self.revoke, Right.MANAGE)

    async def list(self, call: Call) -> Answer:
        """GET /v1/sockets."""
        call.query()
        found = self._scoped.there()
        data = {"schema": wire.SCHEMA, "sockets": [socket_json(one) for one in found]}
        return Answer(data, words.sockets(found, self._clock.now().wall))

    @reads(body=SocketBody)
    async def create(self, call: Call) -> Answer:
        """POST /v1/sockets."""
        call.query()
        body = await call.json(SocketBody)
        _check(body)
        order = SocketOrder(
            body.tool,
            body.account,
            body.scope or "",
            _lifetime(body.lifetime),
            body.path,
            body.uid,
            body.foreign,
        )
        made = await self._scoped.create(order, call.peer)
        lasting = self._scoped.lasting(made)
        said = words.socket_made(made, self._clock.now().wall, lasting=lasting)
        data = {"schema": wire.SCHEMA, **socket_json(made)}
        return Answer(data, made.path, made.path + "\n", said, status=CREATED)

    async def revoke(self, call: Call) -> Answer:
        """DELETE /v1/sockets/{id}: by its name or its path."""
        call.query()
        gone = await self._scoped.revoke(call.params[0], call.peer)
        data = {"schema": wire.SCHEMA, **socket_json(gone), "revoked": True}
        return Answer(data, f"Revoked the socket {gone.name} at {gone.path}.\n")


def socket_json(one: ScopedSocket) -> Json:
    """Return a scoped socket as the JSON reply has it."""
    return {
        "id": one.name,
        "path": one.path,
        "tool": one.tool,
        "account": one.account,
        "scope": one.scope or None,
        "created_at": one.created_at,
        "ends_at": one.ends_at,
        "uid": one.uid,
        "foreign": one.foreign,
    }


def _check(body: SocketBody) -> None:
    """Raise InvalidRequestError for what would make another socket than was meant."""
    if body.scope is not None and not body.scope.split():
        message = "the scope is empty, and would be no limit"
        raise InvalidRequestError(message, hint="name a scope, or leave --scope out for no limit")
    if body.path is not None and not body.path.isprintable():
        message = f"{body.path[:64]!r} is no path that a socket can have"
        raise InvalidRequestError(message, hint="choose another --path")
    if body.uid is not None and not 0 <= body.uid <= UID_MAX:
        message = f"{body.uid} is no user's number"
        raise InvalidRequestError(message, hint="'id -u' prints one")


def _lifetime(text: str) -> float | None:
    if text == UNLIMITED:
        return None
    try:
        return duration.seconds(text)
    except ValueError as error:
        message = f"the lifetime is {error}, or '{UNLIMITED}'"
        raise InvalidRequestError(message) from None
