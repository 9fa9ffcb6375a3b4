"""`approve`: be asked in a terminal, before the agent hands a credential out."""

import json
import os
import select
import sys
import termios
import textwrap
from typing import Any

import click

from tool_agent import paths, wire
from tool_agent.agent import Connection, connected, percent_encode, target
from tool_agent.commands import options
from tool_agent.commands.terminal import Terminal
from tool_agent.commands.watch import POLL, POLL_LIMIT
from tool_agent.errors import AgentReplyError, BadReplyError, UsageError
from tool_agent.output import note
from tool_agent.own import document

ANSWERS = {
    "o": "once",
    "once": "once",
    "s": "session",
    "session": "session",
    "d": "no",
    "deny": "no",
    "n": "no",
    "no": "no",
}
"""What may be typed. "y" is not there: it does not say for how long."""

SAID = {"once": "allowed once", "session": "allowed for its session", "no": "denied"}

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
"""ECMA-48 SGR."""

NARROWEST = 30
"""Columns: below that a terminal folds the lines itself, rather than a word a letter a line."""
LINE_MAX = 1024
"""Bytes of an answer, far more than any has."""


@click.command("approve")
@click.option("--once", is_flag=True, help="Leave after one answer.")
@options.no_input
@options.no_start
def approve_command(*, once: bool, no_input: bool, no_start: bool) -> int:
    """Be asked in this terminal before credentials are handed out.

    Keep it open beside your work: whatever the policy or `login --confirm` leaves to you is asked
    here, with who asks, for which tool and account, and for which scope. Ctrl-C leaves.
    """
    terminal = Terminal(no_input=no_input)
    if not terminal.asks or sys.stderr is None or not sys.stderr.isatty():
        raise UsageError(
            "there is no terminal to ask in" if not no_input else "--no-input forbids to ask",
            hint="run 'tool-agent approve' in a terminal of its own",
        )
    with connected(start=not no_start) as connection:
        return Approver(connection, once=once).run()


class Approver:
    """One terminal whose person answers."""

    def __init__(self, connection: Connection, *, once: bool) -> None:
        """Ask by `connection`; with `once` for one answer."""
        self._connection = connection
        self._once = once
        self._revision = -1
        self._questions: list[dict[str, Any]] = []
        self._answered: set[str] = set()
        self._shown: dict[str, Any] | None = None
        colours = not os.environ.get(paths.NO_COLOR) and os.environ.get(paths.TERM) != "dumb"
        self._bold, self._plain = (BOLD, PLAIN) if colours else ("", "")

    def run(self) -> int:
        """Show each question and take its answer, until the person leaves."""
        note("Waiting for questions; Ctrl-C leaves.")
        while True:
            route = target(wire.APPROVALS, ("wait", str(POLL)), ("since", str(self._revision)))
            self._connection.send("GET", route, accept=wire.JSON)
            while not self._await():
                status = self._take_line()
                if status is not None:
                    return status
            self._see()

    def _await(self) -> bool:
        """Wait for the agent or the person; tell whether it was the agent."""
        ready, _, _ = select.select([self._connection.fileno(), sys.stdin.fileno()], [], [])
        return self._connection.fileno() in ready

    def _see(self) -> None:
        """Take what the agent has; show the first question that is not answered."""
        reply = self._connection.receive(POLL_LIMIT)
        reply.raise_for_error()
        try:
            fields = json.loads(reply.body)
            questions, revision = fields["questions"], fields["revision"]
        except (ValueError, KeyError, TypeError):
            questions = revision = None
        if not isinstance(questions, list) or not isinstance(revision, int):
            raise BadReplyError("the agent's answer is no list of questions")
        self._revision = revision
        self._questions = [one for one in questions if isinstance(one, dict) and one.get("id")]
        there = {str(one["id"]) for one in self._questions}
        self._answered &= there
        if self._shown is not None and self._shown["id"] not in there:
            note("\nThis question is over: it was answered elsewhere, or nobody waits any more.")
            self._shown = None
        if self._shown is None:
            self._show_next()

    def _show_next(self) -> None:
        waiting = [one for one in self._questions if one["id"] not in self._answered]
        self._shown = waiting[0] if waiting else None
        if self._shown is None:
            return
        rows = [row for row in self._shown.get("lines") or [] if isinstance(row, list)]
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        facts = "".join(fact(row[0], row[1], width) + "\n" for row in rows if len(row) == 2)  # noqa: PLR2004 - name and text
        note(f"\n{self._bold}Hand out a credential?{self._plain}\n{facts}")
        # What was typed before this was shown is no answer to it.
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        self._ask()

    def _ask(self) -> None:
        session = ", [s]ession" if self._offers_session else ""
        os.write(sys.stderr.fileno(), f"[o]nce{session}, [d]eny: ".encode())

    @property
    def _offers_session(self) -> bool:
        return self._shown is not None and self._shown.get("session") is True

    def _take_line(self) -> int | None:
        """Take a line that was typed; return the exit status where it ends the command."""
        raw = os.read(sys.stdin.fileno(), LINE_MAX)
        if not raw:
            note("")
            return wire.EXIT_OK  # Ctrl-D
        if self._shown is None:
            return None
        word = ANSWERS.get(raw.decode("utf-8", "replace").strip().lower())
        if word is None or (word == "session" and not self._offers_session):
            self._ask()
            return None
        identifier = str(self._shown["id"])
        self._answered.add(identifier)
        self._shown = None
        try:
            with Connection(self._connection.path) as other:
                other.request(
                    "POST",
                    f"{wire.APPROVALS}/{percent_encode(identifier)}",
                    accept=wire.JSON,
                    headers=(("Content-Type", wire.JSON),),
                    body=document({"answer": word}),
                ).raise_for_error()
        except AgentReplyError as error:
            if error.code != "not_found":
                raise
            note(error.detail)
        else:
            note(f"{SAID[word]}.")
            if self._once:
                return wire.EXIT_OK
        self._show_next()
        return None


def fact(name: object, text: object, width: int) -> str:
    """Return a fact for a terminal of `width` columns; where it is folded, it stays indented.

    So nothing that stands in a path looks like another fact, wherever the line ends.
    """
    head = f"  {_shown(name):9} "
    wide = max(width - 1, NARROWEST)
    return textwrap.fill(
        _shown(text),
        wide,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )


def _shown(text: object) -> str:
    """Return a text of the agent's without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
