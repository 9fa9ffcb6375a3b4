"""A page of the documentation as something to follow: its TOML, its commands, and what came back.

`python -m tests.stories.page` follows each page and writes what came back into it.
"""

import re
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.demo.shell import Shell
from tests.platforms.far import running
from tests.real.home import Home, new_home
from tests.real.idp import Idp, running_idp

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
MANY_TOOLS = ROOT / "docs" / "many-tools.md"

SHOWN_ADDRESS = "http://127.0.0.1:9870"
"""Where the pages have their provider."""

PLACEHOLDERS = {
    "<random>": r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])",
    "<time>": r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}",
    "<port>": r"(?<=127\.0\.0\.1%3A)[1-9][0-9]{3,4}",
}
"""What differs from run to run, and how it looks; the pages say the same."""

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (?P<name>[a-z-]+\.toml)\n")
"""The first line of a block of TOML that begins a file."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    text: str

    def typed(self) -> "Iterator[Typed]":
        """Yield the commands of a console block; other blocks have none."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        for part in parts if self.language == "console" else ():
            command, _, shown = part.partition("\n")
            yield Typed(command, shown)


@dataclass(frozen=True, slots=True)
class Typed:
    """A command, and what comes back."""

    command: str
    shown: str

    def matches(self, said: str, known: Mapping[str, str] = PLACEHOLDERS) -> bool:
        """Tell whether this is what the page shows, where it may use the placeholders `known`."""
        names = "|".join(map(re.escape, known))
        parts = re.split(f"({names})", self.shown)
        pattern = "".join(f"(?:{known.get(part) or re.escape(part)})" for part in parts)
        return re.fullmatch(pattern, said) is not None


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [Block(found["language"], found["text"]) for found in BLOCK.finditer(text)]


def abbreviated(said: str, known: Mapping[str, str] = PLACEHOLDERS) -> str:
    """Return what came back as a page shows it: with placeholders."""
    for name, looks in known.items():
        said = re.sub(looks, name, said)
    return said


class Desk:
    """Where a page is followed: a shell in a folder of its own, and a provider."""

    def __init__(self, home: Home, shell: Shell, address: str) -> None:
        """Give the address at which the provider really is."""
        self._home = home
        self._shell = shell
        self._address = address
        self._file = ""

    def write(self, toml: str) -> None:
        """Put a block at the end of the file that it or an earlier one names."""
        if found := FILE.match(toml):
            self._file = found["name"]
        with (self._home.path / self._file).open("a", encoding="utf-8") as file:
            file.write(f"{toml}\n")

    def run(self, command: str) -> str:
        """Type a command; return what came back, with the page's address and `~` for the home.

        Raises:
            AssertionError: it failed; a page says `; echo "exit status $?"` where one is to fail.
        """
        done = self._shell.run(command.replace(SHOWN_ADDRESS, self._address))
        if done.status != 0:
            raise AssertionError(f"status {done.status}: {command}: {abbreviated(done.text)}")
        said = done.text.replace(self._address, SHOWN_ADDRESS)
        return said.replace(self._home.environ["HOME"], "~")


def settled(home: Home) -> dict[str, str]:
    """Return the environment of a shell in which an agent with a vault may be started."""
    credentials = home.path / "credentials"
    credentials.mkdir(mode=0o700)
    key = credentials / "tool-agent-vault-key"
    key.write_bytes(secrets.token_bytes(32))
    key.chmod(0o400)
    # Without these, files are where the pages have them: below ~/.config and ~/.local/share.
    moved = {"XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    kept = {name: value for name, value in home.environ.items() if name not in moved}
    return kept | {
        "TOOL_AGENT_STORE": "vault:credential",
        "CREDENTIALS_DIRECTORY": str(credentials),
    }


@contextmanager
def sat_down(home: Home, address: str, known: Mapping[str, str]) -> Iterator[Desk]:
    """Sit down to follow a page, with what the person knows as variables of the shell."""
    person = ["env", f"PYTHONPATH={ROOT}", "PERSON_EMAIL=ada@example.com", sys.executable]
    environ = settled(home) | {"BROWSER": shlex.join([*person, "-m", "tests.platforms.person"])}
    with Shell(environ, home.path) as shell:
        for name, value in known.items():
            shell.assign(name, value)
        yield Desk(home, shell, address)


def at_tutorial(home: Home, idp: Idp) -> AbstractContextManager[Desk]:
    """Sit down to follow docs/tutorial.md."""
    known = {"API_TOKEN": idp.known["api_token"], "GLOBAL_KEY": idp.known["global_key"]}
    return sat_down(home, idp.issuer, known)


def rewritten(page: str, desk: Desk, known: Mapping[str, str] = PLACEHOLDERS) -> str:
    """Return the page with what comes back; what is right already stays as it is."""

    def block(found: "re.Match[str]") -> str:
        one = Block(found["language"], found["text"])
        if one.language == "toml":
            desk.write(one.text)
        if one.language != "console":
            return found[0]
        shown = ""
        for typed in one.typed():
            said = desk.run(typed.command)
            kept = typed.shown if typed.matches(said, known) else abbreviated(said, known)
            shown += f"$ {typed.command}\n{kept}"
        return f"```console\n{shown}```"

    return BLOCK.sub(block, page)


def rewrite(page: Path, sit_down: Callable[[Home], AbstractContextManager[Desk]]) -> None:
    """Follow a page and write what came back into it."""
    with new_home() as home, sit_down(home) as desk:
        text = rewritten(page.read_text(encoding="utf-8"), desk)
        page.write_text(text, encoding="utf-8")


def main() -> None:
    """Rewrite the pages."""
    with running_idp() as idp:
        rewrite(TUTORIAL, lambda home: at_tutorial(home, idp))
    with running() as far:
        rewrite(MANY_TOOLS, lambda home: sat_down(home, far.url, {}))


if __name__ == "__main__":
    main()
