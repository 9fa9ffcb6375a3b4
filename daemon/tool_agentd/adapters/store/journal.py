"""The table `journal` of grants.db: what was attempted for an account and what came of it.

Each entry carries a digest as every row does: a damaged one is not there. `place` is which lease
file its writer held; a store that was copied has another.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from tool_agentd.adapters.store.rows import DIGEST_BYTES
from tool_agentd.adapters.store.schema import Header
from tool_agentd.model import AccountKey, JournalEntry, JournalEvent
from tool_agentd.ports import JOURNAL_LENGTH, JOURNAL_TOTAL

DETAIL_LENGTH = 500
"""Characters of a detail: a provider's reason is cut at fewer."""

_COLUMNS = "at, event, generation, fingerprint, attempt, detail, asker, place, digest"


def add(
    connection: Connection, header: Header, entries: Sequence[JournalEntry], place: str
) -> None:
    """Add entries, then drop what is past the bounds."""
    for entry in entries:
        values = _values(entry, place)
        connection.execute(
            f"INSERT INTO journal (provider, label, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - a constant only
            (entry.key.provider, entry.key.label, *values, _digest(entry.key, values, header)),
        )
    for key in {entry.key for entry in entries}:
        connection.execute(
            "DELETE FROM journal WHERE provider = ?1 AND label = ?2 AND number <="
            " (SELECT number FROM journal WHERE provider = ?1 AND label = ?2"
            " ORDER BY number DESC LIMIT 1 OFFSET ?3)",
            (key.provider, key.label, JOURNAL_LENGTH),
        )
    # An account that still has a grant keeps its own, however many others came and went.
    connection.execute(
        "DELETE FROM journal WHERE number <="
        " (SELECT number FROM journal ORDER BY number DESC LIMIT 1 OFFSET ?)"
        " AND NOT EXISTS (SELECT 1 FROM grants"
        " WHERE grants.provider = journal.provider AND grants.label = journal.label)",
        (JOURNAL_TOTAL,),
    )


def of(
    connection: Connection, header: Header, key: AccountKey, place: str
) -> tuple[JournalEntry, ...]:
    """Return an account's entries in the order in which they were added."""
    query = f"SELECT {_COLUMNS} FROM journal WHERE provider = ? AND label = ? ORDER BY number"  # noqa: S608 - a constant only
    found = (
        _entry(key, columns, header, place)
        for columns in connection.execute(query, (key.provider, key.label))
    )
    return tuple(entry for entry in found if entry is not None)


def _values(entry: JournalEntry, place: str) -> tuple[Any, ...]:
    return (
        float(entry.at),
        entry.event.value,
        entry.generation,
        entry.fingerprint,
        entry.attempt,
        entry.detail[:DETAIL_LENGTH].encode(errors="replace").decode(),
        entry.by,
        place,
    )


def _entry(
    key: AccountKey, columns: tuple[Any, ...], header: Header, place: str
) -> JournalEntry | None:
    """Return an entry; None where it is damaged, or of a kind that only a later version knows."""
    *values, digest = columns
    kinds = (float, str, int, str, int, str, str, str)
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        return None
    if not isinstance(digest, bytes) or not hmac.compare_digest(
        digest, _digest(key, tuple(values), header)
    ):
        return None
    at, event, generation, fingerprint, attempt, detail, by, where = values
    try:
        known = JournalEvent(event)
    except ValueError:
        return None
    return JournalEntry(
        at=at,
        key=key,
        event=known,
        generation=generation,
        fingerprint=fingerprint,
        attempt=attempt,
        detail=detail,
        by=by,
        here=where == place,
    )


def _digest(key: AccountKey, values: tuple[Any, ...], header: Header) -> bytes:
    mac = hmac.new(header.salt, b"tool-agent journal 1", hashlib.sha256)
    for part in (key.provider, key.label, *values):
        raw = struct.pack(">d", part) if isinstance(part, float) else str(part).encode()
        mac.update(len(raw).to_bytes(8, "big"))
        mac.update(raw)
    return mac.digest()[:DIGEST_BYTES]
