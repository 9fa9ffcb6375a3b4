"""The agent's own code: who else may write it is found, and it does not run there."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.home import BIN
from tool_agent import wire
from tool_agentd.adapters.own_program import (
    CodeFacts,
    ProgramFacts,
    advice,
    gathered,
    intruders,
    intrusion,
)

USER = 1000
STRANGER = 1001
DIR, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def facts(mode: int, owner: int, *, shared: bool = False, imported: bool = False) -> CodeFacts:
    """Return what was found at a path."""
    return CodeFacts("/code", mode, owner, shared, imported)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (facts(DIR | 0o755, 0), None),
        (facts(DIR | 0o755, USER), None),
        (facts(FILE | 0o644, USER), None),
        (facts(DIR | 0o775, USER), None),  # a group of its own: umask 002
        (facts(LINK | 0o777, USER), None),
        (facts(DIR | 0o1777, 0), None),  # /tmp, on the way
        (facts(DIR | 0o755, STRANGER), "belongs to uid 1001, neither root nor uid 1000"),
        (facts(LINK | 0o777, STRANGER), "belongs to uid 1001, neither root nor uid 1000"),
        (facts(DIR | 0o1777, 0, imported=True), "is writable by everybody (mode 1777)"),
        (facts(DIR | 0o777, USER), "is writable by everybody (mode 0777)"),
        (facts(FILE | 0o666, USER), "is writable by everybody (mode 0666)"),
        (facts(DIR | 0o775, 0, shared=True), "is writable by a group of several (mode 0775)"),
        (facts(FILE | 0o664, USER, shared=True), "is writable by a group of several (mode 0664)"),
    ],
)
def test_code_is_judged(found: CodeFacts, reason: str | None) -> None:
    """Root and the user may write it, and nobody else in any way."""
    assert intrusion(found, USER) == reason
    program = ProgramFacts((found,), "/venv", "/usr", "/venv/bin/python")
    assert intruders(program, USER) == ([f"/code {reason}"] if reason else [])


@pytest.mark.parametrize(
    ("prefix", "executable", "darwin", "says"),
    [
        ("/home/ada/.venv", "/usr/bin/python3.11", False, None),
        ("/home/ada/.venv", "/home/ada/.venv/bin/python", True, None),
        ("/usr", "/usr/bin/python3.11", False, "is shared with other programs"),
        ("/usr", "/usr/bin/python3.11", True, "on macOS reads the agent's keychain items"),
        ("/home/ada/.venv", "/opt/python3.11", True, "is a link to /opt/python3.11"),
    ],
)
def test_a_shared_interpreter_is_advised_against(
    *, prefix: str, executable: str, darwin: bool, says: str | None
) -> None:
    """An environment of its own is private; on macOS it is so with its own interpreter only."""
    found = advice(ProgramFacts((), prefix, "/usr", executable, darwin))
    assert found is None if says is None else says in (found or "")


def test_all_that_runs_is_looked_at() -> None:
    """The interpreter, the modules that are loaded, their folders, and the root above them."""
    seen = {one.path: one for one in gathered().code}
    for path in ("/", os.path.realpath(sys.executable), os.path.realpath(__file__)):
        assert path in seen
    assert seen[str(Path(pytest.__file__).parent)].imported
    assert seen[str(Path(__file__).parent)].imported


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
@pytest.mark.parametrize(
    ("group", "shared"),
    [(0, False), (61_003, False), (pwd.getpwnam("nobody").pw_gid, True)],
    ids=["root's", "nobody has it", "another user's own"],
)
def test_a_group_counts_by_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, group: int, shared: bool
) -> None:
    """A group that may write counts if somebody else is in it, by its list or as their own."""
    folder = tmp_path / "packages"
    folder.mkdir()
    os.chown(folder, 0, group)
    folder.chmod(0o775)
    monkeypatch.syspath_prepend(str(folder))
    (found,) = (one for one in gathered().code if one.path == str(folder))
    assert (found.shared_group, found.imported) == (shared, True)
    assert (intrusion(found, 0) is not None) is shared


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
@pytest.mark.parametrize("flaw", ["a stranger's folder", "an open folder", "an open file"])
def test_the_agent_does_not_run_what_others_may_write(tmp_path: Path, flaw: str) -> None:
    """It refuses to start and names what is at fault; `check` names it too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "tool-agentd"
    shutil.copy(BIN / "tool-agentd", program)
    match flaw:
        case "a stranger's folder":
            os.chown(folder, STRANGER, STRANGER)
            said = f"{folder} belongs to uid 1001"
        case "an open folder":
            folder.chmod(0o777)
            said = f"{folder} is writable by everybody"
        case _:
            program.chmod(0o757)
            said = f"{program} is writable by everybody"
    for command in ("run", "check"):
        done = subprocess.run(
            [program, command],
            env={"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == wire.EXIT_CONFIG
        assert said in done.stderr
    assert not tmp_path.joinpath(".local").exists()
