"""A private directory in the place of the person's: their entries linked into it, some files new.

A variable points one command at it. Other programs' configuration is found through the links; what
the command adds is moved to where it meant it. The command may have put anything there meanwhile:
what is read, moved and removed is reached through open directories, and no link is followed.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tool_agentd.ports import KeptFile

ASIDE = ".tool-agent-"
"""In the name of a version that is kept beside another."""
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a directory of ours is opened: a link in its place is refused."""
CHUNK = 1024 * 1024
"""Bytes copied at once, from one disk to another."""


def build(directory: Path, real: Path, files: Sequence[tuple[str, ...]]) -> None:
    """Link every entry of `real` into `directory`, but for the way to `files` (their parts)."""
    heads = {parts[0] for parts in files}
    for entry in sorted(real.iterdir()) if real.is_dir() else []:
        if entry.name not in heads:
            (directory / entry.name).symlink_to(entry)
    for head in sorted(heads):
        below = [parts[1:] for parts in files if parts[0] == head and len(parts) > 1]
        if below:
            (directory / head).mkdir(0o700)
            build(directory / head, real / head, below)


def inode_of(directory: str) -> tuple[int, int]:
    """Return what tells this directory from whatever may stand in its place later."""
    found = os.lstat(directory)
    return found.st_dev, found.st_ino


@contextmanager
def opened(directory: str, inode: tuple[int, int] | None) -> Iterator[int | None]:
    """Open the directory that was made; None where something else, or nothing, is in its place."""
    handle: int | None = None
    try:
        with suppress(OSError):
            handle = os.open(directory, DIRECTORY)
        yield handle if handle is not None and _same(handle, inode) else None
    finally:
        if handle is not None:
            os.close(handle)


def _same(handle: int, inode: tuple[int, int] | None) -> bool:
    found = os.fstat(handle)
    if inode is None:  # it was made, and nothing was put into it: no command ever had it
        return found.st_uid == os.geteuid() and not os.listdir(handle)
    return (found.st_dev, found.st_ino) == tuple(inode)


def read_inside(handle: int, parts: Sequence[str], limit: int) -> bytes | None:
    """Return what a file below an open directory holds; None where there is no file of ours.

    What cannot be read whole counts as empty: it differs from everything that we write.
    """
    here = os.dup(handle)
    try:
        for part in parts[:-1]:
            there = os.open(part, DIRECTORY, dir_fd=here)
            os.close(here)
            here = there
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(parts[-1], flags, dir_fd=here), "rb") as file:  # noqa: PTH123 - a handle
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                return None
            data = file.read(limit + 1)
            return data if len(data) <= limit else b""
    except OSError:
        return None
    finally:
        os.close(here)


def clear_place(directory: str) -> bool:
    """Remove a link, a pipe or a socket that stands where our directory was; tell if all is gone.

    Nothing behind a link is touched. What else is there is the person's to look at.
    """
    try:
        mode = os.lstat(directory).st_mode
    except OSError:
        return True
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return False
    Path(directory).unlink(missing_ok=True)
    return True


def dismantle(
    handle: int,
    directory: Path,
    real: Path,
    files: Sequence[tuple[str, ...]],
    since: float,
) -> list[KeptFile]:
    """Empty the open directory; return what could not be moved to where it belongs, and why.

    The files themselves go: whoever wants what is in one has taken it before. One entry that
    cannot be moved keeps none of the others; it stays where it is, and so does the directory.
    """
    kept: list[KeptFile] = []
    heads = {parts[0] for parts in files}
    # Ours first: whatever else happens, the credential is gone.
    for name in sorted(os.listdir(handle), key=lambda name: (name not in heads, name)):
        below = [parts[1:] for parts in files if parts[0] == name and len(parts) > 1]
        meant = real / name
        try:
            mode = os.lstat(name, dir_fd=handle).st_mode
            if below and stat.S_ISDIR(mode):
                kept += _dismantle_below(handle, directory / name, meant, below, since)
            elif name in heads and not below:
                _remove(name, mode, handle)
            elif _is_worthless(name, mode, handle, meant):
                os.unlink(name, dir_fd=handle)
            else:
                kept += _hand_over(name, mode, handle, meant, since)
        except OSError as error:
            why = error.strerror or type(error).__name__
            kept.append(KeptFile(str(meant), str(directory / name), why))
    return kept


def _dismantle_below(
    handle: int, directory: Path, real: Path, files: Sequence[tuple[str, ...]], since: float
) -> list[KeptFile]:
    inner = os.open(directory.name, DIRECTORY, dir_fd=handle)
    try:
        kept = dismantle(inner, directory, real, files, since)
    finally:
        os.close(inner)
    if not any(Path(one.aside).is_relative_to(directory) for one in kept):
        try:
            os.rmdir(directory.name, dir_fd=handle)
        except OSError as error:
            kept.append(KeptFile(str(real), str(directory), error.strerror or ""))
    return kept


def _is_worthless(name: str, mode: int, handle: int, meant: Path) -> bool:
    """Tell whether an entry is our own link, or holds nothing and cannot be moved."""
    if stat.S_ISLNK(mode):
        return os.readlink(name, dir_fd=handle) == str(meant)
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _hand_over(name: str, mode: int, handle: int, meant: Path, since: float) -> list[KeptFile]:
    """Move what the command has made to where it meant it; never over what is newer."""
    meant.parent.mkdir(0o700, parents=True, exist_ok=True)
    aside = meant.with_name(f"{meant.name}{ASIDE}{secrets.token_hex(4)}")
    _move(name, mode, handle, aside)  # into the directory it belongs in, on whichever disk that is
    if not os.path.lexists(meant):
        aside.rename(meant)
        return []
    there = os.lstat(meant)
    if stat.S_ISREG(mode) and stat.S_ISREG(there.st_mode) and there.st_ctime < since:
        aside.chmod(stat.S_IMODE(there.st_mode))
        aside.replace(meant)  # the command replaced our link, as editors do, to save this file
        return []
    files = stat.S_ISREG(mode) and stat.S_ISREG(there.st_mode)
    return [KeptFile(str(meant), str(aside), "" if files else "something else is there")]


def _move(name: str, mode: int, handle: int, target: Path) -> None:
    """Move one entry, to another disk too; where that fails it is still where it was."""
    try:
        os.rename(name, target, src_dir_fd=handle)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    try:
        _copy(name, mode, handle, target)
    except BaseException:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
        raise
    _remove(name, mode, handle)


def _copy(name: str, mode: int, handle: int, target: Path) -> None:
    """Copy files, directories and links; pipes, sockets and devices hold nothing."""
    if stat.S_ISLNK(mode):
        target.symlink_to(os.readlink(name, dir_fd=handle))
    elif stat.S_ISDIR(mode):
        target.mkdir(0o700)
        inner = os.open(name, DIRECTORY, dir_fd=handle)
        try:
            for entry in os.listdir(inner):  # noqa: PTH208 - an open directory
                _copy(entry, os.lstat(entry, dir_fd=inner).st_mode, inner, target / entry)
        finally:
            os.close(inner)
        target.chmod(stat.S_IMODE(mode))
    elif stat.S_ISREG(mode):
        _copy_file(name, handle, target)


def _copy_file(name: str, handle: int, target: Path) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        open(os.open(name, flags, dir_fd=handle), "rb") as source,  # noqa: PTH123 - a handle
        open(os.open(target, new, 0o600), "wb") as copy,  # noqa: PTH123 - a handle
    ):
        shutil.copyfileobj(source, copy, CHUNK)
        found = os.fstat(source.fileno())
        copy.flush()
        os.fsync(copy.fileno())
        os.fchmod(copy.fileno(), stat.S_IMODE(found.st_mode))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def _remove(name: str, mode: int, handle: int) -> None:
    if stat.S_ISDIR(mode):
        shutil.rmtree(name, dir_fd=handle)
    else:
        os.unlink(name, dir_fd=handle)
