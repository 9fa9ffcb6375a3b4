"""The shim folder: links named as tools' commands, which lead to `tool-agent`.

First on PATH, it stands between the person and the real programs, so it is ours alone.
"""

import os
import stat
import sys

from tool_agent import paths
from tool_agent.errors import ToolAgentError
from tool_agent.paths import PROGRAM

DEPTH = 8
"""How often a tool's programs may start each other by name through the shim."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MODE = 0o700


def folder(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> str:
    """Return the shim folder's path."""
    return paths.data_dir(environ) + "/shims"


def check_folder(path: str) -> bool:
    """Tell whether the folder is there; it and the one above it are ours alone.

    Raises ToolAgentError, because whoever can write there decides what a command of ours runs.
    """
    for each in (path.rpartition("/")[0], path):
        try:
            found = os.lstat(each)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unsafe(f"cannot look at {each}: {error.strerror}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise _unsafe(f"{each} is no folder", f"move it away: mv {each} {each}.old")
        if found.st_uid != os.geteuid():
            raise _unsafe(f"{each} belongs to another user (uid {found.st_uid})")
        if found.st_mode & _OTHERS_WRITE:
            raise _unsafe(
                f"others can write to {each}", f"look what is in it, then: chmod 700 {each}"
            )
    return True


def make_folder(path: str) -> None:
    """Make the folder, 0700, or make sure that it is as it should be."""
    os.makedirs(path.rpartition("/")[0], _MODE, exist_ok=True)
    os.makedirs(path, _MODE, exist_ok=True)
    check_folder(path)
    os.chmod(path, _MODE)


def program() -> str:
    """Return the path of the program that a shim leads to: this one.

    Raises ToolAgentError where there is none, as in a checkout that was not installed.
    """
    called = os.path.abspath(sys.argv[0])
    beside = os.path.join(os.path.dirname(sys.executable), PROGRAM)
    for path in (called, beside):
        if os.path.basename(path) == PROGRAM and os.access(path, os.X_OK):
            return path
    raise ToolAgentError(
        f"there is no installed {PROGRAM} that a shim could lead to",
        code="configuration",
        hint="install it, for instance with 'uv tool install tool-agent'",
    )


def is_ours(path: str) -> bool:
    """Tell whether a file is a shim: a link to a program of our name."""
    try:
        return os.path.basename(os.readlink(path)) == PROGRAM
    except OSError:
        return False


def installed(path: str) -> list[str]:
    """Return the names of the shims in a folder."""
    if not check_folder(path):
        return []
    return sorted(name for name in os.listdir(path) if is_ours(f"{path}/{name}"))


def install(path: str, name: str) -> bool:
    """Put a shim there; tell whether it was not there before, just so.

    Raises ToolAgentError where a file of somebody else's has the name.
    """
    make_folder(path)
    link, target = f"{path}/{name}", program()
    if os.path.lexists(link):
        _check_ours(link)
        if os.readlink(link) == target:
            return False
    new = f"{path}/.{name}.{os.getpid()}"
    os.symlink(target, new)
    os.replace(new, link)  # at once: nobody meets a moment without it
    return True


def remove(path: str, name: str) -> bool:
    """Take a shim away; tell whether there was one. Raises as `install`."""
    link = f"{path}/{name}"
    if not check_folder(path) or not os.path.lexists(link):
        return False
    _check_ours(link)
    os.unlink(link)
    return True


def real_program(name: str) -> str | None:
    """Return the real program of a name: the first on PATH that is no shim; None without one."""
    ours = os.path.realpath(folder())
    for entry in os.get_exec_path():
        candidate = os.path.abspath(os.path.join(entry or os.curdir, name))
        if os.path.realpath(os.path.dirname(candidate)) == ours:
            continue
        if os.path.basename(os.path.realpath(candidate)) == PROGRAM:
            continue  # a shim somewhere else: never ourselves
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def passed(name: str) -> dict[str, str]:
    """Return the variable by which a shim knows that it has been here before."""
    _, _, depth = _pass(name)
    return {paths.SHIM: f"{name} {os.getpid()} {depth + 1}"}


def check_passed(name: str) -> None:
    """Refuse to run in a circle: a program on PATH of this name that leads back to its shim.

    Raises ToolAgentError. A real program may well start its own name again, a few times deep.
    """
    there, pid, depth = _pass(name)
    if there and (pid == os.getpid() or depth >= DEPTH):
        raise ToolAgentError(
            f"the program {name} that PATH has behind the shim leads back to the shim",
            code="configuration",
            hint=f"look at 'type -a {name}', and take away what only calls the shim",
        )


def _pass(name: str) -> tuple[bool, int, int]:
    words = os.environ.get(paths.SHIM, "").split()
    if len(words) != 3 or words[0] != name or not all(word.isdecimal() for word in words[1:]):  # noqa: PLR2004 - what `passed` writes
        return False, 0, 0
    return True, int(words[1]), int(words[2])


def first_on_path(path: str) -> bool:
    """Tell whether the folder is the first on PATH."""
    return os.environ.get(paths.PATH, "").partition(":")[0] == path


def _check_ours(link: str) -> None:
    if not is_ours(link):
        raise ToolAgentError(
            f"{link} is no shim of ours, and is left as it is",
            code="conflict",
            hint="move it away first",
        )


def _unsafe(detail: str, hint: str = "") -> ToolAgentError:
    return ToolAgentError(f"the shim folder is not safe: {detail}", code="configuration", hint=hint)
