"""Shims: tools' commands that come to us first. Their auth words go to the agent, others on."""

import json
import os
from collections.abc import Sequence

import click

from tool_agent import paths, shims, wire
from tool_agent.agent import connected, percent_encode
from tool_agent.commands import as_, options
from tool_agent.commands.exec_ import become, delivered
from tool_agent.commands.terminal import Terminal
from tool_agent.credential import tool_path
from tool_agent.errors import (
    BadReplyError,
    LoginRequiredError,
    ToolAgentError,
    UnknownToolError,
)
from tool_agent.output import answer, complain, note, relay

FORMS = ("--json", "--human")
"""Options that may stand anywhere."""

HINT = 'put the shims first on PATH: eval "$(tool-agent env --shims)"'


def run_shim(name: str, words: Sequence[str]) -> int:
    """Be the shim `name`: the tool's auth words go to the agent, all others to the real tool."""
    terminal = Terminal()
    shims.check_passed(name)
    with connected() as connection:
        reply = connection.request(
            "GET", f"{wire.COMMANDS}/{percent_encode(name)}", accept=wire.JSON
        )
        reply.raise_for_error()
        try:
            known = json.loads(reply.body)
            tool, auth_words = str(known["tool"]), [str(one).split() for one in known["words"]]
        except (ValueError, KeyError, TypeError):
            raise BadReplyError("the agent's answer names no tool") from None
        # The others are not sent: they may be long, and need not be text.
        if _begins(words, auth_words):
            speaking = as_.Speaking(connection, tool, words, terminal)
            reply = speaking.ask()
            if reply.status == as_.TO_FOLLOW:
                return speaking.follow(reply, browser=True)
            if reply.status != as_.NOT_THE_TOOLS:
                return relay(reply)
        program = shims.real_program(name)
        if program is None:
            note(
                f"tool-agent: {name}: not found on PATH, and these words are not for the agent\n"
                f"hint: install {name}, or run 'tool-agent shim remove {tool}'"
            )
            return wire.EXIT_NOT_FOUND
        environ = os.environ | shims.passed(name)
        try:
            environ |= delivered(connection, tool, None, None, environ)
        except LoginRequiredError:
            pass  # that nobody is signed in is for the tool to say: much of it needs no login
        except ToolAgentError as error:
            complain(error)
            return wire.EXIT_EXEC_FAILED
    return become([program, *words], environ)


def _begins(words: Sequence[str], auth_words: list[list[str]]) -> bool:
    """Tell whether the words begin as an auth command of the tool's; the agent judges the rest."""
    plain = [word for word in words if word not in FORMS]
    return any(plain[: len(each)] == each for each in auth_words)


@click.group("shim")
def shim_command() -> None:
    """Let a tool's own command come to the agent first: `nrepo login`."""


@shim_command.command("install")
@click.argument("tool")
@options.no_start
@options.quiet
def install_shim(tool: str, *, no_start: bool, quiet: bool) -> int:
    """Put a link with the name of TOOL's command into the shim folder."""
    command = _command_of(tool, start=not no_start)
    if command is None:
        raise ToolAgentError(
            f"the definition of {tool} has no commands of the tool's own",
            code="configuration",
            hint=f"use 'tool-agent login {tool}' and 'tool-agent exec {tool} -- ...'",
        )
    if "/" in command or command.startswith((".", "-")) or not paths.shim_name(command):
        raise ToolAgentError(f"no program can be called {command!r}", code="configuration")
    folder = shims.folder()
    try:
        new = shims.install(folder, command)
    except OSError as error:
        raise ToolAgentError(
            f"cannot put {command} into {folder}: {error.strerror}", code="configuration"
        ) from None
    answer(f"{folder}/{command}\n".encode())
    if not quiet:
        note("" if new else f"{command} was there already")
        if not shims.first_on_path(folder):
            note(f"hint: {HINT}")
    return wire.EXIT_OK


@shim_command.command("list")
@options.as_json
def list_shims(*, as_json: bool) -> int:
    """List the shims, each with the real program behind it."""
    folder = shims.folder()
    found = [(name, shims.real_program(name)) for name in shims.installed(folder)]
    if as_json:
        rows = [{"command": n, "path": f"{folder}/{n}", "program": real} for n, real in found]
        fields = {"schema": wire.SCHEMA, "folder": folder, "shims": rows}
        answer(json.dumps(fields).encode() + b"\n")
        return wire.EXIT_OK
    for name, real in found:
        answer(f"{name}  {real or '(no real program on PATH)'}\n".encode())
    if found and not shims.first_on_path(folder):
        note(f"hint: {HINT}")
    return wire.EXIT_OK


@shim_command.command("remove")
@click.argument("tool")
@options.no_start
@options.quiet
def remove_shim(tool: str, *, no_start: bool, quiet: bool) -> int:
    """Take TOOL's link out of the shim folder; of a tool that is gone, name the command."""
    folder = shims.folder()
    command = tool
    try:
        command = _command_of(tool, start=not no_start) or tool
    except UnknownToolError:
        if tool not in shims.installed(folder):
            raise
    try:
        gone = shims.remove(folder, command)
    except OSError as error:
        raise ToolAgentError(
            f"cannot take {command} out of {folder}: {error.strerror}", code="configuration"
        ) from None
    if not quiet:
        note(f"{command} is removed" if gone else f"there is no shim {command}")
    return wire.EXIT_OK


def _command_of(tool: str, *, start: bool) -> str | None:
    """Return the name of a tool's program; None where its definition does not know one."""
    with connected(start=start) as connection:
        reply = connection.request("GET", tool_path(tool), accept=wire.JSON)
    reply.raise_for_error()
    try:
        command = json.loads(reply.body)["command"]
    except (ValueError, KeyError, TypeError):
        raise BadReplyError("the agent's answer does not say what the tool's program is") from None
    return str(command) if command else None
