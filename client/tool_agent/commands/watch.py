"""A login as the client sees it: watched until it is over, its questions answered on the way."""

import contextlib
import json
import os
import select
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from tool_agent import wire
from tool_agent.agent import Connection, Reply, percent_encode, target
from tool_agent.commands.answers import Answers, Question
from tool_agent.commands.browser import Browser, command
from tool_agent.commands.terminal import Terminal
from tool_agent.errors import (
    AgentReplyError,
    BadReplyError,
    ToolAgentError,
    reply_error,
)
from tool_agent.exchange import view_of
from tool_agent.output import answer, complain, note
from tool_agent.own import document

POLL = 20
"""Seconds that the agent holds a long poll (interface.md)."""

SHORT_POLL = 1
"""Seconds of the poll after a pasted address: what was wrong with it changes no state."""

POLL_LIMIT = POLL + 12.0
"""Seconds for the answer to one: what the agent may hold it, and any other answer's time."""

CANCEL_LIMIT = 2.0
"""Seconds for the cancelling that Ctrl-C sends; the person wants to be gone."""

TICK = 1.0
"""Seconds between two changes of the line that counts down."""

ATTEMPTS = 3
"""How often a question is asked again on a terminal, as login(1) does."""

AWAITED = {
    "starting": "the agent",
    "awaiting_browser": "the browser",
    "awaiting_input": "an answer",
    "working": "the provider",
}

OVER = {"done", "failed", "cancelled"}


class Watch:
    """One login or action that this client has started or joined."""

    def __init__(  # noqa: PLR0913 - a login, and how its outcome is wanted
        self,
        connection: Connection,
        reply: Reply,
        terminal: Terminal,
        answers: list[str],
        *,
        browser: bool,
        form: str | None = None,
        as_json: bool = False,
    ) -> None:
        """Begin with the agent's view of the login; `answers` are for its prompts, in order."""
        self.connection = connection
        self.terminal = terminal
        self._form = form
        self._as_json = as_json
        self.view = view_of(reply)
        self.answers = Answers(terminal, answers, self._answer_hint())
        self.joined = self.view.get("joined") is True
        self._opens = browser and not self.joined
        self._browser: Browser | None = None
        self._told = False
        self._attempts = 0
        self._pastes = False
        self._poll = POLL
        self._noticed: dict[str, Any] | None = None
        self._problem: ToolAgentError | None = None
        """What was wrong with the last answer, for whoever cannot give another."""
        self._said = 0

    def run(self) -> int:
        """Watch until the login is over; print its outcome and return the exit status.

        Ctrl-C, and the end of the terminal, cancel the login in the agent too, unless it was
        another client's that this one only joined.
        """
        previous = {
            number: signal.signal(number, _interrupted)
            for number in (signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._hear()
            while self.view["state"] not in OVER:
                self._act()
            return self._outcome()
        except (KeyboardInterrupt, SystemExit, ToolAgentError) as error:
            if self.view["state"] not in OVER:
                self._cancel()
            printed = (self._noticed or {}).get("printed")
            if error is self._problem and self._form is not None and isinstance(printed, dict):
                return _print(printed.get(self._form))
            raise
        finally:
            self.terminal.clear()
            if self._browser is not None:
                self._browser.leave()
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def _noun(self) -> str:
        return "action" if self.view.get("purpose") == "action" else "login"

    def _answer_hint(self) -> str:
        if self.view.get("purpose") == "action":
            return "pipe the answers in, one line for each question, or run it on a terminal"
        return f"give it on stdin: tool-agent login {self.view.get('tool')} --api-key"

    @property
    def _path(self) -> str:
        return f"{wire.LOGINS}/{percent_encode(str(self.view['id']))}"

    def _act(self) -> None:
        """Do what the state asks for, or wait for the next."""
        if self.view["state"] == "awaiting_input":
            self._answer_prompts()
            return
        if not self.view.get("url"):
            self._told = False  # another page may follow
        elif self.view["state"] == "awaiting_browser" and not self._told:
            self._told = True
            self._show_address()
        self._await_change()

    def _show_address(self) -> None:
        """Open the browser, or say where to go; with a code, say that too."""
        url = str(self.view["url"])
        code = self.view.get("user_code")
        opener = command() if self._opens else None
        if opener is not None:
            try:
                self._browser = Browser(opener, url)
            except OSError as error:
                self.terminal.say(f"cannot run {opener[0]}: {error.strerror}")
        self._pastes = self.terminal.asks and not code and self.view.get("prompts") != []
        if self._browser is not None:
            text = f"The browser opens; if it does not, go to:\n  {url}"
        elif self.joined:
            text = f"This {self._noun} is under way already. Its address:\n  {url}"
        else:
            text = f"{'To sign in, go' if self._noun == 'login' else 'Go'} to:\n  {url}"
        if code:
            text += f"\nand enter the code: {code}"
        if self._pastes and self._browser is None:
            text += (
                "\nWhere that browser cannot reach this machine, paste the address that it ends"
                " at here."
            )
        self.terminal.say(text)

    def _await_change(self) -> None:
        """Long-poll once, while the line counts down and a pasted address is listened for."""
        state = str(self.view["state"])
        awaited = str(self.view.get("awaits") or "") or AWAITED.get(state, "the agent")
        revision = self.view.get("revision")
        since = str(revision) if isinstance(revision, int) else state
        route = target(self._path, ("wait", str(self._poll)), ("since", since))
        self._poll = POLL
        self.connection.send("GET", route, accept=wire.JSON)
        while True:
            self.terminal.wait_line(awaited, self._ends_at())
            sources = [self.connection.fileno(), *([sys.stdin.fileno()] if self._pastes else [])]
            ready, _, _ = select.select(sources, [], [], TICK)
            self._look_after_browser()
            if self.connection.fileno() in ready:
                break
            if ready and self._take_pasted():
                self.connection.close()
                self._poll = SHORT_POLL
                return
        reply = self.connection.receive(POLL_LIMIT)
        reply.raise_for_error()
        self._see(reply)

    def _see(self, reply: Reply) -> None:
        """Take the agent's view, and show what was wrong with the last answer."""
        self.view |= view_of(reply)
        self._hear()
        notice = self.view.get("notice")
        if not isinstance(notice, dict):
            self._noticed = self._problem = None
        elif notice != self._noticed:
            self._noticed = notice
            hint = str(notice.get("hint") or "")
            self._problem = reply_error("invalid_request", str(notice.get("detail")), hint)
            # Where nobody is asked it is said below, by whoever goes on or gives up.
            if self.terminal.asks or self.view["state"] != "awaiting_input":
                complain(self._problem)

    def _hear(self) -> None:
        """Print what the agent has said on the way, each line once."""
        said = self.view.get("said")
        lines = [str(line) for line in said] if isinstance(said, list) else []
        for line in lines[self._said :]:
            self.terminal.say(line)
        self._said = max(self._said, len(lines))

    def _look_after_browser(self) -> None:
        status = self._browser.failed() if self._browser is not None else None
        if self._browser is not None and status is not None:
            self.terminal.say(
                f"{self._browser.name} ended with status {status}; open the address yourself:\n"
                f"  {self.view.get('url')}"
            )

    def _take_pasted(self) -> bool:
        """Hand a pasted address to the agent, beside the long poll; tell whether there was one."""
        # Not readline(): what its buffer keeps, select() does not see.
        pasted = os.read(sys.stdin.fileno(), 64 * 1024).decode("utf-8", "replace")
        if not pasted:
            self._pastes = False  # Ctrl-D: no more will come
        line = next(iter(pasted.strip().splitlines()), "").strip()
        if not line:
            return False
        self.terminal.clear()
        try:
            with Connection(self.connection.path) as other:
                self._post_inputs(other, {"redirect_url": line})
        except AgentReplyError as error:
            complain(error)  # the login goes on, unless the next poll says otherwise
        return True

    def _answer_prompts(self) -> None:
        prompts = [prompt for prompt in self.view.get("prompts") or [] if isinstance(prompt, dict)]
        if not prompts:
            raise BadReplyError("the agent awaits an answer and does not say to which question")
        problem = self._problem
        asked = False
        inputs = {}
        for prompt in prompts:
            question = Question(prompt)
            inputs[question.name], by_person = self.answers.to(question, problem)
            asked = asked or by_person
        if problem is not None and not asked:
            complain(problem)
        try:
            self._see(self._post_inputs(self.connection, inputs))
        except AgentReplyError as error:
            self._attempts += 1
            if not asked or error.code != "invalid_request" or self._attempts >= ATTEMPTS:
                raise
            complain(error)

    def _post_inputs(self, connection: Connection, inputs: dict[str, str]) -> Reply:
        reply = connection.request(
            "POST",
            self._path + "/input",
            accept=wire.JSON,
            headers=(("Content-Type", wire.JSON),),
            body=document({"inputs": inputs}),
        )
        reply.raise_for_error()
        return reply

    def _cancel(self) -> None:
        """Cancel in the agent; whatever comes of it, this client is on its way out."""
        if self.joined:
            return
        with contextlib.suppress(ToolAgentError), Connection(self.connection.path) as other:
            other.request("DELETE", self._path, accept=wire.JSON, limit=CANCEL_LIMIT)

    def _ends_at(self) -> float | None:
        ends_at = self.view.get("expires_at")
        return float(ends_at) if isinstance(ends_at, int | float) else None

    def _outcome(self) -> int:
        self.terminal.clear()
        printed = self.view.get("printed")
        if self._form is not None and isinstance(printed, dict):
            return _print(printed.get(self._form))
        if self.view["state"] == "done":
            if self._as_json:
                answer(_summary(self.view))
                return wire.EXIT_OK
            text = str(self.view.get("text") or "")
            if text:
                answer((text.rstrip("\n") + "\n").encode())
            return wire.EXIT_OK
        problem = self.view.get("error")
        if not isinstance(problem, dict):
            cancelled = self.view["state"] == "cancelled"
            problem = {
                "code": "cancelled" if cancelled else "internal",
                "detail": f"the {self._noun} was {self.view['state']}"
                if cancelled
                else f"the {self._noun} failed",
            }
        status = problem.get("exit")
        raise reply_error(
            str(problem.get("code")),
            str(problem.get("detail")),
            str(problem.get("hint") or ""),
            status if isinstance(status, int) else None,
        )


def _summary(view: dict[str, Any]) -> bytes:
    """Return what `--json` prints of an action that is done."""
    fields = {
        "schema": wire.SCHEMA,
        "tool": view.get("tool"),
        "action": view.get("method"),
        "account": view.get("account"),
        "values": view.get("values") or {},
        "text": view.get("text") or "",
    }
    return json.dumps(fields).encode() + b"\n"


def _print(printed: object) -> int:
    """Print what the tool itself prints, in the agent's words; return the exit status."""
    match printed:
        case {"stdout": str(out), "stderr": str(err), "exit": int(status)}:
            answer(out.encode())
            note(err)
            return status
        case _:
            raise BadReplyError("the agent's answer has nothing to print")


def _interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """End as Ctrl-C does, with the exit status of the signal."""
    raise SystemExit(128 + number)
