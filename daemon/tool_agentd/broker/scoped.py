"""Scoped sockets: more doors into the agent, each with rights of its own, until each one's end.

A door is recorded before it is opened and after it is closed, so that a restarted agent opens what
its person has made, and nothing else.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tool_agentd.broker.broker import Broker
from tool_agentd.errors import AgentError, ConflictError, InvalidRequestError, NotFoundError
from tool_agentd.model import (
    NOBODY,
    AuditEvent,
    AuditLine,
    GrantKind,
    Instant,
    Peer,
    Rights,
    ScopedSocket,
)
from tool_agentd.ports import Clock, ScopedPlaces
from tool_agentd.session import grant_of

MOST = 64
"""Scoped sockets at once: each holds a descriptor, and nobody has that many containers."""
SHORTEST = 1.0
"""Seconds that one lives at least."""
NAME_BYTES = 4
"""Of a socket's name: enough to tell 64 from each other, short enough to type."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SocketOrder:
    """What the person asked for."""

    tool: str
    account: str | None = None
    scope: str = ""
    lifetime: float | None = None
    """Seconds; None: until it is revoked."""
    path: str | None = None
    """None: in a folder of its own beside the agent's socket."""
    uid: int | None = None
    """Who is admitted instead of the agent's own user; its processes count as foreign."""
    foreign: bool = False


class ScopedSockets:
    """The scoped sockets that there are."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        places: ScopedPlaces,
        agent: str,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Begin with none open; `agent` is the path of the agent's own socket."""
        self._broker = broker
        self._clock = clock
        self._places = places
        self._agent = agent
        self._entropy = entropy
        self._open: dict[str, ScopedSocket] = {}
        self._making: set[str] = set()
        """The names of those that are being made: recorded, perhaps, and not to be opened twice."""
        self._troubles: dict[str, str] = {}

    async def create(self, order: SocketOrder, peer: Peer) -> ScopedSocket:
        """Open a socket. Raises InvalidRequestError, ConflictError or ConfigurationError."""
        if len(self._open) + len(self._making) >= MOST:
            message = f"there are {MOST} scoped sockets already"
            raise ConflictError(message, hint="run 'tool-agent socket list', and revoke some")
        if order.lifetime is not None and order.lifetime < SHORTEST:
            message = f"a scoped socket lives {SHORTEST:g} s at least"
            raise InvalidRequestError(message)
        name = self._entropy(NAME_BYTES).hex()
        self._making.add(name)
        try:
            made = self._open[name] = await self._made(name, order)
        finally:
            self._making.discard(name)
        self._tell(made, peer, "created", made.path)
        return made

    async def _made(self, name: str, order: SocketOrder) -> ScopedSocket:
        account = await self._account(order)
        now = self._clock.now()
        made = ScopedSocket(
            name=name,
            agent=self._agent,
            path=order.path or self._places.usual_path(name),
            tool=order.tool,
            account=account,
            scope=" ".join(sorted(set(order.scope.split()))),
            created_at=now.wall,
            ends_at=None if order.lifetime is None else now.wall + order.lifetime,
            uid=order.uid,
            foreign=order.foreign or order.uid is not None,
            own_folder=order.path is None,
        )
        # Recorded first: a kill in between leaves a record, and the next start opens the door.
        await self._places.record(made)
        try:
            await self._places.open(made, self._rights(made, now))
        except BaseException:
            await self._places.forget(made)
            raise
        return made

    async def _account(self, order: SocketOrder) -> str:
        tool = self._broker.catalogue.get(order.tool)
        await self._broker.load()
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, order.account)
        grant = grant_of(self._broker.sessions.get(key))
        if order.scope and grant is not None and grant.kind is not GrantKind.REFRESH_TOKEN:
            what = grant.kind.value.replace("_", " ")
            message = f"{tool.name} ({key.label}) has a {what}, which cannot be narrowed to a scope"
            raise InvalidRequestError(message, hint="leave --scope out, or sign in another way")
        return key.label

    def there(self) -> list[ScopedSocket]:
        """Return those that are open, the oldest first."""
        return sorted(self._open.values(), key=lambda one: one.created_at)

    def lasting(self, one: ScopedSocket) -> bool:
        """Tell whether what a socket serves now is no access token, and has no end of its own."""
        tool = self._broker.catalogue.get(one.tool)
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, one.account)
        grant = grant_of(self._broker.sessions.get(key))
        return grant is not None and grant.kind is not GrantKind.REFRESH_TOKEN

    async def revoke(self, name: str, peer: Peer) -> ScopedSocket:
        """Close a socket, by its name or its path: whoever is connected is cut off.

        Raises NotFoundError.
        """
        found = self._open.get(name)
        if found is None:
            found = next((one for one in self._open.values() if one.path == name), None)
        if found is None:
            message = f"there is no scoped socket {name[:64]!r}"
            raise NotFoundError(message, hint="run 'tool-agent socket list'")
        await self._close(found)
        self._tell(found, peer, "revoked", found.path)
        return found

    async def _close(self, one: ScopedSocket) -> None:
        self._open.pop(one.name, None)
        self._troubles.pop(one.name, None)
        await self._places.close(one)
        await self._places.forget(one)

    # -- the agent's own life --------------------------------------------------------------------

    async def recover(self) -> None:
        """Open what was made before the agent was started anew."""
        now = self._clock.now()
        for one in await self._places.recorded():
            if one.agent != self._agent or one.name in {*self._open, *self._making}:
                continue
            if one.ends_at is not None and one.ends_at <= now.wall:
                await self._places.close(one)
                await self._places.forget(one)
                self._tell(one, NOBODY, "ended", one.path)
                continue
            try:
                await self._places.open(one, self._rights(one, now))
            except AgentError as error:
                self._troubles[one.name] = f"the scoped socket {one.name}: {error.detail}"
                log.warning("%s", self._troubles[one.name])
                continue
            self._open[one.name] = one
            self._troubles.pop(one.name, None)

    async def tick(self) -> None:
        """Take away what has ended. That it serves nothing any more is the gate's to see to."""
        now = self._clock.now().wall
        for one in list(self._open.values()):
            if one.ends_at is not None and one.ends_at <= now:
                await self._close(one)
                self._tell(one, NOBODY, "ended", one.path)
        if self._troubles:
            await self.recover()

    @property
    def reasons(self) -> list[str]:
        """One sentence for every recorded socket that could not be opened."""
        return list(self._troubles.values())

    async def close(self) -> None:
        """The agent ends: its sockets go with it, their records stay."""
        for one in list(self._open.values()):
            await self._places.close(one)

    @staticmethod
    def _rights(one: ScopedSocket, now: Instant) -> Rights:
        ends = None if one.ends_at is None else now.plus(one.ends_at - now.wall)
        return Rights(one.name, one.tool, one.account, one.scope, ends, foreign=one.foreign)

    def _tell(self, one: ScopedSocket, peer: Peer, outcome: str, detail: str) -> None:
        self._broker.gate.witness.record(
            AuditLine(
                self._clock.now().wall,
                AuditEvent.SOCKET,
                outcome,
                peer,
                one.tool,
                one.account,
                one.scope,
                detail=f"{one.name}: {detail}",
            )
        )
