"""`import`: move a login out of a tool's own file."""

import json
import os

import click

from tool_agent import wire
from tool_agent.agent import connected
from tool_agent.commands import options
from tool_agent.commands.exec_ import DIRECTORIES
from tool_agent.credential import chosen_account, tool_path
from tool_agent.output import relay


@click.command("import")
@click.argument("tool")
@options.account
@click.option("--keep", is_flag=True, help="Leave the file as it is; for API keys only.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--origin", metavar="ORIGIN", help="Where it was issued, if its file cannot say.")
@options.no_start
@options.quiet
def import_command(  # noqa: PLR0913 - one argument for each option
    tool: str,
    account: str | None,
    origin: str | None,
    *,
    keep: bool,
    dry_run: bool,
    no_start: bool,
    quiet: bool,
) -> int:
    """Move the login that TOOL has made itself into the agent, and erase TOOL's file.

    A login that is renewed must not have two holders: each would end it for the other.
    """
    asked = {
        "account": chosen_account(tool, account),
        "keep": keep,
        "dry_run": dry_run,
        "origin": origin,
        "directories": {name: os.environ[name] for name in DIRECTORIES if os.environ.get(name)},
    }
    with connected(start=not no_start) as connection:
        reply = connection.request(
            "POST",
            tool_path(tool, "import"),
            headers=(("Content-Type", wire.JSON),),
            body=json.dumps(asked).encode(),
        )
    return relay(reply, quiet=quiet)
