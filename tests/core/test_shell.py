"""Text for shells: evaluated by the real ones, with quotes and without, with odd values."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.real.presence import requires
from tool_agent import shell

ODD = [
    "",
    "plain",
    "two words",
    "  two  blanks   around  ",
    "tab\there",
    "it's",
    "'",
    "''",
    '"',
    '"quoted"',
    "`id`",
    "$(id)",
    "${HOME}",
    "$HOME",
    "back\\slash",
    "\\",
    "\\\\",
    "\\n",
    "*",
    "/*",
    "?",
    "[a-z]",
    "a{b,c}d",
    "{",
    "~",
    "~root",
    "!",
    "!!",
    "wow!x",
    "^a^b",
    "#no comment",
    ";",
    "a;b",
    "&",
    "|",
    "<>",
    "@(a|b)",
    "+(x)",
    "=ls",
    "%s%d",
    "-n",
    "é ü 漢字 🔑",
    "\r",
    "a\x1b[31mb",
    "\x7f",
    "x" * 5000,
    "nrp_" + "0123456789abcdef" * 4,
    "https://u:p@host/?q=1&r=[2]#f",
]
"""Each stresses a rule of some shell: splitting, patterns, quotes, history, braces, tildes."""

BROKEN = ["a\nb", "\nfirst", "a\n\n*\nb", "-----BEGIN KEY-----\nMIIE \n-----END KEY-----"]
"""Values with line breaks that sh and fish hold, and csh does not."""

QUOTED = {
    "sh": 'eval "$(cat text)"\nexec /usr/bin/env -0\n',
    "csh": 'eval "`cat text`"\nexec /usr/bin/env -0\n',
    "fish": "cat text | source\nexec /usr/bin/env -0\n",
}
UNQUOTED = {
    "sh": "eval $(cat text)\nexec /usr/bin/env -0\n",
    "csh": "eval `cat text`\nexec /usr/bin/env -0\n",
    "fish": "eval (cat text)\nexec /usr/bin/env -0\n",
}

SHELLS = [
    pytest.param(["dash"], "sh", id="dash"),
    pytest.param(["bash", "--norc"], "sh", id="bash"),
    pytest.param(["bash", "--posix"], "sh", id="bash-posix"),
    pytest.param(["bash", "-O", "nullglob", "-O", "extglob"], "sh", id="bash-nullglob"),
    pytest.param(["bash", "-O", "failglob", "-O", "extglob"], "sh", id="bash-failglob"),
    pytest.param(["zsh", "-f"], "sh", id="zsh"),
    pytest.param(["zsh", "-f", "-o", "rcquotes"], "sh", id="zsh-rcquotes"),
    pytest.param(["zsh", "-f", "-o", "globsubst", "-o", "extendedglob"], "sh", id="zsh-globsubst"),
    pytest.param(["fish", "--no-config"], "fish", id="fish"),
    pytest.param(["tcsh", "-f"], "csh", id="tcsh"),
]


def evaluated(command: list[str], text: str, script: str, folder: Path) -> dict[str, str]:
    """Return the environment after a real shell has evaluated `text`."""
    requires(command[0])
    (folder / "text").write_bytes(text.encode("utf-8", "surrogateescape"))
    (folder / "script").write_text(script)
    for name in ("a", "b", "export", "V0='';"):  # what a stray pattern would match
        (folder / name).touch()
    done = subprocess.run(
        [*command, "script"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    pairs = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@pytest.mark.parametrize("scripts", [QUOTED, UNQUOTED], ids=["quoted", "unquoted"])
@pytest.mark.parametrize(("command", "syntax"), SHELLS)
def test_a_real_shell_gets_every_value_as_it_is(
    command: list[str], syntax: str, scripts: dict[str, str], tmp_path: Path
) -> None:
    """Odd values survive an eval with quotes and without, and no other variable is touched."""
    values = ODD if syntax == "csh" else ODD + BROKEN
    text = "".join(shell.export(f"V{i}", value, syntax) for i, value in enumerate(values))
    seen = evaluated(command, text, scripts[syntax], tmp_path)
    assert {name: seen.get(name) for name in (f"V{i}" for i in range(len(values)))} == {
        f"V{i}": value for i, value in enumerate(values)
    }


@pytest.mark.parametrize("scripts", [QUOTED, UNQUOTED], ids=["quoted", "unquoted"])
@pytest.mark.parametrize(("command", "syntax"), SHELLS)
def test_a_real_shell_forgets_what_is_unset(
    command: list[str], syntax: str, scripts: dict[str, str], tmp_path: Path
) -> None:
    """An unset after an export leaves nothing in the environment."""
    text = shell.export("GONE", "value", syntax) + shell.export("KEPT", "value", syntax)
    seen = evaluated(command, text + shell.unset("GONE", syntax), scripts[syntax], tmp_path)
    assert ("GONE" in seen, seen.get("KEPT")) == (False, "value")


@pytest.mark.parametrize("command", [["dash"], ["bash", "--norc"]], ids=["dash", "bash"])
def test_bytes_that_are_no_text_survive(command: list[str], tmp_path: Path) -> None:
    """A value from the environment that is not UTF-8 comes out byte for byte."""
    value = b"a\xff\xfe b".decode("utf-8", "surrogateescape")
    text = shell.export("RAW", value, "sh")
    assert evaluated(command, text, UNQUOTED["sh"], tmp_path)["RAW"] == value


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
@example("a  b")
@settings(max_examples=300)
def test_nothing_that_splitting_or_globbing_changes_stands_in_the_text(value: str) -> None:
    """A word for sh or csh has no pattern, no line break and no second blank in a row."""
    for syntax, odd in ((shell.SH, "*?[()|<>#^~"), (shell.CSH, "*?[{}~!")):
        try:
            word = shell.quote(value, syntax)
        except ValueError:
            assert "\n" in value
            continue
        assert not set(odd) & set(word)
        assert " ".join(word.split(" ")) == word
        assert "  " not in word
        assert not [c for c in word if c < " "]


@given(st.lists(st.text("ab \t'\"\\$`!*?[{~\n", max_size=12), min_size=40, max_size=40))
@settings(max_examples=8, deadline=None)
def test_random_values_come_out_of_dash(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    """What dash evaluates without quotes is what went in."""
    values = [value.rstrip("\n") for value in values]
    text = "".join(shell.export(f"V{i}", value, "sh") for i, value in enumerate(values))
    seen = evaluated(["dash"], text, UNQUOTED["sh"], tmp_path_factory.mktemp("dash"))
    assert [seen[f"V{i}"] for i in range(len(values))] == values


@pytest.mark.parametrize(
    ("value", "syntax"),
    [
        ("a\x00b", "sh"),
        ("a\x00b", "csh"),
        ("a\x00b", "fish"),
        ("a\x00b", "github"),
        ("a\n", "sh"),
        ("a\nb", "csh"),
        ("\n", "sh"),
    ],
)
def test_what_a_shell_cannot_hold_is_refused(value: str, syntax: str) -> None:
    """A value that would come out otherwise is an error, which does not repeat the value."""
    with pytest.raises(ValueError, match=r"NUL|line break") as caught:
        shell.export("NAME", value, syntax)
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A;id", "A=1", "É", "A-B", "$(id)"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """No name can smuggle a statement in."""
    for syntax in shell.SHELLS:
        with pytest.raises(ValueError, match="not the name"):
            shell.export(name, "v", syntax)
        with pytest.raises(ValueError, match="not the name"):
            shell.unset(name, syntax)


@pytest.mark.parametrize(
    ("variable", "syntax"),
    [
        ("/bin/bash", "sh"),
        ("/bin/tcsh", "csh"),
        ("/usr/bin/csh", "csh"),
        ("fish", "fish"),
        ("", "sh"),
        ("/usr/bin/zsh", "sh"),
        ("/opt/fish/bin/bash", "sh"),
    ],
)
def test_the_shell_is_guessed_as_ssh_agent_does(variable: str, syntax: str) -> None:
    """$SHELL ends in csh, is fish, or is taken for sh."""
    assert shell.guess(variable) == syntax


def test_a_github_entry_holds_lines_that_look_like_its_end() -> None:
    """The delimiter of the heredoc is no line of the value."""
    entry = shell.export("KEY", "a\nTOOL_AGENT_END\nTOOL_AGENT_END_\rx", "github")
    first, *rest = entry.split("\n")
    delimiter = first.removeprefix("KEY<<")
    assert rest[-2:] == [delimiter, ""]
    assert delimiter not in "\n".join(rest[:-2]).replace("\r", "\n").split("\n")


def test_a_mask_hides_each_line() -> None:
    """Every line of a value gets its mask, escaped as the runner reads it."""
    assert shell.mask("100%\r\n\n b ") == "::add-mask::100%25\n::add-mask:: b \n"


@pytest.mark.parametrize("folder", ["/a:/b", "", "/a\0b"])
@pytest.mark.parametrize("name", shell.SHELLS)
def test_a_folder_that_no_path_can_hold_is_refused(folder: str, name: str) -> None:
    """A colon would make two folders of one, and nothing the current one."""
    with pytest.raises(ValueError, match=r"colon|NUL"):
        shell.prepend("PATH", folder, name)
