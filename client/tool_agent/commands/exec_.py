"""`exec`: run a command with tools' credentials, in its variables or in the tool's own file."""

import errno
import json
import os
import signal
from typing import NoReturn

import click

from tool_agent import paths, wire
from tool_agent.agent import Connection, connected
from tool_agent.commands import options
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, ToolAgentError
from tool_agent.output import complain, note
from tool_agent.variables import Own, ask, fingerprint

DIRECTORIES = (paths.HOME, paths.XDG_CONFIG_HOME)
"""Variables that say where a tool looks for its own file."""


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
    """Run a command with the credentials of each TOOL: exec TOOL... -- COMMAND [ARG]...

    A tool that reads no variable gets its own file, for as long as the command runs.

    The command takes this process's place: its signals and exit status are its own. Status 125:
    no credential, and the command was not run; 126: not executable; 127: not found.
    """
    if not command:
        raise click.UsageError("Say which command: tool-agent exec TOOL... -- COMMAND [ARG]...")
    environ = dict(os.environ)
    try:
        with connected(start=not no_start) as connection:
            for tool in dict.fromkeys(tools):
                environ |= delivered(connection, tool, account, min_ttl, environ)
    except ToolAgentError as error:
        complain(error)
        return wire.EXIT_EXEC_FAILED
    return become(command, environ)


def delivered(
    connection: Connection,
    tool: str,
    account: str | None,
    min_ttl: str | None,
    environ: dict[str, str],
) -> dict[str, str]:
    """Return a tool's variables, each with the mark that says whose value it is.

    Where the person has set one, nothing is added: the command inherits it. `environ` is what the
    command gets so far: a tool's file may stand in a directory that another one has moved. The
    agent takes this process for the command, and the files away when it ends.
    """
    directories = {name: environ[name] for name in DIRECTORIES if environ.get(name)}
    asked = {
        "account": chosen_account(tool, account),
        "min_ttl": min_ttl,
        "directories": directories,
    }
    reply = ask(
        connection,
        "POST",
        tool_path(tool, "deliveries"),
        accept=wire.JSON,
        headers=(("Content-Type", wire.JSON),),
        body=json.dumps(asked).encode(),
        account=chosen_account(tool, account),
    )
    if isinstance(reply, Own):
        return {}
    reply.raise_for_error()
    try:
        answer = json.loads(reply.body)
        given = {str(name): str(value) for name, value in answer["env"].items()}
        credentials = [name for name in answer["variables"] if name in given]
        notes = [str(text) for text in answer["notes"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadReplyError("the agent's answer has no variables in it") from None
    for text in notes:
        note(f"tool-agent: {text}")
    marks = {paths.EXPORTED_PREFIX + name: fingerprint(given[name]) for name in credentials}
    return given | marks


def become(command: list[str], environ: dict[str, str]) -> int:
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
