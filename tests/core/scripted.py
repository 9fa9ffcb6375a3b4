"""A platform by script: what it answers to each request, and what it was sent."""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.core.fakes import ORIGIN, FakeClock, FakeProvider
from tool_agentd.broker.login import Login, LoginState, LoginView
from tool_agentd.model import AccountKey, HttpReply, HttpRequest
from tool_agentd.secret import Secret

HEAD = f"""
schema = 1
name = "acme"
title = "Acme"
origins = ["{ORIGIN}"]

[errors]
code = ["code"]
text = ["message"]
reason = ["data.reason"]

[[credential]]
id = "session"
source = "session"
headers = {{ Cookie = "{{secret}}" }}
"""
"""What a definition of these tests begins with."""

LOGIN = f"""
[login.password]
flow = "password"
credential = "session"

[[login.password.step]]
take_cookie = "cookie"
take = {{ email_verified = "verified", expires_at = "ends" }}
[[login.password.step.ask]]
name = "email"
label = "Email: "
[[login.password.step.ask]]
name = "password"
label = "Password: "
secret = true
[login.password.step.request]
post = "{ORIGIN}/sign-in"
json = {{ email = "{{email}}", password = "{{password}}" }}

[[login.password.step]]
when = {{ email_verified = "false" }}
say = "A mail is sent to {{email}}."
[login.password.step.request]
post = "{ORIGIN}/mail"
json = {{ email = "{{email}}" }}

[login.password.obtain]
secret = "cookie"
expires_at = "expires_at"
name = "email"
keep = ["email"]

[identity.session]
request = {{ get = "{ORIGIN}/me" }}
name = "email"
text = "I am {{email}}"
[identity.session.fields]
email = "email"
"""
"""A login by password, and how it is verified."""


@dataclass
class Sent:
    """A request as it went out, its secrets revealed."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    allowed: frozenset[str]
    form: dict[str, str] = field(default_factory=dict)


class Script(FakeProvider):
    """Answers by path, one after another; the last answer stays."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with nothing to say."""
        super().__init__(clock)
        self.sent: list[Sent] = []
        self._answers: dict[str, list[HttpReply | Exception]] = {}
        self._clock_ = clock
        self.stuck: asyncio.Event | None = None
        """While set and not open, requests wait behind it."""

    def on(
        self,
        path: str,
        body: object = None,
        status: int = 200,
        cookies: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next request to `path` so."""
        now = self._clock_.now()
        set_ = {name: Secret(value) for name, value in (cookies or {}).items()}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._answers.setdefault(path, []).append(
            HttpReply(status, {}, raw, now, now, cookies=set_)
        )

    def fail(self, path: str, error: Exception) -> None:
        """Answer the next request to `path` with an error of the network's."""
        self._answers.setdefault(path, []).append(error)

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Implement ports.Http."""
        path = request.url.removeprefix(ORIGIN)
        self.sent.append(
            Sent(
                request.method,
                path,
                {name: bare(value) for name, value in request.headers.items()},
                bare_tree(request.json),
                frozenset(allowed),
                {name: bare(value) for name, value in (request.form or {}).items()},
            )
        )
        if self.stuck is not None:
            await self.stuck.wait()
        answers = self._answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def to(self, path: str) -> list[Sent]:
        """Return what was sent to a path."""
        return [one for one in self.sent if one.path == path]


class Typist:
    """Answers a login's questions from a table, and remembers them."""

    def __init__(self, login: Login, *answers: str) -> None:
        """Type `answers` one after another."""
        self._login = login
        self._answers = list(answers)
        self.views: list[LoginView] = []
        """The view at each question."""

    async def run(self) -> None:
        """Answer until the answers are used up."""
        revision = -1
        while self._answers:
            view = await self._login.watch(str(revision), 5)
            revision = view.revision
            if view.state is LoginState.AWAITING_INPUT:
                self.views.append(view)
                self._login.offer({view.prompts[0].name: Secret(self._answers.pop(0))})

    @property
    def labels(self) -> list[str]:
        """What was asked, in order."""
        return [view.prompts[0].label for view in self.views]


def bare(value: str | Secret) -> str:
    """Return a text, whether it is a secret or not."""
    return value.reveal() if isinstance(value, Secret) else value


def bare_tree(tree: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a JSON value with its secrets revealed."""
    match tree:
        case Secret():
            return tree.reveal()
        case dict():
            return {key: bare_tree(value) for key, value in tree.items()}
        case list():
            return [bare_tree(value) for value in tree]
        case _:
            return tree


def new_login(preset: dict[str, Secret] | None = None) -> Login:
    """Return a login that has just begun."""
    view = LoginView("id", "acme", AccountKey("acme", "default"), "browser", "Acme", 2_000_000.0)
    return Login(view, preset)
