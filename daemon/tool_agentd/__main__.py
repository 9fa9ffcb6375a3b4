"""The command `tool-agentd`: run the agent, or check what it would run with."""

import asyncio
import os
import sys
from collections.abc import Callable

import click
import msgspec

from tool_agent import paths, wire
from tool_agent._version import __version__
from tool_agentd.adapters import environment, own_program, redaction
from tool_agentd.adapters.own_file import append_own
from tool_agentd.adapters.process import HardeningError, harden
from tool_agentd.errors import AgentError, ConfigurationError

STDERR = 2
"""Its descriptor, whatever Python makes of it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tool-agentd")
def cli() -> None:
    """The agent that owns the logins. `tool-agent` starts it by itself."""


@cli.command()
@click.option("--ready-fd", type=int, hidden=True, help="Say here when the socket answers.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log."
)
@click.option(
    environment.DEBUGGABLE,
    is_flag=True,
    help="Let debuggers in, obey every variable, run from anywhere; for development only.",
)
@click.pass_obj
def run(
    screen: redaction.Redaction, ready_fd: int | None, log_level: str | None, *, debuggable: bool
) -> None:
    """Serve until SIGTERM, SIGINT or `tool-agent stop`."""
    harden(debuggable=debuggable)
    from tool_agentd import files, service  # noqa: PLC0415 - after hardening, and after --help

    if not debuggable:
        _check_program()
    found = files.Files(os.environ, files.Given(log_level))
    found.read()
    own = found.own_credentials()
    if own:
        # A client that starts the agent hands its environment on. The agent has no use for a key
        # that the person keeps in a variable, and a process shows the environment that it began
        # with in /proc for as long as it lives.
        environment.begin_again({n: v for n, v in os.environ.items() if n not in own})
    screen.patterns = found.key_patterns
    listening = service.take_socket(os.environ)
    log = STDERR if ready_fd is None else append_own(paths.state_dir() + "/agent.log")
    redaction.log_to(log, screen, found.log_level)

    async def serve() -> None:
        await service.Service(os.environ, found, listening).run(lambda: _ready(ready_fd))

    asyncio.run(serve())


@cli.command()
def check() -> None:
    """Say what is wrong with the configuration and the definitions."""
    from tool_agentd import files  # noqa: PLC0415 - after --help

    program = own_program.gathered()
    problems = files.problems(os.environ) + own_program.intruders(program, os.geteuid())
    for problem in problems:
        click.echo(problem, err=True)
    advice = own_program.advice(program)
    if advice is not None:
        click.echo(f"note: {advice}", err=True)
    if problems:
        sys.exit(wire.EXIT_CONFIG)
    click.echo("the configuration and every definition are good")


def _check_program() -> None:
    """Refuse to run code that somebody else may write. Raises ConfigurationError."""
    found = own_program.intruders(own_program.gathered(), os.geteuid())
    if found:
        raise ConfigurationError(
            f"refused to start from code that others may change: {found[0]}",
            hint="run 'tool-agentd check' for all of it; install where only you and root can write",
        )


def _ready(ready_fd: int | None, problem: AgentError | None = None) -> None:
    """Tell the starter: `ready`, or the problem as one line of JSON."""
    if ready_fd is None:
        return
    line = b"ready\n"
    if problem is not None:
        said = {"code": problem.code, "detail": problem.detail, "hint": problem.hint}
        line = msgspec.json.encode(said) + b"\n"
    try:
        os.write(ready_fd, line)
        os.close(ready_fd)
    except OSError:
        pass  # the starter is gone, and the agent serves whoever comes


def _ready_fd_of(words: list[str]) -> int | None:
    """Return the starter's descriptor, so that it hears of problems before click has parsed."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--ready-fd" and following.isdecimal():
            return int(following)
    return None


def guarded(command: Callable[[], object]) -> int:
    """Run the command line and return its exit status; a person sees words, never a traceback."""
    try:
        command()
    except AgentError as error:
        return _fail(error)
    except HardeningError as error:
        return _fail(
            ConfigurationError(
                f"refused to start: {error.strerror}",
                hint="tool-agentd run --debuggable goes without",
            )
        )
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(ConfigurationError(f"cannot start: {error.strerror or error}{where}"))
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        return wire.EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return wire.EXIT_USAGE
    except KeyboardInterrupt:
        return wire.EXIT_INTERRUPTED
    return wire.EXIT_OK


def _fail(error: AgentError) -> int:
    """Tell the starter and the person; return the exit status."""
    _ready(_ready_fd_of(sys.argv), error)
    click.echo(f"tool-agentd: {error.detail}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
    return error.exit


def main() -> int:
    """Run `tool-agentd`."""
    environment.begin_clean()
    screen = redaction.install()
    return guarded(lambda: cli.main(standalone_mode=False, prog_name="tool-agentd", obj=screen))


if __name__ == "__main__":
    sys.exit(main())
