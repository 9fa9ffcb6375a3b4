"""What is meant by a tool's own words: `cloud auth api-key issue --label ci` is a label and a deed.

Pure. Words that are none of the tool's auth words mean nothing here: they are for the real tool.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tool_agentd.definition.faces import Face, Output, Word
from tool_agentd.definition.flows import Login, Paste, Procedure
from tool_agentd.errors import InvalidRequestError

Form = Literal["human", "json"]

FORMS: dict[str, Form] = {"--human": "human", "--json": "json"}
"""The options that every command of every tool takes."""
HELP = frozenset({"--help", "-h"})
SHOWN = 40
"""Characters of an option that a message repeats; no option is longer."""
METHOD = "method"
"""An option's value of this name chooses the login method."""
ACCOUNT = "account"
"""And one of this name the account to sign in to."""
SECRET = "secret"  # noqa: S105 - a value's name
"""And one of this name is the key that a `paste` login asks for."""

_NEEDED = {"issue-key": ("label",), "revoke-key": ("id",)}
"""Without these a deed makes no sense; a login and an action ask for what is missing."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the words of a command line mean."""

    word: Word
    method: str | None = None
    """The login method, where an option chooses one."""
    values: dict[str, str] = field(default_factory=dict, repr=False)
    """Name -> what was given; one of them may be a secret."""
    form: Form | None = None
    """`--human` or `--json`, where one is given; the last one counts."""
    help: bool = False
    """Whether the person only wants to know how the command is used."""


def meaning(face: Face, words: Sequence[str]) -> Meaning | None:
    """Return what the words mean; None where they are none of the tool's auth words.

    The longest match counts. `--json` and `--human` may stand anywhere.

    Raises:
        InvalidRequestError: they begin as an auth word does and go on as none can.
    """
    plain, form = _without_forms(words)
    word = _longest(face, plain)
    if word is None:
        return None
    rest = _after(words, len(word.words.split()))
    return _Reading(face, word, form).read(rest)


def usage(face: Face, word: Word) -> str:
    """Return how a command is used, as help texts have it."""
    parts = [face.command, *word.words.split()]
    parts += [f"[{option}]" for option in word.flags if option not in word.options]
    parts += [f"[{option}={name.upper()}]" for option, name in word.options.items()]
    needed = _NEEDED.get(word.do, ())
    for name in word.arguments:
        parts.append(name.upper() if name in needed else f"[{name.upper()}]")
    return " ".join([*parts, "[--json | --human]"])


def output_form(output: Output, method: str | None, asked: Form | None = None) -> Form:
    """Return the form of what is printed: as asked, else as the login method has it."""
    return asked or output.by_method.get(method or "", output.default)


def method_for(logins: Mapping[str, Login], values: Iterable[str]) -> str | None:
    """Return the login method that asks for every one of the values; None where none does."""
    names = set(values)
    if not names:
        return None
    return next((name for name, login in logins.items() if names <= _asked(login).keys()), None)


def secrets_of(logins: Mapping[str, Login], method: str | None) -> frozenset[str]:
    """Return the names of the secrets that a login method asks for."""
    login = logins.get(method or "")
    asked = _asked(login) if login is not None else {}
    return frozenset(name for name, secret in asked.items() if secret)


def _without_forms(words: Sequence[str]) -> tuple[list[str], Form | None]:
    """Return the words up to the first option of a command, without the options that all take."""
    plain: list[str] = []
    form: Form | None = None
    for word in words:
        if word in FORMS:
            form = FORMS[word]
        elif word.startswith("-"):
            break
        else:
            plain.append(word)
    return plain, form


def _longest(face: Face, plain: Sequence[str]) -> Word | None:
    best: Word | None = None
    for word in face.word:
        parts = word.words.split()
        longer = best is None or len(parts) > len(best.words.split())
        if longer and list(plain[: len(parts)]) == parts:
            best = word
    return best


def _after(words: Sequence[str], count: int) -> list[str]:
    """Return what follows the first `count` words, the options of all commands not counted."""
    rest = list(words)
    for _ in range(count):
        while rest[0] in FORMS:
            del rest[0]
        del rest[0]
    return rest


def _asked(login: Login) -> dict[str, bool]:
    """Return the names of what a login asks for, and whether each is a secret."""
    match login:
        case Paste():
            return {SECRET: True}
        case Procedure():
            return {ask.name: ask.secret for step in login.step for ask in step.ask}
        case _:
            return {}


class _Reading:
    """The reading of what follows a command's words."""

    def __init__(self, face: Face, word: Word, form: Form | None) -> None:
        self._name = f"{face.command} {word.words}"
        self._usage = usage(face, word)
        self._word = word
        self._form = form
        self._methods: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._arguments: list[str] = []
        self._help = False

    def read(self, rest: list[str]) -> Meaning:
        while rest:
            part = rest.pop(0)
            if part == "--":
                self._arguments += rest
                break
            if part.startswith("-") and part != "-":
                self._option(part, rest)
            else:
                self._arguments.append(part)
        if self._help:
            return Meaning(self._word, form=self._form, help=True)
        self._take_arguments()
        method = self._method()
        for name in _NEEDED.get(self._word.do, ()):
            if not self._values.get(name):
                article = "an" if name[0] in "aeiou" else "a"
                raise self._wrong(f"'{self._name}' needs {article} {name}")
        return Meaning(self._word, method, self._values, self._form)

    def _option(self, part: str, rest: list[str]) -> None:
        option, equals, value = part.partition("=")
        word = self._word
        if option in word.options:
            if not equals:
                if not rest or (rest[0].startswith("-") and rest[0] != "-"):
                    raise self._wrong(f"{option} needs a value: {option}=VALUE")
                value = rest.pop(0)
            if not value:
                raise self._wrong(f"the value of {option} is empty")
            self._give(word.options[option], value, option)
            if option in word.flags:
                self._methods[option] = word.flags[option]
        elif option in word.flags or option in FORMS or option in HELP:
            if equals:
                raise self._wrong(f"{option} takes no value")
            if option in word.flags:
                self._methods[option] = word.flags[option]
            elif option in FORMS:
                self._form = FORMS[option]
            else:
                self._help = True
        else:
            raise self._wrong(f"'{self._name}' has no option {option[:SHOWN]}")

    def _take_arguments(self) -> None:
        names = self._word.arguments
        if len(self._arguments) > len(names):  # not repeated: it might be a key
            most = {0: "no argument", 1: "one argument"}.get(len(names), f"{len(names)} arguments")
            raise self._wrong(f"'{self._name}' takes {most}, and more are given")
        for name, value in zip(names, self._arguments, strict=False):
            self._give(name, value, name.upper())

    def _give(self, name: str, value: str, where: str) -> None:
        if self._values.get(name, value) != value:
            raise self._wrong(f"{where} is given twice, with different values")
        self._values[name] = value

    def _method(self) -> str | None:
        chosen = dict(self._methods)
        if self._word.do == "login" and METHOD in self._values:
            chosen["--" + METHOD] = self._values.pop(METHOD)
        if len(set(chosen.values())) > 1:
            raise self._wrong(f"{' and '.join(chosen)} ask for different ways to sign in")
        return next(iter(chosen.values()), None)

    def _wrong(self, message: str) -> InvalidRequestError:
        return InvalidRequestError(message, hint=f"usage: {self._usage}")
