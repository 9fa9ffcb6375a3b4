"""Checks of single texts: names, variables, durations, paths, patterns, references, placeholders.

The other checks are made of these. Each yields its findings under the key that it is given.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tool_agentd.definition import duration, pattern, placeholder
from tool_agentd.definition.errors import Finding, listed, nearest, shown

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
NAME_WORDS = "a lower-case letter, then lower-case letters, digits and '-'; at most 63"
VALUE_WORDS = "a lower-case letter, then lower-case letters, digits and '_'"

ERROR_STATUSES = range(400, 600)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_OPTION = re.compile(r"--[a-z0-9][a-z0-9-]*")
_SHORT = re.compile(r"-[A-Za-z0-9]")
_TAKEN = re.compile(
    r"(TOOL_AGENT_|LD_|DYLD_).*|PATH|HOME|IFS|SHELL|ENV|BASH_ENV|PYTHON\w*|NODE_\w+"
)
"""Variables whose change would alter what a shell or a program runs, not who it is."""


@dataclass(frozen=True, slots=True)
class Values:
    """The placeholders that have a value in some place of a definition."""

    plain: frozenset[str] = frozenset()
    """What may be printed."""
    secret: frozenset[str] = frozenset()
    """What may stand in headers, bodies and an address that is opened, and nowhere else."""

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a value, secret or not."""
        return name in self.plain or name in self.secret

    def plus(self, plain: Iterable[str] = (), secret: Iterable[str] = ()) -> "Values":
        """Return these values and further ones; what is secret once stays secret."""
        hidden = self.secret.union(secret)
        return Values(self.plain.union(plain) - hidden, hidden)


def printable(key: str, text: str, *, lines: bool = False) -> Iterator[Finding]:
    """Find control characters in a text that reaches a terminal."""
    plain = text.replace("\n", "").replace("\t", "") if lines else text
    if not all(sign.isprintable() for sign in plain):
        yield Finding(key, "a control character", "printable text")


def printed(
    key: str, text: str | None, values: Values, *, lines: bool = False
) -> Iterator[Finding]:
    """Find what is wrong with a text for the person: unknown placeholders, and secrets."""
    if text is None:
        return
    yield from printable(key, text, lines=lines)
    for name in placeholder.names(text):
        if name in values.secret:
            found = f"the secret {{{name}}} in a text that is printed"
            yield Finding(key, found, _words(values.plain))
        elif name not in values.plain:
            yield _unknown(key, name, values.plain)
    yield from _stray(key, text, values.plain)


def sent(key: str, text: str | None, values: Values, *, braces: bool = False) -> Iterator[Finding]:
    """Find placeholders without a value; with `braces`, other braces are just text (JSON)."""
    known = values.plain | values.secret
    for name in placeholder.names(text or ""):
        if name not in known:
            yield _unknown(key, name, known)
    if not braces:
        yield from _stray(key, text or "", known)


def _unknown(key: str, name: str, known: Collection[str]) -> Finding:
    return Finding(key, f"the placeholder {{{name}}}", _words(known), nearest(name, known))


def _stray(key: str, text: str, known: Collection[str]) -> Iterator[Finding]:
    if placeholder.stray(text):
        found = f"a brace that belongs to no placeholder ({shown(text)})"
        yield Finding(key, found, _words(known))


def _words(known: Collection[str]) -> str:
    return listed(f"{{{word}}}" for word in known) or "none here"


def variable(key: str, name: str) -> Iterator[Finding]:
    """Find what keeps a text from being the name of a variable that a definition may set."""
    if not _VARIABLE.fullmatch(name):
        yield Finding(key, shown(name), "a variable's name: letters, digits and '_'")
    elif _TAKEN.fullmatch(name):
        yield Finding(key, shown(name), "a variable that changes nothing but the tool's login")


def value_name(key: str, name: str, *, secret: bool = False) -> Iterator[Finding]:
    """Find what keeps a text from naming a value; a secret's name is for secrets only."""
    if not placeholder.NAME.fullmatch(name):
        yield Finding(key, shown(name), VALUE_WORDS)
    elif name in placeholder.SECRETS and not secret:
        allowed = "another name: this one is a secret's (take_secret, or an ask with secret = true)"
        yield Finding(key, shown(name), allowed)


def option(key: str, text: str, *, short: bool = False) -> Iterator[Finding]:
    """Find what keeps a text from being an option of a command line; `short` allows `-k`."""
    if not (_OPTION.fullmatch(text) or (short and _SHORT.fullmatch(text))):
        words = "an option: --name, in lower case"
        yield Finding(key, shown(text), f"{words}, or one letter: -n" if short else words)


def dotted(key: str, path: str) -> Iterator[Finding]:
    """Find what keeps a text from being a dotted path."""
    if not _DOTTED.fullmatch(path):
        yield Finding(key, shown(path), "names and list indices separated by single dots")


def length(
    key: str, text: str, *, least: float = 0.0, most: float = duration.LONGEST
) -> Iterator[Finding]:
    """Find what keeps a text from being a duration between two limits, in seconds."""
    try:
        value = duration.seconds(text)
    except ValueError:
        yield Finding(key, shown(text), duration.ALLOWED)
    else:
        if not least <= value <= most:
            yield Finding(key, shown(text), f"{least:g}s to {most:g}s")


def statuses(key: str, values: Iterable[int]) -> Iterator[Finding]:
    """Find numbers that are no HTTP status of an error."""
    for index, status in enumerate(values):
        if status not in ERROR_STATUSES:
            yield Finding(f"{key}[{index}]", shown(status), "an HTTP status from 400 to 599")


def shape(key: str, expression: str | None, words: str | None) -> Iterator[Finding]:
    """Find what is wrong with `pattern` and `shape`, which say the same twice."""
    if expression is not None:
        wrong = pattern.problem(expression)
        if wrong is not None:
            found = f"{wrong} ({shown(expression)})"
            yield Finding(f"{key}.pattern", found, pattern.ALLOWED)
    if words is not None:
        yield from printable(f"{key}.shape", words)
        if expression is None:
            yield Finding(f"{key}.shape", shown(words), "a shape only beside a pattern")


def reference(key: str, word: str, known: Iterable[str], what: str) -> Iterator[Finding]:
    """Find a reference to something that is not there; `what` says what it should be."""
    names = list(known)
    if word not in names:
        allowed = f"{what}: {listed(names)}" if names else f"{what}; there is none"
        yield Finding(key, shown(word), allowed, nearest(word, names))
