"""The door: takes clients in, as many as there are descriptors for, and sees one out when full.

asyncio's own server accepts until the descriptors are gone, logs a traceback for every client that
it then cannot take, and takes nobody for a second. Here the number of connections is bounded by
the limit of the process, so that the agent's own files, the keychain and the providers keep theirs.

Who has to leave: of the process that has most connections, the one that has waited longest for its
client, be it a kept one at rest or a request that does not come to its end. So a process with
hundreds of them costs another process none. A request that is being answered is left alone, unless
its process holds more than half of the room with such as take their time (long polls).
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Collection
from typing import Protocol

PER_CONNECTION = 2
"""Descriptors of one connection: its socket, and one that stands for the process at its end."""
OWN_LEAST, OWN_MOST = 32, 256
"""Descriptors kept for the agent itself, between which a quarter of the limit is taken. At rest it
has about 15; a database in use, a keychain, a login's listener and each provider add their own."""
ROOM_LEAST = 4
"""Connections that are taken in any case."""
AT_ONCE = 16
"""Clients taken before the loop looks after those that are there."""
GRACE = 0.005
"""Seconds in which a client may begin to speak before it can be seen out: those who come from the
queue have mostly sent their request already, and the loop has yet to read it."""
LONG = 1.0
"""Seconds after which an answer that is being made counts as one that takes its time."""
AGAIN = 0.1
"""Seconds until the next try where the kernel had no descriptor and nobody can be seen out."""

_STARVED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) answers with where something has run out."""

log = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection that was taken in."""

    @property
    def pid(self) -> int:
        """The process at its other end."""

    @property
    def awaited(self) -> bool:
        """Whether it is its client's turn: nothing was asked, or not all of it."""

    @property
    def since(self) -> float:
        """When that turn began, on the loop's clock."""

    def see_out(self) -> None:
        """Close it, and take it off the list of guests at once."""


def room_for(descriptors: int) -> int:
    """Return how many connections there may be where the process may have `descriptors`."""
    own = min(max(descriptors // 4, OWN_LEAST), OWN_MOST)
    return max((descriptors - own) // PER_CONNECTION, ROOM_LEAST)


def leaves(guests: Collection[Guest], room: int, now: float) -> Guest | None:
    """Return who has to leave for another to come in; None where nobody does for the moment."""
    counts = Counter(guest.pid for guest in guests)
    most = max(counts.values(), default=0)
    greedy = [guest for guest in guests if counts[guest.pid] == most]
    waiting = [guest for guest in greedy if guest.awaited]
    if waiting:  # all of them too young to go: a moment's patience, and another's is left alone
        found = [guest for guest in waiting if now - guest.since >= GRACE]
    elif most * 2 > room:
        found = [guest for guest in greedy if now - guest.since >= LONG]
    else:
        found = [guest for guest in guests if guest.awaited and now - guest.since >= GRACE]
    return min(found, key=lambda guest: guest.since, default=None)


class Door:
    """Accepts on a listening socket until it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        guests: Callable[[], Collection[Guest]],
        *,
        room: int,
        full: bytes,
    ) -> None:
        """Accept on `sock`, which does not block and stays its owner's.

        `guests` are those whom `protocol` has let in. `full` is said to one for whom the kernel
        has no descriptor. Whoever owns the guests calls `left` when one has gone.
        """
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._protocol = protocol
        self._guests = guests
        self._room = room
        self._full = full
        self._arriving: set[asyncio.Task[None]] = set()
        self._spare: int | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self._keep_spare()
        self._loop.add_reader(sock, self._knocked)

    def left(self) -> None:
        """Take note that there is room again."""
        if self._pause is not None:
            self._resume()

    def close(self) -> None:
        """Take in nobody any more. Those who are in stay."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _knocked(self) -> None:
        for _ in range(AT_ONCE):
            full = len(self._guests()) + len(self._arriving) >= self._room
            if full and self._arriving:
                return  # whose they are is known in the loop's next round
            if full and not self._make_room():
                self._rest(GRACE)
                return
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _STARVED:
                    raise
                self._starved(error)
                return
            connection.setblocking(False)  # noqa: FBT003 - the library's signature
            task = asyncio.ensure_future(self._take_in(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
            if full:
                return  # the descriptors of the one who leaves are free in the loop's next round

    async def _take_in(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            connection.close()
            log.warning("a client was lost at the door: %s", error.strerror)

    def _make_room(self) -> bool:
        guest = leaves(self._guests(), self._room, self._loop.time())
        if guest is None:
            return False
        log.warning("%d connections are as many as there is room for: one has to go", self._room)
        guest.see_out()
        return True

    def _starved(self, error: OSError) -> None:
        """See somebody out; failing that, tell the next client with the spare descriptor."""
        log.warning("no descriptor for another client: %s", error.strerror)
        if self._make_room() or any(guest.awaited for guest in self._guests()):
            self._rest(GRACE)  # there is one, or there will be
            return
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with contextlib.suppress(OSError), self._sock.accept()[0] as connection:
                connection.setblocking(False)  # noqa: FBT003 - the library's signature
                connection.send(self._full)
        self._keep_spare()
        self._rest(AGAIN)

    def _keep_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _rest(self, seconds: float) -> None:
        """Leave clients to the kernel's queue for a moment."""
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._open:
            self._keep_spare()
            self._loop.add_reader(self._sock, self._knocked)
