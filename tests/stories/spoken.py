"""A tool's own name, typed by its person: the shim at a terminal, or in a shell."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.real.agent import Agent, Done
from tests.real.terminal import Terminal
from tests.stories.transcript import TOOLS


class Spoken:
    """A shim that is installed, with the real program's stand-in behind it."""

    def __init__(self, agent: Agent, tool: str) -> None:
        self._agent = agent
        self._shim = agent.good("shim", "install", tool)
        folder = self._shim.rpartition("/")[0]
        self._path = f"{folder}:{TOOLS}:{agent.home.environ['PATH']}"

    def types(self, line: str, environ: Mapping[str, str | None] | None = None) -> Done:
        """Type a line at bash; a secret in it is best a variable of the environment."""
        environ = {"PATH": self._path, **(environ or {})}
        done = self._agent.shell(line, environ=environ, shell="bash")  # noqa: S604 - the lines are the stories' own
        if self._agent.canary is not None:
            self._agent.canary.text(line, done.stdout)
        return done

    @contextmanager
    def at_a_terminal(
        self, words: str, environ: Mapping[str, str | None] | None = None
    ) -> Iterator[Terminal]:
        """Type the tool's name and `words` at a terminal."""
        around = self._agent.environ({"PATH": self._path, **(environ or {})})
        with Terminal([self._shim, *words.split()], around) as terminal:
            yield terminal
            if self._agent.canary is not None:
                self._agent.canary.text(f"the terminal of {words}", terminal.shown)
