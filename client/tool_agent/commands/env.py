"""`env` for click: its help and usage, and `--json`; the text is the hot command's."""

import json
import os
from typing import Any

import click

from tool_agent import paths, shell, shims, wire
from tool_agent.agent import connected
from tool_agent.commands import options
from tool_agent.environment import Question, print_env
from tool_agent.output import answer, note


@click.command("env")
@click.argument("tools", nargs=-1, metavar="[TOOL]...")
@click.option("-s", "syntax", flag_value="sh", default=None, help="For sh, bash, zsh, dash.")
@click.option("-c", "syntax", flag_value="csh", help="For csh and tcsh.")
@click.option("--shell", type=click.Choice(shell.SHELLS), help="For this shell; else by $SHELL.")
@click.option("--shims", is_flag=True, help="Put the shim folder first on PATH.")
@options.as_json
@click.option("-k", "kill", is_flag=True, help="Stop the agent, and print what forgets it.")
@options.no_start
@options.quiet
def env_command(
    tools: tuple[str, ...],
    syntax: str | None,
    *,
    as_json: bool,
    **given: str | bool | None,
) -> int:
    """Print exports that a shell evaluates: eval "$(tool-agent env)".

    Without tools: the socket and the agent's pid. With tools: their own variables too.
    """
    if syntax and not given["shell"]:
        given["shell"] = syntax
    if as_json:
        if given["kill"]:
            raise click.UsageError("-k prints statements for a shell, not JSON.")
        return _print_json(tools, start=not given["no_start"], with_shims=bool(given["shims"]))
    return print_env(
        list(tools),
        {name: "1" if value is True else value for name, value in given.items() if value},
    )


def _print_json(tools: tuple[str, ...], *, start: bool, with_shims: bool) -> int:
    syntax = shell.guess(os.environ.get(paths.SHELL, ""))
    with connected(start=start) as connection:
        asked = Question(connection, syntax, accept=wire.JSON)
        failed = asked.ask_all(list(dict.fromkeys(tools)))
    note(asked.look.remarks())
    if failed is not None:
        failed.raise_for_error()
        return failed.exit or wire.EXIT_FAILURE
    document: dict[str, Any] = {"schema": wire.SCHEMA}
    env: dict[str, Any] = {}
    for body in asked.bodies:
        part = json.loads(body)
        env |= part.get("env", {})
        document |= part
    for own in asked.own:
        env |= own.values
    if with_shims:
        folder = shims.folder()
        shims.check_folder(folder)
        if not shims.first_on_path(folder):
            env[paths.PATH] = f"{folder}:{os.environ.get(paths.PATH, os.defpath)}"
    answer(json.dumps(document | {"env": env}).encode() + b"\n")
    return wire.EXIT_OK
