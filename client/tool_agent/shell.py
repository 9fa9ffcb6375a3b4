"""Text that a shell evaluates: quoting, exports and unsets for sh, csh, fish and GitHub's runner.

The text survives `eval $(tool-agent env)` without quotes as well as with them. Unquoted, the shell
splits our text at blanks and expands what looks like a file pattern, then joins the words with
single blanks and only then reads quotes. So nothing that splitting or globbing would change stands
in the text: such characters are written in octal, through `printf`, which is a builtin in dash,
bash and zsh; csh runs it as a program, and its arguments hold those characters alone.

Pure, and imports nothing: the daemon renders with it and the hot commands load it.
"""

SH = "sh"
CSH = "csh"
FISH = "fish"
GITHUB = "github"
SHELLS = (SH, CSH, FISH, GITHUB)

_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")

_ODD_IN_SH = frozenset("*?[()|<>#^~")
"""What makes a pattern: the first three anywhere, the rest in bash with `extglob` and in zsh with
`GLOB_SUBST` and `EXTENDED_GLOB`."""

_ODD_IN_CSH = frozenset("*?[{}~!\\")
"""Patterns, braces and `~`, all expanded by an unquoted eval; history, which csh reads even within
single quotes; and the backslash, whose meaning there depends on `backslash_quote`."""

_ESCAPES_IN_MASK = (("%", "%25"), ("\r", "%0D"))
"""What a workflow command of GitHub's runner escapes, in this order. Masks hold no line break."""


def guess(shell: str) -> str:
    """Return the syntax for `$SHELL`, as ssh-agent guesses it: csh, fish by name, else sh."""
    name = shell.rpartition("/")[2]
    if name.endswith("csh"):
        return CSH
    return FISH if name == "fish" else SH


def export(name: str, value: str, shell: str) -> str:
    """Return one line that sets and exports `name`; for GitHub, the entry of the file.

    Raises ValueError, which does not repeat the value, where the shell cannot hold it.
    """
    _check_name(name)
    if shell == CSH:
        return f"setenv {name} {quote(value, CSH)};\n"
    if shell == FISH:
        return f"set -gx {name} {quote(value, FISH)};\n"
    if shell == GITHUB:
        return _heredoc(name, value)
    return f"{name}={quote(value, SH)}; export {name};\n"


def unset(name: str, shell: str) -> str:
    """Return one line that removes `name` from the shell and its environment."""
    _check_name(name)
    if shell == CSH:
        return f"unsetenv {name};\n"
    if shell == FISH:
        return f"set -e {name};\n"
    return f"unset {name};\n"


def prepend(name: str, folder: str, shell: str) -> str:
    """Return one line that puts a folder in front of a list of folders such as PATH.

    For GitHub it is the folder alone, for the file that GITHUB_PATH names. Raises ValueError as
    `quote` does, and for a folder that no such list can hold.
    """
    _check_name(name)
    if ":" in folder or not folder:
        raise ValueError("holds a colon, which parts the folders of a list")
    if shell == CSH:
        return f'setenv {name} {quote(folder, CSH)}:"${name}";\n'
    if shell == FISH:
        return f"set -gx {name} {quote(folder, FISH)} ${name};\n"
    if shell == GITHUB:
        if "\n" in folder or "\0" in folder:
            raise ValueError("holds a line break or NUL")
        return folder + "\n"
    return f'{name}={quote(folder, SH)}:"${name}"; export {name};\n'


def mask(value: str) -> str:
    """Return the workflow commands that make GitHub's runner hide `value` in its logs."""
    text = ""
    for line in value.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue  # the runner refuses an empty mask, and a blank one hides nothing
        hidden = line
        for plain, escaped in _ESCAPES_IN_MASK:
            hidden = hidden.replace(plain, escaped)
        text += f"::add-mask::{hidden}\n"
    return text


def quote(value: str, shell: str) -> str:
    """Return `value` as one word of `shell` (sh, csh or fish).

    Raises ValueError where the shell cannot hold it: NUL anywhere; a line break at the end in sh,
    whose command substitution drops it; any line break in csh.
    """
    if "\0" in value:
        raise ValueError("holds a NUL character, which no environment can carry")
    if shell == FISH:
        return _quote_fish(value)
    if shell == CSH:
        if "\n" in value:
            raise ValueError("holds a line break, which csh cannot take from an evaluated text")
        return _quote_by_printf(value, _ODD_IN_CSH)
    if value.endswith("\n"):
        raise ValueError("ends in a line break, which an evaluated text cannot carry")
    return _quote_by_printf(value, _ODD_IN_SH)


def is_name(name: str) -> bool:
    """Tell whether every shell takes `name` as a variable's."""
    return bool(name) and not name[0].isdigit() and _WORD.issuperset(name)


def _check_name(name: str) -> None:
    if not is_name(name):
        raise ValueError(f"{name!r} is not the name of a variable")


def _is_odd(character: str, before: str, odd: frozenset[str]) -> bool:
    """Tell what splitting or globbing would change; a second blank in a row would be lost."""
    return (
        character in odd
        or character < " "
        or character == "\x7f"
        or (character == " " and before == " ")
    )


def _quote_by_printf(value: str, odd: frozenset[str]) -> str:
    text = ""
    plain = octal = before = ""
    for character in value:
        # A line break just before the end of a substitution would be dropped: go on past it.
        if _is_odd(character, before, odd) or octal.endswith("\\012"):
            text += _plain(plain)
            plain = ""
            raw = character.encode("utf-8", "surrogateescape")
            octal += "".join(f"\\{byte:03o}" for byte in raw)
        else:
            text += _printf(octal)
            octal = ""
            plain += character
        before = character
    return (text + _plain(plain) + _printf(octal)) or "''"


def _plain(run: str) -> str:
    """Quote a run without odd characters; never `''`, which is one quote under zsh's RC_QUOTES."""
    text = ""
    for index, piece in enumerate(run.split("'")):
        if index:
            text += '"' + "'" + '"'
        if piece:
            text += f"'{piece}'"
    return text


def _printf(octal: str) -> str:
    return f"\"`printf '{octal}'`\"" if octal else ""


def _quote_fish(value: str) -> str:
    """Quote for fish, which splits at line breaks only and expands nothing in a substitution."""
    text = "'"
    for character in value:
        if character in "\\'":
            text += "\\" + character
        elif character < " " or character == "\x7f":
            text += f"'\\x{ord(character):02x}'"
        else:
            text += character
    return text + "'"


def _heredoc(name: str, value: str) -> str:
    """Return an entry of the file GITHUB_ENV, with a delimiter that is no line of the value."""
    if "\0" in value:
        raise ValueError("holds a NUL character, which no environment can carry")
    delimiter = "TOOL_AGENT_END"
    lines = value.replace("\r", "\n").split("\n")
    while delimiter in lines:
        delimiter += "_"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
