"""What is said of a file, or a disk, that cannot be used: whose it is, where, and what helps."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tests.contract.tool_files_places import NEW, lease, tool_files
from tool_agentd.adapters.own_file import check_place, read_own
from tool_agentd.errors import ConfigurationError

STRANGER = 4711
"""A user that has no name here."""

root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")


@root
def test_a_home_of_somebody_else(tmp_path: Path) -> None:
    """Its permissions are no help: the hint says whose it is, and what is."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    os.chown(home, STRANGER, STRANGER)
    with pytest.raises(ConfigurationError, match=f"{home} belongs to uid 4711") as caught:
        check_place(f"{home}/.acme/a.json")
    hint = caught.value.hint or ""
    assert "chmod" not in hint
    assert f"chown 0 {home}" in hint
    assert "the agent runs for root (uid 0)" in hint
    assert "set HOME" in hint


@root
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    """The same for the file itself."""
    file = tmp_path / "a.json"
    file.write_text("{}")
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(ConfigurationError, match="belongs to uid 4711") as caught:
        read_own(str(file))
    assert f"chown 0 {file}" in (caught.value.hint or "")


def test_a_directory_that_others_can_write(tmp_path: Path) -> None:
    """One's own is mended by its permissions; what is none is moved away."""
    home = tmp_path / "my home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(ConfigurationError) as caught:
        check_place(f"{home}/a.json")
    assert caught.value.hint == f"run 'chmod go-w '{home}''"
    home.rmdir()
    home.write_text("")
    with pytest.raises(ConfigurationError, match="is not a directory") as caught:
        check_place(f"{home}/a.json")
    assert caught.value.hint == f"move {home} away"


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_disk_that_is_full_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The error of an open file names none: ours does, and says what to type."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for room in ("home", "state", "run"):
        (tmp_path / room).mkdir(mode=0o700)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(tool_files(tmp_path).write(lease(), [(f"{tmp_path}/home/a", NEW)]))
    path = tmp_path / "state/leases/00ff00ff00ff00ff.json"
    assert caught.value.detail == f"{path}: No space left on device"
    assert f"df -h {path.parent}" in (caught.value.hint or "")
