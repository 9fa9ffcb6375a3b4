"""`start`, `stop`, `status`, `reload`, `lock` and `unlock`: the agent itself."""

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


def _no_words(_context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> None:
    """Refuse words, and do not repeat them: one of them may be the passphrase."""
    if words:
        raise click.UsageError("a passphrase is never an argument: type it, or pipe one line in")


without_words = click.argument(
    "words", nargs=-1, metavar="", expose_value=False, callback=_no_words
)


@click.command("lock")
@without_words
@click.option(
    "--remember",
    is_flag=True,
    help="Let this passphrase end later locks too, those on suspend and screen lock among them.",
)
@click.option("--kept", is_flag=True, help="Ask nothing: lock with the passphrase remembered.")
@options.no_input
@options.no_start
@options.quiet
def lock_command(*, remember: bool, kept: bool, no_input: bool, no_start: bool, quiet: bool) -> int:
    """Lock the agent: it serves nothing until 'tool-agent unlock'.

    The passphrase is one line of stdin, or typed twice on a terminal. An agent that restarts starts
    locked.
    """
    if remember and kept:
        raise UsageError("--kept uses the passphrase that an earlier --remember has set")
    wanted: dict[str, str | bool] = {"remember": remember}
    if not kept:
        wanted["passphrase"] = _passphrase("Passphrase", no_input=no_input, quiet=quiet, twice=True)
    with connected(start=not no_start) as connection:
        target = wire.AGENT + "/lock"
        return relay(connection.request("POST", target, body=document(wanted)), quiet=quiet)


def _passphrase(label: str, *, no_input: bool, quiet: bool, twice: bool = False) -> str:
    """Return one line of stdin, or what is typed. Raises UsageError for an empty one."""
    terminal = Terminal(no_input=no_input, quiet=quiet)
    pipe = "pipe one line with the passphrase in"
    if sys.stdin is not None and not sys.stdin.isatty():
        passphrase = sys.stdin.readline().rstrip("\r\n")
    elif terminal.asks:
        passphrase = terminal.ask(label, secret=True)
        if twice and passphrase and terminal.ask(f"{label} again", secret=True) != passphrase:
            raise UsageError("the two passphrases differ", hint="run the command again")
    else:
        raise UsageError("--no-input forbids to ask", hint=pipe)
    if not passphrase:
        raise UsageError("the passphrase is empty", hint=pipe)
    return passphrase


@click.command("unlock")
@without_words
@options.no_input
@options.no_start
@options.quiet
def unlock_command(*, no_input: bool, no_start: bool, quiet: bool) -> int:
    """Unlock the agent, or open the vault: one line of stdin, or a prompt on a terminal.

    A locked agent takes the passphrase of its lock, and opens a vault that the same one seals; one
    that is not locked takes that of the vault.

    Whoever forgets the passphrase of the lock stops the agent, moves grants.db out of the state
    directory, and signs in again.
    """
    body = document({"passphrase": _passphrase("Passphrase", no_input=no_input, quiet=quiet)})
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
