"""Where grants rest: grants.db and its boxes, behind `tool_agentd.ports.Store`."""

from collections.abc import Mapping
from pathlib import Path

from tool_agent import paths
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.store import kinds, rows
from tool_agentd.adapters.store.adopting import Adopter
from tool_agentd.adapters.store.database import Database
from tool_agentd.adapters.store.disk import DiskStore
from tool_agentd.adapters.store.grants_db import GrantsDb
from tool_agentd.adapters.store.keychain import Keychain
from tool_agentd.adapters.store.locks import LockFile, Locks
from tool_agentd.adapters.store.means import Means
from tool_agentd.adapters.store.memory import MemoryStore
from tool_agentd.adapters.store.reporting import Reporter
from tool_agentd.adapters.store.sweeping import Sweeper
from tool_agentd.adapters.store.vault import Vault
from tool_agentd.adapters.store.writing import Writer
from tool_agentd.errors import ConfigurationError, StoreUnavailableError

__all__ = ["SERVICE", "DiskStore", "Means", "MemoryStore", "open_store"]

SERVICE = "tool-agent"
"""The attribute `service` of our keychain items: what the person searches for."""

LOCK_FILE = "grants.lock"


def open_store(  # noqa: PLR0913 - named arguments, and one call in the program
    kind: str | None,
    *,
    state_dir: str,
    environ: Mapping[str, str],
    key: str | None = None,
    service: str = SERVICE,
    means: Means | None = None,
) -> DiskStore | MemoryStore:
    """Return the store; nothing is opened before the first call, nor by importing this.

    `kind` and `key` are `[store] kind` and `key` of config.toml, None where they are not set;
    TOOL_AGENT_STORE in `environ` goes before both. Raises ConfigurationError for an unknown kind
    or key.
    """
    means = means or Means()
    choice = kinds.choose(kind, key, environ)
    if choice.kind == kinds.MEMORY:
        return MemoryStore(means)

    def open_lock_file() -> LockFile:
        try:
            ensure_own_directory(state_dir)
        except ConfigurationError as error:
            raise StoreUnavailableError(error.detail, hint=error.hint) from error
        return LockFile.open(str(Path(state_dir) / LOCK_FILE))

    database = Database(GrantsDb(state_dir))
    keychain = Keychain(service, available=means.keychains, deadline=means.keychain_deadline)
    vault = Vault(
        choice.source or rows.KEYCHAIN,
        environ=environ,
        keychain=keychain,
        scrypt_n=means.scrypt_n,
    )
    locks = Locks(open_lock_file, wait=means.wait, patience=means.patience)
    sweeper = Sweeper(database, keychain, locks, means.failpoint)
    return DiskStore(
        database=database,
        keychain=keychain,
        vault=vault,
        locks=locks,
        sweeper=sweeper,
        adopter=Adopter(database, keychain, locks, sweeper, means.failpoint),
        writer=Writer(
            choice.kind,
            database=database,
            keychain=keychain,
            vault_=vault,
            locks=locks,
            failpoint=means.failpoint,
        ),
        reporter=Reporter(
            choice,
            database=database,
            keychain=keychain,
            vault=vault,
            monotonic=means.monotonic,
            passphrase_in_file=bool(environ.get(paths.PASSPHRASE_FILE)),
        ),
    )
