"""The agent's places on a real disk and with a second uid: what others could change is refused."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tool_agentd.adapters.listening import listen
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.own_file import append_own
from tool_agentd.adapters.store.grants_db import GrantsDb
from tool_agentd.errors import AgentError, ConfigurationError

USER, STRANGER = 61_001, 61_002
"""Two uids that nobody has here."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes files of other users")


@contextmanager
def running_as(uid: int) -> Iterator[None]:
    """Have this process be somebody else on the disk."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def home() -> Iterator[Path]:
    """A user's home, below directories that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as room:
        Path(room).chmod(0o755)
        path = Path(room) / "home"
        path.mkdir(mode=0o755)
        os.chown(path, USER, USER)
        yield path


def made(path: Path, owner: int, mode: int) -> Path:
    """Make a directory of somebody's."""
    path.mkdir()
    os.chown(path, owner, owner)
    path.chmod(mode)
    return path


def link(path: Path, target: Path, owner: int) -> Path:
    """Make a link of somebody's."""
    path.symlink_to(target)
    os.lchown(path, owner, owner)
    return path


def _socket(folder: Path) -> None:
    listen(f"{folder}/agent.sock").close()


def _state(folder: Path) -> None:
    grants = GrantsDb(str(folder))
    grants.run(lambda *_: None, write=True)
    grants.close()


PLACES = {"socket": _socket, "state": _state}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda home: made(home / "x", STRANGER, 0o700), "{home}/x belongs to uid 61002"),
        (lambda home: made(home / "x", 0, 0o700), "{home}/x"),  # root's: not even to be looked into
        (lambda home: made(home / "x", USER, 0o770), "{home}/x has mode 0770, not 0700"),
        (lambda home: made(home / "x", USER, 0o701), "{home}/x has mode 0701, not 0700"),
        (
            lambda home: made(made(home / "x", USER, 0o777) / "y", USER, 0o700),
            "{home}/x is writable by others (mode 0777) and not sticky",
        ),
        (
            lambda home: made(made(home / "x", STRANGER, 0o755) / "y", USER, 0o700),
            "{home}/x belongs to uid 61002, neither root nor uid 61001",
        ),
        (
            lambda home: link(home / "z", made(home / "x", USER, 0o700), STRANGER) / "y",
            "{home}/z is a link that belongs to uid 61002, not to root",
        ),
        (
            lambda home: link(home / "z", made(home / "x", USER, 0o700), USER),
            "{home}/z is a link, not a directory",
        ),
    ],
)
def test_a_place_that_others_could_change_is_refused(
    home: Path, place: str, build: Callable[[Path], Path], says: str
) -> None:
    """Whoever owns, opens or links what is on the way: the very component is named."""
    folder = build(home)
    with running_as(USER), pytest.raises(AgentError) as caught:
        PLACES[place](folder)
    assert caught.value.detail.startswith(says.format(home=home))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "build",
    [
        lambda home: home / "new" / "deeper",
        lambda home: made(home / "x", USER, 0o700),
        lambda home: link(home.parent / "link", home, 0) / "x",
        lambda home: made(home.parent / "tmp", 0, 0o1777) / "x",
    ],
)
def test_a_place_of_ones_own_is_used(home: Path, place: str, build: Callable[[Path], Path]) -> None:
    """A home behind a link of root's and a sticky directory above are good; all files are 0600."""
    folder = build(home)
    with running_as(USER):
        before = os.umask(0o077)
        try:
            PLACES[place](folder)
        finally:
            os.umask(before)
    found = list(folder.iterdir())
    assert {stat.S_IMODE(one.lstat().st_mode) for one in found} == {0o600}
    assert {one.lstat().st_uid for one in found} == {USER}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("a link", "is a link"),
        ("a dangling link", "is a link"),
        ("a second name", "has 2 names"),
        ("a stranger's", "cannot be opened: Permission denied"),
        ("a stranger's, open to all", "belongs to uid 61002, not to uid 61001"),
        ("a pipe", "cannot be opened"),
        ("a directory", "cannot be opened: Is a directory"),
    ],
)
def test_a_log_is_a_file_of_ones_own(home: Path, flaw: str, says: str) -> None:
    """What is logged goes into no other file; the path is named."""
    log, other = home / "agent.log", home / "other"
    match flaw:
        case "a link":
            other.touch()
            log.symlink_to(other)
        case "a dangling link":
            log.symlink_to(other)
        case "a second name":
            log.touch()
            os.chown(log, USER, USER)
            other.hardlink_to(log)
        case "a pipe":
            os.mkfifo(log)
            os.chown(log, USER, USER)
        case "a directory":
            made(log, USER, 0o700)
        case _:
            log.touch()
            os.chown(log, STRANGER, STRANGER)
            log.chmod(0o666 if "open" in flaw else 0o600)
    with running_as(USER), pytest.raises(ConfigurationError) as caught:
        append_own(str(log))
    assert caught.value.detail.startswith(f"{log} {says}")
    assert not other.exists() or other.read_bytes() == b""


def test_a_log_that_others_could_read_is_closed_to_them(home: Path) -> None:
    """A log from a looser time goes on, for its owner's eyes only."""
    log = home / "agent.log"
    log.write_text("before\n")
    log.chmod(0o644)
    os.chown(log, USER, USER)
    with running_as(USER), append_own(str(log)) as file:
        file.write("after\n")
    assert log.read_text() == "before\nafter\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_directory_that_is_made_is_the_users(home: Path) -> None:
    """What was missing belongs to the user, and to nobody else's eyes."""
    with running_as(USER):
        ensure_own_directory(f"{home}/.local/state/tool-agent")
    for folder in (home / ".local", home / ".local/state", home / ".local/state/tool-agent"):
        assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (USER, 0o700)
