"""The person's own variables, which win over the agent's session (interface.md).

The agent cannot see its client's environment. It names the variables of a tool with every reply
(`Tool-Agent-Env`); the client looks, uses its own value and sends it nowhere, or repeats the
request with `Tool-Agent-Unset`. Loaded by the hot commands.
"""

import os

from tool_agent import paths, wire
from tool_agent.agent import Connection, Reply, percent_decode
from tool_agent.errors import BadReplyError, ToolAgentError

CHECK_ENV = wire.ERRORS["check_env"][0]


class Entry:
    """One entry of `Tool-Agent-Env`: variables, of which the first one set counts."""

    __slots__ = ("before", "header", "tool", "variables")

    def __init__(self, text: str) -> None:
        """Read one entry, like `CRE_API_KEY; before=session; tool=cre`."""
        names, *parameters = text.split(";")
        self.variables = tuple(names.split())
        self.before = False
        self.header = ""
        self.tool = ""
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            if name == "before":
                self.before = value == "session"
            elif name == "header":
                self.header = percent_decode(value)
            elif name == "tool":
                self.tool = percent_decode(value)


class Own:
    """The person's own value for a tool. `repr` does not show it."""

    __slots__ = ("header", "value", "variable")

    def __init__(self, variable: str, value: str, header: str) -> None:
        """Hold the value with the template of the header that it belongs in, if known."""
        self.variable = variable
        self.value = value
        self.header = header

    def headers(self) -> dict[str, str]:
        """Return the header with the value in it; empty where the agent did not say which.

        Raises ToolAgentError for a value that no header can carry.
        """
        name, colon, template = self.header.partition(":")
        if not colon:
            return {}
        if any(character < " " or character == "\x7f" for character in self.value):
            raise ToolAgentError(
                f"{self.variable} holds a control character, which no header can carry",
                code="configuration",
                hint=f"set {self.variable} again, without a line break at its end",
            )
        return {name.strip(): template.strip().replace("{}", self.value)}

    @property
    def token_type(self) -> str:
        """The scheme of an Authorization header, else the name of the header."""
        name, _, template = self.header.partition(":")
        scheme, blank, _ = template.strip().partition(" ")
        return scheme if blank else name.strip()


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


def find_own(found: list[Entry], *, before: bool, tool: str | None = None) -> Own | None:
    """Return the person's value for a tool, of the given precedence; None where none is set.

    Without `tool` the request named one only, which every entry is about.
    """
    for entry in found:
        if entry.before is before and (tool is None or entry.tool in {tool, ""}):
            for variable in entry.variables:
                if value := own_value(variable):
                    return Own(variable, value, entry.header)
    return None


def unset_header(found: list[Entry]) -> tuple[str, str]:
    """Return the request header that lists those of the variables which are unset here."""
    names = [name for entry in found for name in entry.variables if not own_value(name)]
    return wire.UNSET_HEADER, ", ".join(dict.fromkeys(names))


def ask(  # noqa: PLR0913 - the parts of a request
    connection: Connection,
    method: str,
    target: str,
    *,
    accept: str = wire.REPLY,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
) -> Reply | Own:
    """Ask for something of one tool; the person's own variable answers where it wins.

    With the variable set, the agent touches no store and no provider for us. A method other than
    GET is sent twice at most, and the first time refused before it does anything.
    """
    found: list[Entry] = []
    for _ in range(2):
        reply = connection.request(
            method, target, accept=accept, headers=(*headers, unset_header(found)), body=body
        )
        found = entries(reply) or found
        if own := find_own(found, before=True):
            return own
        if reply.status != CHECK_ENV:
            break
    else:
        raise BadReplyError(
            "the agent asked twice for the same variables",
            hint="run 'tool-agent stop' if the agent is of another version",
        )
    if reply.login_required and (own := find_own(found, before=False)):
        return own
    return reply
