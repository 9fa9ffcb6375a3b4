"""`as`: a tool's own auth commands, word for word; the agent does them."""

import json
from collections.abc import Sequence
from typing import Any

import click

from tool_agent import wire
from tool_agent.agent import Connection, Reply, connected, percent_decode
from tool_agent.commands import options
from tool_agent.commands.terminal import Terminal
from tool_agent.commands.watch import Watch
from tool_agent.credential import chosen_account, tool_path
from tool_agent.errors import BadReplyError, ToolAgentError
from tool_agent.exchange import exchange
from tool_agent.output import note, relay
from tool_agent.own import credential_body, document, said_of
from tool_agent.variables import CHECK_ENV, Entry, Look, Own, entries

NOT_THE_TOOLS = 404
"""The status that says: these words are for the real tool."""
TO_FOLLOW = 202

ROUNDS = 5
"""Requests at most: two looks at variables, one value sent, one login with a variable, the rest."""


@click.command(
    "as",
    # Whatever stands behind the tool is its own, `--help` too.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
)
@click.argument("tool")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="WORD...")
@options.account
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
@options.no_input
@options.no_start
@options.quiet
def as_command(tool: str, words: tuple[str, ...], account: str | None, **given: bool) -> int:
    """Do one of TOOL's own auth commands: tool-agent as cre login.

    Options of tool-agent's stand before TOOL; everything behind it is the tool's.
    """
    terminal = Terminal(no_input=given["no_input"], quiet=given["quiet"])
    with connected(start=not given["no_start"]) as connection:
        speaking = Speaking(connection, tool, words, terminal, account)
        reply = speaking.ask()
        if reply.status == TO_FOLLOW:
            return speaking.follow(reply, browser=not given["no_browser"])
        return relay(reply, quiet=given["quiet"])


class Speaking:
    """One command of a tool's, on its way through the agent."""

    def __init__(
        self,
        connection: Connection,
        tool: str,
        words: Sequence[str],
        terminal: Terminal,
        account: str | None = None,
    ) -> None:
        """Take the words; the account is the chosen one."""
        self._connection = connection
        self._tool = tool
        self._terminal = terminal
        self._account = chosen_account(tool, account)
        self._body: dict[str, Any] = {
            "words": list(words),
            "tty": terminal.asks,
            "account": self._account,
        }
        self._taken: Own | None = None
        """The person's variable that a login takes."""
        self._failure: ToolAgentError | None = None
        """Why that login came to nothing."""

    def ask(self) -> Reply:
        """Ask the agent; the person's own variable is sent where, and only where, it counts.

        The agent says so (428, 401) before it has done anything. Not `variables.ask`: a command
        such as a logout is done whatever is set, and its answer is the answer.
        """
        look = Look()
        found: list[Entry] = []
        try:
            for _ in range(ROUNDS):
                unset = look.unset(found)
                reply = self._request(unset)
                found = entries(reply) or found
                if reply.status == CHECK_ENV:
                    self._offer(look, found)
                elif not (reply.login_required and self._instead(look, found)):
                    if reply.login_required and self._failure is not None:
                        raise _as_tools_do(self._failure)
                    return reply
        finally:
            note(look.remarks())
        raise BadReplyError("the agent asked again and again for the same variables")

    def follow(self, reply: Reply, *, browser: bool) -> int:
        """Follow the login or the action that the agent has begun, to its end."""
        note(percent_decode(reply.header(wire.STDERR_HEADER)))
        try:
            view = json.loads(reply.body)
            form, method = str(view["form"]), view.get("method")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadReplyError("the agent's answer is nothing to follow") from None
        answers = []
        if self._taken is not None and self._taken.login == method:
            note(f"{said_of(self._taken)}{self._taken.variable} is set: signing in with it")
            answers = [self._taken.value]
        watch = Watch(self._connection, reply, self._terminal, answers, browser=browser, form=form)
        try:
            return watch.run()
        except ToolAgentError as error:
            raise _as_tools_do(error) from None

    def _request(self, unset: tuple[str, str]) -> Reply:
        return self._connection.request(
            "POST",
            tool_path(self._tool, "as"),
            headers=(("Content-Type", wire.JSON), unset),
            body=document(self._body),
        )

    def _offer(self, look: Look, found: list[Entry]) -> None:
        """Put the person's value into the request, or the login that takes it."""
        own = look.find(found, before=True)
        if own is not None:
            note(said_of(own))
            self._body |= credential_body(own)
            return
        for entry in found:
            if entry.login and self._taken is None:
                self._taken = look.find([entry], before=False)
                if self._taken is not None:
                    self._body["method"] = self._taken.login

    def _instead(self, look: Look, found: list[Entry]) -> bool:
        """Use the person's value that serves where there is no session; tell whether to go on."""
        own = look.find(found, before=False)
        if own is None or "credential" in self._body or self._taken is not None:
            return False
        if own.login:
            self._taken = own
            unset = look.unset(found)
            self._failure = exchange(
                self._connection, self._tool, own, account=self._account, unset=unset
            )
        else:
            note(said_of(own))
            self._body |= credential_body(own)
        return True


def _as_tools_do(error: ToolAgentError) -> ToolAgentError:
    """Return the error of a wrong answer with the status that the tools have for it."""
    if error.exit == wire.EXIT_USAGE:
        error.exit = wire.EXIT_FAILURE
    return error
