"""`audit`: who was given what, and what became of the logins."""

import click

from tool_agent import wire
from tool_agent.agent import connected, target
from tool_agent.commands import options
from tool_agent.output import relay


@click.command("audit")
@click.option("-n", "count", type=click.IntRange(1), metavar="N", help="So many lines; 40.")
@click.option("--tool", metavar="TOOL", help="Only lines about TOOL.")
@click.option("--event", metavar="EVENT", help="Only these: grant, use, denial, refresh, login ...")
@click.option("--since", metavar="WHEN", help="Not older: 2h, or 2026-11-28T07:12:01Z.")
@options.as_json
@options.no_start
def audit_command(  # noqa: PLR0913 - one argument for each option
    count: int | None,
    tool: str | None,
    event: str | None,
    since: str | None,
    *,
    as_json: bool,
    no_start: bool,
) -> int:
    """Show the audit trail: each grant, denial, refresh and revocation, the newest last.

    The whole of it is the file audit.jsonl in the state directory. No secret is in it.
    """
    route = target(
        wire.AUDIT,
        ("n", None if count is None else str(count)),
        ("tool", tool),
        ("event", event),
        ("since", since),
    )
    with connected(start=not no_start) as connection:
        if as_json:
            return options.print_json(connection, route)
        return relay(connection.request("GET", route))
