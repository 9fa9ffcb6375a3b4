"""A private directory whose command has put something unexpected there: it harms nothing else."""

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.contract.tool_files_places import NEW, OLD, lease, tool_files
from tool_agentd.ports import Lease

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    return asyncio.run(work)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A home, a state directory, a runtime directory, and something precious beside them."""
    for room in ("home", "state", "run", "precious"):
        (tmp_path / room).mkdir(mode=0o700)
    (tmp_path / "precious/a.json").write_text("mine")
    (tmp_path / "precious/photos").mkdir()
    (tmp_path / "precious/photos/1").write_text("1")
    (tmp_path / "home/.acme").mkdir()
    (tmp_path / "home/.acme/a.json").write_text(OLD)
    return tmp_path


@pytest.fixture
def real(place: Path) -> Path:
    """The directory of the person's that the tool reads."""
    return place / "home/.acme"


def write(place: Path, real: Path) -> Lease:
    """Deliver below a private directory that stands for the tool's own."""
    given = lease(stands_for=str(real))
    return run(tool_files(place).write(given, [(str(real / "a.json"), NEW)]))


def everything(folder: Path) -> dict[str, str]:
    """Return every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_a_link_in_its_place_is_unlinked(place: Path, real: Path) -> None:
    """Nothing behind it is read, moved or deleted."""
    before = everything(place / "precious")
    written = write(place, real)
    directory = Path(written.directory)
    shutil.rmtree(directory)
    directory.symlink_to(place / "precious")
    files = tool_files(place)
    assert run(files.changed(written)) == ()
    assert run(files.end(written)) is None
    assert everything(place / "precious") == before
    assert everything(real) == {"a.json": OLD}
    assert not os.path.lexists(directory)
    assert run(files.leases()) == ()


def test_a_link_to_a_directory_that_contains_the_tools(place: Path, real: Path) -> None:
    """Nothing is moved into itself."""
    written = write(place, real)
    shutil.rmtree(written.directory)
    Path(written.directory).symlink_to(place / "home")
    assert run(tool_files(place).end(written)) is None
    assert everything(place / "home") == {".acme/a.json": OLD}


def test_another_directory_in_its_place_is_left_as_it_is(place: Path, real: Path) -> None:
    """It is not the one that was made: it is named, until the person has moved it away."""
    written = write(place, real)
    directory = Path(written.directory)
    directory.rename(place / "run/elsewhere")
    (place / "precious").rename(directory)
    before = everything(directory)
    files = tool_files(place)
    left = run(files.end(written))
    assert left is not None
    (kept,) = left.kept
    assert (kept.path, kept.aside) == (str(real), str(directory))
    assert "not the directory" in kept.why
    assert everything(directory) == before
    assert everything(real) == {"a.json": OLD}


def test_a_link_inside_is_moved_as_a_link(place: Path, real: Path) -> None:
    """What it points at is neither moved nor given other permissions."""
    (real / "theme").write_text("dark")
    written = write(place, real)
    directory = Path(written.directory)
    (directory / "theme").unlink()
    (directory / "theme").symlink_to(place / "precious/a.json")
    (place / "precious/a.json").chmod(0o600)
    left = run(tool_files(place).end(written))
    assert left is not None
    (kept,) = left.kept
    assert Path(kept.aside).is_symlink()
    assert (real / "theme").read_text() == "dark"
    assert (place / "precious/a.json").stat().st_mode & 0o777 == 0o600
    assert everything(place / "precious") == {"a.json": "mine", "photos/1": "1"}


def test_a_link_on_the_way_to_the_file(place: Path) -> None:
    """A folder of ours that became a link is not entered."""
    config = place / "home"
    given = lease(stands_for=str(config))
    written = run(tool_files(place).write(given, [(str(config / ".acme/a.json"), NEW)]))
    shutil.rmtree(f"{written.directory}/.acme")
    Path(written.directory, ".acme").symlink_to(place / "precious")
    files = tool_files(place)
    assert run(files.changed(written)) == ()
    run(files.end(written))
    assert everything(place / "precious") == {"a.json": "mine", "photos/1": "1"}


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime directory be on another file system than the home."""
    rename = os.rename

    def apart(source: Any, target: Any, **where: Any) -> None:  # noqa: ANN401 - as os.rename
        if where.get("src_dir_fd") is not None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target, **where)

    monkeypatch.setattr(os, "rename", apart)


@pytest.mark.usefixtures("other_disk")
def test_pipes_and_sockets_go_and_the_rest_is_moved(place: Path, real: Path) -> None:
    """A pipe cannot be moved to another disk, and holds nothing."""
    written = write(place, real)
    directory = Path(written.directory)
    os.mkfifo(directory / "a-pipe")
    (directory / "deep/er").mkdir(parents=True)
    os.mkfifo(directory / "deep/a-pipe")
    (directory / "deep/er/x").write_text("x")
    (directory / "deep/er/x").chmod(0o640)
    (directory / "link").symlink_to("deep/er/x")
    (directory / "history").write_text("h")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "s"))
    files = tool_files(place)
    assert run(files.end(written)) is None
    assert everything(real) == {"a.json": OLD, "deep/er/x": "x", "history": "h"}
    assert (real / "deep/er/x").stat().st_mode & 0o777 == 0o640
    assert (real / "link").readlink() == Path("deep/er/x")
    assert not directory.exists()
    assert run(files.leases()) == ()


def test_one_entry_that_cannot_be_moved_keeps_no_other(
    place: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential is gone, the rest is moved, and the person is told where that one is."""
    rename = os.rename

    def full(source: Any, target: Any, **where: Any) -> None:  # noqa: ANN401 - as os.rename
        if source == "big":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target, **where)

    written = write(place, real)
    directory = Path(written.directory)
    (directory / "big").write_text("b")
    (directory / "small").write_text("s")
    monkeypatch.setattr(os, "rename", full)
    files = tool_files(place)
    left = run(files.end(written))
    assert left is not None
    (kept,) = left.kept
    assert (kept.path, kept.aside) == (str(real / "big"), str(directory / "big"))
    assert "No space left" in kept.why
    assert everything(directory) == {"big": "b"}
    assert everything(real) == {"a.json": OLD, "small": "s"}
    (directory / "big").unlink()  # as the person is told to
    assert run(files.forget_kept(left)) is None
    assert not directory.exists()


def test_a_file_that_is_no_text_is_kept(place: Path, real: Path) -> None:
    """There is no login in it, and the lease ends all the same."""
    written = write(place, real)
    Path(written.directory, "a.json").write_bytes(b"\xff\xfe")
    files = tool_files(place)
    assert run(files.changed(written)) == ()
    left = run(files.end(written))
    assert left is not None
    assert Path(left.kept[0].aside).read_bytes() == b"\xff\xfe"
