"""The demo's output in README.md: written by `python -m tests.demo --readme`, compared by a test.

A block begins with `<!-- demo: 2 4 -->`, the numbers of its steps, or `<!-- demo keychain: 10 -->`
for steps that look so with the keychain only.
"""

import json
import re
from dataclasses import dataclass
from typing import Self

from tests.demo.screen import Section, normalised

BLOCK = re.compile(
    r"(?P<head><!-- demo(?: (?P<store>\w+))?: (?P<steps>[\d ]+) -->\n```console\n)"
    r"(?P<text>.*?)(?P<foot>```\n)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Played:
    """A demo that was played: where its secrets rested, and what each step showed."""

    store: str
    sections: tuple[Section, ...]

    def json(self) -> str:
        """Return it as one line, which `read` takes."""
        shown = [{"title": one.title, "lines": one.lines} for one in self.sections]
        return json.dumps({"store": self.store, "sections": shown})

    @classmethod
    def read(cls, line: str) -> Self:
        """Read what `json` has written."""
        found = json.loads(line)
        sections = (Section(one["title"], one["lines"]) for one in found["sections"])
        return cls(found["store"], tuple(sections))

    def block(self, steps: list[int]) -> str:
        """Return the steps of these numbers as the README has them."""
        chosen = [self.sections[number - 1] for number in steps]
        parts = ["\n".join([one.title, *one.lines]) + "\n" for one in chosen]
        return normalised("\n".join(parts))


def rewritten(readme: str, played: Played) -> str:
    """Return the README with what this demo has shown; blocks of another store stay."""

    def block(found: "re.Match[str]") -> str:
        if found["store"] not in (None, played.store):
            return found[0]
        steps = [int(number) for number in found["steps"].split()]
        return found["head"] + played.block(steps) + found["foot"]

    return BLOCK.sub(block, readme)
