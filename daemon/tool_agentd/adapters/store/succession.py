"""Successors: items that a rotation has written, and whose row is not there yet.

Whoever writes one notes beforehand which generation it is to replace and the fingerprint of its
secret, under a digest. After a crash it may hold the only token that the provider still takes: it
is no orphan as long as that generation is the account's current one.
"""

import hashlib
import hmac
from dataclasses import replace
from sqlite3 import Connection

from tool_agentd.adapters.store import rows, tables
from tool_agentd.adapters.store.rows import DIGEST_BYTES, Row
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.tables import Leftover
from tool_agentd.model import AccountKey, Standing
from tool_agentd.secret import Secret


def successor(noted: Leftover, replaced: Row, secret: Secret, header: Header) -> Leftover:
    """Return the note of an item that is to replace the row's, with this secret."""
    fingerprint = rows.fingerprint(secret.reveal(), header.salt)
    said = replace(noted, replaces=replaced.generation, fingerprint=fingerprint)
    return replace(said, digest=_digest(said, header))


def orphan(noted: Leftover) -> Leftover:
    """Return the note of an item that nobody is to adopt any more: it is swept."""
    return Leftover(noted.place, noted.item, noted.key, noted.generation)


def awaited(connection: Connection, header: Header, noted: Leftover) -> bool:
    """Tell whether an item may be what the account goes on with."""
    if not noted.replaces or not hmac.compare_digest(noted.digest, _digest(noted, header)):
        return False
    row = tables.current(connection, noted.key)
    return (
        row is not None
        and row.generation == noted.replaces
        and row.standing == Standing.CURRENT
        and noted.generation > row.generation
    )


def of(connection: Connection, header: Header, key: AccountKey) -> list[Leftover]:
    """Return the successors of the account's current generation, the newest first."""
    there = [
        noted
        for noted in tables.leftovers(connection)
        if noted.key == key and awaited(connection, header, noted)
    ]
    return sorted(there, key=lambda noted: noted.generation, reverse=True)


def adopted(row: Row, noted: Leftover, header: Header) -> Row:
    """Return the row that the rotation would have written: what the item was noted for."""
    new = replace(
        row,
        generation=noted.generation,
        box=rows.KEYCHAIN,
        place=noted.place,
        fingerprint=noted.fingerprint,
        sealed=None,
    )
    return rows.signed(new, header.salt)


def _digest(noted: Leftover, header: Header) -> bytes:
    mac = hmac.new(header.salt, b"tool-agent successor 1", hashlib.sha256)
    for part in (
        noted.place,
        noted.item,
        noted.key.provider,
        noted.key.label,
        str(noted.generation),
        str(noted.replaces),
    ):
        raw = part.encode(errors="surrogateescape")
        mac.update(len(raw).to_bytes(8, "big"))
        mac.update(raw)
    mac.update(noted.fingerprint)
    return mac.digest()[:DIGEST_BYTES]
