"""The agent's lock in grants.db: the one row of the table `lock`, inside a transaction."""

import hashlib
import hmac
from sqlite3 import Connection

import msgspec

from tool_agentd.adapters.store import sealing
from tool_agentd.adapters.store.rows import DIGEST_BYTES
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.trouble import DamagedError
from tool_agentd.model import StoredLock

_decoder = msgspec.json.Decoder(StoredLock)


def read(connection: Connection, header: Header) -> StoredLock | None:
    """Return what is kept; a row that is not as it was written is no permission to serve."""
    row = connection.execute("SELECT record, digest FROM lock").fetchone()
    if row is None:
        return None
    record, digest = row
    sound = isinstance(record, bytes) and isinstance(digest, bytes)
    if not sound or not hmac.compare_digest(digest, _digest(record, header)):
        raise _damaged()
    try:
        found = _decoder.decode(record)
    except (msgspec.DecodeError, ValueError):
        raise _damaged() from None
    if found.verifier.cost not in sealing.SCRYPT_N_RANGE:
        raise _damaged()
    return found


def keep(connection: Connection, header: Header, lock: StoredLock | None) -> None:
    """Keep that instead."""
    if lock is None:
        connection.execute("DELETE FROM lock")
        return
    record = msgspec.json.encode(lock)
    connection.execute(
        "INSERT OR REPLACE INTO lock VALUES (1, ?, ?)", (record, _digest(record, header))
    )


def _digest(record: bytes, header: Header) -> bytes:
    return hmac.digest(header.salt, b"tool-agent lock 1" + record, hashlib.sha256)[:DIGEST_BYTES]


def _damaged() -> DamagedError:
    return DamagedError(
        "what grants.db says about the agent's lock is damaged",
        hint="put a backup of grants.db in its place, or move it away and log in again",
    )
