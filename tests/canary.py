"""The canary scan: no secret of a test may turn up where it was not handed.

Each secret is unique to its test, so one find is a leak and nothing else. It is searched as it is,
base64, url-encoded, reversed, hexadecimal and escaped, in files, texts, and the command lines and
environments of processes. What is reported names the secret and the place, never the secret.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.canary_forms import Needle, needles

SHORTEST = 12
"""Characters of the shortest value that is watched: a shorter one turns up by accident, and would
make every scan a false alarm or, trimmed for base64, match anything."""

PROC = Path("/proc")

Processes = Iterable[int] | Literal["all"]


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret, by its name, in a place where nobody put it on purpose."""

    secret: str
    form: str
    place: str

    def __str__(self) -> str:
        return f"{self.secret} ({self.form}) in {self.place}"


class LeakError(AssertionError):
    """Secrets turned up; the message says which and where."""


@dataclass(frozen=True, slots=True)
class _Allowance:
    secret: str
    reason: str
    pid: int | None
    command: str | None
    path: Path | None


@dataclass(frozen=True, slots=True)
class _Haystack:
    """Bytes to search, with the name of their place and who may carry what there."""

    place: str
    data: bytes
    pid: int | None = None
    command: str | None = None
    path: Path | None = None


class Canary:
    """The secrets of one test, and the places that it wants searched at its end."""

    def __init__(self) -> None:
        self._needles: list[Needle] = []
        self._known: set[bytes] = set()
        self._allowed: list[_Allowance] = []
        self._homes: list[Path] = []
        self._logs: list[Path] = []
        self._texts: list[tuple[str, str | bytes]] = []
        self._processes: set[int] | Literal["all"] = "all"

    # --- the secrets

    def make(self, name: str, *, prefix: str = "", hex: int = 64) -> str:  # noqa: A002 - what it is
        """Return a new secret: `prefix` and `hex` hexadecimal digits.

        The digits alone are searched for: wherever the whole turns up, they do.
        """
        digits = secrets.token_hex((hex + 1) // 2)[:hex]
        self.watch(digits, name)
        return prefix + digits

    def watch(self, value: str | bytes, name: str) -> None:
        """Search for `value`, which somebody else made (a server's token), as `name`.

        Raises:
            ValueError: it is too short to be searched for.
        """
        data = value.encode() if isinstance(value, str) else value
        if len(data) < SHORTEST:
            raise ValueError(f"{name} has {len(data)} characters; {SHORTEST} are needed")
        if data not in self._known:
            self._known.add(data)
            self._needles.extend(needles(name, data))

    def allow(
        self,
        name: str,
        *,
        reason: str,
        pid: int | None = None,
        command: str | None = None,
        path: Path | None = None,
    ) -> None:
        """Let the secret `name` be in one place, because it was handed there.

        The place is the process `pid`, every process whose command's base name (argv[0]; under
        Python the script or module) is `command`, or the file `path`.
        """
        if [pid, command, path].count(None) != 2 or not reason:
            raise ValueError("an allowance has one of pid, command and path, and a reason")
        self._allowed.append(_Allowance(name, reason, pid, command, path and path.absolute()))

    # --- the places, remembered until the end of the test

    def home(self, path: Path) -> Path:
        """Search every file below `path` at the end; return `path`."""
        self._homes.append(path)
        return path

    def log(self, path: Path) -> Path:
        """Search the file `path`, which need not exist yet, at the end; return `path`."""
        self._logs.append(path)
        return path

    def text(self, name: str, text: str | bytes) -> None:
        """Search `text` (stderr, a traceback, a page) at the end."""
        self._texts.append((name, text))

    def processes(self, pids: Iterable[int]) -> None:
        """Search only these processes, not all of the machine's, at the end."""
        self._processes = set(pids) | (set() if self._processes == "all" else self._processes)

    # --- the search

    def scan(
        self,
        *,
        home: Path | None = None,
        logs: Iterable[Path] = (),
        texts: Mapping[str, str | bytes] | None = None,
        processes: Processes = "all",
    ) -> list[Leak]:
        """Search these places, and nothing that was remembered; return what was found."""
        haystacks = [
            *(_files(home) if home is not None else ()),
            *(stack for path in logs for stack in _file(path, str(path))),
            *(_text(name, text) for name, text in (texts or {}).items()),
            *_processes(processes),
        ]
        return self._search(haystacks)

    def assert_clean(
        self,
        *,
        home: Path | None = None,
        logs: Iterable[Path] = (),
        texts: Mapping[str, str | bytes] | None = None,
        processes: Processes = "all",
    ) -> None:
        """Search these places as `scan` does.

        Raises:
            LeakError: a secret was found.
        """
        _raise(self.scan(home=home, logs=logs, texts=texts, processes=processes))

    def assert_all_clean(self) -> None:
        """Search every place that was remembered, and the processes, as they are now.

        A process is only seen while it lives: a story calls this while its agent still runs.

        Raises:
            LeakError: a secret was found.
        """
        haystacks = [
            *(stack for home in self._homes for stack in _files(home)),
            *(stack for path in self._logs for stack in _file(path, str(path))),
            *(_text(name, text) for name, text in self._texts),
            *_processes(self._processes),
        ]
        _raise(self._search(haystacks))

    def _search(self, haystacks: Iterable[_Haystack]) -> list[Leak]:
        # Most processes share an environment: the same bytes are searched once.
        by_data: dict[bytes, list[_Haystack]] = {}
        for haystack in haystacks:
            by_data.setdefault(haystack.data, []).append(haystack)
        # A secret that an encoder or a terminal broke over lines is found in its unbroken form.
        spaces = {data: _unwrapped(data) for data in by_data}
        together = b"\0\0".join([*by_data, *(flat for flat in spaces.values() if flat)])
        found = [needle for needle in self._needles if needle.data in together]
        leaks = {
            Leak(needle.secret, needle.form, self._discreet(haystack.place)): None
            for needle in found
            for data, places in by_data.items()
            if needle.data in data or needle.data in spaces[data]
            for haystack in places
            if not self._is_allowed(needle.secret, haystack)
        }
        return list(leaks)

    def _discreet(self, place: str) -> str:
        """Return `place`, unless its name holds a secret: a report is read by many."""
        name = os.fsencode(place)
        return "a path that holds a secret" if any(n.data in name for n in self._needles) else place

    def _is_allowed(self, secret: str, haystack: _Haystack) -> bool:
        return any(
            allowed.secret == secret
            and (
                (allowed.pid is not None and allowed.pid == haystack.pid)
                or (allowed.command is not None and allowed.command == haystack.command)
                or (allowed.path is not None and allowed.path == haystack.path)
            )
            for allowed in self._allowed
        )


def _raise(leaks: list[Leak]) -> None:
    if leaks:
        raise LeakError("secrets leaked:\n" + "\n".join(f"  {leak}" for leak in leaks))


def _unwrapped(data: bytes) -> bytes:
    return data.translate(None, b"\r\n") if b"\n" in data else b""


def _text(name: str, text: str | bytes) -> _Haystack:
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return _Haystack(name, data)


def _files(home: Path) -> Iterator[_Haystack]:
    """Yield every file below `home`, and the names of all that is there."""
    names: list[bytes] = []
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(folder, name)
            names.append(os.fsencode(path.relative_to(home)))
            if path.is_symlink():
                names.append(os.fsencode(path.readlink()))
        for name in files:
            path = Path(folder, name)
            yield from _file(path, f"~/{path.relative_to(home)}")
    yield _Haystack(f"the names of the files in {home}", b"\0".join(names))


def _file(path: Path, place: str) -> Iterator[_Haystack]:
    # Sockets and pipes hold nothing; opening one may wait for ever. A file that ends meanwhile
    # (a journal of SQLite) was there for nobody to read.
    if path.is_file() and not path.is_symlink():
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        yield _Haystack(place, data, path=path.absolute())


def _processes(processes: Processes) -> Iterator[_Haystack]:
    """Yield the command line and the environment of each process."""
    if processes == "all":
        pids = [int(path.name) for path in PROC.glob("[0-9]*")]
    else:
        pids = list(processes)
    for pid in pids:
        argv = _proc(pid, "cmdline")
        command = _command(argv)
        # Its name only: the arguments may be what leaked.
        name = _proc(pid, "comm").decode(errors="replace").strip() or "ended"
        for kind, data in (("cmdline", argv), ("environ", _proc(pid, "environ"))):
            if data:
                yield _Haystack(f"/proc/{pid}/{kind} ({name})", data, pid=pid, command=command)


def _proc(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:  # it ended, or it lets nobody look: then nobody reads a secret there either
        return b""


def _command(argv: bytes) -> str:
    """Return the base name of what runs: of a script or module rather than its interpreter."""
    first, *rest = (os.fsdecode(word) for word in argv.split(b"\0"))
    words = iter(rest)
    if Path(first).name.startswith("python"):
        for word in words:
            if word in {"-X", "-W"}:
                next(words, "")
            elif word == "-m":
                return next(words, "")
            elif word == "-c":
                break
            elif word and not word.startswith("-"):
                return Path(word).name
    return Path(first).name


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Iterator[Canary]:
    """The test's secrets; every place that it remembered is searched when it ends.

    What was logged in this process, at debug level and with tracebacks, is searched as well.
    """
    caplog.set_level(logging.DEBUG)
    bird = Canary()
    yield bird
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            bird.text(f"the log of {record.name}", formatter.format(record))
    bird.assert_all_clean()
