"""`login`: start a login in the agent, open the browser, answer its questions, and wait."""

import sys
from typing import Any

import click

from tool_agent import wire
from tool_agent.agent import connected
from tool_agent.commands import options
from tool_agent.commands.terminal import Terminal
from tool_agent.commands.watch import Watch
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import UsageError
from tool_agent.exchange import start_login
from tool_agent.output import note
from tool_agent.own import credential_body, document, said_of
from tool_agent.variables import Own

API_KEY = "api-key"
AUTH_KEY = "auth-key"

KEY_MAX = 16 * 1024
"""Bytes of a key on stdin: far more than any key has, far less than a file given by mistake."""


@click.command("login")
@click.argument("tool")
@options.account
@click.option("--method", metavar="M", help="browser, api-key, ...; else the tool's first.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
@click.option("--lifetime", metavar="DURATION", help="End the session after this long: 1h.")
@click.option("--ephemeral", is_flag=True, help="Keep it in the agent's memory only.")
@click.option("--confirm", is_flag=True, help="Ask me each time before it is handed out.")
@click.option("--api-key", is_flag=True, help="Store an API key: from stdin, or a prompt.")
@click.option("--auth-key", metavar="KEY|-", help="Exchange an auth key; - reads stdin.")
@options.no_input
@options.no_start
@options.quiet
def login_command(tool: str, account: str | None, **given: Any) -> int:  # noqa: ANN401 - click's values
    """Sign in to TOOL.

    Opens your browser, with or without a terminal; without a display, or with --no-browser, the
    address is printed and the address that the browser ends at is accepted here. With a variable
    of your own set (CRE_API_KEY), its value is verified and nothing is stored; with one that a
    login takes (ENCORE_AUTH_KEY), that login is the one, unless --method names another.
    """
    method = _method(given)
    terminal = Terminal(no_input=given["no_input"], quiet=given["quiet"])
    answers = _answers(given, terminal)
    body: dict[str, Any] = {
        "method": method,
        "account": chosen_account(tool, account),
        "lifetime": given["lifetime"],
        "ephemeral": given["ephemeral"],
        "confirm": given["confirm"],
    }
    path = tool_path(tool, "logins")
    with connected(start=not given["no_start"]) as connection:
        reply, taken = start_login(connection, path, body)
        if taken is not None and not given["api_key"] and given["auth_key"] is None:
            note(f"{said_of(taken)}{taken.variable} is set: signing in with it")
            answers = [taken.value]
        if isinstance(reply, Own):
            if answers:
                note(f"{reply.variable} is set: it is verified instead of the key that was given")
            note(said_of(reply))
            body |= credential_body(reply)
            reply = connection.request(
                "POST",
                path,
                accept=wire.JSON,
                headers=(("Content-Type", wire.JSON),),
                body=document(body),
            )
        reply.raise_for_error()
        watch = Watch(connection, reply, terminal, answers, browser=not given["no_browser"])
        return watch.run()


def _method(given: dict[str, Any]) -> str | None:
    """Return the method; `--api-key` and `--auth-key` are sugar for theirs."""
    wanted = {given["method"]} if given["method"] else set()
    if given["api_key"]:
        wanted.add(API_KEY)
    if given["auth_key"] is not None:
        wanted.add(AUTH_KEY)
    if len(wanted) > 1:
        raise UsageError(
            "--method, --api-key and --auth-key ask for different methods", hint="give one of them"
        )
    return wanted.pop() if wanted else None


def _answers(given: dict[str, Any], terminal: Terminal) -> list[str]:
    """Return what the command line or stdin answers in advance, before any login exists."""
    key = given["auth_key"]
    if key is not None and key != "-":
        note(
            "warning: an auth key among the arguments is visible to other processes;"
            " '--auth-key -' reads it from stdin"
        )
        return [key]
    if key is None and not given["api_key"]:
        return []
    if sys.stdin is None:
        raise UsageError("stdin is closed", hint="pipe one line with the key in")
    if not sys.stdin.isatty():
        return [_key_from_stdin()]
    if not terminal.asks:
        raise UsageError(
            "there is a terminal and no key on stdin, and --no-input forbids to ask",
            hint="pipe one line with the key in",
        )
    return []


def _key_from_stdin() -> str:
    """Return the first line, without its line break."""
    raw = sys.stdin.buffer.readline(KEY_MAX + 1)
    hint = "pipe one line with the key in"
    if len(raw) > KEY_MAX:
        raise UsageError("the line on stdin is longer than any key", hint=hint)
    try:
        line = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError("what is on stdin is no text", hint=hint) from None
    if not line:
        raise UsageError("there is no key on stdin", hint=hint)
    return line
