"""Our own directories: a real one, 0700, ours, and below ancestors that nobody else can rewrite.

`objection` decides from facts alone; `ensure_own_directory` gathers them and creates what is
missing.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tool_agentd.errors import ConfigurationError

MAX_LINKS = 40
"""Links followed on one path before it counts as a loop: Linux's own limit (path_resolution(7))."""

ROOT = 0


@dataclass(frozen=True, slots=True)
class DirectoryFacts:
    """What lstat says about one component of a path."""

    path: str
    mode: int
    """st_mode: type and permission bits."""
    owner: int


def objection(facts: DirectoryFacts, *, user: int, own: bool) -> str | None:
    """Say why this component cannot be trusted; None where it can.

    `own` marks the last component, our own directory. An ancestor belongs to root or to `user` and
    is not writable by others unless it is sticky; a link is followed only where root made it.
    """
    permissions = stat.S_IMODE(facts.mode)
    if stat.S_ISLNK(facts.mode):
        if own:
            return "is a link, not a directory"
        if facts.owner != ROOT:
            return f"is a link that belongs to uid {facts.owner}, not to root"
        return None
    if not stat.S_ISDIR(facts.mode):
        return "is not a directory"
    if own:
        if facts.owner != user:
            return f"belongs to uid {facts.owner}, not to uid {user}"
        if permissions != stat.S_IRWXU:
            return f"has mode {permissions:04o}, not 0700"
        return None
    if facts.owner not in {ROOT, user}:
        return f"belongs to uid {facts.owner}, neither root nor uid {user}"
    if permissions & (stat.S_IWGRP | stat.S_IWOTH) and not permissions & stat.S_ISVTX:
        return f"is writable by others (mode {permissions:04o}) and not sticky"
    return None


def ensure_own_directory(path: str) -> None:
    """Make sure that `path` is a directory of ours, creating it (0700) and its missing parents.

    Raises ConfigurationError, naming the directory that is at fault and the command that helps.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f"{path!r} is not an absolute path")
    user = os.geteuid()
    for _ in range(MAX_LINKS):
        resolved = _walk(os.path.normpath(path), user)
        if resolved is None:
            return
        path = resolved
    raise ConfigurationError(f"{path}: too many links on the way")


def _walk(path: str, user: int) -> str | None:
    """Check each component; return the path without its first link, or None when there is none."""
    names = [name for name in path.split("/") if name]
    here = "/"
    for index in range(len(names) + 1):
        own = index == len(names)
        facts = _facts(here)
        reason = objection(facts, user=user, own=own)
        if reason is not None:
            raise ConfigurationError(f"{here} {reason}", hint=_hint(facts, user, own=own))
        if own:
            return None
        if stat.S_ISLNK(facts.mode):
            target = Path(here).parent / Path(here).readlink()
            return os.path.normpath(target.joinpath(*names[index:]))
        here = f"{here.rstrip('/')}/{names[index]}"
    return None


def _facts(path: str) -> DirectoryFacts:
    try:
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            _create(path)
            found = os.lstat(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    return DirectoryFacts(path, found.st_mode, found.st_uid)


def _create(path: str) -> None:
    try:
        Path(path).mkdir(stat.S_IRWXU)
    except FileExistsError:
        return  # another agent that starts at the same moment
    Path(path).chmod(stat.S_IRWXU)  # whatever the umask has taken away


def _hint(facts: DirectoryFacts, user: int, *, own: bool) -> str | None:
    if stat.S_ISLNK(facts.mode):
        return f"replace the link {facts.path} by a directory"
    if not stat.S_ISDIR(facts.mode):
        return f"move {facts.path} away"
    if own and (facts.mode & stat.S_ISVTX or facts.owner != user):
        return "choose a path in a directory of its own"  # this one serves others as well
    if facts.owner in {user, ROOT}:
        return f"run 'chmod {'700' if own else 'go-w'} {facts.path}'"
    return None
