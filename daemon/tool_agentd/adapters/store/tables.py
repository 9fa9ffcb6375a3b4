"""What is asked of the tables of grants.db, inside a transaction that `GrantsDb.run` has begun."""

from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

from tool_agentd.adapters.store.rows import Row
from tool_agentd.adapters.store.trouble import conflict
from tool_agentd.model import AccountKey

COLUMNS = "provider, label, generation, standing, box, place, facts, fingerprint, sealed, digest"
_SELECT = f"SELECT {COLUMNS} FROM grants"  # noqa: S608 - a constant
_INSERT = f"INSERT INTO grants ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - a constant
_EXACT = " WHERE provider = ? AND label = ? AND generation = ?"
_STAND = f"UPDATE grants SET standing = ?, digest = ?{_EXACT}"  # noqa: S608 - a constant
_REMOVE = f"DELETE FROM grants{_EXACT}"  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Leftover:
    """A keychain item that no row stands for: being written, or to be removed."""

    place: str
    item: str
    key: AccountKey
    generation: int
    replaces: int = 0
    """Of a successor (`succession`): the generation whose rotation it was written for."""
    fingerprint: bytes = b""
    """Of a successor: that of the secret that was to be in it."""
    digest: bytes = b""


def _loaded(found: tuple[Any, ...]) -> Row:
    """Return a row as stored; of one whose columns have lost their types, what still can be."""
    texts, blobs = [*found[:2], *found[3:6]], found[6:]
    if (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(blob, bytes) for blob in blobs if blob is not None)
        and isinstance(found[2], int)
    ):
        return Row(*found)
    provider, label, standing, box, place = map(str, texts)
    generation = found[2] if isinstance(found[2], int) else 0
    return Row(provider, label, generation, standing, box, place, b"", b"")


def every(connection: Connection) -> list[Row]:
    """Return all rows, by account and generation."""
    query = _SELECT + " ORDER BY provider, label, generation"
    return [_loaded(found) for found in connection.execute(query)]


def current(connection: Connection, key: AccountKey) -> Row | None:
    """Return the account's current row or tombstone; a damaged standing counts as current."""
    query = _SELECT + " WHERE provider = ? AND label = ? AND standing <> 'revoke_only'"
    found = connection.execute(query, (key.provider, key.label)).fetchone()
    return _loaded(found) if found else None


def exact(connection: Connection, key: AccountKey, generation: int) -> Row | None:
    """Return the row of this generation."""
    place = (key.provider, key.label, generation)
    found = connection.execute(_SELECT + _EXACT, place).fetchone()
    return _loaded(found) if found else None


def expect(connection: Connection, key: AccountKey, generation: int) -> Row | None:
    """Return the current row if its generation is this one (0: none), else ConflictError."""
    row = current(connection, key)
    stands = row.generation if row else 0
    if stands != generation:
        raise conflict(key, stands, generation)
    return row


def next_generation(connection: Connection, key: AccountKey, replaced: Row | None) -> int:
    """Return a number that no generation of this account has had or may still get.

    An erased account leaves no row, so `high` remembers the highest number erased from any: an
    answer that is late by a logout never finds its own number again.
    """
    account = (key.provider, key.label)
    (own,) = connection.execute(
        "SELECT max(generation) FROM grants WHERE provider = ? AND label = ?", account
    ).fetchone()
    (tried,) = connection.execute(
        "SELECT max(generation) FROM leftovers WHERE provider = ? AND label = ?", account
    ).fetchone()
    (high,) = connection.execute("SELECT value FROM meta WHERE name = 'high'").fetchone()
    return 1 + max(own or 0, tried or 0, 0 if replaced else high)


def insert(connection: Connection, row: Row) -> None:
    """Add a row."""
    connection.execute(
        _INSERT,
        (
            row.provider,
            row.label,
            row.generation,
            row.standing,
            row.box,
            row.place,
            row.facts,
            row.fingerprint,
            row.sealed,
            row.digest,
        ),
    )


def stand(connection: Connection, row: Row) -> None:
    """Store a row's standing and the digest that goes with it."""
    connection.execute(
        _STAND,
        (row.standing, row.digest, row.provider, row.label, row.generation),
    )


def remove(connection: Connection, row: Row) -> None:
    """Remove a row."""
    connection.execute(_REMOVE, (row.provider, row.label, row.generation))


def never_again(connection: Connection, generation: int) -> None:
    """Keep this number from being given to an account anew (`next_generation`)."""
    connection.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'high'", (generation,))


def sealed_count(connection: Connection) -> int:
    """Return how many rows are sealed by the vault's key."""
    (count,) = connection.execute("SELECT count(*) FROM grants WHERE sealed IS NOT NULL").fetchone()
    return int(count)


def note(connection: Connection, leftover: Leftover) -> None:
    """Remember an item before it is written, or before it is removed."""
    connection.execute(
        "INSERT OR REPLACE INTO leftovers VALUES (?,?,?,?,?,?,?,?)",
        (
            leftover.place,
            leftover.item,
            leftover.key.provider,
            leftover.key.label,
            leftover.generation,
            leftover.replaces or None,
            leftover.fingerprint or None,
            leftover.digest or None,
        ),
    )


def forget(connection: Connection, leftover: Leftover) -> None:
    """Forget an item that is gone, or that a row stands for from now on."""
    connection.execute(
        "DELETE FROM leftovers WHERE place = ? AND item = ?", (leftover.place, leftover.item)
    )


def leftovers(connection: Connection) -> list[Leftover]:
    """Return every item to be removed or being written."""
    query = (
        "SELECT place, item, provider, label, generation, replaces, fingerprint, digest"
        " FROM leftovers"
    )
    return [
        Leftover(
            place,
            item,
            AccountKey(provider, label),
            generation,
            replaces if isinstance(replaces, int) else 0,
            fingerprint if isinstance(fingerprint, bytes) else b"",
            digest if isinstance(digest, bytes) else b"",
        )
        for place, item, provider, label, generation, replaces, fingerprint, digest in (
            connection.execute(query)
        )
    ]


def vault_header(connection: Connection) -> bytes | None:
    """Return the vault's header as stored."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'vault'").fetchone()
    return found[0] if found else None


def put_vault_header(connection: Connection, header: bytes) -> None:
    """Store the vault's header."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('vault', ?)", (header,))


def choices(connection: Connection) -> dict[str, str]:
    """Return the chosen account label of each tool."""
    return dict(connection.execute("SELECT tool, label FROM choices"))


def choose(connection: Connection, tool: str, label: str | None) -> None:
    """Store or forget the chosen label."""
    if label is None:
        connection.execute("DELETE FROM choices WHERE tool = ?", (tool,))
    else:
        connection.execute("INSERT OR REPLACE INTO choices VALUES (?,?)", (tool, label))
