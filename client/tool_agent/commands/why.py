"""`why`: what would answer for a tool now, and the history of its account."""

import click

from tool_agent import wire
from tool_agent.agent import connected, percent_encode, target
from tool_agent.commands import options
from tool_agent.credential import chosen_account, tool_path
from tool_agent.output import note, relay
from tool_agent.variables import Look, entries


@click.command("why")
@click.argument("tool")
@options.account
@options.as_json
@options.no_start
def why_command(tool: str, account: str | None, *, as_json: bool, no_start: bool) -> int:
    """Explain which credential of TOOL would answer now, and why.

    The recent history of the account follows, one line an event. No secret is shown, none is used,
    and the agent learns the names of your own variables that are set, never a value.
    """
    with connected(start=not no_start) as connection:
        described = connection.request("GET", tool_path(tool), accept=wire.JSON)
        described.raise_for_error()
        look = Look()
        present = look.present(entries(described))
        note(look.remarks())
        route = target(
            f"{wire.WHY}/{percent_encode(tool)}",
            ("account", chosen_account(tool, account)),
            ("set", ",".join(present)),
        )
        if as_json:
            return options.print_json(connection, route)
        return relay(connection.request("GET", route))
