"""The tables of grants.db, and how an older file becomes a newer one.

Schema 2 has `caches` besides, schema 3 the `journal`; in schema 4 a leftover may be a successor;
schema 5 has the `lock`.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

APPLICATION_ID = 0x746F6F6C
"""`tool`: SQLite keeps it in the file's header, so another program's file is recognised."""

VERSION = 5
"""SQLite's user_version of a file that this code writes."""

CACHES = """
CREATE TABLE caches (
  provider TEXT NOT NULL,
  label TEXT NOT NULL,
  name TEXT NOT NULL,
  obtained_at REAL NOT NULL,
  content BLOB NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (provider, label, name)
) WITHOUT ROWID;
"""

JOURNAL = """
CREATE TABLE journal (
  number INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  label TEXT NOT NULL,
  at REAL NOT NULL,
  event TEXT NOT NULL,
  generation INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  detail TEXT NOT NULL,
  asker TEXT NOT NULL,
  place TEXT NOT NULL,
  digest BLOB NOT NULL
)
"""

JOURNAL_OF_ACCOUNT = "CREATE INDEX journal_of_account ON journal (provider, label, number)"


def _add_caches(connection: sqlite3.Connection) -> None:
    connection.execute(CACHES)


def _add_journal(connection: sqlite3.Connection) -> None:
    connection.execute(JOURNAL)
    connection.execute(JOURNAL_OF_ACCOUNT)


def _add_successors(connection: sqlite3.Connection) -> None:
    """Let a leftover say what it was written to replace, and by which secret."""
    for column in ("replaces INTEGER", "fingerprint BLOB", "digest BLOB"):
        connection.execute(f"ALTER TABLE leftovers ADD COLUMN {column}")


LOCK = """
CREATE TABLE lock (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  record BLOB NOT NULL,
  digest BLOB NOT NULL
)
"""


def _add_lock(connection: sqlite3.Connection) -> None:
    connection.execute(LOCK)


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    1: _add_caches,
    2: _add_journal,
    3: _add_successors,
    4: _add_lock,
}
"""From each older version, the step to the next one; it runs on a copy, in one transaction."""

TABLES = """
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE grants (
  provider TEXT NOT NULL,
  label TEXT NOT NULL,
  generation INTEGER NOT NULL,
  standing TEXT NOT NULL,
  box TEXT NOT NULL,
  place TEXT NOT NULL,
  facts BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  sealed BLOB,
  digest BLOB NOT NULL,
  PRIMARY KEY (provider, label, generation)
) WITHOUT ROWID;
CREATE TABLE leftovers (
  place TEXT NOT NULL,
  item TEXT NOT NULL,
  provider TEXT NOT NULL,
  label TEXT NOT NULL,
  generation INTEGER NOT NULL,
  PRIMARY KEY (place, item)
) WITHOUT ROWID;
CREATE TABLE choices (
  tool TEXT PRIMARY KEY,
  label TEXT NOT NULL
) WITHOUT ROWID;
"""

SALT_BYTES = 32
CHECK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Header:
    """What distinguishes this database: its id, and the salt of fingerprints and digests."""

    id: bytes
    salt: bytes = field(repr=False)


def create(connection: sqlite3.Connection) -> None:
    """Fill an empty file: tables, a fresh header, and last the numbers that make it ours."""
    ident, salt = secrets.token_bytes(16), secrets.token_bytes(SALT_BYTES)
    connection.executescript("BEGIN;" + TABLES + CACHES)
    _add_journal(connection)
    _add_successors(connection)
    _add_lock(connection)
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("id", ident), ("salt", salt), ("check", _check(ident, salt)), ("high", 0)],
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def header(connection: sqlite3.Connection) -> Header | None:
    """Read the header; None where it is damaged."""
    found = dict(connection.execute("SELECT name, value FROM meta WHERE name <> 'vault'"))
    ident, salt, check = found.get("id"), found.get("salt"), found.get("check")
    if not (isinstance(ident, bytes) and isinstance(salt, bytes) and len(salt) == SALT_BYTES):
        return None
    if check != _check(ident, salt) or not isinstance(found.get("high"), int):
        return None
    return Header(ident, salt)


def _check(ident: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(b"tool-agent header 1" + ident + salt).digest()[:CHECK_BYTES]
