"""One demo while it runs: it types commands, shows what comes back, and checks that it is true."""

import re

from tests.demo.errors import DemoError
from tests.demo.place import Place
from tests.demo.screen import Screen
from tests.demo.shell import Shell


class Stage:
    """What a step works with."""

    def __init__(self, place: Place, screen: Screen, shell: Shell) -> None:
        self.place = place
        self.screen = screen
        self.shell = shell
        self.secrets: set[str] = set()
        """What must never be shown: every key, password and token that the demo knows."""

    def types(self, command: str, *expected: str, status: int = 0) -> str:
        """Type a command, show what comes back, and return it.

        Args:
            command: for `sh`.
            expected: regular expressions, each of which is to be found.
            status: the exit status that it is to have.

        Raises:
            DemoError: it came back with something else, or with a secret.
        """
        self.screen.command(command)
        done = self.shell.run(command)
        if any(secret in done.text for secret in self.secrets):
            raise DemoError(f"it prints a secret: {command}")
        self.screen.output(done.text)
        if done.status != status:
            raise DemoError(f"status {done.status} and not {status}: {command}")
        for pattern in expected:
            if not re.search(pattern, done.text):
                raise DemoError(f"{pattern!r} is not in what came back of: {command}")
        return done.text

    def asks(self, command: str) -> str:
        """Run a command that is not shown, for a check; its output may be a secret."""
        done = self.shell.run(command)
        if done.status != 0:
            raise DemoError(f"status {done.status}: {command}")
        return done.text.strip()

    def check(self, holds: bool, what: str) -> None:  # noqa: FBT001 - an assertion that survives -O
        """Go on only if it holds."""
        if not holds:
            raise DemoError(what)
