"""The folders of tool definitions: reading them, and hearing of changes, config.toml's among them.

The built-in definitions come with the package; the person's are `*.toml` in `tools.d`. A file that
somebody else can write is not read: it says where secrets go.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tool_agentd
from tool_agentd.definition.catalogue import SourceText
from tool_agentd.definition.decode import FILE_MAX

if TYPE_CHECKING:
    from watchfiles import Change

SUFFIX = ".toml"
TICK_S = 30.0
"""The agent's own tick: how long a change may go unnoticed that the system does not report, such
as one behind a symbolic link, or in a folder that was moved away and back."""
STEP_MS = 1000
"""How often watchfiles looks for reported changes; its default is 20 times a second."""
ROOT_UID = 0
"""Files of root are read too: package managers install definitions that way."""

BUILT_IN = str(Path(tool_agentd.__file__).parent / "tools")
"""Found by the package's place, because `importlib.resources` alone takes longer to import than
every definition to read."""

Signature = tuple[tuple[object, ...], ...]

Names = dict[str, frozenset[str]]
"""Folder -> the names in it that matter."""
DEFINITIONS = frozenset({f"*{SUFFIX}"})
"""In place of names: every definition file."""


@dataclass(frozen=True, slots=True)
class DefinitionFolders:
    """Where definitions are: the package's folder and the person's.

    `person` is the path of `tools.d`, which need not exist; `uid` whose files are read.
    """

    person: str | None
    builtin: str = BUILT_IN
    uid: int = field(default_factory=os.geteuid)

    def read(self) -> dict[str, SourceText]:
        """Return every definition file by its path; a refused one with the reason and no text.

        It reads a few small files and blocks for that long. A folder that is not there is empty.
        """
        found = [read_source(path, builtin=True, uid=None) for path in _files(self.builtin)]
        if self.person is not None:
            reason = foreign_folder(self.person, self.uid)
            for path in _files(self.person):
                if reason is None:
                    found.append(read_source(path, builtin=False, uid=self.uid))
                else:
                    found.append(SourceText(path, refused=reason, fix=f"chmod go-w {self.person}"))
        return {source.file: source for source in found}

    async def watch(
        self, *, beside: str | None = None, tick: float = TICK_S
    ) -> AsyncGenerator[None, None]:
        """Yield once as soon as the person's folder is watched, then whenever it may have changed.

        `beside` is one more file that is watched, such as config.toml. Read both after each: a
        change between the first read and the watch is not lost then. Idle it wakes up once a second
        in a thread, and each `tick` seconds. Closing it takes up to a second.
        """
        if self.person is None:
            yield
            return
        async with aclosing(watch(self.person, beside, tick=tick)) as changes:
            async for change in changes:
                yield change


async def watch(
    folder: str, beside: str | None = None, *, tick: float = TICK_S
) -> AsyncGenerator[None, None]:
    """Yield once as soon as `folder` is watched, then whenever its definitions may have changed.

    The same for the file `beside`. The folder, and the file's, may be missing, appear, be replaced
    and go: until it is there, its nearest parent is watched instead. One watch serves both, so
    that the second costs an idle agent nothing.
    """
    seen: Signature | None = None
    while True:
        names = _watched(folder, beside)
        places = [_place(path) for path in names]
        exact = folder in names
        async with aclosing(_arm(names, tick)) as events:
            async for reported in events:
                now = signature(folder, beside)
                if seen is None or now != seen or (reported and exact):
                    seen = now
                    yield
                if _watched(folder, beside) != names or [_place(path) for path in names] != places:
                    break


def _watched(folder: str, beside: str | None) -> Names:
    """Return which folders to watch now, with the names in them that matter."""
    nearest = _nearest(folder)
    found = {nearest: _below(nearest, folder)}
    if beside is not None:
        above = _nearest(os.path.dirname(beside))  # noqa: PTH120 - text, as the rest
        wanted = _below(above, beside)
        if above != folder:
            # With the folder's own name: that it was replaced is then heard of at once.
            own = _below(above, folder) if Path(folder).is_relative_to(above) else frozenset()
            found[above] = wanted | own
    return found


async def _arm(names: Names, tick: float) -> AsyncGenerator[bool, None]:
    """Yield False once the watch stands and on each tick, True when a change was reported."""
    # Imported late: watchfiles brings anyio, and the socket should answer before that.
    from watchfiles import awatch  # noqa: PLC0415 - see above

    def relevant(_change: "Change", path: str) -> bool:
        above, _, name = path.rpartition("/")
        wanted = names.get(above or "/", frozenset())
        return path in names or name in wanted or (wanted == DEFINITIONS and _is_definition(name))

    try:
        changes = awatch(
            *names,
            watch_filter=relevant,
            step=STEP_MS,
            rust_timeout=int(tick * 1000),
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(changes):
            pending = asyncio.ensure_future(anext(changes))
            try:
                # The watch is set up in the first step of that task, before it waits in a thread.
                await asyncio.sleep(0)
                yield False
                while True:
                    reported = await pending
                    pending = asyncio.ensure_future(anext(changes))
                    yield bool(reported)
            finally:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
    except (OSError, RuntimeError, StopAsyncIteration):
        # No watch to be had: the folder has just gone, or the system's inotify limit is met
        # (watchfiles' own error is a RuntimeError). The tick serves instead.
        yield False
        await asyncio.sleep(tick)
        yield False


def signature(folder: str, beside: str | None = None) -> Signature:
    """Return what changes whenever a definition there, or `beside`, does; links followed."""
    entries: list[tuple[object, ...]] = []
    for path in (folder, *_files(folder), *([beside] if beside is not None else [])):
        try:
            at = os.stat(path)  # noqa: PTH116 - as the rest of this module, on text
        except OSError:
            continue
        inode = (at.st_dev, at.st_ino, at.st_mode, at.st_uid)
        # A folder's own times change with any file in it, a definition or not.
        times = () if path == folder else (at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        entries.append((path, *inode, *times))
    return tuple(entries)


def _is_definition(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _files(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all it takes
    except OSError:
        return []
    return [f"{folder}/{name}" for name in sorted(names) if _is_definition(name)]


def _nearest(folder: str) -> str:
    """Return the folder, or its nearest parent that is a folder."""
    path = Path(folder)
    # os.path.isdir: where a parent cannot be searched, pathlib raises instead of saying no.
    places = (above for above in (path, *path.parents) if os.path.isdir(above))  # noqa: PTH112 - as above
    return str(next(places, Path("/")))


def _below(watched: str, path: str) -> frozenset[str]:
    """Return the name in `watched` on the way to `path`; DEFINITIONS where they are the same."""
    parts = Path(path).relative_to(watched).parts
    return frozenset(parts[:1]) if parts else DEFINITIONS


def _place(path: str) -> tuple[int, int] | None:
    """Return which folder a path names now, whatever its name."""
    try:
        at = os.stat(path)  # noqa: PTH116 - as the rest of this module, on text
    except OSError:
        return None
    return at.st_dev, at.st_ino


def foreign(at: os.stat_result, uid: int) -> str | None:
    """Return why somebody else decides what this holds, if so."""
    if at.st_uid not in (uid, ROOT_UID):
        return f"owned by user {at.st_uid}"
    if at.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"writable by others (mode {stat.S_IMODE(at.st_mode):04o})"
    return None


def foreign_folder(folder: str, uid: int) -> str | None:
    """Return why somebody else decides what is in a folder, if so."""
    try:
        reason = foreign(os.stat(folder), uid)  # noqa: PTH116 - as the rest of this module
    except OSError:
        return None
    return f"in a folder that is {reason}" if reason else None


def read_source(path: str, *, builtin: bool, uid: int | None) -> SourceText:
    """Return a file's text. What is checked is what is open, so nothing can be swapped between."""
    fix = f"chmod go-w {path}"
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return SourceText(
            path, builtin=builtin, refused=f"a file that cannot be read ({error.strerror})"
        )
    with open(handle, "rb") as file:  # noqa: PTH123 - an open descriptor
        at = os.fstat(handle)
        if not stat.S_ISREG(at.st_mode):
            return SourceText(path, builtin=builtin, refused="something that is no regular file")
        reason = None if uid is None else foreign(at, uid)
        if reason is not None:
            return SourceText(path, builtin=builtin, refused=f"a file {reason}", fix=fix)
        raw = file.read(FILE_MAX + 1)
    try:
        return SourceText(path, raw.decode("utf-8"), builtin)
    except UnicodeDecodeError as error:
        refused = f"bytes that are not UTF-8, at {error.start}"
        return SourceText(path, builtin=builtin, refused=refused)
