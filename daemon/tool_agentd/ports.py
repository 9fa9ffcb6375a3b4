"""What the pure rooms and the broker need from the world, as Protocols; adapters provide it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from tool_agentd.model import (
    AccountKey,
    AuditLine,
    End,
    Grant,
    HeldGrant,
    HttpReply,
    HttpRequest,
    Instant,
    JournalEntry,
    Page,
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


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What `status` says about the store."""

    kind: str
    """`keychain`, `vault` or `memory`."""
    rests: str
    """Where secrets rest, in words: "the OS keychain (GNOME Keyring)"."""
    problems: Sequence[str] = ()
    """Why it does not answer, if it does not; one sentence each."""


JOURNAL_LENGTH = 200
"""Entries kept of one account: two or three for each refresh, so the last days of an hourly token,
and some 40 KiB. A login that was lost is asked about within hours."""
JOURNAL_TOTAL = 10_000
"""Entries kept of all accounts together before those of accounts that are gone make room: labels
are free, and a machine that signs in under a new one each time must not fill the disk."""


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

    async def caches(self, key: AccountKey) -> Mapping[str, str]:
        """Return what is kept beside the account's current login, by name. No box is opened."""
        ...

    async def keep_cache(self, grant: Grant, name: str, text: str) -> bool:
        """Keep a text beside a login, durably; False where that is no longer the current one.

        It lasts as long as the login does, whatever its generations, and goes with it.
        """
        ...

    async def fingerprint(self, grant: Grant, secret: Secret) -> str:
        """Return what stands for a secret of a grant in the journal of this store."""
        ...

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Add to the journal, all of it or nothing, durably when this returns.

        Of each account the newest `JOURNAL_LENGTH` entries are kept.
        """
        ...

    async def history(self, key: AccountKey) -> tuple[JournalEntry, ...]:
        """Return what the journal has of an account, the oldest first."""
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


class Doors(Protocol):
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
        self,
        host: str,
        port: int,
        path: str,
        answer: Callable[[str], Awaitable[Page]],
        *,
        brings: str = "code",
    ) -> Listener:
        """Listen on loopback only; `answer` gets the path and query of the one callback.

        A callback has the parameter `brings`, or `error`, or `state`. After a page that goes on
        elsewhere one more is taken. Port 0 takes any free port. ConflictError where the port is
        taken.
        """
        ...


# -- the tools' own files, and the processes that read them ---------------------------------------


class LeasedProcess(msgspec.Struct, frozen=True):
    """A process that reads what was delivered."""

    pid: int
    mark: str
    """Tells it from every other process that has, had or gets its number."""


class LeasedFile(msgspec.Struct, frozen=True):
    """A file that was written for a command."""

    path: str
    """Where the tool looks."""
    digests: tuple[str, ...] = ()
    """SHA-256 of everything that we have written, or are about to write, there."""
    original: str | None = None
    """SHA-256 of what stood there before, if anything did."""
    aside: str = ""
    """Where that is kept meanwhile."""
    mode: int | None = None
    """The permissions that it had."""


class KeptFile(msgspec.Struct, frozen=True):
    """A version of a file that could not be put back, and where it is."""

    path: str
    aside: str
    why: str = ""
    """Why it could not be moved there; empty where there are two versions of it."""


class Lease(msgspec.Struct, frozen=True):
    """Files written for commands that run now. It is recorded durably before any is written."""

    id: str
    tool: str
    file: str
    """Which file of the definition the first one is; empty where none is the credential's own."""
    provider: str
    label: str
    since: float
    """Wall time."""
    obtained_at: float = 0.0
    """Of the login that was delivered: a later one of the account is another."""
    over: bool = False
    """The account was logged out: all is put back, whoever still runs, and nothing taken over."""
    files: tuple[LeasedFile, ...] = ()
    processes: tuple[LeasedProcess, ...] = ()
    directory: str = ""
    """The private directory below which they stand; empty: in place."""
    stands_for: str = ""
    """The directory of the person's in whose place that one is."""
    inode: tuple[int, int] | None = None
    """Device and inode of the private directory, once it is made: nothing else is touched there."""
    made: tuple[str, ...] = ()
    """Directories that were made for them, the outermost first."""
    kept: tuple[KeptFile, ...] = ()
    """What is left once it is over: nothing of ours, and these for the person to look at."""


class ToolFileText(msgspec.Struct, frozen=True):
    """What a tool's own file holds."""

    path: str
    text: Secret
    digest: str


class ImportNote(msgspec.Struct, frozen=True):
    """An import under way: this file's login goes to this account, and then the file goes."""

    path: str
    digest: str
    provider: str
    label: str
    obtained_at: float
    """Of the grant that is made of it: a later login of the account is another one."""


class ToolFiles(Protocol):
    """The tools' own files. Nothing is followed, read or written that somebody else could change.

    Every method raises ConfigurationError, naming the file and the reason, for what is refused or
    fails, and TemporarilyUnavailableError where the disk does not answer; what it was to do may
    then still come about.
    """

    @property
    def unreadable(self) -> Sequence[str]:
        """One sentence for every record that made no sense when they were last looked at."""
        ...

    async def leases(self) -> tuple[Lease, ...]:
        """Return every lease that is recorded, and remove what an interrupted write has left."""
        ...

    async def read(self, path: str) -> ToolFileText | None:
        """Return what a tool's own file holds; None where there is none."""
        ...

    async def parsed(self, parse: Callable[[], T]) -> T:
        """Return what `parse` makes of a file's text, in a thread: others never wait for it.

        TemporarilyUnavailableError where it takes too long.
        """
        ...

    async def write(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        """Record the lease, put aside what is there, and write the files, the credential's first.

        With `stands_for` they are written below a private directory instead. Called again for a
        lease that is recorded, it replaces what we wrote before. ConflictError where the tool has
        changed one since, or another lease has the path. Where it fails, everything is as it was.
        """
        ...

    async def amend(self, identifier: str, change: Callable[[Lease], Lease]) -> Lease | None:
        """Change what is recorded of a lease, alone; None where nothing is."""
        ...

    async def changed(self, lease: Lease) -> tuple[ToolFileText, ...]:
        """Return the files of a lease that are there and are not as we wrote them."""
        ...

    async def end(self, lease: Lease, taken: Collection[str] = ()) -> Lease | None:
        """Put everything back, and forget the lease.

        A changed file whose path is in `taken` is gone with it; of any other both versions are
        kept, and the lease that is returned says where.
        """
        ...

    async def forget_kept(self, lease: Lease) -> Lease | None:
        """Return what the person has not yet moved away of what was kept; None: nothing."""
        ...

    async def erase(self, path: str, digest: str) -> bool:
        """Erase a file that still has this content; tell whether it is gone."""
        ...

    async def note_import(self, note: ImportNote) -> None:
        """Record, durably, that an import has begun."""
        ...

    async def imports(self) -> tuple[ImportNote, ...]:
        """Return the imports that have begun and not ended."""
        ...

    async def end_import(self, note: ImportNote) -> None:
        """Forget an import."""
        ...


class Processes(Protocol):
    """Other processes of this machine."""

    def mark(self, pid: int) -> str | None:
        """Return what tells this process from others of its number; None where none runs."""
        ...

    async def ended(self, process: LeasedProcess) -> None:
        """Return once the process has ended; at once where its number means another one now."""
        ...
