"""Options that several commands share, and what most commands do: ask once and print."""

import click

from tool_agent import wire
from tool_agent.agent import Connection, connected
from tool_agent.output import answer, relay

no_start = click.option(
    "--no-start", is_flag=True, help="Fail where no agent runs, instead of starting one."
)
quiet = click.option("--quiet", is_flag=True, help="Say nothing on stderr but errors.")
account = click.option("--account", metavar="NAME", help="The account to use.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_input = click.option("--no-input", is_flag=True, help="Never ask; fail instead.")


def pipe(
    method: str, target: str, *, body: bytes | None = None, start: bool = True, quiet: bool = False
) -> int:
    """Send one request, print what comes back, and return the exit status."""
    with connected(start=start) as connection:
        return relay(connection.request(method, target, body=body), quiet=quiet)


def print_json(connection: Connection, target: str) -> int:
    """Print the JSON document at `target` as it is, and return the exit status."""
    reply = connection.request("GET", target, accept=wire.JSON)
    reply.raise_for_error()
    answer(reply.body.rstrip(b"\n") + b"\n")
    return reply.exit or wire.EXIT_OK
