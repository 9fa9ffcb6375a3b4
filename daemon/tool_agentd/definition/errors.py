"""What is wrong with a definition: where, what was found, what is allowed, what is nearest."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tool_agentd.errors import ConfigurationError

FOUND_MAX = 60
"""Characters of a wrong value that a message shows: enough to recognise it on one line."""
SHOWN_MAX = 10
"""Mistakes that `tool check` shows at once: a screenful, and below every limit of a header."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake. `found` and `allowed` are in words."""

    key: str
    """The full dotted key, `login.browser.loopback.port`; empty for the file as a whole."""
    found: str
    allowed: str
    nearest: str = ""
    """The known key or name that was probably meant."""
    line: int | None = None
    column: int | None = None
    advice: str = ""
    """The next thing to do, where that is more than choosing what is allowed."""

    def __str__(self) -> str:
        """Return the mistake in one line."""
        where = self.key
        if self.line is not None:
            where = f"line {self.line}, column {self.column}"
        text = f"found {self.found}; allowed: {self.allowed}"
        return f"{where}: {text}" if where else text

    @property
    def hint(self) -> str | None:
        """The nearest known name as a question, or the advice."""
        return f"did you mean '{self.nearest}'?" if self.nearest else self.advice or None


class DefinitionError(ConfigurationError):
    """A definition cannot be used. `findings` lists every mistake; the text is about the first."""

    def __init__(self, file: str, findings: Iterable[Finding]) -> None:
        """Describe what is wrong with `file`; there is at least one finding."""
        self.file = file
        self.findings = tuple(findings)
        first = self.findings[0]
        super().__init__(f"{file}: {first}", hint=first.hint)

    @property
    def key(self) -> str:
        """The dotted key of the first mistake."""
        return self.findings[0].key

    def whole(self) -> ConfigurationError:
        """Return an error whose text has every mistake, each on a line with its hint."""
        if len(self.findings) == 1:
            return self
        lines = [
            f"{self.file}: {finding}{f' ({finding.hint})' if finding.hint else ''}"
            for finding in self.findings[:SHOWN_MAX]
        ]
        count = len(self.findings)
        more = f"\n{count - SHOWN_MAX} more" if count > SHOWN_MAX else ""
        return ConfigurationError(f"{count} mistakes\n" + "\n".join(lines) + more)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word closest to `word`, or an empty text where none is close."""
    # 0.6 is difflib's own default: one wrong letter in three still finds the word.
    return next(iter(difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)), "")


def shown(value: object) -> str:
    """Return a value of a TOML file in words, cut to a readable length."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = value if len(value) <= FOUND_MAX else value[: FOUND_MAX - 3] + "..."
            plain = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
            return f'"{plain}"'
        case float():
            return f"{value:g}"
        case int():
            return str(value) if abs(value) < 10**FOUND_MAX else "a huge number"
        case dict():
            return "a table"
        case list() | tuple():
            return "an array"
        case None:
            return "nothing"
        case _:
            return "a date or time"


def listed(words: Iterable[str]) -> str:
    """Return the words in order, separated by commas."""
    return ", ".join(sorted(words))


def joined(path: str, key: str) -> str:
    """Return `path.key`, the key quoted where TOML would want it."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    word = key if bare else shown(key)
    return f"{path}.{word}" if path else word
