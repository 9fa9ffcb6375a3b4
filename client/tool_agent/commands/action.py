"""`action`: what a tool offers besides logging in, as its definition has it."""

import json
from typing import Any

import click

from tool_agent import wire
from tool_agent.agent import Connection, connected
from tool_agent.commands import options
from tool_agent.commands.terminal import Terminal
from tool_agent.commands.watch import Watch
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, UsageError
from tool_agent.output import relay
from tool_agent.own import request_of_person


@click.command(
    "action", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True}
)
@click.argument("tool")
@click.argument("name", required=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ARG ...]")
@options.account
@options.as_json
@click.option("--no-browser", is_flag=True, help="Print an address instead of opening it.")
@options.no_input
@options.no_start
@options.quiet
def action_command(
    tool: str,
    name: str | None,
    words: tuple[str, ...],
    account: str | None,
    **given: Any,  # noqa: ANN401 - click's values
) -> int:
    """Do what TOOL offers besides logging in: sign up, invite somebody.

    Without a NAME the actions are listed, with what each of them takes. What is not given is asked
    for, on a terminal or line by line from stdin.
    """
    path = tool_path(tool, "actions")
    with connected(start=not given["no_start"]) as connection:
        if name is None:
            if given["as_json"]:
                return options.print_json(connection, path)
            return relay(connection.request("GET", path))
        inputs = read_words(f"{tool} {name}", _asks(connection, path, name), words)
        body: dict[str, Any] = {"account": chosen_account(tool, account), "inputs": inputs}
        path = tool_path(tool, "actions", name)
        reply = request_of_person(connection, "POST", path, body, accept=wire.JSON)
        reply.raise_for_error()
        terminal = Terminal(no_input=given["no_input"], quiet=given["quiet"])
        return Watch(
            connection,
            reply,
            terminal,
            [],
            browser=not given["no_browser"],
            as_json=given["as_json"],
        ).run()


def _asks(connection: Connection, path: str, name: str) -> list[dict[str, Any]]:
    """Return what an action asks. Raises UsageError for one that there is not."""
    reply = connection.request("GET", path, accept=wire.JSON)
    reply.raise_for_error()
    try:
        actions = {str(one["name"]): one["asks"] for one in json.loads(reply.body)["actions"]}
    except (ValueError, KeyError, TypeError):
        raise BadReplyError("the agent's answer is no list of actions") from None
    if name not in actions:
        known = ", ".join(actions) or "none"
        raise UsageError(f"there is no action {name!r}", hint=f"it has: {known}")
    return [one for one in actions[name] if isinstance(one, dict)]


def read_words(name: str, asks: list[dict[str, Any]], words: tuple[str, ...]) -> dict[str, str]:
    """Return the answers that the words of a command line give, by name.

    Raises UsageError for words that nobody asks, and for a secret among them.
    """
    by_option = {str(one["option"]): one for one in asks if one.get("option")}
    places = [one for one in asks if one.get("argument")]
    found: dict[str, str] = {}
    rest = list(words)
    plain = False
    while rest:
        word = rest.pop(0)
        if word == "--" and not plain:
            plain = True
            continue
        if plain or not word.startswith("-") or word == "-":
            if not places:
                raise UsageError(f"{name} takes no further argument", hint=_takes(name, asks))
            one, value = places.pop(0), word
        else:
            option, equals, value = word.partition("=")
            if option not in by_option:
                raise UsageError(f"{name} has no option {option}", hint=_takes(name, asks))
            one = by_option[option]
            if not equals:
                if not rest:
                    raise UsageError(f"{option} needs a value", hint=_takes(name, asks))
                value = rest.pop(0)
        if one.get("secret"):
            raise UsageError(
                f"{one['name']} is a secret, which other processes could read here",
                hint="leave it out: it is asked for, or read from stdin",
            )
        found[str(one["name"])] = value
    return found


def _takes(name: str, asks: list[dict[str, Any]]) -> str:
    words = [str(one["name"]).upper() for one in asks if one.get("argument")]
    words += [f"[{one['option']} VALUE]" for one in asks if one.get("option")]
    return f"usage: tool-agent action {' '.join([name, *words])}"
