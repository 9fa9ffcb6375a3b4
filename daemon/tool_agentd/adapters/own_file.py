"""A file of the person's that a tool keeps: the rule by which it may be touched, and its reading.

No links, no foreign owner, no directory that others can write on the way: whoever could change
such a path would be given what is written there. The same for a file that the agent appends to.
"""

import os
import pwd
import shlex
import stat
from hashlib import sha256
from pathlib import Path
from typing import TextIO

from tool_agentd.adapters.own_directory import DirectoryFacts, objection
from tool_agentd.errors import ConfigurationError
from tool_agentd.ports import ToolFileText
from tool_agentd.secret import Secret

LARGEST = 1024 * 1024
"""Bytes of a tool's own file: a hundred times the largest that holds a login."""


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return sha256(data).hexdigest()


def check_place(path: str) -> list[str]:
    """Check every directory on the way to `path`; return those that are missing, outermost first.

    Raises ConfigurationError.
    """
    user = os.geteuid()
    missing: list[str] = []
    here = ""
    for name in ["", *Path(path).parent.parts[1:]]:
        here = f"{here.rstrip('/')}/{name}"
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            missing.append(here)
            continue
        except OSError as error:
            raise ConfigurationError(f"{here}: {error.strerror}") from error
        if stat.S_ISLNK(found.st_mode) and found.st_uid == 0:
            found = os.stat(here)  # noqa: PTH116 - root's own link, as /tmp is on macOS
        reason = objection(DirectoryFacts(here, found.st_mode, found.st_uid), user=user, own=False)
        if reason is not None:
            raise ConfigurationError(
                f"{path} is left alone: {here} {reason}", hint=_remedy(here, found)
            )
    return missing


def _remedy(path: str, found: os.stat_result) -> str:
    """Return what helps; permissions alone do not, where a directory is somebody else's."""
    if stat.S_ISLNK(found.st_mode):
        return f"replace the link {path} by a directory"
    if not stat.S_ISDIR(found.st_mode):
        return f"move {path} away"
    if found.st_uid not in {os.geteuid(), 0}:
        return _of_another(path, found.st_uid, "set HOME to a directory of your own")
    return f"run 'chmod go-w {shlex.quote(path)}'"


def _of_another(path: str, owner: int, otherwise: str) -> str:
    """Say whose a path is, and what helps."""
    mine = _user(os.geteuid())
    return (
        f"{path} belongs to {_user(owner)}, and the agent runs for {mine}: if it is yours, let root"
        f" run 'chown {os.geteuid()} {shlex.quote(path)}'; else {otherwise}, or run the agent as"
        f" {_user(owner)}"
    )


def _user(uid: int) -> str:
    """Return a user's name with the number; the number alone where there is no name."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def read_own(path: str) -> bytes | None:
    """Return what is in a file of the person's; None where there is none.

    What is checked is what is open. Raises ConfigurationError.
    """
    if check_place(path):
        return None
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if Path(path).is_symlink():
            raise ConfigurationError(
                f"{path} is a link, and is left alone", hint="replace it by a file of its own"
            ) from error
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    try:
        check_file(path, os.fstat(handle))
        with open(handle, "rb", closefd=False) as file:
            data = file.read(LARGEST + 1)
    finally:
        os.close(handle)
    if len(data) > LARGEST:
        raise ConfigurationError(f"{path} is larger than any honest one, and is left alone")
    return data


def check_file(path: str, found: os.stat_result) -> None:
    """Refuse an open file that somebody else could have made, or can change.

    Raises ConfigurationError.
    """
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path} is no regular file, and is left alone")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to uid {found.st_uid}, and is left alone",
            hint=_of_another(path, found.st_uid, "move it away"),
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            f"{path} can be written by others, and is left alone",
            hint=f"run 'chmod go-w {path}'",
        )


def append_own(path: str) -> TextIO:
    """Open a file of the agent's own for writing at its end, 0600, made if it is missing.

    Not through a link, and not under a second name: what is written here is meant for this place.
    A pipe does not block. Raises ConfigurationError.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        what = "is a link" if Path(path).is_symlink() else f"cannot be opened: {error.strerror}"
        raise ConfigurationError(f"{path} {what}", hint=f"move {path} away") from error
    try:
        _check_own(path, os.fstat(handle))
        os.fchmod(handle, stat.S_IRUSR | stat.S_IWUSR)
        return open(handle, "a", encoding="utf-8")  # noqa: PTH123 - an open descriptor
    except BaseException:
        os.close(handle)
        raise


def _check_own(path: str, found: os.stat_result) -> None:
    reason = None
    if not stat.S_ISREG(found.st_mode):
        reason = "is no regular file"
    elif found.st_uid != os.geteuid():
        reason = f"belongs to uid {found.st_uid}, not to uid {os.geteuid()}"
    elif found.st_nlink != 1:
        reason = f"has {found.st_nlink} names, and the others may be anywhere"
    if reason is not None:
        raise ConfigurationError(f"{path} {reason}", hint=f"move {path} away")


def text_of(path: str, data: bytes) -> ToolFileText:
    """Return a file's text. Raises ConfigurationError where it is none."""
    try:
        return ToolFileText(path, Secret(data.decode()), digest_of(data))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None
