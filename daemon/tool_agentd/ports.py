"""What the pure rooms and the broker need from the world, as Protocols; adapters provide it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from tool_agentd.model import (
    AccountKey,
    End,
    Grant,
    HeldGrant,
    HttpReply,
    HttpRequest,
    Instant,
    Page,
)
from tool_agentd.secret import Secret


class Clock(Protocol):
    """Both clocks."""

    def now(self) -> Instant:
        """Return this moment."""
        ...


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What `status` says about the store."""

    kind: str
    """`keychain`, `vault` or `memory`."""
    rests: str
    """Where secrets rest, in words: "the OS keychain (GNOME Keyring)"."""
    problems: Sequence[str] = ()
    """Why it does not answer, if it does not; one sentence each."""


class Store(Protocol):
    """Where grants rest: grants.db and its boxes.

    Every method raises StoreUnavailableError when the database or the box does not answer in time
    or cannot be opened; what is there is then left as it is. Nothing above may assume that it is
    the only writer.
    """

    async def list(self) -> tuple[Grant, ...]:
        """Return every stored grant, revoke-only ones too, without opening a box."""
        ...

    async def current(self, key: AccountKey) -> Grant | None:
        """Return the account's current grant or tombstone; None where there is neither.

        No box is opened.
        """
        ...

    async def read(self, key: AccountKey) -> HeldGrant | None:
        """Return the account's current grant with its secret; None where there is none."""
        ...

    async def unseal(self, grant: Grant) -> Secret:
        """Return the secret of exactly this generation of a grant, revoke-only ones too."""
        ...

    async def prepare(self) -> None:
        """Make sure that a login's grant could be stored now, without asking anybody.

        Raises StoreUnavailableError that says why not, before the person is sent to a provider.
        """
        ...

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Store the next generation durably and return it with its generation and standing.

        `expected` is the generation of the current grant or tombstone, 0 where the account must
        have none; otherwise ConflictError. The replaced generation is erased.
        """
        ...

    async def retire(self, grant: Grant) -> Grant:
        """Make the grant revoke-only, durably: from now on nothing is served from it."""
        ...

    async def bury(self, grant: Grant, end: End) -> None:
        """Erase the secret of the account's current grant and leave a tombstone with the reason.

        `read` then returns None, `list` shows the tombstone, and a `write` that expects its
        generation replaces it. ConflictError where this generation is not the current one.
        """
        ...

    async def delete(self, grant: Grant) -> None:
        """Erase this generation of a grant and its secret. Erasing what is gone is no error."""
        ...

    def lease(self, key: AccountKey) -> AbstractAsyncContextManager[None]:
        """Hold the account for one refresh at a time, across processes that share the store."""
        ...

    async def choices(self) -> Mapping[str, str]:
        """Return the account label that the person chose for each tool."""
        ...

    async def choose(self, tool: str, label: str | None) -> None:
        """Remember the account label for a tool; None forgets it."""
        ...

    async def unlock(self, passphrase: Secret) -> None:
        """Open what a passphrase seals. Raises InvalidRequestError where nothing is."""
        ...

    async def status(self) -> StoreStatus:
        """Return where secrets rest and what is wrong, without prompting anybody."""
        ...

    async def close(self) -> None:
        """Let go of files and threads."""
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

    async def listen(
        self, host: str, port: int, path: str, answer: Callable[[str], Awaitable[Page]]
    ) -> Listener:
        """Listen on loopback only; `answer` gets the path and query of the one callback.

        Port 0 takes any free port. ConflictError where the port is taken.
        """
        ...
