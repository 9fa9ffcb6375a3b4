"""The tools' own files on the disk: written under a lease, put back after it, read and erased."""

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from tool_agentd.adapters import private_directory
from tool_agentd.adapters.lease_book import (
    NEW,
    Failpoint,
    LeaseBook,
    sync_directory,
    write_durably,
)
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.own_file import check_place, digest_of, read_own, text_of
from tool_agentd.adapters.private_directory import ASIDE
from tool_agentd.adapters.store.worker import Workers
from tool_agentd.errors import ConfigurationError, ConflictError
from tool_agentd.ports import ImportNote, KeptFile, Lease, LeasedFile, ToolFileText
from tool_agentd.secret import Secret

T = TypeVar("T")

THREADS = 4
"""File work at once: a disk that hangs keeps these, and no client."""
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
        self._workers = Workers("the disk", limit=THREADS, deadline=DEADLINE)
        self._failpoint = failpoint

    async def _run(self, work: Callable[[], T], *, alone: bool = False) -> T:
        """Do file work in a thread; `alone` where other agents of this state directory wait."""

        def guarded() -> T:
            try:
                with self._leases.alone() if alone else nullcontext():
                    return work()
            except OSError as error:
                where = f"{error.filename}: " if error.filename else ""
                raise ConfigurationError(f"{where}{error.strerror or error}") from error

        return await self._workers.run(guarded)

    # -- leases ----------------------------------------------------------------------------------

    async def leases(self) -> tuple[Lease, ...]:
        """Return every recorded lease."""
        if not self._leases.begun:
            return ()
        return tuple(await self._run(lambda: self._leases.read(Lease), alone=True))

    async def save(self, lease: Lease) -> None:
        """Record a lease anew."""
        await self._run(lambda: self._leases.write(lease.id, lease), alone=True)

    async def write(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        """Write the files of a lease."""

        def work() -> Lease:
            if lease.files:
                return self._write_again(lease, texts)
            fresh = self._plan(lease, texts)
            self._leases.write(fresh.id, fresh)
            self._failpoint("recorded")
            try:
                self._begin(fresh, texts)
            except BaseException:
                self._end(fresh, ())
                raise
            return fresh

        return await self._run(work, alone=True)

    def _plan(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        """Look at what is there; return the lease with what is going to be done."""
        directory = f"{self._private}/{lease.id}" if lease.stands_for else ""
        files: list[LeasedFile] = []
        made: dict[str, None] = {}
        for path, text in texts:
            digest = digest_of(text.reveal().encode())
            if directory:
                inside = directory + path.removeprefix(lease.stands_for.rstrip("/"))
                if not path.startswith(f"{lease.stands_for.rstrip('/')}/"):
                    raise ConfigurationError(f"{path} is not below {lease.stands_for}")
                files.append(LeasedFile(inside, (digest,)))
                continue
            before = read_own(path)
            made.update(dict.fromkeys(check_place(path)))
            aside = ""
            if before is not None:
                name = Path(path).name.lstrip(".")
                aside = str(Path(path).with_name(f".{name}{ASIDE}{lease.id}"))
            original = digest_of(before) if before is not None else None
            files.append(LeasedFile(path, (digest,), original, aside))
        return _with(lease, files, directory, tuple(made))

    def _begin(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> None:
        if lease.directory:
            ensure_own_directory(lease.directory)
            private_directory.build(Path(lease.directory), Path(lease.stands_for), _inside(lease))
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
        write_durably(file.path, text.reveal().encode(), temporary=_temporary(file))
        self._failpoint("written")

    def _write_again(self, lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
        given = dict(texts)
        for file in lease.files:
            if file.path in given and not _ours(file, _digest_at(file.path)):
                raise ConflictError(
                    f"a running command has changed {file.path}",
                    hint="wait until that command has ended",
                )
        fresh = _with(
            lease,
            [_also(file, given.get(file.path)) for file in lease.files],
            lease.directory,
            lease.made,
        )
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
                data = _bytes_at(file.path)
                if data is None:
                    continue
                digest = digest_of(data)
                if digest not in file.digests and digest != file.original:
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
            for temporary in (_temporary(file), file.aside + NEW if file.aside else ""):
                if temporary:
                    Path(temporary).unlink(missing_ok=True)
            if lease.directory:
                kept += self._save_changed(lease, number, file, taken)
            else:
                kept += self._put_back(file, taken)
        if lease.directory and Path(lease.directory).is_dir():
            kept += private_directory.dismantle(
                Path(lease.directory), Path(lease.stands_for), _inside(lease), lease.since
            )
        for directory in reversed(lease.made):
            try:
                Path(directory).rmdir()
            except OSError:
                break  # the tool has put something there
        if not kept:
            self._leases.forget(lease.id)
            return None
        left = Lease(
            lease.id,
            lease.tool,
            lease.file,
            lease.provider,
            lease.label,
            lease.since,
            kept=tuple(kept),
        )
        self._leases.write(left.id, left)
        return left

    def _put_back(self, file: LeasedFile, taken: Collection[str]) -> list[KeptFile]:
        now = _digest_at(file.path)
        ours = _ours(file, now) or file.path in taken
        there = bool(file.aside) and os.path.lexists(file.aside)
        if there and now == file.original:
            Path(file.aside).unlink()  # we never got as far as to write
        elif there and (ours or now is None):
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
        data = _bytes_at(file.path)
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
                self._leases.forget(lease.id)
                return None
            return Lease(
                lease.id,
                lease.tool,
                lease.file,
                lease.provider,
                lease.label,
                lease.since,
                kept=kept,
            )

        return await self._run(work, alone=True)

    # -- import ----------------------------------------------------------------------------------

    async def read(self, path: str) -> ToolFileText | None:
        """Return what a tool's own file holds."""

        def work() -> ToolFileText | None:
            data = read_own(path)
            return text_of(path, data) if data is not None else None

        return await self._run(work)

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


def _with(
    lease: Lease, files: Sequence[LeasedFile], directory: str, made: tuple[str, ...]
) -> Lease:
    return Lease(
        lease.id,
        lease.tool,
        lease.file,
        lease.provider,
        lease.label,
        lease.since,
        tuple(files),
        lease.processes,
        directory,
        lease.stands_for,
        made,
    )


def _also(file: LeasedFile, text: Secret | None) -> LeasedFile:
    """Return the file with one more text that counts as ours."""
    if text is None:
        return file
    digests = dict.fromkeys((*file.digests, digest_of(text.reveal().encode())))
    return LeasedFile(file.path, tuple(digests), file.original, file.aside)


def _inside(lease: Lease) -> list[tuple[str, ...]]:
    """Return the parts of each file's path below the private directory."""
    return [Path(file.path).relative_to(lease.directory).parts for file in lease.files]


def _temporary(file: LeasedFile) -> str:
    name = Path(file.path).name.lstrip(".")
    return str(Path(file.path).with_name(f".{name}{ASIDE[:-1]}{NEW}"))


def _bytes_at(path: str) -> bytes | None:
    """Return what is there now, whatever has become of it; None where no file is."""
    try:
        return read_own(path)
    except ConfigurationError:
        return b""  # replaced by something that is not ours to read: it differs from ours


def _digest_at(path: str) -> str | None:
    data = _bytes_at(path)
    return digest_of(data) if data is not None else None


def _ours(file: LeasedFile, digest: str | None) -> bool:
    return digest in file.digests


def _import_name(note: ImportNote) -> str:
    return digest_of(f"{note.provider}/{note.label} {note.path}".encode())[:32]
