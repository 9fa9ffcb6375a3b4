"""The routes of `tool-agent approve`: the questions that wait for the person, and their answers."""

import re
from typing import Literal

from tool_agent import wire
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, Right, Routes, reads
from tool_agentd.api.logins import DIGITS, patience_of
from tool_agentd.broker import Broker
from tool_agentd.broker.desk import Waiting
from tool_agentd.broker.question import lines
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import Consent

_WHOLE = re.compile(f"-?[0-9]{{1,{DIGITS}}}")


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
        routes.add("GET", wire.APPROVALS, self.look, Right.ANSWER)
        routes.add("POST", f"{wire.APPROVALS}/*", self.answer, Right.ANSWER)

    @reads("wait", "since")
    async def look(self, call: Call) -> Answer:
        """GET /v1/approvals."""
        query = call.query()
        patience = patience_of(query)
        since = _whole(query.get("since", "-1"))
        shown = await self._desk.look(call.peer, since, patience)
        questions = [question_json(waiting) for waiting in shown.waiting]
        return Answer({"schema": wire.SCHEMA, "revision": shown.revision, "questions": questions})

    @reads(body=AnswerBody)
    async def answer(self, call: Call) -> Answer:
        """POST /v1/approvals/{id}."""
        call.query()
        body = await call.json(AnswerBody)
        identifier = call.params[0]
        self._desk.answer(identifier, Consent(body.answer), call.peer)
        return Answer({"schema": wire.SCHEMA, "id": identifier, "answer": body.answer})


def _whole(text: str) -> int:
    """Return a whole number. Raises InvalidRequestError."""
    if not _WHOLE.fullmatch(text):
        message = f"since is a whole number of up to {DIGITS} digits"
        raise InvalidRequestError(message)
    return int(text)


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
