"""The hot command `env`: text that a shell evaluates, and only once the socket answers."""

import os

from tool_agent import paths, shell, wire
from tool_agent.agent import Connection, Reply, connected, percent_decode, target
from tool_agent.credential import chosen_account
from tool_agent.errors import BadReplyError, NoAgentError, ToolAgentError
from tool_agent.output import answer, note, relay
from tool_agent.variables import CHECK_ENV, Entry, Look, Own, entries, fingerprint, own_value

OPTIONS: dict[str, tuple[str, str | None]] = {
    "-s": ("shell", shell.SH),
    "-c": ("shell", shell.CSH),
    "--shell": ("shell", None),
    "-k": ("kill", "1"),
    "--shims": ("shims", "1"),
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
        try:
            reply = asked.ask_all(list(dict.fromkeys(tools)))
        finally:
            if "quiet" not in options:
                note(asked.look.remarks())
    if reply is not None:
        return relay(reply)
    path = _shims_first(syntax) if "shims" in options else b""
    if syntax == shell.GITHUB:
        _write_github(asked)
        _append(paths.GITHUB_PATH, path)
    else:
        answer(b"".join(asked.bodies) + b"".join(_export(own, syntax) for own in asked.own) + path)
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
        self.look = Look()
        self._exchanged: dict[str, ToolAgentError | None] = {}

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
        for _ in range(len(tools) + 3):  # each round but three finds a value for one tool at least
            reply = self._request(rest, account, found)
            found = entries(reply) or found
            less = self._without_own(rest, found)
            if less != rest:
                rest = less
            elif reply.login_required and len(rest) > 1:
                return self._ask_each(rest, account)  # only then it is clear which one lacks it
            elif reply.login_required and rest:
                if (over := self._instead_of_session(rest[0], account, found)) is None:
                    return reply
                rest = [] if over else rest
            elif reply.status != CHECK_ENV:
                return self._keep(reply)
        raise BadReplyError("the agent asked again and again for the same variables")

    def _ask_each(self, tools: list[str], account: str | None) -> Reply | None:
        for tool in tools:
            if (reply := self._ask([tool], account)) is not None:
                return reply
        return None

    def _request(self, tools: list[str], account: str | None, found: list[Entry]) -> Reply:
        route = target(
            wire.ENV,
            *(("tool", tool) for tool in tools),
            ("shell", self.syntax),
            ("account", account),
        )
        known = [entry for entry in found if not entry.tool or entry.tool in tools]
        return self.connection.request(
            "GET", route, accept=self.accept, headers=(self.look.unset(known),)
        )

    def _without_own(self, tools: list[str], found: list[Entry]) -> list[str]:
        """Take the person's values that win over a session; return the tools that have none."""
        rest = []
        for tool in tools:
            own = self.look.find(found, before=True, tool=tool)
            if own is None:
                rest.append(tool)
            else:
                self.own.append(own)
        return rest

    def _instead_of_session(
        self, tool: str, account: str | None, found: list[Entry]
    ) -> bool | None:
        """Take the person's value that serves where there is no session, or sign in with it.

        True: it is the answer; False: there is a session now; None: there is no such value.
        """
        if failure := self._exchanged.get(tool):
            raise failure
        own = self.look.find(found, before=False, tool=tool)
        if own is None or tool in self._exchanged:
            return None
        if not own.login:
            self.own.append(own)
            return True
        from tool_agent.exchange import exchange  # noqa: PLC0415 - rare, and imports json

        unset = self.look.unset(found)
        self._exchanged[tool] = exchange(self.connection, tool, own, account=account, unset=unset)
        return False

    def _keep(self, reply: Reply) -> Reply | None:
        """Add a success to the answers; return an error."""
        if reply.status >= 400 or reply.exit:  # noqa: PLR2004 - RFC 9110: below are no errors
            return reply
        self.bodies.append(reply.body)
        self.remarks += percent_decode(reply.header(wire.STDERR_HEADER))
        return None


def _export(own: Own, syntax: str) -> bytes:
    """Return the person's own values as statements, without the mark of the agent's.

    What stands in a project's `.env` gets the mark: it is the person's there and not elsewhere,
    where the shell may go with it.
    """
    text = ""
    for variable, value in own.values.items():
        try:
            text += shell.export(variable, value, syntax)
        except ValueError as error:
            raise ToolAgentError(
                f"{variable} {error}", code="configuration", hint=f"set {variable} again"
            ) from None
        if own.place and not own_value(variable):
            text += shell.export(paths.EXPORTED_PREFIX + variable, fingerprint(value), syntax)
    return text.encode("utf-8", "surrogateescape")


def _write_github(asked: Question) -> None:
    """Append the entries to the file that GITHUB_ENV names, and print the masks."""
    masks = lines = b""
    prefix = wire.MASK.encode()
    for body in asked.bodies:
        rest = body
        while rest.startswith(prefix):
            line, _, rest = rest.partition(b"\n")
            masks += line + b"\n"
        lines += rest
    for own in asked.own:
        for value in own.values.values():
            masks += shell.mask(value).encode("utf-8", "surrogateescape")
        lines += _export(own, shell.GITHUB)
    _named_file(paths.GITHUB_ENV)
    answer(masks)  # first: from here on the runner hides the values
    _append(paths.GITHUB_ENV, lines)


def _shims_first(syntax: str) -> bytes:
    """Return the statement that puts the shim folder first on PATH, unless it is there already."""
    from tool_agent import shims  # noqa: PLC0415 - only where it is asked for

    folder = shims.folder()
    shims.check_folder(folder)
    if shims.first_on_path(folder):
        return b""
    try:
        text = shell.prepend(paths.PATH, folder, syntax)
    except ValueError as error:
        raise ToolAgentError(f"the shim folder {folder} {error}", code="configuration") from None
    return text.encode("utf-8", "surrogateescape")


def _named_file(variable: str) -> str:
    """Return the file of the runner's that a variable names."""
    path = os.environ.get(variable)
    if not path:
        raise ToolAgentError(
            f"{variable} is not set: this is no step of a GitHub workflow",
            code="configuration",
            hint="use --shell sh",
        )
    return path


def _append(variable: str, lines: bytes) -> None:
    """Append lines to the file that a variable of the runner's names."""
    if not lines:
        return
    path = _named_file(variable)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(lines)
    except OSError as error:
        raise ToolAgentError(
            f"cannot write {path}, which {variable} names: {error.strerror}",
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
