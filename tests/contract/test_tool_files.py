"""The tools' own files on a real disk: delivered, put back, kept, refused; and kill -9 anywhere."""

import errno
import os
import signal
import stat
import subprocess
import sys
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
from tests.house.tree import ROOT
from tool_agentd.errors import ConfigurationError, ConflictError
from tool_agentd.ports import ImportNote, Lease


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


class TestInPlace:
    """Where the definition says so."""

    def test_what_was_not_there_is_not_there_afterwards(self, place: Path, file: Path) -> None:
        """The file and the directory that was made for it are gone, and so is the record."""
        written = write(place, file)
        assert file.read_text() == NEW.reveal()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert run(tool_files(place).leases()) == (written,)
        assert run(tool_files(place).end(written)) is None
        assert list((place / "home").iterdir()) == []
        assert run(tool_files(place).leases()) == ()

    def test_what_was_there_is_put_back(self, place: Path, file: Path) -> None:
        """The very file, whose other version is nowhere any more."""
        stand(file)
        inode = file.stat().st_ino
        written = write(place, file)
        assert file.read_text() == NEW.reveal()
        assert run(tool_files(place).end(written)) is None
        assert tree(place) == {".acme/a.json": OLD}
        assert file.stat().st_ino == inode

    def test_the_record_holds_no_secret(self, place: Path, file: Path) -> None:
        """What is delivered stands in the delivered file alone."""
        stand(file)
        write(place, file)
        notes = [path.read_text() for path in (place / "state").rglob("*") if path.is_file()]
        assert notes
        assert not any("at-1" in note or "rt-old" in note for note in notes)

    def test_a_newer_token_takes_the_place_of_ours(self, place: Path, file: Path) -> None:
        """Both count as ours afterwards."""
        stand(file)
        files = tool_files(place)
        written = run(files.write(write(place, file), [(str(file), NEWER)]))
        assert file.read_text() == NEWER.reveal()
        assert run(files.end(written)) is None
        assert tree(place) == {".acme/a.json": OLD}

    def test_what_the_tool_has_changed_is_not_written_over(self, place: Path, file: Path) -> None:
        """The second command is told so, and the change stands."""
        written = write(place, file)
        file.write_text("changed")
        with pytest.raises(ConflictError):
            run(tool_files(place).write(written, [(str(file), NEWER)]))
        assert file.read_text() == "changed"

    def test_of_a_changed_file_both_versions_are_kept(self, place: Path, file: Path) -> None:
        """The tool's stays, the person's stands beside it, and the lease says where."""
        stand(file)
        files = tool_files(place)
        written = write(place, file)
        file.write_text("changed")
        (found,) = run(files.changed(written))
        assert (found.path, found.text.reveal()) == (str(file), "changed")
        left = run(files.end(written))
        assert left is not None
        (kept,) = left.kept
        assert kept.path == str(file)
        assert Path(kept.aside).read_text() == OLD
        assert file.read_text() == "changed"
        assert run(tool_files(place).leases()) == (left,)
        assert run(files.forget_kept(left)) == left
        Path(kept.aside).unlink()
        assert run(files.forget_kept(left)) is None
        assert run(tool_files(place).leases()) == ()

    def test_a_changed_file_that_was_taken_makes_room(self, place: Path, file: Path) -> None:
        """What is in it is in the store by then."""
        stand(file)
        written = write(place, file)
        file.write_text("changed")
        assert run(tool_files(place).end(written, [str(file)])) is None
        assert tree(place) == {".acme/a.json": OLD}

    def test_a_file_that_the_tool_has_erased(self, place: Path, file: Path) -> None:
        """There is nothing to keep; what the person had is put back."""
        stand(file)
        written = write(place, file)
        file.unlink()
        assert run(tool_files(place).changed(written)) == ()
        assert run(tool_files(place).end(written)) is None
        assert tree(place) == {".acme/a.json": OLD}

    def test_what_the_tool_put_beside_it_stays(self, place: Path, file: Path) -> None:
        """A directory that was made for the file goes only where it is empty."""
        written = write(place, file)
        (file.parent / "history").write_text("h")
        assert run(tool_files(place).end(written)) is None
        assert tree(place) == {".acme/history": "h"}

    @pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
    def test_a_foreign_file_is_left_alone(self, place: Path, file: Path) -> None:
        """Its owner would get the credential."""
        stand(file)
        os.chown(file, 4711, 4711)
        with pytest.raises(ConfigurationError, match="belongs to uid 4711"):
            write(place, file)
        assert tree(place) == {".acme/a.json": OLD}
        assert run(tool_files(place).leases()) == ()

    @pytest.mark.parametrize("what", ["link", "pipe", "folder", "others", "parent", "parent-link"])
    def test_what_is_not_a_file_of_ones_own_is_left_alone(
        self, place: Path, file: Path, what: str
    ) -> None:
        """It is named, nothing is written, nothing is recorded, and it is as it was."""
        stand(file)
        match what:
            case "link":
                file.rename(file.with_name("b.json"))
                file.symlink_to("b.json")
            case "pipe":
                file.unlink()
                os.mkfifo(file)
            case "folder":
                file.unlink()
                file.mkdir()
            case "others":
                file.chmod(0o666)
            case "parent":
                file.parent.chmod(0o777)
            case _:
                file.parent.rename(place / "elsewhere")
                file.parent.symlink_to(place / "elsewhere")
                if os.geteuid() == 0:
                    os.lchown(file.parent, 4711, 4711)
        before = os.lstat(file)
        with pytest.raises(ConfigurationError) as caught:
            write(place, file)
        assert str(file if what not in {"parent", "parent-link"} else file.parent) in (
            caught.value.detail
        )
        assert os.lstat(file) == before
        assert run(tool_files(place).leases()) == ()

    @pytest.mark.parametrize("step", ["aside", "written"])
    def test_a_disk_that_is_full(self, place: Path, file: Path, step: str) -> None:
        """What fails on the way leaves everything as it was."""
        stand(file)

        def full(reached: str) -> None:
            if reached == step:
                raise OSError(errno.ENOSPC, "No space left on device", str(file))

        with pytest.raises(ConfigurationError, match="No space left"):
            run(tool_files(place, full).write(lease(), [(str(file), NEW)]))
        assert tree(place) == {".acme/a.json": OLD}
        assert run(tool_files(place).leases()) == ()

    @pytest.mark.parametrize("step", ["recorded", "aside", "written"])
    def test_kill_9_while_it_is_written(self, place: Path, file: Path, step: str) -> None:
        """At no step is the person's file lost, and the next start puts it back."""
        stand(file)
        killed("write", step, place)
        assert file.exists()
        files = tool_files(place)
        (found,) = run(files.leases())
        assert run(files.end(found)) is None
        assert tree(place) == {".acme/a.json": OLD}
        assert run(files.leases()) == ()

    @pytest.mark.parametrize("step", ["recorded", "written"])
    def test_kill_9_where_nothing_stood(self, place: Path, file: Path, step: str) -> None:
        """The next start takes the file and its directory away."""
        killed("write", step, place)
        files = tool_files(place)
        (found,) = run(files.leases())
        assert run(files.end(found)) is None
        assert list((place / "home").iterdir()) == []

    def test_kill_9_while_it_is_put_back(self, place: Path, file: Path) -> None:
        """Putting back what is back already changes nothing."""
        stand(file)
        killed("end", "restored", place)
        files = tool_files(place)
        (found,) = run(files.leases())
        assert run(files.changed(found)) == ()
        assert run(files.end(found)) is None
        assert tree(place) == {".acme/a.json": OLD}

    def test_a_half_written_record_is_swept(self, place: Path) -> None:
        """A kill before the record was whole: nothing had been begun."""
        folder = place / "state/leases"
        folder.mkdir(mode=0o700)
        (folder / "00ff00ff00ff00ff.json.new").write_text("{")
        (folder / "notes.json").write_text("not ours")
        assert run(tool_files(place).leases()) == ()
        assert [path.name for path in folder.glob("*.json*")] == ["notes.json"]


def killed(what: str, step: str, place: Path) -> None:
    """Run the child and see it killed at that step."""
    words = [sys.executable, "-m", "tests.contract.tool_files_child", what, step, str(place)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


class TestPrivateDirectory:
    """Where a variable moves the tool's configuration."""

    @pytest.fixture
    def config(self, place: Path) -> Path:
        """The directory that the variable names."""
        config = place / "home/.config"
        (config / "other").mkdir(parents=True)
        (config / "other/settings").write_text("s")
        (config / "acme").mkdir()
        (config / "acme/a.json").write_text(OLD)
        (config / "acme/theme").write_text("dark")
        (config / "plain").write_text("p")
        return config

    def write(self, place: Path, config: Path) -> Lease:
        """Deliver below a private directory."""
        given = lease(stands_for=str(config))
        return run(tool_files(place).write(given, [(str(config / "acme/a.json"), NEW)]))

    def test_everything_is_found_but_the_file_is_ours(self, place: Path, config: Path) -> None:
        """The person's own file is untouched; what others need is there; nobody else can look."""
        written = self.write(place, config)
        private = Path(written.directory)
        assert private.parent == place / "run/exec"
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert (private / "acme/a.json").read_text() == NEW.reveal()
        assert stat.S_IMODE((private / "acme/a.json").stat().st_mode) == 0o600
        assert (private / "acme/theme").read_text() == "dark"
        assert (private / "other/settings").read_text() == "s"
        assert (config / "acme/a.json").read_text() == OLD
        assert run(tool_files(place).end(written)) is None
        assert not private.exists()
        assert (config / "acme/a.json").read_text() == OLD
        assert (config / "other/settings").read_text() == "s"

    def test_what_the_command_makes_goes_where_it_meant_it(self, place: Path, config: Path) -> None:
        """New files are moved, a file saved by renaming replaces the old one."""
        written = self.write(place, config)
        private = Path(written.directory)
        (private / "acme/history").write_text("h")
        (private / "fresh").mkdir()
        (private / "fresh/x").write_text("x")
        (private / "plain").unlink()
        (private / "plain").write_text("saved")
        assert run(tool_files(place).end(written)) is None
        assert (config / "acme/history").read_text() == "h"
        assert (config / "fresh/x").read_text() == "x"
        assert (config / "plain").read_text() == "saved"
        assert not private.exists()

    def test_what_is_newer_is_never_written_over(self, place: Path, config: Path) -> None:
        """Both versions are kept, and the lease says where."""
        early = structs.replace(lease(stands_for=str(config)), since=0.0)
        written = run(tool_files(place).write(early, [(str(config / "acme/a.json"), NEW)]))
        private = Path(written.directory)
        (private / "plain").unlink()
        (private / "plain").write_text("saved")
        left = run(tool_files(place).end(written))
        assert left is not None
        (kept,) = left.kept
        assert (kept.path, Path(kept.aside).read_text()) == (str(config / "plain"), "saved")
        assert (config / "plain").read_text() == "p"

    def test_a_changed_file_is_kept(self, place: Path, config: Path) -> None:
        """It is not lost with the directory: it rests in the state directory, for nobody else."""
        written = self.write(place, config)
        path = Path(written.directory) / "acme/a.json"
        path.write_text("changed")
        left = run(tool_files(place).end(written))
        assert left is not None
        (kept,) = left.kept
        assert kept.path == str(config / "acme/a.json")
        assert Path(kept.aside).read_text() == "changed"
        assert stat.S_IMODE(Path(kept.aside).stat().st_mode) == 0o600
        assert not Path(written.directory).exists()

    def test_a_directory_that_is_gone_is_no_trouble(self, place: Path, config: Path) -> None:
        """The runtime directory does not outlive the machine."""
        written = self.write(place, config)
        subprocess.run(["rm", "-r", written.directory], check=True)
        assert run(tool_files(place).end(written)) is None
        assert run(tool_files(place).leases()) == ()

    def test_without_a_directory_of_the_persons(self, place: Path) -> None:
        """There is nothing to link; what the command makes is put there all the same."""
        written = self.write(place, place / "home/.config")
        (Path(written.directory) / "new").write_text("n")
        assert run(tool_files(place).end(written)) is None
        assert (place / "home/.config/new").read_text() == "n"


class TestImport:
    """Files that are read for good."""

    def test_a_file_is_read_and_erased(self, place: Path, file: Path) -> None:
        """Only as long as it holds what was read."""
        stand(file)
        files = tool_files(place)
        found = run(files.read(str(file)))
        assert found is not None
        assert found.text.reveal() == OLD
        file.write_text("changed")
        assert not run(files.erase(str(file), found.digest))
        assert file.read_text() == "changed"
        stand(file)
        assert run(files.erase(str(file), found.digest))
        assert not file.exists()
        assert run(files.erase(str(file), found.digest))
        assert run(files.read(str(file))) is None

    def test_imports_are_remembered(self, place: Path) -> None:
        """From when they begin until they end, in any process."""
        note = ImportNote("/h/.acme/a.json", "00", "acme", "default", 1.5)
        run(tool_files(place).note_import(note))
        assert run(tool_files(place).imports()) == (note,)
        run(tool_files(place).end_import(note))
        assert run(tool_files(place).imports()) == ()

    def test_what_is_no_text_is_refused(self, place: Path, file: Path) -> None:
        """Neither a picture nor a disk image is a login."""
        stand(file)
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigurationError, match="not UTF-8"):
            run(tool_files(place).read(str(file)))
        file.write_bytes(b"x" * (2 << 20))
        with pytest.raises(ConfigurationError, match="larger"):
            run(tool_files(place).read(str(file)))
