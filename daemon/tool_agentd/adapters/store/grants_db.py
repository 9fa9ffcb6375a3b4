"""grants.db: opening the file with every check, and running transactions on it.

Nothing here overwrites a file that it did not recognise as its own and sound. All of it blocks,
and runs in the store's one database thread.
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.store import schema
from tool_agentd.adapters.store.trouble import DamagedError, UnansweredError
from tool_agentd.errors import AgentError, ConfigurationError, StoreUnavailableError

T = TypeVar("T")

FILE = "grants.db"

BUSY_SECONDS = 3.0
"""How long to wait for another process's transaction, each of which takes milliseconds: less than
the database thread's deadline, so that the error says which."""

RETRY_AFTER = 5.0
"""Seconds until a caller may usefully ask again."""

AWAY = "move it away to start anew, or put a backup of it in its place"

Migrations = Mapping[int, Callable[[sqlite3.Connection], None]]


class GrantsDb:
    """One connection, opened at the first use and again after any trouble."""

    def __init__(
        self,
        directory: str,
        *,
        version: int = schema.VERSION,
        migrations: Migrations = schema.MIGRATIONS,
    ) -> None:
        """`version` and `migrations` are this program's; a test may stand for a later one."""
        self._directory = directory
        self._path = Path(directory) / FILE
        self._draft = self._path.with_name(FILE + ".new")
        self._version = version
        self._migrations = migrations
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._header: schema.Header | None = None

    def run(self, work: Callable[[sqlite3.Connection, schema.Header], T], *, write: bool) -> T:
        """Run `work` in one transaction, durable when this returns; StoreUnavailableError else."""
        with self._explained():
            connection, header = self._begin("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                result = work(connection, header)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _begin(self, statement: str) -> tuple[sqlite3.Connection, schema.Header]:
        """Begin a transaction on the file that is at the path now, not on one renamed away."""
        if self._connection is not None and self._header is not None:
            self._connection.execute(statement)
            if self._identity == _identity(self._path):
                return self._connection, self._header
            self._connection.execute("ROLLBACK")
            self.close()
        self._connection, self._header = self._open()
        self._connection.execute(statement)
        return self._connection, self._header

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what sqlite3 and the file system say into our errors, and start afresh next time."""
        try:
            yield
        except ConfigurationError as error:
            self.close()
            raise StoreUnavailableError(error.detail, hint=error.hint) from error
        except AgentError:
            raise
        except sqlite3.OperationalError as error:
            self.close()
            raise UnansweredError(f"{self._path}: {error}", retry_after=RETRY_AFTER) from error
        except sqlite3.DatabaseError as error:
            self.close()
            foreign = error.sqlite_errorcode == sqlite3.SQLITE_NOTADB
            what = "is not a database" if foreign else f"is damaged: {error}"
            raise DamagedError(f"{self._path} {what}", hint=AWAY) from error
        except UnicodeDecodeError as error:  # sqlite3 quotes a damaged schema in its own errors
            self.close()
            raise DamagedError(
                f"{self._path} is damaged: no text where text was", hint=AWAY
            ) from error
        except OSError as error:
            self.close()
            raise UnansweredError(
                f"{error.filename or self._path}: {error.strerror or error}",
                retry_after=RETRY_AFTER,
            ) from error

    def _open(self) -> tuple[sqlite3.Connection, schema.Header]:
        ensure_own_directory(self._directory)
        with self._preparing():
            if not os.path.lexists(self._path):
                self._create()
            self._check_file()
            identity = _identity(self._path)
            connection = self._connect(self._path)
            try:
                if self._check_contents(connection) < self._version:
                    self._migrate(connection)
                    connection.close()
                    identity = _identity(self._path)
                    connection = self._connect(self._path)
                header = schema.header(connection)
                if header is None:
                    raise DamagedError(  # noqa: TRY301 - one way out for all that closes it
                        f"{self._path} is damaged: its header is not as we wrote it", hint=AWAY
                    )
            except BaseException:
                connection.close()
                raise
        self._identity = identity
        return connection, header

    @contextlib.contextmanager
    def _preparing(self) -> Iterator[None]:
        """Let one process at a time create or migrate, and remove what a killed one left."""
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            self._draft.unlink(missing_ok=True)
            self._draft.with_name(self._draft.name + "-journal").unlink(missing_ok=True)
            yield
        finally:
            os.close(directory)

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time: the store's only database thread
        )
        # A damaged text must not keep the other rows from being read; its digest gives it away.
        connection.text_factory = lambda text: text.decode(errors="replace")
        try:
            # EXTRA also syncs the directory after the journal is gone: with FULL a power cut just
            # after a commit could bring the transaction's old state back (sqlite.org/pragma.html).
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
        except BaseException:  # a damaged file is noticed here at the earliest
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Make a complete file under another name and rename it: a half-made one is never seen."""
        self._begin_draft()
        connection = self._connect(self._draft)
        try:
            schema.create(connection)
        finally:
            connection.close()
        self._publish_draft()

    def _migrate(self, old: sqlite3.Connection) -> None:
        """Bring a copy up to date and rename it over the old file.

        Nobody else can write to the old file until after the rename: whoever waits to finds then
        that it is no longer the one at the path (`_begin`).
        """
        old.execute("BEGIN IMMEDIATE")
        (version,) = old.execute("PRAGMA user_version").fetchone()
        self._begin_draft()
        draft, source = self._connect(self._draft), self._connect(self._path)
        try:
            source.backup(draft)  # not `old`: SQLite refuses to copy by a connection that writes
            draft.execute("BEGIN")
            for step in range(version, self._version):
                self._migrations[step](draft)
            draft.execute(f"PRAGMA user_version = {self._version}")
            draft.execute("COMMIT")
        finally:
            source.close()
            draft.close()
        self._publish_draft()

    def _begin_draft(self) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        os.close(os.open(self._draft, flags, 0o600))

    def _publish_draft(self) -> None:
        """Rename the draft, whose contents SQLite has synced, and sync the directory."""
        self._draft.rename(self._path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _check_file(self) -> None:
        found = self._path.lstat()
        permissions = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise StoreUnavailableError(f"{self._path} is not a regular file", hint=AWAY)
        if found.st_uid != os.geteuid():
            raise StoreUnavailableError(
                f"{self._path} belongs to uid {found.st_uid}, not to uid {os.geteuid()}"
            )
        if permissions & (stat.S_IRWXG | stat.S_IRWXO):
            raise StoreUnavailableError(
                f"{self._path} has mode {permissions:04o}, not 0600: others may have seen it",
                hint=f"run 'chmod 600 {self._path}'",
            )
        if found.st_size == 0:  # SQLite would take it for a new database
            raise DamagedError(f"{self._path} is empty; something cut it short", hint=AWAY)

    def _check_contents(self, connection: sqlite3.Connection) -> int:
        """Return the schema version of a sound file of ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != schema.APPLICATION_ID:
            raise DamagedError(f"{self._path} is a database of another program", hint=AWAY)
        if version > self._version:
            raise StoreUnavailableError(
                f"{self._path} has schema {version}, and this tool-agent knows up to"
                f" {self._version}",
                hint="run the newer tool-agent that wrote it",
            )
        if version < self._version and version not in self._migrations:
            raise DamagedError(f"{self._path} has the unknown schema {version}", hint=AWAY)
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if self._path.stat().st_size % page_size:  # SQLite would read zeros for what is missing
            raise DamagedError(f"{self._path} is damaged: it was cut short", hint=AWAY)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            first = str(verdict).splitlines()[0]
            raise DamagedError(f"{self._path} is damaged: {first}", hint=AWAY)
        return int(version)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at the path: device and inode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _quoted(path: Path) -> str:
    """Escape what an SQLite URI would take for its own (sqlite.org/uri.html)."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
