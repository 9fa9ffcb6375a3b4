"""`account list` and `account switch`: which identities there are, and which one is used."""

import click

from tool_agent import wire
from tool_agent.agent import connected, target
from tool_agent.commands import options
from tool_agent.credential import tool_path
from tool_agent.output import relay


@click.group("account")
def account_command() -> None:
    """List a tool's accounts, or choose one."""


@account_command.command("list")
@click.argument("tool", required=False)
@options.as_json
@options.no_start
def list_accounts(tool: str | None, *, as_json: bool, no_start: bool) -> int:
    """List the accounts of TOOL, or of every tool."""
    route = target(wire.ACCOUNTS, ("tool", tool))
    with connected(start=not no_start) as connection:
        if as_json:
            return options.print_json(connection, route)
        return relay(connection.request("GET", route))


@account_command.command("switch")
@click.argument("tool")
@click.argument("account")
@options.no_start
@options.quiet
def switch_account(tool: str, account: str, *, no_start: bool, quiet: bool) -> int:
    """Use ACCOUNT for TOOL from now on, where no other is named."""
    route = tool_path(tool, "accounts", account, "choose")
    return options.pipe("POST", route, body=b"", start=not no_start, quiet=quiet)
