"""The README is true: its commands exist and parse, its files are files, its examples are good.

That its demo is what the demo shows is held by tests/stories/test_demo.py.
"""

import ast
import re
import shlex
import shutil
import tomllib

import click
import pytest

import tool_agent
from tests.house.tree import ROOT
from tool_agent.commands import cli
from tool_agentd import config
from tool_agentd.definition.decode import decode

README = (ROOT / "README.md").read_text(encoding="utf-8")

FENCED = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)

AGENT = re.compile(r"\btool-agent (?P<words>[^|;)#\n]*)")
"""The words after `tool-agent` up to the end of the command, also inside `$(...)`."""

INSTALLERS = {
    "pip install .",
    "uv tool install .",
    "pipx install .",
    "pip install --require-hashes -r requirements.lock",
    "pip install --no-deps .",
}

POLICY = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")

SHELL_WORDS = {"echo", "eval", "first", "printf", "unset", "until"}


def fenced(language: str, page: str = README) -> list[str]:
    """Return a page's blocks in a language."""
    return [found["text"] for found in FENCED.finditer(page) if found["language"] == language]


def commands(page: str = README) -> list[str]:
    """Return every line that is typed, without its prompt."""
    lines = [line for text in fenced("console", page) for line in text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def parse(words: list[str]) -> None:
    """Have click read a command line as the client does, without running it.

    Raises:
        click.UsageError: it cannot be typed like that.
    """
    if words[:1] == ["exec"] and "--" in words:
        words, command = words[: words.index("--")], words[words.index("--") + 1 :]
        assert command, words
    context = click.Context(cli, info_name="tool-agent")
    group: click.Command = cli
    while isinstance(group, click.Group):
        name, found, words = group.resolve_command(context, words)
        assert found is not None
        group = found
        if not isinstance(group, click.Group):
            group.make_context(name, words, parent=context)


@pytest.mark.parametrize("command", commands())
def test_a_command_can_be_typed(command: str) -> None:
    """Each command exists; those of tool-agent take the options that are shown."""
    ours = [found["words"].strip() for found in AGENT.finditer(command)]
    for words in ours:
        parse(shlex.split(words))
    first = re.split(r"[\s=]", command, maxsplit=1)[0]
    if first == "make":
        target = command.split()[1]
        assert re.search(
            rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
        )
    elif first in {"pip", "uv", "pipx"}:
        assert command in INSTALLERS
    elif not ours:
        shipped = (ROOT / "tests" / "demo" / "bin" / first).exists()
        assert shipped or first in {*SHELL_WORDS, "secret-tool"} or shutil.which(first)


@pytest.mark.parametrize("wrong", ["logn cre", "login cre --apikey", "tool chek x", "token"])
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    """A misspelled command, option or a missing argument fails the test above."""
    with pytest.raises(click.UsageError):
        parse(shlex.split(wrong))


def test_the_readme_shows_commands_and_the_demo() -> None:
    """There is something to check: the commands of use, and four blocks of the demo."""
    typed = commands()
    for word in ("login", "token", "env", "exec", "status", "logout"):
        assert any(f"tool-agent {word}" in command for command in typed), word
    assert set(typed) >= INSTALLERS
    assert README.count("<!-- demo") == 4


def test_every_link_leads_somewhere() -> None:
    """A link inside the repository names a file that is there."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(targets) > 3
    assert [target for target in targets if not (ROOT / target).is_file()] == []


def test_the_configuration_is_good() -> None:
    """The agent takes config.toml as it is shown."""
    (text,) = [text for text in fenced("toml") if "[store]" in text]
    store = config.parse(text, "config.toml").store
    assert (store.kind, store.key) == ("vault", "passphrase")


def test_the_rules_are_good() -> None:
    """The agent takes each config.toml of README and docs/policy.md; each closes something."""
    texts = [text for page in (README, POLICY) for text in fenced("toml", page)]
    rules = [config.parse(text, "config.toml") for text in texts if "[policy" in text]
    assert len(rules) == len(fenced("toml", POLICY)) + 1
    assert all(one.policy != {"cre": config.PolicyTable()} for one in rules)


@pytest.mark.parametrize("command", commands(POLICY))
def test_a_command_of_the_policy_page_can_be_typed(command: str) -> None:
    """Each is one of tool-agent's, with the options that are shown."""
    (found,) = AGENT.finditer(command)
    parse(shlex.split(found["words"]))


def test_the_commands_in_the_policy_pages_sentences_exist() -> None:
    """What stands between backticks, too."""
    spoken = re.findall(r"`tool-agent ([^`\n]+)`", POLICY)
    assert len(spoken) > 5
    for words in spoken:
        parse(shlex.split(words))


def test_the_definition_is_good() -> None:
    """The agent takes the tool definition as it is shown."""
    (text,) = [text for text in fenced("toml") if "schema" in text]
    assert decode(text, "acme.toml").name == tomllib.loads(text)["name"] == "acme"


def test_the_python_is_good() -> None:
    """The example compiles, and uses what tool_agent exports."""
    (text,) = fenced("python")
    used = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "tool_agent"
    }
    assert used
    assert used <= set(tool_agent.__all__)
