"""The routes of `tool-agent approve`: the questions that wait for the person, and their answers."""

from typing import Literal

from tool_agent import wire
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, Right, Routes, reads
from tool_agentd.api.logins import LONGEST_WAIT
from tool_agentd.broker import Broker
from tool_agentd.broker.desk import Waiting
from tool_agentd.broker.question import lines
from tool_agentd.errors import DeniedError, InvalidRequestError
from tool_agentd.model import Consent, Peer

DIGITS = 18
"""Of a revision: it counts by one."""


class AnswerBody(Body, frozen=True):
    """The body of POST /v1/approvals/{id}."""

    answer: Literal["once", "session", "no"]


class ApprovalRoutes:
    """Questions over HTTP."""

    def __init__(self, broker: Broker) -> None:
        """Serve from `broker`."""
        self._desk = broker.desk

    def add_to(self, routes: Routes) -> None:
        """Add them to the table."""
        routes.add("GET", wire.APPROVALS, self.look, Right.MANAGE)
        routes.add("POST", f"{wire.APPROVALS}/*", self.answer, Right.MANAGE)

    @reads("wait", "since")
    async def look(self, call: Call) -> Answer:
        """GET /v1/approvals."""
        _check(call.peer)
        query = call.query()
        wait, since = query.get("wait", "0"), query.get("since", "-1")
        if not wait.isdecimal() or not since.removeprefix("-").isdecimal():
            message = "wait and since are whole numbers"
            raise InvalidRequestError(message)
        patience = min(float(wait), LONGEST_WAIT)
        # A longer number is none that was shown, and one that int() may refuse.
        shown = await self._desk.look(call.peer, int(since[:DIGITS]), patience)
        questions = [question_json(waiting) for waiting in shown.waiting]
        return Answer({"schema": wire.SCHEMA, "revision": shown.revision, "questions": questions})

    @reads(body=AnswerBody)
    async def answer(self, call: Call) -> Answer:
        """POST /v1/approvals/{id}."""
        _check(call.peer)
        call.query()
        body = await call.json(AnswerBody)
        identifier = call.params[0]
        self._desk.answer(identifier, Consent(body.answer))
        return Answer({"schema": wire.SCHEMA, "id": identifier, "answer": body.answer})


def _check(peer: Peer) -> None:
    """Refuse peers in other namespaces, whatever they may have: they do not answer for the person.

    Raises DeniedError.
    """
    if peer.foreign:
        message = "who is asked sits where the agent runs: no container answers for its person"
        raise DeniedError(message, hint="run 'tool-agent approve' outside of it")


def question_json(waiting: Waiting) -> Json:
    """Return a question as the JSON reply has it."""
    question = waiting.question
    return {
        "id": waiting.id,
        "tool": question.tool,
        "account": question.account,
        "session": question.session,
        "lines": [list(line) for line in lines(question)],
    }
