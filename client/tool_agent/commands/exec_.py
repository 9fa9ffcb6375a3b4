"""`exec`: run a command with tools' credentials in its environment, and nowhere else."""

import errno
import json
import os
import signal
from typing import NoReturn

import click

from tool_agent import paths, wire
from tool_agent.agent import Connection, connected, target
from tool_agent.commands import options
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, ToolAgentError
from tool_agent.output import complain, note
from tool_agent.variables import Own, ask, fingerprint


@click.command("exec")
@click.argument("tools", nargs=-1, required=True, metavar="TOOL...")
@options.account
@click.option("--min-ttl", metavar="DURATION", help="Renew or refuse what lives less long: 4h.")
@options.no_start
@click.pass_obj
def exec_command(
    command: list[str] | None,
    tools: tuple[str, ...],
    account: str | None,
    min_ttl: str | None,
    *,
    no_start: bool,
) -> int:
    """Run a command with the variables of each TOOL: exec TOOL... -- COMMAND [ARG]...

    The command takes this process's place: its signals and exit status are its own. Status 125:
    no credential, and the command was not run; 126: not executable; 127: not found.
    """
    if not command:
        raise click.UsageError("Say which command: tool-agent exec TOOL... -- COMMAND [ARG]...")
    variables: dict[str, str] = {}
    try:
        with connected(start=not no_start) as connection:
            for tool in dict.fromkeys(tools):
                variables |= _variables(connection, tool, account, min_ttl)
    except ToolAgentError as error:
        complain(error)
        return wire.EXIT_EXEC_FAILED
    return _become(command, os.environ | variables)


def _variables(
    connection: Connection, tool: str, account: str | None, min_ttl: str | None
) -> dict[str, str]:
    """Return a tool's variables, each with the mark that says whose value it is.

    Where the person has set one, nothing is added: the command inherits it.
    """
    route = target(
        tool_path(tool, "token"),
        ("purpose", "exec"),
        ("format", "json"),
        ("account", chosen_account(tool, account)),
        ("min_ttl", min_ttl),
    )
    reply = ask(connection, "GET", route, accept=wire.JSON)
    if isinstance(reply, Own):
        return {}
    reply.raise_for_error()
    try:
        env = json.loads(reply.body)["env"]
        given = {str(name): str(value) for name, value in env.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadReplyError("the agent's answer has no variables in it") from None
    marks = {paths.EXPORTED_PREFIX + name: fingerprint(value) for name, value in given.items()}
    return given | marks


def _become(command: list[str], environ: dict[str, str]) -> int:
    """Replace this process by the command; return the exit status if that fails."""
    # Python ignores these two, which a child would inherit: `yes | head` must end by SIGPIPE.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        _execute(command, environ)
    except OSError as error:
        note(f"tool-agent: cannot run {command[0]}: {error.strerror}")
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        return wire.EXIT_NOT_FOUND if missing else wire.EXIT_NOT_EXECUTABLE
    except ValueError:
        note("tool-agent: a NUL character in the command or in a variable")
        return wire.EXIT_EXEC_FAILED


def _execute(command: list[str], environ: dict[str, str]) -> NoReturn:
    os.execvpe(command[0], command, environ)  # noqa: S606 - running it is what exec is for
