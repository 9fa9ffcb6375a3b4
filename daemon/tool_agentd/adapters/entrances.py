"""Entrances: the sockets that are served, each by a door and a server, and the room they share.

One room for all: a flood on a scoped socket takes no place from the agent's own, beyond what the
door sees out again.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from itertools import chain
from typing import Protocol

from tool_agentd.adapters.door import Door, Guest

PATIENCE = 0.2
"""Seconds that an answer under way gets when its socket is taken away (0 would be no limit)."""


class Host(Protocol):
    """A server, as `api` has it."""

    on_room: Callable[[], None]

    @property
    def guests(self) -> Collection[Guest]:
        """The connections whose descriptors are in use."""
        ...

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        ...

    def pre_shutdown(self) -> None:
        """Close the connections on which nothing is under way."""
        ...

    async def shutdown(self, patience: float | None = None, /) -> None:
        """Cut off every connection."""
        ...


class Entrance:
    """One socket that is served."""

    def __init__(self, door: Door, host: Host, closed: Callable[["Entrance"], None]) -> None:
        """Keep both; `closed` hears of the end."""
        self.door = door
        self.host = host
        self._closed = closed

    def shut(self) -> None:
        """Take in nobody any more. Those who are in stay."""
        self.door.close()

    async def close(self) -> None:
        """Take in nobody any more, and cut off whoever is in."""
        self.shut()
        self.host.pre_shutdown()
        await self.host.shutdown(PATIENCE)
        self._closed(self)


class Entrances:
    """All of them."""

    def __init__(self, room: int, full: bytes) -> None:
        """Share `room` connections; `full` is said to one for whom there is no descriptor."""
        self._room = room
        self._full = full
        self._open: list[Entrance] = []

    def open(self, sock: socket.socket, host: Host) -> Entrance:
        """Begin to serve a listening socket."""
        door = Door(sock, host, self._guests, room=self._room, full=self._full)
        entrance = Entrance(door, host, self._open.remove)
        self._open.append(entrance)
        host.on_room = self._left
        return entrance

    def shut(self) -> None:
        """Take in nobody any more, on none of them. Those who are in stay."""
        for one in self._open:
            one.shut()

    def _guests(self) -> Collection[Guest]:
        if len(self._open) == 1:
            return self._open[0].host.guests
        return list(chain.from_iterable(one.host.guests for one in self._open))

    def _left(self) -> None:
        for one in self._open:
            one.door.left()
