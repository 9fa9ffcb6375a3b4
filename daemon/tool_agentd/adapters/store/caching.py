"""What is kept beside a login in grants.db: the table `caches`, inside a transaction.

A login is told from every other of its account by its moment, which each of its generations has:
what was kept beside one is never found beside the next, and goes when it goes.
"""

import hashlib
import hmac
import struct
from sqlite3 import Connection

from tool_agentd.adapters.store import rows, tables
from tool_agentd.adapters.store.rows import DIGEST_BYTES
from tool_agentd.adapters.store.schema import Header
from tool_agentd.model import AccountKey, Grant, Standing


def kept(connection: Connection, header: Header, key: AccountKey) -> dict[str, str]:
    """Return the texts beside the account's current login, by name; damaged ones are not there."""
    login = _login(connection, header, key)
    query = (
        "SELECT name, content, digest FROM caches"
        " WHERE provider = ? AND label = ? AND obtained_at = ?"
    )
    found = connection.execute(query, (key.provider, key.label, login)).fetchall()
    return {
        name: content.decode(errors="replace")
        for name, content, digest in found
        if login is not None and _sound(key, name, login, content, digest, header)
    }


def keep(connection: Connection, header: Header, grant: Grant, name: str, text: str) -> bool:
    """Keep a text beside a login; False where it is not the account's current one."""
    if _login(connection, header, grant.key) != grant.obtained_at:
        return False
    content = text.encode()
    connection.execute(
        "INSERT OR REPLACE INTO caches VALUES (?,?,?,?,?,?)",
        (
            grant.key.provider,
            grant.key.label,
            name,
            grant.obtained_at,
            content,
            _digest(grant.key, name, grant.obtained_at, content, header),
        ),
    )
    return True


def drop(connection: Connection, header: Header, key: AccountKey) -> None:
    """Erase what belongs to a login that is no longer the account's current one."""
    connection.execute(
        "DELETE FROM caches WHERE provider = ? AND label = ? AND obtained_at IS NOT ?",
        (key.provider, key.label, _login(connection, header, key)),
    )


def _login(connection: Connection, header: Header, key: AccountKey) -> float | None:
    """Return when the account's current login was; None where there is none, or a damaged one."""
    row = tables.current(connection, key)
    grant = rows.grant_of(row, header.salt) if row is not None else None
    if grant is None or grant.standing is not Standing.CURRENT:
        return None
    return grant.obtained_at


def _sound(  # noqa: PLR0913 - every column of the row
    key: AccountKey, name: object, login: float, content: object, digest: object, header: Header
) -> bool:
    """Tell whether a row is as it was written; damage may have taken its types as well."""
    if not (isinstance(name, str) and isinstance(content, bytes) and isinstance(digest, bytes)):
        return False
    return hmac.compare_digest(digest, _digest(key, name, login, content, header))


def _digest(key: AccountKey, name: str, login: float, content: bytes, header: Header) -> bytes:
    mac = hmac.new(header.salt, b"tool-agent cache 1", hashlib.sha256)
    texts = (part.encode(errors="surrogateescape") for part in (key.provider, key.label, name))
    for part in (*texts, struct.pack(">d", login), content):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()[:DIGEST_BYTES]
