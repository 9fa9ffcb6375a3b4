"""`api-key`: the keys that a platform issues. A raw key is printed once and kept nowhere."""

import json
from typing import Any

import click

from tool_agent import wire
from tool_agent.agent import Reply, connected
from tool_agent.commands import options
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, UsageError
from tool_agent.output import answer, note, relay
from tool_agent.own import request_of_person


@click.group("api-key")
def api_key_command() -> None:
    """Issue, list and revoke the API keys of a tool's platform."""


@api_key_command.command("issue")
@click.argument("tool")
@click.option("--label", metavar="L", help="What you call the key.")
@click.option("--write-env", metavar="FILE", help="Add the tool's variable with the key to FILE.")
@options.account
@options.as_json
@options.no_start
@options.quiet
def issue_key(tool: str, label: str | None, write_env: str | None, **given: Any) -> int:  # noqa: ANN401 - click's values
    """Have TOOL's platform issue a key, and print it: this once.

    Nothing keeps it. With --write-env it is added to FILE too, as the tool reads it there.
    """
    reply = _manage("POST", tool, tool_path(tool, "api-keys"), given, {"label": label}, wire.JSON)
    reply.raise_for_error()
    issued = _issued(reply)
    key, variable = str(issued["key"]), issued.get("variable")
    # The key first: whatever goes wrong with the file, it is not lost.
    answer(reply.body.rstrip(b"\n") + b"\n" if given["as_json"] else f"{key}\n".encode())
    if not given["quiet"]:
        note(str(issued.get("text", "")))
    if write_env is None:
        if isinstance(variable, str) and not given["quiet"]:
            note(f"It belongs in {variable}; --write-env FILE adds that line to a file.")
        return wire.EXIT_OK
    if not isinstance(variable, str):
        raise UsageError(
            f"the definition of {tool} names no variable for its keys: nothing was written",
            hint=f"the key is above; put it where {tool} reads it",
        )
    from tool_agent import dotenv  # noqa: PLC0415 - only where a file is to be written

    note(dotenv.write(write_env, variable, key))
    return wire.EXIT_OK


@api_key_command.command("list")
@click.argument("tool")
@options.account
@options.as_json
@options.no_start
@options.quiet
def list_keys(tool: str, **given: Any) -> int:  # noqa: ANN401 - click's values
    """List the keys that TOOL's platform has issued, without their secrets."""
    return _print(_manage("GET", tool, tool_path(tool, "api-keys"), given, {}), given)


@api_key_command.command("revoke")
@click.argument("tool")
@click.argument("key_id", metavar="ID")
@options.account
@options.as_json
@options.no_start
@options.quiet
def revoke_key(tool: str, key_id: str, **given: Any) -> int:  # noqa: ANN401 - click's values
    """Revoke the key ID at TOOL's platform."""
    return _print(_manage("DELETE", tool, tool_path(tool, "api-keys", key_id), given, {}), given)


def _manage(  # noqa: PLR0913 - a request and how its reply is wanted
    method: str,
    tool: str,
    path: str,
    given: dict[str, Any],
    fields: dict[str, Any],
    accept: str | None = None,
) -> Reply:
    """Send one request, with the person's own variable where that wins."""
    body = fields | {"account": chosen_account(tool, given["account"])}
    accept = accept or (wire.JSON if given["as_json"] else wire.REPLY)
    with connected(start=not given["no_start"]) as connection:
        return request_of_person(connection, method, path, body, accept=accept)


def _print(reply: Reply, given: dict[str, Any]) -> int:
    if not given["as_json"]:
        return relay(reply, quiet=given["quiet"])
    reply.raise_for_error()
    answer(reply.body.rstrip(b"\n") + b"\n")
    return reply.exit or wire.EXIT_OK


def _issued(reply: Reply) -> dict[str, Any]:
    try:
        found = json.loads(reply.body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("key"), str):
        raise BadReplyError("the agent's answer holds no key")
    return found
