"""The hot command `token`: one credential on stdout, in the form that is asked for."""

import os

from tool_agent import paths, wire
from tool_agent.agent import connected, percent_encode, target
from tool_agent.errors import ToolAgentError, UsageError
from tool_agent.output import answer, note, relay
from tool_agent.variables import Own, ask

FORMATS = ("raw", "header", "json", "curl", "netrc")

OPTIONS: dict[str, tuple[str, str | None]] = {
    "--account": ("account", None),
    "--min-ttl": ("min_ttl", None),
    "--scope": ("scope", None),
    "--audience": ("audience", None),
    "--format": ("format", None),
    "--no-start": ("no_start", "1"),
    "--quiet": ("quiet", "1"),
}
"""Option -> its name, and the value of a flag (None: the next argument is the value)."""


def chosen_account(tool: str, option: str | None = None) -> str | None:
    """Return the account that the person chose: by option, else by variable."""
    environ = os.environ
    return option or environ.get(paths.variable_for(tool)) or environ.get(paths.ACCOUNT) or None


def tool_path(tool: str, *rest: str) -> str:
    """Return the path of a tool's route."""
    if not tool:
        raise UsageError("the name of the tool is empty", hint="run 'tool-agent tool list'")
    return "/".join([wire.TOOLS, *(percent_encode(part) for part in (tool, *rest))])


def print_token(tool: str, options: dict[str, str]) -> int:
    """Print the credential of a tool; return the exit status. `options` are those of OPTIONS."""
    form = options.get("format", "raw")
    route = target(
        tool_path(tool, "token"),
        ("account", chosen_account(tool, options.get("account"))),
        ("min_ttl", options.get("min_ttl")),
        ("scope", options.get("scope")),
        ("audience", options.get("audience")),
        ("format", form),
    )
    with connected(start="no_start" not in options) as connection:
        connection.tells = "quiet" not in options
        tell = _hush if "quiet" in options else note
        reply = ask(connection, "GET", route, tell=tell)
    if isinstance(reply, Own):
        answer((render(reply, form) + "\n").encode("utf-8", "surrogateescape"))
        return wire.EXIT_OK
    return relay(reply, quiet="quiet" in options)


def render(own: Own, form: str) -> str:
    """Return the person's own value as the agent would render one of its own."""
    if form == "raw":
        return own.value
    if form == "netrc":
        raise UsageError(
            f"{own.variable} is set, and the format netrc is for the agent's own credentials only",
            hint=f"unset {own.variable}, or choose another --format",
        )
    headers = own.headers()
    if form == "json":
        from tool_agent.own import as_json  # noqa: PLC0415 - rare, and imports json

        return as_json(own, headers)
    if not headers:
        raise ToolAgentError(
            f"{own.variable} is set, and the agent did not say in which header it belongs",
            code="configuration",
            hint=f"use --format raw, or unset {own.variable}",
        )
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if form == "curl":
        # curl(1), --config: quotes with backslash escapes
        escaped = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
        lines = [f'header = "{line}"' for line in escaped]
    return "\n".join(lines)


def _hush(_: str) -> None:
    """Take remarks that nobody wants."""
