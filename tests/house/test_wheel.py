"""The wheel as it is built: both packages, both commands, the definitions, nothing else."""

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.house.tree import CLIENT, DAEMON, ROOT, files

COMMANDS = ["tool-agent", "tool-agentd"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel as pip would, and open it."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as opened:
        yield opened


def members(wheel: zipfile.ZipFile, below: str) -> set[str]:
    """Return the names of the files in a folder of the wheel."""
    return {member for member in wheel.namelist() if member.startswith(f"{below}/")}


@pytest.mark.parametrize("package", [CLIENT, DAEMON], ids=["tool_agent", "tool_agentd"])
def test_a_package_is_shipped_whole(wheel: zipfile.ZipFile, package: Path) -> None:
    """Each file of a package is in the wheel, its type marker included, and no other."""
    source = {
        path.relative_to(package.parent).as_posix() for path in files() if package in path.parents
    }
    assert f"{package.name}/py.typed" in source
    assert members(wheel, package.name) == source


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Beside the packages there are only the commands and the metadata."""
    tops = {member.partition("/")[0].partition("-")[0] for member in wheel.namelist()}
    assert tops == {"tool_agent", "tool_agentd"}


def test_the_definitions_are_shipped(wheel: zipfile.ZipFile) -> None:
    """The wheel brings the tool definitions of the source tree, and there are some."""
    source = {f"tool_agentd/tools/{path.name}" for path in (DAEMON / "tools").glob("*.toml")}
    assert source
    assert source <= set(wheel.namelist())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_shipped_as_a_script(wheel: zipfile.ZipFile, command: str) -> None:
    """A command is an executable file whose first line pip and uv turn into the interpreter's."""
    (member,) = (
        entry for entry in wheel.infolist() if entry.filename.endswith(f".data/scripts/{command}")
    )
    assert wheel.read(member).startswith(b"#!python\n")
    assert (member.external_attr >> 16) & stat.S_IXUSR


def test_no_command_is_an_entry_point(wheel: zipfile.ZipFile) -> None:
    """No console wrapper is written: it would import `re` before the client begins."""
    assert not [member for member in wheel.namelist() if member.endswith("entry_points.txt")]
