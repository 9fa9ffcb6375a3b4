"""The rest of the world: clocks, the network, the browser, the person who is asked, who records."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, TypeVar

from tool_agentd.model import (
    AuditLine,
    HttpReply,
    HttpRequest,
    Instant,
    Page,
    Question,
    Reply,
    Rights,
    ScopedSocket,
)
from tool_agentd.secret import Secret

T = TypeVar("T")


class Clock(Protocol):
    """Both clocks, and waiting by them."""

    def now(self) -> Instant:
        """Return this moment."""
        ...

    async def pause(self, seconds: float) -> None:
        """Return when so many seconds have passed: between two polls, and nowhere else."""
        ...


class Stretcher(Protocol):
    """Makes a guess at a passphrase cost its time."""

    @property
    def cost(self) -> int:
        """The N of scrypt for a new passphrase."""
        ...

    async def stretch(self, passphrase: Secret, salt: bytes, cost: int) -> bytes:
        """Return the key of a passphrase, worked out in a thread.

        TemporarilyUnavailableError where that takes too long.
        """
        ...


class Witness(Protocol):
    """Who records what was granted, refused and done: the audit trail."""

    def record(self, line: AuditLine) -> None:
        """Take a line; it is written within 100 ms, in order. Never fails, never blocks."""
        ...

    @property
    def urgent(self) -> bool:
        """Whether a line waits that has to be written before its answer: any but a plain grant."""
        ...

    async def settled(self) -> None:
        """Return when everything taken so far is written, or cannot be now."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """One sentence where the trail is not written, for `status`."""
        ...


class ScopedPlaces(Protocol):
    """Scoped sockets on the disk: where they listen, and the records of them."""

    def usual_path(self, name: str) -> str:
        """Return where a socket of this name listens, unless its person says otherwise."""
        ...

    async def record(self, socket: ScopedSocket) -> None:
        """Write its record durably. Raises ConfigurationError or TemporarilyUnavailableError."""
        ...

    async def forget(self, socket: ScopedSocket) -> None:
        """Remove its record, and the folder made for it; a disk that fails is logged."""
        ...

    async def recorded(self) -> Sequence[ScopedSocket]:
        """Return every record that makes sense."""
        ...

    async def open(self, socket: ScopedSocket, rights: Rights) -> None:
        """Listen, and serve with these rights. Raises ConfigurationError or ConflictError."""
        ...

    async def close(self, socket: ScopedSocket) -> None:
        """Stop listening, cut off whoever is connected, and take the socket away."""
        ...


class Trail(Protocol):
    """What the audit trail has."""

    async def last(self, count: int, read: Callable[[bytes], T | None]) -> Sequence[T]:
        """Return what `read` makes of the newest `count` lines that it takes, the oldest first.

        `read` gets each line as it stands there, damaged or not, in a thread; it returns None for
        a line that it does not take. Raises ConfigurationError where the trail may not be read, and
        TemporarilyUnavailableError where the disk does not answer.
        """
        ...


class Http(Protocol):
    """Outbound HTTP."""

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Send it and return the whole answer, whatever its status.

        `allowed` are the origins that may receive it; any other is a ConfigurationError, and
        nothing leaves the machine. Redirects are not followed. No connection, no answer within
        `deadline` seconds, or a body over 1 MiB: TemporarilyUnavailableError.
        """
        ...


class Listener(Protocol):
    """A loopback listener that waits for one callback (RFC 8252 section 7.3)."""

    @property
    def redirect_uri(self) -> str:
        """The address to register with the authorization request."""
        ...

    async def close(self) -> None:
        """Stop listening at once.

        A listener that had its callback ends by itself, after the page that tells the outcome has
        been read.
        """
        ...


class Loopback(Protocol):
    """Where the browser comes back to."""

    async def listen(  # noqa: PLR0913 - each one is a fact of its own
        self,
        host: str,
        port: int,
        path: str,
        answer: Callable[[str], Awaitable[Page]],
        *,
        brings: str = "code",
        belongs: Callable[[str], bool] | None = None,
    ) -> Listener:
        """Listen on loopback only; `answer` gets the path and query of the one callback.

        A callback has the parameter `brings`, or `error`, or `state`. One that `belongs` disowns
        is turned away and uses nothing up; without it, all belong. After a page that goes on
        elsewhere one more is taken. Port 0 takes any free port. ConflictError where the port is
        taken.
        """
        ...


# -- the tools' own files, and the processes that read them ---------------------------------------


class Prompter(Protocol):
    """Who puts a question to the person."""

    @property
    def way(self) -> str:
        """How the person would be asked now, in words; empty where nobody can be."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """One sentence where a way that the person has chosen is of no use, for `status`."""
        ...

    async def ask(self, question: Question) -> Reply:
        """Return what the person says, and how; cancelling takes the question away.

        Raises DeniedError where nobody can be asked, or whoever asks fails.
        """
        ...
