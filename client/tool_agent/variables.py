"""The person's own variables, which win over the agent's session (interface.md).

The agent cannot see its client's environment. It names the variables of a tool with every reply
(`Tool-Agent-Env`); the client looks, uses its own value and sends it nowhere, or repeats the
request with `Tool-Agent-Unset`. Loaded by the hot commands.
"""

import os

from tool_agent import output, paths, wire
from tool_agent.agent import Connection, Reply, percent_decode
from tool_agent.errors import BadReplyError, ToolAgentError

TYPE_CHECKING = False
if TYPE_CHECKING:  # `collections.abc` is not loaded by a bare interpreter
    from collections.abc import Callable

CHECK_ENV = wire.ERRORS["check_env"][0]

_NOT_SET = ("", "0")
"""What in a variable that switches something off means that it does not."""


class Entry:
    """One entry of `Tool-Agent-Env` (wire.ENV_HEADER)."""

    __slots__ = ("before", "choices", "dotenv", "headers", "login", "tool")

    def __init__(self, text: str) -> None:
        """Read one entry, like `CRE_API_KEY; before=session; tool=cre`."""
        names, *parameters = text.split(";")
        self.choices = tuple(tuple(filter(None, word.split("+"))) for word in names.split())
        """Alternatives, each of variables that count together only."""
        self.before = False
        self.headers: tuple[str, ...] = ()
        self.dotenv = ""
        self.login = ""
        self.tool = ""
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            if name == "before":
                self.before = value == "session"
            elif name == "header":
                self.headers += (percent_decode(value),)
            elif name == "dotenv":
                self.dotenv = percent_decode(value)
            elif name == "login":
                self.login = percent_decode(value)
            elif name == "tool":
                self.tool = percent_decode(value)
        if self.login:
            self.before = False  # a session that it brings is not brought anew for each request

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of all of them."""
        return tuple(name for choice in self.choices for name in choice)


class Own:
    """The person's own value for a tool. `repr` does not show it."""

    __slots__ = ("login", "place", "templates", "values")

    def __init__(
        self, values: dict[str, str], templates: tuple[str, ...], place: str = "", login: str = ""
    ) -> None:
        """Hold the variables with their values, the secret last.

        `templates` are those of the headers, `place` is the `.env` that has the secret (empty: the
        environment), and `login` the method that takes it, where it is no credential by itself.
        """
        self.values = values
        self.templates = templates
        self.place = place
        self.login = login

    @property
    def variable(self) -> str:
        """The name of the variable with the secret."""
        return [*self.values][-1]

    @property
    def value(self) -> str:
        """The secret."""
        return self.values[self.variable]

    def headers(self) -> dict[str, str]:
        """Return the headers with the values in them; none where the agent did not say which.

        Raises ToolAgentError for a value that no header can carry.
        """
        found = {}
        for header in self.templates:
            name, colon, template = header.partition(":")
            if colon:
                found[name.strip()] = self._filled(template.strip())
        return found

    def _filled(self, template: str) -> str:
        text = ""
        while template:
            literal, brace, rest = template.partition("{")
            text += literal
            name, end, template = rest.partition("}")
            if brace:
                if not end or (name and name not in self.values):
                    raise BadReplyError(f"the agent put {brace}{name}{end} into a header")
                text += self._printable(name or self.variable)
        return text

    def _printable(self, variable: str) -> str:
        value = self.values[variable]
        if any(character < " " or character == "\x7f" for character in value):
            raise ToolAgentError(
                f"{variable} holds a control character, which no header can carry",
                code="configuration",
                hint=f"set {variable} again, without a line break at its end",
            )
        return value

    @property
    def token_type(self) -> str:
        """The scheme of an Authorization header, else the name of the header with the secret."""
        for header in self.templates:
            name, _, template = header.partition(":")
            if "{}" in template:
                scheme, blank, _ = template.strip().partition(" ")
                return scheme if blank else name.strip()
        return ""


class Look:
    """One look at the person's variables: in the environment, and in the project's `.env`."""

    __slots__ = ("_files", "_remarks")

    def __init__(self) -> None:
        """Begin; the `.env` is read when an entry asks for it first."""
        self._files: list[tuple[str, dict[str, str]]] | None = None
        self._remarks: dict[str, None] = {}

    def remarks(self) -> str:
        """Return what the person should know, each line once; then forget it."""
        text = "".join(f"tool-agent: {line}\n" for line in self._remarks)
        self._remarks = {}
        return text

    def find(self, found: list[Entry], *, before: bool, tool: str | None = None) -> Own | None:
        """Return the person's value for a tool, of the given precedence; None where none is set.

        Without `tool` the request named one only, which every entry is about.
        """
        for entry in found:
            if entry.before is before and (tool is None or entry.tool in {tool, ""}):
                for choice in entry.choices:
                    own = self._complete(entry, choice)
                    if own is not None:
                        return own
        return None

    def unset(self, found: list[Entry]) -> tuple[str, str]:
        """Return the request header that lists those of the variables which are unset here."""
        names = [
            name
            for entry in found
            for choice in entry.choices
            if self._complete(entry, choice) is None
            for name in choice
        ]
        return wire.UNSET_HEADER, ", ".join(dict.fromkeys(names))

    def present(self, found: list[Entry]) -> list[str]:
        """Return the names of the variables that are set here, with those they count with."""
        return [
            name
            for entry in found
            for choice in entry.choices
            if self._complete(entry, choice) is not None
            for name in choice
        ]

    def _complete(self, entry: Entry, choice: tuple[str, ...]) -> Own | None:
        """Return the values of variables that count together; None unless each of them has one."""
        values = {}
        place = ""
        missing = []
        for name in choice:
            value, place = self._value(entry, name)
            if value:
                values[name] = value
            else:
                missing.append(name)
        if not missing and choice:
            return Own(values, entry.headers, place, entry.login)
        if values:
            verb = "is" if len(missing) == 1 else "are"
            self._remarks[
                f"{' and '.join(values)} {'is' if len(values) == 1 else 'are'} set and"
                f" {' and '.join(missing)} {verb} not: they count only together, and are not used"
            ] = None
        return None

    def _value(self, entry: Entry, variable: str) -> tuple[str, str]:
        """Return a variable's value and the `.env` that has it; both empty where it is unset."""
        value = own_value(variable)
        if value or not entry.dotenv or os.environ.get(entry.dotenv, "").strip() not in _NOT_SET:
            return value, ""
        if variable in os.environ and not os.environ.get(paths.EXPORTED_PREFIX + variable):
            return "", ""  # set to nothing: the tools do not look into the file then, either
        for path, values in self._project():
            if variable in values:
                return values[variable], path
        return "", ""

    def _project(self) -> list[tuple[str, dict[str, str]]]:
        """Return the variables of the project's `.env`, read once; the nearest file first."""
        if self._files is None:
            from tool_agent import dotenv  # noqa: PLC0415 - few tools look into a project's file

            self._files = []
            try:
                folder = os.getcwd()
            except OSError:
                return self._files  # the folder is gone, and its file with it
            for path in dotenv.project_files(folder):
                try:
                    self._files.append((path, dotenv.read(path)))
                except ToolAgentError as error:
                    self._remarks[error.detail] = None
        return self._files


def fingerprint(value: str) -> str:
    """Return the mark that goes with a value which the agent exports (paths.EXPORTED_PREFIX)."""
    from _blake2 import blake2s  # noqa: PLC0415 - only where a mark is there to compare with

    raw = value.encode("utf-8", "surrogateescape")
    return blake2s(raw, digest_size=8, person=b"toolagnt").hexdigest()


def own_value(variable: str) -> str:
    """Return what the person has set in `variable`.

    Empty where it is not set, or holds what the agent exported there.
    """
    value = os.environ.get(variable, "")
    if not value:
        return ""
    mark = os.environ.get(paths.EXPORTED_PREFIX + variable)
    return "" if mark and mark == fingerprint(value) else value


def entries(reply: Reply) -> list[Entry]:
    """Return the entries of a reply's `Tool-Agent-Env`."""
    parts = reply.header(wire.ENV_HEADER).split(",")
    return [Entry(part) for part in parts if part.strip()]


def ask(  # noqa: PLR0913 - the parts of a request
    connection: Connection,
    method: str,
    target: str,
    *,
    accept: str = wire.REPLY,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    account: str | None = None,
    tell: "Callable[[str], None]" = output.note,
) -> Reply | Own:
    """Ask for something of one tool; the person's own variable answers where it wins.

    With the variable set, the agent touches no store and no provider for us. A method other than
    GET is sent twice at most, and the first time refused before it does anything. Where there is
    no session, and a variable is set that a login takes, the agent signs in with it first, and the
    request is repeated. `account` is the one that the request is about, where its query does not
    say; `tell` gets remarks for the person, as whole lines.
    """
    look = Look()
    try:
        found: list[Entry] = []
        for _ in range(2):
            reply = connection.request(
                method, target, accept=accept, headers=(*headers, look.unset(found)), body=body
            )
            found = entries(reply) or found
            if own := look.find(found, before=True):
                return own
            if reply.status != CHECK_ENV:
                break
        else:
            raise BadReplyError(
                "the agent asked twice for the same variables",
                hint="run 'tool-agent stop' if the agent is of another version",
            )
        if not reply.login_required or not (own := look.find(found, before=False)):
            return reply
        if not own.login:
            return own
        from tool_agent.exchange import exchange, tool_and_account  # noqa: PLC0415 - imports json

        tool, named = tool_and_account(target)
        unset = look.unset(found)
        failure = exchange(connection, tool, own, account=account or named, unset=unset)
        reply = connection.request(
            method, target, accept=accept, headers=(*headers, unset), body=body
        )
        if reply.login_required and failure is not None:
            raise failure
        return reply
    finally:
        tell(look.remarks())
