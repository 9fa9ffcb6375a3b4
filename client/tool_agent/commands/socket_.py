"""`socket`: second sockets with rights of their own, for containers and for other machines."""

import os

import click

from tool_agent import wire
from tool_agent.agent import connected, percent_encode
from tool_agent.commands import options
from tool_agent.output import answer, relay
from tool_agent.own import document


@click.group("socket")
def socket_command() -> None:
    """Make, list and revoke sockets with rights of their own.

    Such a socket serves access tokens of one tool's account, and nothing else: no login, no
    logout, no other tool. It is what goes into a container or over 'ssh -R'.
    """


@socket_command.command("create")
@click.option("--tool", required=True, metavar="TOOL", help="Whose access tokens it serves.")
@options.account
@click.option("--scope", metavar="S", help="The most that may be asked for.")
@click.option(
    "--lifetime", metavar="T", help="How long: 8h by default; 'unlimited' until it is revoked."
)
@click.option(
    "--path",
    metavar="P",
    help="Where; in a folder of its own beside the agent's socket by default.",
)
@click.option(
    "--uid", type=click.IntRange(min=0), metavar="N", help="Admit this user instead; --foreign."
)
@click.option("--foreign", is_flag=True, help="Admit processes in containers and sandboxes.")
@options.as_json
@options.no_start
@options.quiet
def create_socket(  # noqa: PLR0913 - an option each
    tool: str,
    account: str | None,
    scope: str | None,
    lifetime: str | None,
    path: str | None,
    uid: int | None,
    *,
    foreign: bool,
    as_json: bool,
    no_start: bool,
    quiet: bool,
) -> int:
    """Make a socket and print its path."""
    fields = {
        "tool": tool,
        "account": account,
        "scope": scope,
        "lifetime": lifetime,
        "path": None if path is None else os.path.abspath(path),
        "uid": uid,
        "foreign": foreign or None,
    }
    body = document({name: value for name, value in fields.items() if value is not None})
    return _do("POST", wire.SOCKETS, body, as_json=as_json, start=not no_start, quiet=quiet)


@socket_command.command("list")
@options.as_json
@options.no_start
def list_sockets(*, as_json: bool, no_start: bool) -> int:
    """List the scoped sockets that there are."""
    return _do("GET", wire.SOCKETS, None, as_json=as_json, start=not no_start, quiet=False)


@socket_command.command("revoke")
@click.argument("socket", metavar="ID|PATH")
@options.as_json
@options.no_start
@options.quiet
def revoke_socket(socket: str, *, as_json: bool, no_start: bool, quiet: bool) -> int:
    """Take a socket away, and cut off whoever is connected to it."""
    target = f"{wire.SOCKETS}/{percent_encode(socket)}"
    return _do("DELETE", target, None, as_json=as_json, start=not no_start, quiet=quiet)


def _do(  # noqa: PLR0913 - a request and how its reply is wanted
    method: str, target: str, body: bytes | None, *, as_json: bool, start: bool, quiet: bool
) -> int:
    with connected(start=start) as connection:
        accept = wire.JSON if as_json else wire.REPLY
        reply = connection.request(method, target, accept=accept, body=body)
        if not as_json:
            return relay(reply, quiet=quiet)
        reply.raise_for_error()
        answer(reply.body.rstrip(b"\n") + b"\n")
        return wire.EXIT_OK
