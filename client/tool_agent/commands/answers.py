"""Who answers a question of the agent's: given in advance, the terminal, or a line of stdin."""

import sys
from typing import Any

from tool_agent.commands.terminal import Terminal
from tool_agent.errors import ToolAgentError, UsageError

LINE_MAX = 16 * 1024
"""Bytes of an answer on stdin: far more than any key has, far less than a file given by mistake."""


class Question:
    """One prompt of the agent's."""

    def __init__(self, prompt: dict[str, Any]) -> None:
        """Read a prompt as the agent describes it; what it does not say is empty."""
        self.name = str(prompt.get("name"))
        self.label = str(prompt.get("label") or self.name)
        self.secret = prompt.get("secret") is not False
        self.default = str(prompt.get("default") or "")
        self.choices = [str(one) for one in prompt.get("choices") or []]
        self.option = str(prompt.get("option") or "")

    @property
    def subject(self) -> str:
        """What is asked for, without the colon."""
        return self.label.strip().rstrip(":")

    @property
    def text(self) -> str:
        """The question as it is shown: its label, the choices, and what an empty answer means."""
        if not self.choices and not self.default:
            return self.label
        text = self.subject
        if self.choices:
            text += f" ({'/'.join(self.choices)})"
        if self.default:
            text += f" [{self.default}]"
        return text + ": "


class Answers:
    """Where answers come from.

    With answers given in advance stdin is not read: one line was all that it was to give.
    """

    def __init__(self, terminal: Terminal, given: list[str], hint: str) -> None:
        """Begin with `given`; `hint` says what to do about a question that nobody can answer."""
        self._terminal = terminal
        self._given = given
        self._reads = not given and terminal.reads
        self._hint = hint

    def to(self, question: Question, problem: ToolAgentError | None) -> tuple[str, bool]:
        """Return the answer, and whether a person gave it at a terminal.

        Where nobody can answer, the default counts. `problem` is what was wrong with the last
        answer: where nobody can give another, that is the error. Raises UsageError otherwise,
        naming the option that would have answered.
        """
        if self._given:
            return self._given.pop(0), False
        if self._terminal.asks:
            return self._terminal.ask(question.text, secret=question.secret), True
        if problem is not None and question.secret:
            raise problem  # the next line of stdin is no second try, and may never come
        if self._reads and (line := self._line()) is not None:
            return line, False
        if problem is not None:
            raise problem
        if question.default:
            return "", False
        hint = f"give it with {question.option}" if question.option else self._hint
        where = "stdin has ended" if self._reads else "it may not be asked here"
        raise UsageError(f"there is no answer for {question.subject!r}: {where}", hint=hint)

    def _line(self) -> str | None:
        """Return the next line of stdin; None at its end. Raises UsageError for what is none."""
        raw = sys.stdin.buffer.readline(LINE_MAX + 1)
        if not raw:
            return None
        if len(raw) > LINE_MAX:
            raise UsageError("a line on stdin is longer than any answer", hint=self._hint)
        try:
            return raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("what is on stdin is no text", hint=self._hint) from None
