"""The click commands: everything that is typed by hand and may take a moment.

Each command's module is imported when it is asked for.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from tool_agent import wire
from tool_agent._version import __version__
from tool_agent.errors import ToolAgentError, UsageError
from tool_agent.output import complain

COMMANDS = {
    "account": "account",
    "action": "action",
    "api-key": "api_key",
    "approve": "approve",
    "as": "as_",
    "audit": "audit",
    "env": "env",
    "exec": "exec_",
    "import": "import_",
    "lock": "agent",
    "login": "login",
    "logout": "session",
    "reload": "agent",
    "shim": "shim",
    "socket": "socket_",
    "start": "agent",
    "status": "agent",
    "stop": "agent",
    "token": "token_",
    "tool": "tool",
    "unlock": "agent",
    "whoami": "session",
    "why": "why",
}
"""Command -> the module of this package that has it."""

SUMMARIES = {
    "action": "Do what a tool offers besides logging in.",
    "api-key": "Issue, list or revoke a platform's API keys.",
    "account": "List a tool's accounts, or choose one.",
    "audit": "Show who was given what, and what became of the logins.",
    "approve": "Be asked in this terminal before credentials are handed out.",
    "as": "Do a tool's own auth command, word for word: as cre login.",
    "env": 'Print exports for the shell: eval "$(tool-agent env)".',
    "exec": "Run a command with tools' credentials in its environment.",
    "import": "Move a login out of a tool's own file.",
    "lock": "Serve nothing until the passphrase comes again.",
    "login": "Sign in to a tool.",
    "logout": "Sign out: revoke at the provider, erase here.",
    "reload": "Have the agent read its configuration again.",
    "shim": "Let a tool's own command come to the agent first.",
    "socket": "Make, list and revoke sockets with rights of their own.",
    "start": "Start the agent, where none runs.",
    "status": "Show what the agent holds and how it is.",
    "stop": "Stop the agent.",
    "token": "Print a tool's credential.",
    "unlock": "Unlock the agent, or open the vault, with the passphrase.",
    "tool": "List, show or check tool definitions.",
    "whoami": "Show who a tool takes you for.",
    "why": "Explain what would answer for a tool now, and what came before.",
}
"""Command -> its line in `--help`, so that help need not import every command."""


class Commands(click.Group):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="ssh-agent for API logins: one agent owns every command-line tool's login.",
)
@click.version_option(__version__, prog_name="tool-agent", message="%(prog)s %(version)s")
def cli() -> None:
    """Hold the commands; the help is above, because ssh-agent has no capital."""


def run(words: Sequence[str]) -> int:
    """Run the command line `words` by click; return the exit status."""
    words = list(words)
    command: list[str] | None = None
    if words and words[0] == "exec" and "--" in words:
        # click drops the `--` that parts tools from the command.
        split = words.index("--")
        words, command = words[:split], words[split + 1 :]
    try:
        result: Any = cli.main(words, prog_name="tool-agent", standalone_mode=False, obj=command)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return wire.EXIT_USAGE
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx is not None else "tool-agent"
        complain(UsageError(error.format_message(), hint=f"run '{asked} --help'"))
        return wire.EXIT_EXEC_FAILED if words[:1] == ["exec"] else wire.EXIT_USAGE
    except click.ClickException as error:
        return complain(ToolAgentError(error.format_message()))
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        return wire.EXIT_INTERRUPTED
    return result if isinstance(result, int) else wire.EXIT_OK
