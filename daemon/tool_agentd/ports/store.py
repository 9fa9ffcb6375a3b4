"""The store: where grants rest."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tool_agentd.model import (
    AccountKey,
    End,
    Grant,
    HeldGrant,
    JournalEntry,
    StoredLock,
)
from tool_agentd.secret import Secret

T = TypeVar("T")


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


Presented = Callable[[Sequence[JournalEntry], str], bool]
"""Tells from an account's history whether the refresh token with this fingerprint was presented,
and what came of it was never stored."""


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

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:
        """Store what a rotation brought whose writer died before it was stored as a whole.

        It becomes the account's next generation, if `presented` says that the current one's token
        set out for it, and is erased otherwise. None where there is nothing, or no use in it.
        Raises StoreUnavailableError or TemporarilyUnavailableError where that cannot be seen now:
        the current token is then not to be presented. The caller holds the lease, or is about to
        end the account.
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

    async def sealed(self) -> bool:
        """Tell whether grants are there that only a passphrase opens which nobody has typed."""
        ...

    def drop(self) -> None:
        """Forget keys that are held open; what only memory has stays."""
        ...

    async def lock(self) -> StoredLock | None:
        """Return what is kept of the agent's lock."""
        ...

    async def keep_lock(self, lock: StoredLock | None) -> None:
        """Keep that instead, durably; None forgets it."""
        ...

    async def status(self) -> StoreStatus:
        """Return where secrets rest and what is wrong, without prompting anybody."""
        ...

    async def close(self) -> None:
        """Let go of files and threads."""
        ...
