"""The agent's own code: whether somebody else could write it, and who shares its interpreter.

`intruders` and `advice` decide from facts alone; `gathered` collects them. Whoever may write a file
that the agent runs reads every secret, so the agent does not start there.
"""

import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from tool_agent import paths

ROOT = 0
MACOS_ADMIN = 80
"""The group whose members may become root on macOS, and which owns /Applications and Homebrew."""
ACL = "system.posix_acl_access"
"""acl(5): with one, the group's bits no longer say who may write."""


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """One directory or file on the way to our code, or our code itself."""

    path: str
    mode: int
    """st_mode: type and permission bits."""
    owner: int
    shared_group: bool = False
    """Whether the group has a member besides root and this user; asked only where it may write."""
    imported: bool = False
    """Whether Python looks for modules in it, so that a new file there counts as well."""


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """Everything that the agent runs from."""

    code: tuple[CodeFacts, ...]
    prefix: str
    base_prefix: str
    executable: str
    """The interpreter, with links followed."""
    darwin: bool = sys.platform == "darwin"


def intrusion(facts: CodeFacts, user: int) -> str | None:
    """Say who else may write this; None where only root and `user` may.

    Less strict than own_directory.objection, because others made these places: links of the user's
    own are how virtual environments are built, and under umask 002 a group of one's own may write.
    """
    if facts.owner not in {ROOT, user}:
        return f"belongs to uid {facts.owner}, neither root nor uid {user}"
    if stat.S_ISLNK(facts.mode):
        return None  # a link's own mode means nothing
    permissions = stat.S_IMODE(facts.mode)
    # In a sticky directory nobody takes away or renames what is not theirs.
    if permissions & stat.S_ISVTX and stat.S_ISDIR(facts.mode) and not facts.imported:
        return None
    if permissions & stat.S_IWOTH:
        return f"is writable by everybody (mode {permissions:04o})"
    if permissions & stat.S_IWGRP and facts.shared_group:
        return f"is writable by a group of several (mode {permissions:04o})"
    return None


def intruders(facts: ProgramFacts, user: int) -> list[str]:
    """Return one sentence for everything that somebody other than root and `user` may write."""
    found = ((one.path, intrusion(one, user)) for one in facts.code)
    return [f"{path} {reason}" for path, reason in found if reason is not None]


def advice(facts: ProgramFacts) -> str | None:
    """Say what would be better about the interpreter; None where it is the agent's alone."""
    how = "install tool-agent with pipx or 'uv tool install'"
    if facts.prefix == facts.base_prefix:
        reads = ", and on macOS reads the agent's keychain items" if facts.darwin else ""
        return (
            f"the Python at {facts.prefix} is shared with other programs: what is installed there"
            f" runs in the agent{reads}; {how}"
        )
    if facts.darwin and not facts.executable.startswith(facts.prefix + "/"):
        return (
            f"the agent's Python is a link to {facts.executable}: on macOS every script under that"
            " Python reads the agent's keychain items without a prompt; make the environment with"
            " 'python3 -m venv --copies'"
        )
    return None


def gathered() -> ProgramFacts:
    """Look at the interpreter, the folders that modules come from, and those that are loaded."""
    # A copy: another thread may import meanwhile.
    files = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    loaded = {file for file in files if isinstance(file, str) and file.startswith("/")}
    folders = {folder for folder in sys.path if folder.startswith("/")}
    folders |= {os.path.dirname(file) for file in (*loaded, paths.__file__)}  # noqa: PTH120 - hundreds of them
    begun = [sys.executable, f"{sys.prefix}/pyvenv.cfg", os.path.abspath(sys.argv[0])]  # noqa: PTH100 - pathlib would follow the link
    seen: dict[str, CodeFacts] = {}
    for path in sorted(folders):
        _look(path, seen, imported=True)
    for path in begun:
        _look(path, seen)
    for path in sorted(loaded):  # their folders are known, so only a link leads elsewhere
        _note(path, seen)
        if path in seen and stat.S_ISLNK(seen[path].mode):
            _look(path, seen)
    return ProgramFacts(
        tuple(seen.values()), sys.prefix, sys.base_prefix, os.path.realpath(sys.executable)
    )


def _look(path: str, seen: dict[str, CodeFacts], *, imported: bool = False) -> None:
    """Look at a path, at where it leads to, and at every directory on both ways."""
    for way in {path, os.path.realpath(path)}:
        for here in _components(way):
            if here != way:
                _note(here, seen)
        _note(way, seen, imported=imported)


def _note(path: str, seen: dict[str, CodeFacts], *, imported: bool = False) -> None:
    if path in seen and (seen[path].imported or not imported):
        return
    try:
        found = os.lstat(path)
    except OSError:
        return  # not there, so nothing is run from it
    shared = bool(found.st_mode & stat.S_IWGRP) and _is_shared(path, found.st_gid)
    seen[path] = CodeFacts(path, found.st_mode, found.st_uid, shared, imported)


def _components(path: str) -> Iterator[str]:
    parts = [part for part in path.split("/") if part]
    return ("/" + "/".join(parts[:count]) for count in range(len(parts) + 1))


def _is_shared(path: str, group: int) -> bool:
    """Tell whether a group that may write has a member besides root and this user."""
    if sys.platform == "darwin":
        if group == MACOS_ADMIN:
            return False
    elif ACL in _attributes(path):
        return True
    if group == ROOT:
        return False
    members: set[str] = set()
    with suppress(KeyError):  # without a name it has those whose own group it is
        members.update(grp.getgrgid(group).gr_mem)
    everybody = pwd.getpwall()
    members.update(one.pw_name for one in everybody if one.pw_gid == group)
    return bool(members - {one.pw_name for one in everybody if one.pw_uid in {ROOT, os.geteuid()}})


def _attributes(path: str) -> Iterable[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
