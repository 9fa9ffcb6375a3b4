"""The lease book: durable notes of what is being done to files that are not ours.

One file a note, in the state directory. A note is on the disk before what it tells of is begun, so
that the next start can end what was begun, whatever ended this one.
"""

import fcntl
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from tool_agentd.adapters.own_directory import ensure_own_directory

T = TypeVar("T", bound=msgspec.Struct)

NAME = re.compile(r"[0-9a-f]{8,64}")
"""A note's name: what is not of this form is not ours."""
LOCK = "lock"
"""In the directory of the notes: whoever holds it does what they tell of."""
NEW = ".new"
"""What a note or a file is written as, before it is renamed."""
UNREADABLE = ".unreadable"
"""What a note is renamed to that makes no sense: kept, reported, and looked at once."""

log = logging.getLogger(__name__)

Failpoint = Callable[[str], None]
"""Called at each step that a kill may hit; tests kill there."""


def write_durably(path: str, data: bytes, *, temporary: str | None = None) -> None:
    """Put a file of mode 0600 in the place of whatever is at `path`, whole or not at all."""
    temporary = temporary or path + NEW
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    Path(temporary).unlink(missing_ok=True)  # ours, of a write that was interrupted
    handle = os.open(temporary, flags, 0o600)
    try:
        with naming(path), open(handle, "wb") as file:  # noqa: PTH123 - an open descriptor
            os.fchmod(handle, 0o600)  # whatever the umask has taken away
            file.write(data)
            file.flush()
            os.fsync(handle)
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let an error of the disk say which file it is about, as those of open descriptors do not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


def sync_directory(path: str) -> None:
    """Make a change of names beside `path` durable."""
    handle = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class LeaseBook:
    """Notes of one kind, by their names."""

    def __init__(self, directory: str) -> None:
        """Keep them in `directory`, which is made when the first is written."""
        self._directory = directory
        self.unreadable: tuple[str, ...] = ()
        """Where the notes are that made no sense, as of the last reading."""

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}.json"

    def write(self, name: str, note: msgspec.Struct) -> None:
        """Record a note durably, replacing the one of this name."""
        ensure_own_directory(self._directory)
        write_durably(self._path(name), msgspec.json.encode(note))

    @property
    def begun(self) -> bool:
        """Whether there ever was a note."""
        return Path(self._directory).exists()

    def has(self, name: str) -> bool:
        """Tell whether there is a note of this name."""
        return Path(self._path(name)).exists()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else, in any process, do what the notes tell of meanwhile."""
        ensure_own_directory(self._directory)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        # It stays: removing it would race. The kernel lets go of it when the process ends.
        handle = os.open(f"{self._directory}/{LOCK}", flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def forget(self, name: str) -> None:
        """Remove a note; one that is gone is no error."""
        path = Path(self._path(name))
        if path.exists():
            path.unlink(missing_ok=True)
            sync_directory(str(path))

    def get(self, name: str, kind: type[T]) -> T | None:
        """Return the note of this name; None where there is none that makes sense."""
        try:
            return msgspec.json.decode(Path(self._path(name)).read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def read(self, kind: type[T]) -> list[T]:
        """Return every note, and sweep what a kill has left half-written; for who is alone.

        One that makes no sense is put aside under another name, and reported until it is gone.
        """
        notes: list[T] = []
        unreadable: list[str] = []
        folder = Path(self._directory)
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.endswith(NEW):
                path.unlink(missing_ok=True)  # a kill came before it was whole: nothing was begun
                continue
            if path.name.endswith(UNREADABLE):
                unreadable.append(str(path))
                continue
            if path.suffix != ".json" or not NAME.fullmatch(path.stem):
                continue
            try:
                notes.append(msgspec.json.decode(path.read_bytes(), type=kind))
            except (msgspec.DecodeError, OSError) as error:
                unreadable.append(str(self._aside(path, error)))
        self.unreadable = tuple(unreadable)
        return notes

    @staticmethod
    def _aside(path: Path, error: Exception) -> Path:
        """Give a note that makes no sense another name; return where it is now."""
        log.warning("%s cannot be read: %s", path, error)
        if isinstance(error, OSError):
            return path  # it may be sound, and the disk is not
        aside = path.with_name(path.name + UNREADABLE)
        path.rename(aside)
        return aside
