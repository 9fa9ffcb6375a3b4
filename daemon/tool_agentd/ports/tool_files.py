"""The tools' own files, under leases, and the processes that they are for."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

import msgspec

from tool_agentd.secret import Secret

T = TypeVar("T")


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
