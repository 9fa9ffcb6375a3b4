"""A login in the fake agent, which changes when a test or the client says so."""

import threading
import time
from typing import Any

from tests.contract.fake_agent import Request, document, gated
from tests.contract.typed import LIMIT, Typist

CRE = "CRE_API_KEY; before=session"
URL = "https://login.example.test/authorize?state=a&x=b c"


AWAITING = {"state": "awaiting_browser", "method": "browser", "url": URL}
PROMPT = {"name": "key", "label": "Paste your API key (nrp_...): ", "secret": True}
ASKING = {"state": "awaiting_input", "method": "api-key", "prompts": [PROMPT]}


class Login:
    """A login in the fake agent: its view changes when a test or the client says so."""

    def __init__(self, person: Typist, view: dict[str, Any], *, env: str = CRE) -> None:
        """Begin in the state that `view` has."""
        self.view = {"schema": 1, "id": "l1", "tool": "cre", "expires_at": time.time() + 605} | view
        self.changed = threading.Condition()
        self.polled = threading.Event()
        self.cancelled = threading.Event()
        self.after_input: dict[str, Any] = {"state": "done", "text": "Logged in as a@b"}
        agent = self.agent = person.agent
        agent.on("POST", "/v1/tools/cre/logins", gated(env, self._show) if env else self._show)
        agent.on("GET", "/v1/logins/l1", self._poll)
        agent.on("POST", "/v1/logins/l1/input", self._input)
        agent.on("DELETE", "/v1/logins/l1", self._cancel)

    def become(self, **fields: object) -> None:
        """Change the view, and wake who polls."""
        with self.changed:
            self.view |= fields
            self.changed.notify_all()

    @property
    def inputs(self) -> list[dict[str, str]]:
        """What was answered to the questions."""
        return [r.json["inputs"] for r in self.agent.asked("POST", "/v1/logins/l1/input")]

    @property
    def started(self) -> dict[str, Any]:
        """The body that started it."""
        body: dict[str, Any] = self.agent.asked("POST", "/v1/tools/cre/logins")[-1].json
        return body

    def _show(self, _: Request) -> bytes:
        return document(self.view)

    def _poll(self, request: Request) -> bytes:
        assert request.last("wait") in {"20", "1"}
        self.polled.set()
        with self.changed:
            wait = LIMIT if request.last("wait") == "20" else 0.0
            self.changed.wait_for(lambda: self.view["state"] != request.last("since"), wait)
            return document(self.view)

    def _input(self, _: Request) -> bytes:
        self.become(**self.after_input)
        return document(self.view)

    def _cancel(self, _: Request) -> bytes:
        self.cancelled.set()
        self.become(state="cancelled")
        return document(self.view)
