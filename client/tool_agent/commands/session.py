"""`whoami` and `logout`."""

import json

import click

from tool_agent import wire
from tool_agent.agent import connected, target
from tool_agent.commands import options
from tool_agent.credential import chosen_account, tool_path
from tool_agent.output import note, relay
from tool_agent.own import credential_body, said_of
from tool_agent.variables import Own, ask


@click.command("whoami")
@click.argument("tool")
@options.account
@click.option("--json", "output", flag_value="json", default=None, help="Print JSON.")
@click.option(
    "--human", "output", flag_value="human", help="Print text, whatever the tool prefers."
)
@options.no_start
def whoami_command(tool: str, account: str | None, output: str | None, *, no_start: bool) -> int:
    """Show who TOOL takes you for.

    A variable of your own wins; its value is sent to the agent for this one question.
    """
    route = target(
        tool_path(tool, "identity"),
        ("account", chosen_account(tool, account)),
        ("output", output),
    )
    with connected(start=not no_start) as connection:
        reply = ask(connection, "GET", route)
        if isinstance(reply, Own):
            note(said_of(reply))
            reply = connection.request(
                "POST",
                route,
                headers=(("Content-Type", wire.JSON),),
                body=json.dumps(credential_body(reply)).encode(),
            )
    return relay(reply)


@click.command("logout")
@click.argument("tool", required=False)
@options.account
@click.option("--all", "everything", is_flag=True, help="Every account of every tool.")
@click.option("--forget", is_flag=True, help="Erase here even if the provider cannot revoke now.")
@options.no_start
@options.quiet
def logout_command(  # noqa: PLR0913 - one argument for each option
    tool: str | None,
    account: str | None,
    *,
    everything: bool,
    forget: bool,
    no_start: bool,
    quiet: bool,
) -> int:
    """Sign out: revoke at the provider, erase here."""
    if everything == (tool is not None):
        raise click.UsageError("Name one TOOL, or say --all.")
    if everything and account:
        raise click.UsageError("--account goes with a TOOL.")
    if tool is None:
        path = wire.ACCOUNTS
    else:
        path = tool_path(tool, "accounts", chosen_account(tool, account) or wire.NO_ACCOUNT)
    route = target(path, ("forget", "1" if forget else None))
    return options.pipe("DELETE", route, start=not no_start, quiet=quiet)
