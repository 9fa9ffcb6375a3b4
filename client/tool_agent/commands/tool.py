"""`tool list`, `tool show` and `tool check`: the definitions."""

from pathlib import Path

import click

from tool_agent import wire
from tool_agent.agent import connected, target
from tool_agent.commands import options
from tool_agent.credential import tool_path
from tool_agent.errors import UsageError
from tool_agent.output import relay

LARGEST = 256 * 1024
"""Bytes: what the agent takes of a body; the largest definition has a tenth of it."""


@click.group("tool")
def tool_command() -> None:
    """List, show or check tool definitions."""


@tool_command.command("list")
@options.as_json
@options.no_start
def list_tools(*, as_json: bool, no_start: bool) -> int:
    """List the tools that the agent knows."""
    with connected(start=not no_start) as connection:
        if as_json:
            return options.print_json(connection, wire.TOOLS)
        return relay(connection.request("GET", wire.TOOLS))


@tool_command.command("show")
@click.argument("tool")
@options.no_start
def show_tool(tool: str, *, no_start: bool) -> int:
    """Show a tool's definition: methods, variables, hosts, where its facts come from."""
    return options.pipe("GET", tool_path(tool), start=not no_start)


@tool_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@options.no_start
def check_tool(file: Path, *, no_start: bool) -> int:
    """Check a definition's file without putting it in force."""
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"{file} is no file")
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if len(text) > LARGEST:
        raise UsageError(f"{file} is larger than any definition ({LARGEST // 1024} KiB)")
    route = target(wire.TOOLS + "/check", ("file", str(file)))
    return options.pipe("POST", route, body=text, start=not no_start)
