"""What is left of a lease once its command has ended: in a private directory, or in place."""

from contextlib import suppress
from pathlib import Path

from tool_agentd.adapters import private_directory
from tool_agentd.adapters.lease_book import NEW
from tool_agentd.adapters.own_file import LARGEST, read_own
from tool_agentd.adapters.private_directory import ASIDE
from tool_agentd.errors import ConfigurationError
from tool_agentd.ports import KeptFile, Lease, LeasedFile


def dismantled(lease: Lease) -> list[KeptFile]:
    """Empty and remove the private directory, if what is there is the one that we made."""
    directory, meant = Path(lease.directory), Path(lease.stands_for)
    with private_directory.opened(lease.directory, lease.inode) as handle:
        if handle is None:
            if private_directory.clear_place(lease.directory):
                return []
            why = "it is not the directory that the agent made"
            return [KeptFile(lease.stands_for, lease.directory, why)]
        kept = private_directory.dismantle(handle, directory, meant, _ours(lease), lease.since)
    if not any(Path(one.aside).is_relative_to(directory) for one in kept):
        try:
            directory.rmdir()
        except OSError as error:  # a command that is left over goes on writing there
            kept.append(KeptFile(lease.stands_for, lease.directory, error.strerror or ""))
    return kept


def _ours(lease: Lease) -> list[tuple[str, ...]]:
    """Return the parts of each of our files in it, and of what each is written as at first."""
    found = inside(lease)
    first = [Path(temporary(file)).name for file in lease.files]
    return found + [(*parts[:-1], name) for parts, name in zip(found, first, strict=True)]


def left_in(lease: Lease, file: LeasedFile) -> bytes | None:
    """Return what a command has left in a file; nothing is read through what it put in its way."""
    if not lease.directory:
        return bytes_at(file.path)
    with private_directory.opened(lease.directory, lease.inode) as handle:
        if handle is None:
            return None
        parts = Path(file.path).relative_to(lease.directory).parts
        return private_directory.read_inside(handle, parts, LARGEST)


def inside(lease: Lease) -> list[tuple[str, ...]]:
    """Return the parts of each file's path below the private directory."""
    return [Path(file.path).relative_to(lease.directory).parts for file in lease.files]


def temporary(file: LeasedFile) -> str:
    """Return what a file is written as before it is renamed."""
    name = Path(file.path).name.lstrip(".")
    return str(Path(file.path).with_name(f".{name}{ASIDE[:-1]}{NEW}"))


def bytes_at(path: str) -> bytes | None:
    """Return what is there now, whatever has become of it; None where no file is."""
    try:
        return read_own(path)
    except ConfigurationError:
        return b""  # replaced by something that is not ours to read: it differs from ours


def remove_empty(directory: Path, below: Path) -> None:
    """Remove a private directory that the person has emptied, and what is empty on the way up."""
    with suppress(OSError):
        while below in directory.parents:
            directory.rmdir()
            directory = directory.parent
