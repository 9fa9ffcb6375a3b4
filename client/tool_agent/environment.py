"""The hot command `env`: text that a shell evaluates, and only once the socket answers."""

import os

from tool_agent import paths, shell, wire
from tool_agent.agent import Connection, Reply, connected, percent_decode, target
from tool_agent.credential import chosen_account
from tool_agent.errors import BadReplyError, NoAgentError, ToolAgentError
from tool_agent.output import answer, note, relay
from tool_agent.variables import CHECK_ENV, Entry, Own, entries, find_own, own_value, unset_header

OPTIONS: dict[str, tuple[str, str | None]] = {
    "-s": ("shell", shell.SH),
    "-c": ("shell", shell.CSH),
    "--shell": ("shell", None),
    "-k": ("kill", "1"),
    "--no-start": ("no_start", "1"),
    "--quiet": ("quiet", "1"),
}
"""As credential.OPTIONS. `--json` is not among them: only people's scripts read that."""


def print_env(tools: list[str], options: dict[str, str]) -> int:
    """Print the exports for `tools`; return the exit status. `options` are those of OPTIONS."""
    syntax = options.get("shell") or shell.guess(os.environ.get(paths.SHELL, ""))
    if "kill" in options:
        return _stop(syntax)
    with connected(start="no_start" not in options) as connection:
        asked = Question(connection, syntax)
        reply = asked.ask_all(list(dict.fromkeys(tools)))
    if reply is not None:
        return relay(reply)
    if syntax == shell.GITHUB:
        _write_github(asked)
    else:
        answer(b"".join(asked.bodies) + b"".join(_export(own, syntax) for own in asked.own))
    if "quiet" not in options:
        note(asked.remarks)
    return wire.EXIT_OK


class Question:
    """What is gathered for one `env`: the agent's answers, and the person's own values."""

    def __init__(self, connection: Connection, syntax: str, *, accept: str = wire.REPLY) -> None:
        """Prepare to ask for text in `syntax`."""
        self.connection = connection
        self.syntax = syntax
        self.accept = accept
        self.bodies: list[bytes] = []
        self.remarks = ""
        self.own: list[Own] = []

    def ask_all(self, tools: list[str]) -> Reply | None:
        """Ask for all tools, those of one account together; return the reply that is an error."""
        groups: dict[str | None, list[str]] = {}
        for tool in tools:
            groups.setdefault(chosen_account(tool), []).append(tool)
        if not groups:
            groups[None] = []
        for account, group in groups.items():
            reply = self._ask(group, account)
            if reply is not None:
                return reply
        return None

    def _ask(self, tools: list[str], account: str | None) -> Reply | None:
        """Ask for the tools of one account, less and less, as the person's own values are found."""
        found: list[Entry] = []
        rest = tools
        for _ in range(len(tools) + 2):  # each round but two finds a value for one tool at least
            reply = self._request(rest, account, found)
            found = entries(reply) or found
            less = self._without_own(rest, found, before=True)
            if less == rest and reply.login_required:
                less = self._without_own(rest, found, before=False)
                if less == rest:
                    return reply
            elif less == rest and reply.status != CHECK_ENV:
                return self._keep(reply)
            rest = less
        raise BadReplyError("the agent asked again and again for the same variables")

    def _request(self, tools: list[str], account: str | None, found: list[Entry]) -> Reply:
        route = target(
            wire.ENV,
            *(("tool", tool) for tool in tools),
            ("shell", self.syntax),
            ("account", account),
        )
        known = [entry for entry in found if not entry.tool or entry.tool in tools]
        return self.connection.request(
            "GET", route, accept=self.accept, headers=(unset_header(known),)
        )

    def _without_own(self, tools: list[str], found: list[Entry], *, before: bool) -> list[str]:
        """Take the person's values; return the tools that have none."""
        rest = []
        for tool in tools:
            own = find_own(found, before=before, tool=tool)
            if own is None:
                rest.append(tool)
            else:
                self.own.append(own)
        return rest

    def _keep(self, reply: Reply) -> Reply | None:
        """Add a success to the answers; return an error."""
        if reply.status >= 400 or reply.exit:  # noqa: PLR2004 - RFC 9110: below are no errors
            return reply
        self.bodies.append(reply.body)
        self.remarks += percent_decode(reply.header(wire.STDERR_HEADER))
        return None


def _export(own: Own, syntax: str) -> bytes:
    """Return the person's own value as a statement, without the mark of the agent's."""
    try:
        text = shell.export(own.variable, own.value, syntax)
    except ValueError as error:
        raise ToolAgentError(
            f"{own.variable} {error}", code="configuration", hint=f"set {own.variable} again"
        ) from None
    return text.encode("utf-8", "surrogateescape")


def _write_github(asked: Question) -> None:
    """Append the entries to the file that GITHUB_ENV names, and print the masks."""
    path = os.environ.get(paths.GITHUB_ENV)
    if not path:
        raise ToolAgentError(
            f"{paths.GITHUB_ENV} is not set: this is no step of a GitHub workflow",
            code="configuration",
            hint="use --shell sh",
        )
    masks = lines = b""
    prefix = wire.MASK.encode()
    for body in asked.bodies:
        rest = body
        while rest.startswith(prefix):
            line, _, rest = rest.partition(b"\n")
            masks += line + b"\n"
        lines += rest
    for own in asked.own:
        masks += shell.mask(own.value).encode("utf-8", "surrogateescape")
        lines += _export(own, shell.GITHUB)
    answer(masks)  # first: from here on the runner hides the values
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(lines)
    except OSError as error:
        raise ToolAgentError(
            f"cannot write {path}, which {paths.GITHUB_ENV} names: {error.strerror}",
            code="configuration",
        ) from None


def _stop(syntax: str) -> int:
    """Stop the agent over its socket, and print what makes the shell forget it."""
    try:
        with connected(start=False) as connection:
            reply = connection.request("POST", wire.AGENT + "/stop", body=b"")
    except NoAgentError as error:
        if not error.startable:
            raise
        note(f"tool-agent: {error.detail}")
    else:
        reply.body = b""  # the statements below are the answer
        status = relay(reply)
        if status != wire.EXIT_OK:
            return status
    if syntax == shell.GITHUB:
        return wire.EXIT_OK  # a step's variables end with the job; there is no unset
    names = [paths.SOCK, paths.PID]
    for mark in sorted(os.environ):
        variable = mark.removeprefix(paths.EXPORTED_PREFIX)
        if variable == mark or not shell.is_name(variable):
            continue
        if os.environ.get(variable) and not own_value(variable):
            names.append(variable)
        names.append(mark)
    answer("".join(shell.unset(name, syntax) for name in names).encode())
    return wire.EXIT_OK
