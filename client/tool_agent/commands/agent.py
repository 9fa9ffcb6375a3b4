"""`start`, `stop`, `status` and `reload`: the agent itself."""

import json
import os
import sys

import click

from tool_agent import paths, wire
from tool_agent.agent import Connection, connected
from tool_agent.commands import options
from tool_agent.commands.terminal import Terminal
from tool_agent.errors import NoAgentError, UsageError
from tool_agent.output import answer, complain, note, relay
from tool_agent.own import document


@click.command("start")
@options.quiet
def start_command(*, quiet: bool) -> int:
    """Start the agent, where none runs."""
    path = paths.socket_path()
    try:
        with Connection(path) as connection:
            connection.connect()
    except NoAgentError as error:
        if not error.startable:
            raise
        from tool_agent.start import start_agent  # noqa: PLC0415 - only where it is needed

        start_agent(path)
        said = f"the agent answers at {path}"
    else:
        said = f"an agent runs already at {path}"
    if not quiet:
        note(said)
    return wire.EXIT_OK


@click.command("stop")
@options.quiet
def stop_command(*, quiet: bool) -> int:
    """Stop the agent. It forgets what it holds in memory; logins rest in the store."""
    try:
        with connected(start=False) as connection:
            return relay(connection.request("POST", wire.AGENT + "/stop", body=b""), quiet=quiet)
    except NoAgentError as error:
        if not error.startable:
            raise
        if not quiet:
            note(error.detail)
        return wire.EXIT_OK


@click.command("reload")
@options.no_start
@options.quiet
def reload_command(*, no_start: bool, quiet: bool) -> int:
    """Have the agent read its configuration and the tool definitions again."""
    return options.pipe("POST", wire.AGENT + "/reload", body=b"", start=not no_start, quiet=quiet)


@click.command("unlock")
@options.no_input
@options.no_start
@options.quiet
def unlock_command(*, no_input: bool, no_start: bool, quiet: bool) -> int:
    """Open the vault with its passphrase: one line of stdin, or a prompt on a terminal."""
    terminal = Terminal(no_input=no_input, quiet=quiet)
    if sys.stdin is not None and not sys.stdin.isatty():
        passphrase = sys.stdin.readline().rstrip("\r\n")
    elif terminal.asks:
        passphrase = terminal.ask("Passphrase of the vault", secret=True)
    else:
        raise UsageError("--no-input forbids to ask", hint="pipe one line with the passphrase in")
    if not passphrase:
        raise UsageError("the passphrase is empty", hint="pipe one line with the passphrase in")
    body = document({"passphrase": passphrase})
    with connected(start=not no_start) as connection:
        return relay(connection.request("POST", wire.AGENT + "/unlock", body=body), quiet=quiet)


@click.command("status")
@options.as_json
def status_command(*, as_json: bool) -> int:
    """Show what the agent holds and how it is.

    Exit status: 0, or 4 with an account that needs its person, or 69 where no agent runs.
    """
    try:
        with connected(start=False) as connection:
            if as_json:
                return options.print_json(connection, wire.AGENT)
            return relay(connection.request("GET", wire.AGENT))
    except NoAgentError as error:
        if not as_json or not error.startable:
            return complain(error)
        stopped = {"schema": wire.SCHEMA, "state": "stopped", "socket": paths.socket_path()}
        answer(os.fsencode(json.dumps(stopped)) + b"\n")
        return error.exit
