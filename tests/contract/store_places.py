"""Places for a store to rest in, one for each kind and key source, and what tests put there."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from tool_agentd.adapters.store import DiskStore, Means, open_store
from tool_agentd.adapters.store.key_files import CREDENTIAL
from tool_agentd.model import AccountKey, Grant, GrantKind, Identity, StoredLock, Verifier
from tool_agentd.secret import Secret

T = TypeVar("T")

KEY = AccountKey("cre", "default")
OTHER = AccountKey("cre", "work")
SERVICE = "tool-agent-test"
QUICK_SCRYPT = 2**10
"""scrypt at 2^17 takes half a second; one test uses that."""

LOCK = StoredLock(
    Verifier(bytes(range(32)), 2**17, bytes(range(224, 256))), locked=True, keep=False, failures=3
)
"""A lock with every field set, and bytes that are no text."""


def grant(
    key: AccountKey = KEY, *, kind: GrantKind = GrantKind.REFRESH_TOKEN, generation: int = 0
) -> Grant:
    """Return a grant as a login makes it."""
    return Grant(
        key=key,
        kind=kind,
        method="browser",
        credential="session",
        origins=("https://cre.example", "https://api.cre.example:8443"),
        obtained_at=1_700_000_000.25,
        scopes=("read", "write"),
        identity=Identity("Zoë <zoe@example.com>", "sub|1"),
        ends_at=1_800_000_000.0,
        ends_because="the platform gave it until then",
        kept=(("email", "ada@example.com"), ("slug", "acme")),
        generation=generation,
    )


def secret() -> Secret:
    """Return a secret that no other test has."""
    return Secret("rt-" + secrets.token_urlsafe(24))


@dataclass(frozen=True)
class Place:
    """Somewhere a store can be opened again and again."""

    kind: str
    state: Path
    environ: dict[str, str] = field(default_factory=dict)
    means: Means = field(default_factory=lambda: Means(scrypt_n=QUICK_SCRYPT))

    @property
    def outlives(self) -> bool:
        """Whether what is stored is there when the store is opened again."""
        return self.kind != "memory"

    @property
    def database(self) -> Path:
        """grants.db."""
        return self.state / "grants.db"

    def store(self) -> DiskStore:
        """Open the store; a test that runs over every kind uses only what all of them have."""
        store = open_store(
            None,
            state_dir=str(self.state),
            environ=self.environ | {"TOOL_AGENT_STORE": self.kind},
            service=SERVICE,
            means=self.means,
        )
        return cast("DiskStore", store)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DiskStore]:
        """Open the store, and close it after use."""
        store = self.store()
        try:
            yield store
        finally:
            await store.close()

    def run(self, use: Callable[[DiskStore], Coroutine[Any, Any, T]]) -> T:
        """Run `use` on the store, opened for it alone."""

        async def main() -> T:
            async with self.opened() as store:
                return await use(store)

        return asyncio.run(main())


def passphrase_place(home: Path, words: str = "correct horse") -> Place:
    """A vault under a passphrase in a file."""
    file = home / "passphrase"
    file.write_text(words + "\n")
    file.chmod(0o600)
    return Place("vault:passphrase", home / "state", {"TOOL_AGENT_PASSPHRASE_FILE": str(file)})


def credential_place(home: Path) -> Place:
    """A vault under a systemd credential."""
    directory = home / "credentials"
    directory.mkdir(exist_ok=True)
    file = directory / CREDENTIAL
    file.write_bytes(secrets.token_bytes(32))
    file.chmod(0o400)
    return Place("vault:credential", home / "state", {"CREDENTIALS_DIRECTORY": str(directory)})


def vault_in_keychain_place(home: Path) -> Place:
    """A vault under a key in the keychain of this process's session."""
    return Place("vault:keychain", home / "state")


def keychain_place(home: Path) -> Place:
    """One keychain item for each grant."""
    return Place("keychain", home / "state")


def memory_place(home: Path) -> Place:
    """Nothing on the disk."""
    return Place("memory", home / "state")


NEED_KEYCHAIN = {"vault:keychain", "keychain"}

PLACES: dict[str, Callable[[Path], Place]] = {
    "memory": memory_place,
    "vault:passphrase": passphrase_place,
    "vault:credential": credential_place,
    "vault:keychain": vault_in_keychain_place,
    "keychain": keychain_place,
}
