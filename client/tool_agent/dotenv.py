"""A project's `.env`: reading one variable from it, and writing one into it.

There is no standard. Read as a shell and most libraries do: `KEY=VALUE`, an optional `export`,
comments after a blank, single quotes as they stand, double quotes with a few escapes, both over
several lines. Nothing is expanded. Reading is on the hot path, so without `re`.
"""

import os
import stat

from tool_agent.errors import ToolAgentError

NAME = ".env"

SIZE_MAX = 256 * 1024
"""Bytes of a file that is read; one of variables has a hundredth of it."""

DEPTH_MAX = 64
"""Folders that are looked through upwards for the project's root; no project lies deeper."""

_BLANKS = " \t"
_NAME_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
"""What a backslash changes within double quotes; before any other sign it stays as it is."""

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/+=@%,")
"""What every reader takes as it stands, without quotes."""


def project_files(folder: str) -> list[str]:
    """Return where the `.env` of a project may be, the nearest first.

    In the folder itself, and in the root of the repository that it belongs to, if it does: tools
    look in the one or in the other.
    """
    found = [os.path.join(folder, NAME)]
    root = os.path.abspath(folder)
    for _ in range(DEPTH_MAX):
        if os.path.lexists(os.path.join(root, ".git")):
            found.append(os.path.join(root, NAME))
            break
        above = os.path.dirname(root)
        if above == root:
            break
        root = above
    return list(dict.fromkeys(found))


def read(path: str) -> dict[str, str]:
    """Return the variables of a file; none where there is no such file.

    Raises ToolAgentError for one that cannot or should not be read; the text names the reason and
    shows nothing of the file.
    """
    try:
        # A pipe of this name would wait for a writer, and a terminal would become ours.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unread(path, error.strerror or "it cannot be opened") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise _unread(path, "it is no file")
        if about.st_uid not in {os.geteuid(), 0, os.stat(os.path.dirname(path) or ".").st_uid}:
            raise _unread(path, "it is another user's, in a folder of yours or everybody's")
        raw = b""
        while chunk := os.read(descriptor, SIZE_MAX + 1 - len(raw)):
            raw += chunk
    except OSError as error:
        raise _unread(path, error.strerror or "it cannot be read") from None
    finally:
        os.close(descriptor)
    if len(raw) > SIZE_MAX:
        raise _unread(path, f"it is larger than {SIZE_MAX // 1024} KiB")
    # As the environment's own values are decoded, so that a value means the same in both.
    return parse(raw.decode("utf-8", "surrogateescape"))


def parse(text: str) -> dict[str, str]:
    """Return the variables of a text, the last one of a name winning."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    for name, start, _ in _assignments(text):
        found[name] = _value(text, start)[0]
    return found


def _assignments(text: str) -> list[tuple[str, int, int]]:
    """Return each assignment: its name, where its value begins, and where its line ends."""
    found = []
    position = 0
    while position < len(text):
        end = _line_end(text, position)
        name, start = _name(text, position, end)
        if name:
            _, end = _value(text, start)
            found.append((name, start, end))
        position = end + 1
    return found


def _name(text: str, start: int, end: int) -> tuple[str, int]:
    """Read `NAME =` of one line; return the name, or none, and where its value begins."""
    before, sign, _ = text[start:end].partition("=")
    name = before.strip(_BLANKS)
    words = name.split()
    if len(words) == 2 and words[0] == "export":  # noqa: PLR2004 - `export` and the name
        name = words[1]
    if not sign or not name or not _NAME_SIGNS.issuperset(name):
        return "", end
    return name, start + len(before) + 1


def _value(text: str, start: int) -> tuple[str, int]:
    """Read a value; return it, and the end of the line on which it ends."""
    end = _line_end(text, start)
    line = text[start:end]
    rest = line.lstrip(_BLANKS)
    begin = end - len(rest)
    if rest and rest[0] in "'\"`":
        closing = _closing(text, begin)
        if closing >= 0:
            inner = text[begin + 1 : closing]
            return _unescaped(inner) if rest[0] == '"' else inner, _line_end(text, closing)
    if rest.startswith("#") and rest != line:
        return "", end  # `KEY= # a comment`
    for blank in _BLANKS:
        rest = rest.partition(blank + "#")[0]
    return rest.strip(_BLANKS), end


def _closing(text: str, opening: int) -> int:
    """Return where the quote that opens there closes; -1 where it never does."""
    quote = text[opening]
    position = opening + 1
    while position < len(text):
        if text[position] == quote:
            return position
        position += 2 if text[position] == "\\" and quote == '"' else 1
    return -1


def _unescaped(inner: str) -> str:
    text = ""
    position = 0
    while (found := inner.find("\\", position)) >= 0:
        sign = inner[found + 1 : found + 2]
        text += inner[position:found] + _ESCAPES.get(sign, "\\" + sign)
        position = found + 2
    return text + inner[position:]


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _unread(path: str, reason: str) -> ToolAgentError:
    return ToolAgentError(f"{path} was not read: {reason}", code="configuration")


# -- writing, off the hot path -----------------------------------------------------------------


def write(path: str, variable: str, value: str) -> str:
    """Put `variable=value` into a file, made where there is none; return what to tell the person.

    It takes the place of every value that the variable has there; everything else stays byte for
    byte. A new file is the person's alone (0600), one that is there keeps its mode. A link is
    followed to a file of the person's own. The old file stays until the new one is whole.

    Raises ToolAgentError, whose text never holds the value.
    """
    text = _quoted(variable, value)
    real = os.path.realpath(path)
    try:
        raw, about = _own_file(path, real)
        _replace(real, _with_value(raw, variable, text), about)
    except OSError as error:
        raise _unwritten(path, error.strerror or "it cannot be written") from None
    told = f"{variable} is in {path}"
    if about is not None and about.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        told += f"\nwarning: other users can read {path}: 'chmod 600' ends that"
    warning = _tracked(real)
    return f"{told}\nwarning: {path} {warning}" if warning else told


def _quoted(variable: str, value: str) -> str:
    """Return the value as every reader of such files takes it back."""
    if _BARE.issuperset(value):
        return value
    if not value.isprintable() or "'" in value:
        raise ToolAgentError(
            f"the value of {variable} has characters that a .env file cannot hold for every reader",
            code="configuration",
            hint="keep it where the tool reads it otherwise",
        )
    return f"'{value}'"


def _own_file(path: str, real: str) -> tuple[bytes, os.stat_result | None]:
    """Return what is in the file already, and what it is; None where there is none."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise _unwritten(path, "it is no file")
        if about.st_uid != os.geteuid():
            raise _unwritten(path, "it is another user's")
        if about.st_nlink > 1:
            raise _unwritten(path, "it has several names (hard links), which would part")
        raw = file.read(SIZE_MAX + 1)
    if len(raw) > SIZE_MAX:
        raise _unwritten(path, f"it is larger than {SIZE_MAX // 1024} KiB")
    return raw, about


def _with_value(raw: bytes, variable: str, value: str) -> bytes:
    """Return the file's bytes with the variable's value in them, in its place or in a new line."""
    # One character for each byte, so that places in the text are places in the file.
    text = raw.decode("latin-1")
    new = value.encode("utf-8", "surrogateescape").decode("latin-1")
    mark = "\xef\xbb\xbf" if text.startswith("\xef\xbb\xbf") else ""
    body = text.removeprefix(mark)
    places = [(start, end) for name, start, end in _assignments(body) if name == variable]
    if any("\n" in body[start:end] for start, end in places):
        # A quote that somebody forgot to close runs to the next one: lines that are no part of it.
        raise ToolAgentError(
            f"the value that {variable} has there goes over several lines",
            code="configuration",
            hint=f"see whether its quotes are closed, take out the lines of {variable}, try again",
        )
    for start, end in reversed(places):
        kept = "\r" if body[start:end].endswith("\r") else ""
        body = body[:start] + new + kept + body[end:]
    if not places:
        ending = "\r\n" if "\r\n" in body else "\n"
        if body and not body.endswith("\n"):
            body += ending
        body += f"{variable}={new}{ending}"
    return (mark + body).encode("latin-1")


def _replace(real: str, raw: bytes, before: os.stat_result | None) -> None:
    """Put a whole new file in the place of the old one, in one step."""
    folder, name = os.path.split(real)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            if before is not None:
                # The group first: its rights must never be another group's.
                os.fchown(file.fileno(), -1, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
        os.replace(temporary, real)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _tracked(real: str) -> str:
    """Return what to warn of where git would take the file along; empty where it would not."""
    import subprocess  # noqa: PLC0415 - off the hot path

    folder, name = os.path.split(real)

    def git(*words: str) -> int:
        done = subprocess.run(  # noqa: S603 - a fixed command line, and the file's name after `--`
            ["git", "-C", folder, *words, "--", name],  # noqa: S607 - git is where the person has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=10,
        )
        return done.returncode

    try:
        if git("ls-files", "--error-unmatch") == 0:
            return "is tracked by git: a commit would publish the key; 'git rm --cached' ends that"
        ignored = git("check-ignore", "-q")
    except (OSError, subprocess.SubprocessError):
        return ""
    # check-ignore: 0 ignored, 1 not, 128 no repository.
    return "is not ignored by git: add it to .gitignore before you commit" if ignored == 1 else ""


def _unwritten(path: str, reason: str) -> ToolAgentError:
    return ToolAgentError(
        f"{path} was not changed: {reason}", code="configuration", hint="name another file"
    )
