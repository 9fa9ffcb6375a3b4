"""Leases on a real disk: their records, their paths, and what was there before them."""

import stat
import threading
from pathlib import Path

import pytest
from msgspec import structs

from tests.contract.tool_files_places import (
    NEW,
    NEWER,
    OLD,
    lease,
    run,
    stand,
    tool_files,
    tree,
    write,
)
from tool_agentd.errors import ConflictError, TemporarilyUnavailableError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A home, a state directory and a runtime directory."""
    for room in ("home", "state", "run"):
        (tmp_path / room).mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def file(place: Path) -> Path:
    """Where the tool looks."""
    return place / "home/.acme/a.json"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_what_was_there_has_its_own_mode_again(place: Path, file: Path, mode: int) -> None:
    """Delivered for the owner alone; put back as the person had it."""
    stand(file)
    file.chmod(mode)
    written = write(place, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    run(tool_files(place).end(written))
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_path_has_one_lease(place: Path, file: Path) -> None:
    """Another is refused, whoever wrote the first: what is there is nobody's original."""
    stand(file)
    written = write(place, file)
    with pytest.raises(ConflictError, match="in use for acme"):
        run(tool_files(place).write(lease("11ff"), [(str(file), NEWER)]))
    assert file.read_text() == NEW.reveal()
    run(tool_files(place).end(written))
    assert tree(place) == {".acme/a.json": OLD}


def test_a_lease_that_is_over_is_not_joined(place: Path, file: Path) -> None:
    """Nor is one that is gone; and changing what is recorded brings none back."""
    files = tool_files(place)
    written = write(place, file)
    over = run(files.amend(written.id, lambda there: structs.replace(there, over=True)))
    assert over is not None
    assert run(files.leases()) == (over,)
    with pytest.raises(ConflictError, match="being put back"):
        run(files.write(written, [(str(file), NEWER)]))
    run(files.end(over))
    with pytest.raises(ConflictError, match="being put back"):
        run(files.write(written, [(str(file), NEWER)]))
    assert run(files.amend(written.id, lambda there: there)) is None
    assert run(files.leases()) == ()


def test_a_record_that_makes_no_sense_is_kept_aside(place: Path, file: Path) -> None:
    """It is reported from then on, and the others are read."""
    written = write(place, file)
    files = tool_files(place)
    record = place / "state/leases/22ff22ff.json"
    record.write_text('{"id": 5}')
    for _ in range(2):
        assert run(files.leases()) == (written,)
        (sentence,) = files.unreadable
        assert f"{record}.unreadable, a record" in sentence
    assert not record.exists()
    assert Path(f"{record}.unreadable").read_text() == '{"id": 5}'


def test_a_disk_that_hangs_is_no_store(
    place: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said of the tools' files, in a thread that is named after them."""
    monkeypatch.setattr("tool_agentd.adapters.tool_files.DEADLINE", 0.05)
    release, names = threading.Event(), []

    def stuck(_step: str) -> None:
        names.append(threading.current_thread().name)
        release.wait(10)

    with pytest.raises(TemporarilyUnavailableError, match="the tools' own files did not answer"):
        run(tool_files(place, stuck).write(lease(), [(str(file), NEW)]))
    release.set()
    assert names[0] == "files 1"
