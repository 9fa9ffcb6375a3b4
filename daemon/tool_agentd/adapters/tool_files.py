"""The tools' own files on the disk: written under a lease, put back after it, read and erased."""

import errno
import os
import shlex
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from tool_agentd.adapters import private_directory
from tool_agentd.adapters.lease_book import (
    NEW,
    Failpoint,
    LeaseBook,
    sync_directory,
    write_durably,
)
from tool_agentd.adapters.leftovers import (
    bytes_at,
    dismantled,
    inside,
    left_in,
    remove_empty,
    temporary,
)
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.own_file import check_place, digest_of, read_own, text_of
from tool_agentd.adapters.private_directory import ASIDE
from tool_agentd.adapters.worker import Workers
from tool_agentd.errors import (
    ConfigurationError,
    ConflictError,
    TemporarilyUnavailableError,
)
from tool_agentd.ports import ImportNote, KeptFile, Lease, LeasedFile, ToolFileText
from tool_agentd.secret import Secret

T = TypeVar("T")

THREADS = 4
"""File work at once: a disk that hangs keeps these, and no client."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a disk says that has no room left, or none for this user."""
PARSERS = 2
"""Texts of files that are parsed at once: they keep no disk and no client waiting."""
DEADLINE = 8.0
"""Seconds until a caller is told that the disk does not answer: below the client's own limit."""


class DiskToolFiles:
    """Implements ports.ToolFiles."""

    def __init__(
        self, state: str, runtime: str | None, failpoint: Failpoint = lambda _step: None
    ) -> None:
        """Record below `state`; private directories stand below `runtime`, else there too."""
        self._leases = LeaseBook(f"{state}/leases")
        self._imports = LeaseBook(f"{state}/imports")
        self._kept = f"{state}/kept"
        self._private = f"{runtime or state}/exec"
        self._workers = Workers(
            "the disk of the tools' own files",
            room="files",
            error=TemporarilyUnavailableError,
            limit=THREADS,
            deadline=DEADLINE,
        )
        self._parsers = Workers(
            "the reading of a tool's own file",
            room="parsing",
            error=TemporarilyUnavailableError,
            limit=PARSERS,
            deadline=DEADLINE,
        )
        self._failpoint = failpoint

    async def _run(self, work: Callable[[], T], *, alone: bool = False) -> T:
        """Do file work in a thread; `alone` where other agents of this state directory wait."""

        def guarded() -> T:
            try:
                with self._leases.alone() if alone else nullcontext():
                    return work()
            except OSError as error:
                raise _said(error) from error

        return await self._workers.run(guarded)

    # -- leases ----------------------------------------------------------------------------------

    async def leases(self) -> tuple[Lease, ...]:
        """Return every recorded lease."""
        if not self._leases.begun:
            return ()
        return tuple(await self._run(lambda: self._leases.read(Lease), alone=True))

    @property
    def unreadable(self) -> Sequence[str]:
        """One sentence for every record that made no sense."""
        return [
            f"{path}, a record of what the agent did to a tool's file, makes no sense:"
            " look at the file, then remove the record"
            for path in (*self._leases.unreadable, *self._imports.unreadable)
        ]

    async def amend(self, identifier: str, change: Callable[[Lease], Lease]) -> Lease | None:
        """Change what is recorded of a lease."""

        def work() -> Lease | None:
            there = self._leases.get(identifier, Lease)
            if there is None:
                return None
            changed = change(there)
            if changed != there:
                self._leases.write(identifier, changed)
            return changed

        return await self._run(work, alone=True)

    async def write(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        """Write the files of a lease."""

        def work() -> Lease:
            if lease.files:
                return self._write_again(lease, texts)
            fresh = self._plan(lease, texts)
            self._leases.write(fresh.id, fresh)
            self._failpoint("recorded")
            try:
                fresh = self._with_directory(fresh)
                self._begin(fresh, texts)
            except BaseException:
                self._end(fresh, ())
                raise
            return fresh

        return await self._run(work, alone=True)

    def _plan(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        """Look at what is there; return the lease with what is going to be done."""
        directory = f"{self._private}/{lease.id}" if lease.stands_for else ""
        if not directory:
            self._check_free({path for path, _ in texts})
        files: list[LeasedFile] = []
        made: dict[str, None] = {}
        for path, text in texts:
            digest = digest_of(text.reveal().encode())
            if directory:
                place = directory + path.removeprefix(lease.stands_for.rstrip("/"))
                if not path.startswith(f"{lease.stands_for.rstrip('/')}/"):
                    raise ConfigurationError(f"{path} is not below {lease.stands_for}")
                files.append(LeasedFile(place, (digest,)))
                continue
            before = read_own(path)
            made.update(dict.fromkeys(check_place(path)))
            aside, mode = "", None
            if before is not None:
                mode = stat.S_IMODE(os.lstat(path).st_mode)
                name = Path(path).name.lstrip(".")
                aside = str(Path(path).with_name(f".{name}{ASIDE}{lease.id}"))
            original = digest_of(before) if before is not None else None
            files.append(LeasedFile(path, (digest,), original, aside, mode))
        return structs.replace(lease, files=tuple(files), directory=directory, made=tuple(made))

    def _check_free(self, paths: Collection[str]) -> None:
        """Refuse a path that another lease has written: what is there is no original.

        The agent looks first; here is what it did not know of, another agent's or a late write.
        """
        for other in self._leases.read(Lease):
            taken = {file.path for file in other.files}.intersection(paths)
            if taken and not other.directory:
                raise ConflictError(
                    f"{min(taken)} is in use for {other.tool}, account {other.label!r}",
                    hint="try again when that command has ended",
                )

    def _with_directory(self, lease: Lease) -> Lease:
        """Make the private directory, and record which one it is before anything is in it."""
        if not lease.directory:
            return lease
        ensure_own_directory(lease.directory)
        made = structs.replace(lease, inode=private_directory.inode_of(lease.directory))
        self._leases.write(made.id, made)
        self._failpoint("made")
        return made

    def _begin(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> None:
        if lease.directory:
            private_directory.build(Path(lease.directory), Path(lease.stands_for), inside(lease))
        for directory in lease.made:
            Path(directory).mkdir(0o700, exist_ok=True)
        for file, (_, text) in zip(lease.files, texts, strict=True):
            if file.aside:
                self._put_aside(file)
            self._write_file(file, text)

    def _put_aside(self, file: LeasedFile) -> None:
        """Give what is there a second name; nothing is ever missing from its own."""
        try:
            os.link(file.path, file.aside, follow_symlinks=False)
        except OSError:  # a file system without hard links
            before = read_own(file.path)
            if before is not None:
                write_durably(file.aside, before)
        Path(file.aside).chmod(0o600)
        sync_directory(file.aside)
        kept = read_own(file.aside)
        if kept is None or digest_of(kept) != file.original:
            raise ConflictError(
                f"{file.path} is being changed by another program", hint="try again"
            )
        self._failpoint("aside")

    def _write_file(self, file: LeasedFile, text: Secret) -> None:
        write_durably(file.path, text.reveal().encode(), temporary=temporary(file))
        self._failpoint("written")

    def _write_again(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        given = dict(texts)
        there = self._leases.get(lease.id, Lease)
        if there is None or there.over:
            raise ConflictError(f"{min(given)} is being put back", hint="try again")
        # Another agent over this state directory may have let commands join as well.
        everyone = tuple(dict.fromkeys((*there.processes, *lease.processes)))
        lease = structs.replace(there, processes=everyone)
        for file in lease.files:
            if file.path in given and not _ours(file, _digest_at(file.path)):
                raise ConflictError(
                    f"a running command has changed {file.path}",
                    hint="wait until that command has ended",
                )
        files = tuple(_also(file, given.get(file.path)) for file in lease.files)
        fresh = structs.replace(lease, files=files)
        self._leases.write(fresh.id, fresh)
        for file in fresh.files:
            if file.path in given:
                self._write_file(file, given[file.path])
        return fresh

    async def changed(self, lease: Lease) -> tuple[ToolFileText, ...]:
        """Return the files that are there and not as we wrote them."""

        def work() -> tuple[ToolFileText, ...]:
            found = []
            for file in lease.files:
                data = left_in(lease, file)
                if data is None:
                    continue
                digest = digest_of(data)
                if digest not in file.digests and digest != file.original:
                    with suppress(ConfigurationError):  # no text: no login, and kept as it is
                        found.append(text_of(file.path, data))
            return tuple(found)

        return await self._run(work)

    async def end(self, lease: Lease, taken: Collection[str] = ()) -> Lease | None:
        """Put everything back."""

        def work() -> Lease | None:
            # Without its record, another agent has put everything back already.
            return self._end(lease, taken) if self._leases.has(lease.id) else None

        return await self._run(work, alone=True)

    def _end(self, lease: Lease, taken: Collection[str]) -> Lease | None:
        kept = list(lease.kept)
        for number, file in enumerate(lease.files):
            if lease.directory:
                kept += self._save_changed(lease, number, file, taken)
                continue
            for passing in (temporary(file), file.aside + NEW if file.aside else ""):
                if passing:
                    Path(passing).unlink(missing_ok=True)
            kept += self._put_back(file, taken)
        if lease.directory:
            kept += dismantled(lease)
        for directory in reversed(lease.made):
            try:
                Path(directory).rmdir()
            except OSError:
                break  # the tool has put something there
        if not kept:
            self._leases.forget(lease.id)
            return None
        left = _only_kept(lease, kept)
        self._leases.write(left.id, left)
        return left

    def _put_back(self, file: LeasedFile, taken: Collection[str]) -> list[KeptFile]:
        now = _digest_at(file.path)
        ours = _ours(file, now) or file.path in taken
        there = bool(file.aside) and os.path.lexists(file.aside)
        if there and now == file.original:
            Path(file.aside).unlink()  # we never got as far as to write
            _own_mode(file, file.path)  # both names may have been of one file
        elif there and (ours or now is None):
            _own_mode(file, file.aside)
            Path(file.aside).rename(file.path)
            self._failpoint("restored")
        elif there:
            return [KeptFile(file.path, file.aside)]
        elif ours:
            Path(file.path).unlink(missing_ok=True)
            self._failpoint("restored")
        elif now is not None and now != file.original:
            return [KeptFile(file.path, file.path)]
        if Path(file.path).parent.is_dir():
            sync_directory(file.path)
        return []

    def _save_changed(
        self, lease: Lease, number: int, file: LeasedFile, taken: Collection[str]
    ) -> list[KeptFile]:
        """Keep what the tool has made of its file, before the private directory goes."""
        data = left_in(lease, file)
        if data is None or digest_of(data) in file.digests or file.path in taken:
            return []
        ensure_own_directory(self._kept)
        aside = f"{self._kept}/{lease.id}-{number}-{Path(file.path).name.lstrip('.')}"
        write_durably(aside, data)
        meant = lease.stands_for.rstrip("/") + file.path.removeprefix(lease.directory)
        return [KeptFile(meant, aside)]

    async def forget_kept(self, lease: Lease) -> Lease | None:
        """Look which versions the person has moved away."""

        def work() -> Lease | None:
            kept = tuple(k for k in lease.kept if k.aside != k.path and os.path.lexists(k.aside))
            if not kept:
                for one in lease.kept:
                    remove_empty(Path(one.aside).parent, Path(self._private))
                self._leases.forget(lease.id)
                return None
            return _only_kept(lease, kept)

        return await self._run(work, alone=True)

    # -- import ----------------------------------------------------------------------------------

    async def read(self, path: str) -> ToolFileText | None:
        """Return what a tool's own file holds."""

        def work() -> ToolFileText | None:
            data = read_own(path)
            return text_of(path, data) if data is not None else None

        return await self._run(work)

    async def parsed(self, parse: Callable[[], T]) -> T:
        """Return what `parse` makes of a file's text."""
        return await self._parsers.run(parse)

    async def erase(self, path: str, digest: str) -> bool:
        """Erase a file that still has this content."""

        def work() -> bool:
            data = read_own(path)
            if data is None:
                return True
            if digest_of(data) != digest:
                return False
            Path(path).unlink()
            sync_directory(path)
            self._failpoint("erased")
            return True

        return await self._run(work)

    async def note_import(self, note: ImportNote) -> None:
        """Record that an import has begun."""
        await self._run(lambda: self._imports.write(_import_name(note), note), alone=True)

    async def imports(self) -> tuple[ImportNote, ...]:
        """Return the imports that have begun."""
        return tuple(await self._run(lambda: self._imports.read(ImportNote), alone=True))

    async def end_import(self, note: ImportNote) -> None:
        """Forget an import."""
        await self._run(lambda: self._imports.forget(_import_name(note)), alone=True)


def _said(error: OSError) -> ConfigurationError:
    """Say what the disk has refused, where, and what helps."""
    path = error.filename if isinstance(error.filename, str) else ""
    why = error.strerror or type(error).__name__
    hint = None
    if error.errno in FULL and path:
        folder = shlex.quote(str(Path(path).parent))
        hint = f"make room there ('df -h {folder}' shows how much there is), then try again"
    return ConfigurationError(f"{path}: {why}" if path else why, hint=hint)


def _only_kept(lease: Lease, kept: Sequence[KeptFile]) -> Lease:
    """Return what is left of a lease that is over."""
    who = (lease.id, lease.tool, lease.file, lease.provider, lease.label)
    return Lease(*who, lease.since, kept=tuple(kept))


def _own_mode(file: LeasedFile, path: str) -> None:
    """Give what stood there before the permissions that it had."""
    if file.mode is not None:
        Path(path).chmod(file.mode)


def _also(file: LeasedFile, text: Secret | None) -> LeasedFile:
    """Return the file with one more text that counts as ours."""
    if text is None:
        return file
    digests = dict.fromkeys((*file.digests, digest_of(text.reveal().encode())))
    return structs.replace(file, digests=tuple(digests))


def _digest_at(path: str) -> str | None:
    data = bytes_at(path)
    return digest_of(data) if data is not None else None


def _ours(file: LeasedFile, digest: str | None) -> bool:
    return digest in file.digests


def _import_name(note: ImportNote) -> str:
    return digest_of(f"{note.provider}/{note.label} {note.path}".encode())[:32]
