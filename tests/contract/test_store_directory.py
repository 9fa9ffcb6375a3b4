"""Our own directory: which ancestors, owners, modes and links are accepted, and what is created."""

import os
import stat
from pathlib import Path

import pytest

from tool_agentd.adapters.own_directory import DirectoryFacts, ensure_own_directory, objection
from tool_agentd.errors import ConfigurationError

USER = 1000
STRANGER = 1001


def facts(permissions: int, owner: int, kind: int = stat.S_IFDIR) -> DirectoryFacts:
    """Return what lstat would say."""
    return DirectoryFacts("/somewhere", kind | permissions, owner)


@pytest.mark.parametrize(
    ("permissions", "owner", "kind", "reason"),
    [
        (0o755, 0, stat.S_IFDIR, None),
        (0o755, USER, stat.S_IFDIR, None),
        (0o1777, 0, stat.S_IFDIR, None),
        (0o1775, USER, stat.S_IFDIR, None),
        (0o777, 0, stat.S_IFDIR, "is writable by others (mode 0777) and not sticky"),
        (0o775, USER, stat.S_IFDIR, "is writable by others (mode 0775) and not sticky"),
        (0o700, STRANGER, stat.S_IFDIR, "belongs to uid 1001, neither root nor uid 1000"),
        (0o1777, STRANGER, stat.S_IFDIR, "belongs to uid 1001, neither root nor uid 1000"),
        (0o777, 0, stat.S_IFLNK, None),
        (0o777, USER, stat.S_IFLNK, "is a link that belongs to uid 1000, not to root"),
        (0o644, USER, stat.S_IFREG, "is not a directory"),
    ],
)
def test_an_ancestor_is_judged(permissions: int, owner: int, kind: int, reason: str | None) -> None:
    """An ancestor is root's or ours and closed to others or sticky; only root's links count."""
    assert objection(facts(permissions, owner, kind), user=USER, own=False) == reason


@pytest.mark.parametrize(
    ("permissions", "owner", "kind", "reason"),
    [
        (0o700, USER, stat.S_IFDIR, None),
        (0o750, USER, stat.S_IFDIR, "has mode 0750, not 0700"),
        (0o500, USER, stat.S_IFDIR, "has mode 0500, not 0700"),
        (0o1700, USER, stat.S_IFDIR, "has mode 1700, not 0700"),
        (0o700, 0, stat.S_IFDIR, "belongs to uid 0, not to uid 1000"),
        (0o700, STRANGER, stat.S_IFDIR, "belongs to uid 1001, not to uid 1000"),
        (0o777, 0, stat.S_IFLNK, "is a link, not a directory"),
        (0o700, USER, stat.S_IFREG, "is not a directory"),
    ],
)
def test_our_directory_is_judged(
    permissions: int, owner: int, kind: int, reason: str | None
) -> None:
    """Our own directory is a real one, 0700, and nobody else's."""
    assert objection(facts(permissions, owner, kind), user=USER, own=True) == reason


def test_missing_directories_are_created_closed(tmp_path: Path) -> None:
    """What is missing is made with 0700, whatever the umask; a second call finds it good."""
    path = tmp_path / "state" / "tool-agent"
    before = os.umask(0o277)
    try:
        ensure_own_directory(str(path))
        ensure_own_directory(f"{path}/")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o700, 0o700]


def test_a_directory_that_is_too_open_is_named_with_the_remedy(tmp_path: Path) -> None:
    """The offending directory is named, be it ours or above ours."""
    path = tmp_path / "above" / "ours"
    path.mkdir(parents=True, mode=0o755)
    path.chmod(0o755)
    with pytest.raises(ConfigurationError) as error:
        ensure_own_directory(str(path))
    assert error.value.detail == f"{path} has mode 0755, not 0700"
    assert error.value.hint == f"run 'chmod 700 {path}'"
    path.chmod(0o700)
    path.parent.chmod(0o777)
    with pytest.raises(ConfigurationError) as error:
        ensure_own_directory(str(path))
    assert error.value.detail == (f"{path.parent} is writable by others (mode 0777) and not sticky")
    assert error.value.hint == f"run 'chmod go-w {path.parent}'"
    path.parent.chmod(0o1777)
    ensure_own_directory(str(path))


def test_links_of_root_are_followed_and_loops_end(tmp_path: Path) -> None:
    """A link of root's above ours is followed; ours is never a link; a loop is an error."""
    real = tmp_path / "real"
    ensure_own_directory(str(real / "ours"))
    above = tmp_path / "above"
    above.symlink_to("real")
    if os.geteuid() == 0:
        ensure_own_directory(str(above / "ours"))
        ensure_own_directory(str(above / "new"))
        assert (real / "new").is_dir()
    else:
        with pytest.raises(ConfigurationError, match=f"{above} is a link that belongs to"):
            ensure_own_directory(str(above / "ours"))
    with pytest.raises(ConfigurationError, match=f"{above} is a link, not a directory"):
        ensure_own_directory(str(above))
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(ConfigurationError, match=r"too many links|is a link that belongs"):
        ensure_own_directory(str(loop / "ours"))


def test_a_link_of_the_users_own_is_refused(tmp_path: Path) -> None:
    """Somebody else's link, even the user's, is not followed."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    (tmp_path / "real" / "ours").mkdir(parents=True, mode=0o700)
    link = tmp_path / "link"
    link.symlink_to("real")
    os.lchown(link, USER, USER)
    with pytest.raises(ConfigurationError, match="is a link that belongs to uid 1000, not to root"):
        ensure_own_directory(str(link / "ours"))


@pytest.mark.parametrize("path", ["", "relative/path"])
def test_a_relative_path_is_refused(path: str) -> None:
    """A path that depends on where we were started is no place for secrets."""
    with pytest.raises(ConfigurationError, match="is not an absolute path"):
        ensure_own_directory(path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A file where a directory should be is refused by name."""
    (tmp_path / "file").touch(mode=0o600)
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match=f"{tmp_path}/file is not a directory"):
            ensure_own_directory(str(path))
