"""Fakes of the ports: a clock that is moved by hand, and a provider that rotates without grace."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence

from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.broker import Broker
from tool_agentd.definition.catalogue import Catalogue, SourceText, load
from tool_agentd.errors import ConflictError, TemporarilyUnavailableError
from tool_agentd.model import (
    AccountKey,
    AuditLine,
    Grant,
    GrantKind,
    HttpReply,
    HttpRequest,
    Identity,
    Instant,
    Page,
    Peer,
)
from tool_agentd.secret import Secret

ME = Peer(uid=1000, gid=1000, pid=4711)
ORIGIN = "https://acme.example"
KEY = AccountKey("acme", "default")

ACME = f"""
schema = 1
name = "acme"
title = "Acme"
origins = ["{ORIGIN}"]

[[credential]]
id = "key"
source = {{ env = ["ACME_KEY"], stored = true }}
pattern = "ak_[a-z0-9]+"
headers = {{ Authorization = "Key {{secret}}" }}

[[credential]]
id = "session"
source = "session"
headers = {{ Authorization = "Bearer {{access_token}}" }}

[login.browser]
flow = "oauth_code"
client_id = "client"
authorize = "{ORIGIN}/authorize"
token = "{ORIGIN}/token"
scope = "read write offline_access"

[login.api-key]
flow = "paste"
credential = "key"
prompt = "Key: "

[[logout.revoke]]
post = "{ORIGIN}/revoke"
form = {{ token = "{{refresh_token}}" }}

[[logout.revoke]]
post = "{ORIGIN}/revoke"
form = {{ token = "{{access_token}}" }}

[identity.session]
request = {{ get = "{ORIGIN}/me" }}
text = "I am {{email}}"
[identity.session.fields]
email = "email"

[identity.key]
request = {{ get = "{ORIGIN}/me" }}
text = "I am {{email}}"
[identity.key.fields]
email = "email"

[env]
ACME_KEY = "key"
"""

DEPLOY = f"""
schema = 1
name = "deploy"
title = "Acme Deploy"
provider = "acme"
origins = ["{ORIGIN}"]

[[credential]]
id = "session"
source = "session"
scope = "deploy"
headers = {{ Authorization = "Bearer {{access_token}}" }}

[env]
DEPLOY_TOKEN = "session"
"""


class FakeClock:
    """Both clocks, moved by the test."""

    def __init__(self) -> None:
        """Begin at an arbitrary moment."""
        self.instant = Instant(1_000_000.0, 100.0)
        self.pauses: list[float] = []
        """How long was waited, each time."""
        self.held: asyncio.Event | None = None
        """While set and not open, pauses do not end."""

    def now(self) -> Instant:
        """Return the moment that the test has set."""
        return self.instant

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.instant = self.instant.plus(seconds)

    async def pause(self, seconds: float) -> None:
        """Let that time pass at once, and everyone else go on meanwhile."""
        self.pauses.append(seconds)
        if self.held is not None:
            await self.held.wait()
        self.advance(seconds)
        await asyncio.sleep(0)


class FakeProvider:
    """An authorization server in memory: it rotates without grace and counts what happens."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with no grants."""
        self._clock = clock
        self._number = 0
        self.living: set[str] = set()
        self.rotated: set[str] = set()
        self.keys: set[str] = set()
        self.life: object = 3600
        self.refreshes = 0
        self.replays = 0
        self.revoked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.scopes: list[str] = []
        self.gate: asyncio.Event | None = None
        """While set and not open, requests that have arrived wait behind it."""
        self.arrived = asyncio.Event()
        self.reply: HttpReply | Exception | None = None
        """What the token endpoint says instead."""
        self.down = False
        self.rotates = True
        self.dead: set[str] = set()
        """Access tokens that the platform no longer takes."""
        self.unrevokable: set[str] = set()
        """Beginnings of tokens for whose revocation the provider is too busy."""
        self.revoke_gate: asyncio.Event | None = None
        self.routes: dict[str, Callable[[HttpRequest], HttpReply]] = {}
        """What other paths answer; a test's own."""
        self.requests: list[HttpRequest] = []
        """What those were sent."""

    def issue(self) -> Secret:
        """Return a new refresh token."""
        self._number += 1
        token = f"refresh-{self._number}"
        self.living.add(token)
        return Secret(token)

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Implement ports.Http."""
        assert ORIGIN in allowed
        assert request.url.startswith(ORIGIN)
        if self.down:
            message = "acme.example does not answer"
            raise TemporarilyUnavailableError(message)
        form = {k: _text(v) for k, v in (request.form or {}).items()}
        route = self.routes.get(request.url.removeprefix(ORIGIN))
        if route is not None:
            self.requests.append(request)
            return route(request)
        match request.url.removeprefix(ORIGIN):
            case "/token":
                return await self._token(form)
            case "/revoke":
                if self.revoke_gate is not None:
                    await self.revoke_gate.wait()
                return self._revoke(form)
            case _:
                return self._me(request)

    async def _token(self, form: dict[str, str]) -> HttpReply:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.arrived.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            if isinstance(self.reply, Exception):
                raise self.reply
            return self.reply or self._refresh(form)
        finally:
            self.at_once -= 1

    def _refresh(self, form: dict[str, str]) -> HttpReply:
        old = form["refresh_token"]
        if old in self.rotated:
            self.replays += 1
            self.living.clear()
        if old not in self.living:
            return self.json({"error": "invalid_grant"}, 400)
        self.refreshes += 1
        self.scopes.append(form.get("scope", ""))
        said = {"access_token": f"access-{self.refreshes}", "token_type": "Bearer"}
        answer: dict[str, object] = {**said, "expires_in": self.life}
        if self.rotates:
            self.living.discard(old)
            self.rotated.add(old)
            answer["refresh_token"] = self.issue().reveal()
        return self.json(answer)

    def _revoke(self, form: dict[str, str]) -> HttpReply:
        if form["token"].startswith(tuple(self.unrevokable)):
            return self.json({}, 503)
        self.revoked.append(form["token"])
        self.living.discard(form["token"])
        return self.json({})

    def _me(self, request: HttpRequest) -> HttpReply:
        value = _text(request.headers["Authorization"])
        if value.startswith("Key ") and value.removeprefix("Key ") not in self.keys:
            return self.json({}, 401)
        if value.removeprefix("Bearer ") in self.dead:
            return self.json({}, 401)
        return self.json({"email": "ada@acme.example"})

    def json(self, body: object, status: int = 200) -> HttpReply:
        """Return a JSON reply of this moment."""
        now = self._clock.now()
        return HttpReply(status, {}, json.dumps(body).encode(), now, now)


class FakeListener:
    """A listener whose callback is the test itself."""

    def __init__(
        self,
        answer: Callable[[str], Awaitable[Page]],
        path: str = "/callback",
        brings: str = "",
        belongs: Callable[[str], bool] | None = None,
    ) -> None:
        """Keep what answers the callback."""
        self.answer = answer
        self.belongs = belongs or (lambda _: True)
        self.brings = brings
        self.redirect_uri = f"http://127.0.0.1:5555{path}"
        self.closed = False

    async def close(self) -> None:
        """Stop listening."""
        self.closed = True


class FakeLoopback:
    """Hands out listeners, or says that the port is taken."""

    def __init__(self) -> None:
        """Begin with none."""
        self.listeners: list[FakeListener] = []
        self.taken = False

    async def listen(  # noqa: PLR0913 - each one is a fact of its own
        self,
        host: str,
        port: int,
        path: str,
        answer: Callable[[str], Awaitable[Page]],
        *,
        brings: str = "code",
        belongs: Callable[[str], bool] | None = None,
    ) -> FakeListener:
        """Implement ports.Loopback."""
        if self.taken:
            message = f"{host}:{port} is taken"
            raise ConflictError(message)
        self.listeners.append(FakeListener(answer, path, brings, belongs))
        return self.listeners[-1]


class FakeWitness:
    """Remembers what it is told."""

    urgent = False
    reasons: Sequence[str] = ()

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.lines: list[AuditLine] = []

    def record(self, line: AuditLine) -> None:
        """Implement ports.Witness."""
        self.lines.append(line)

    async def settled(self) -> None:
        """Implement ports.Witness."""

    def told(self) -> list[str]:
        """Return event and outcome of each line, in order."""
        return [f"{line.event.value} {line.outcome}" for line in self.lines]


class World:
    """A broker with everything around it."""

    def __init__(self, **definitions: str) -> None:
        """Begin signed out, with the definitions acme and deploy unless others are named."""
        self.clock = FakeClock()
        self.provider = FakeProvider(self.clock)
        self.loopback = FakeLoopback()
        self.store = MemoryStore(Means())
        self.witness = FakeWitness()
        self.catalogue = catalogue(**(definitions or {"acme": ACME, "deploy": DEPLOY}))
        self.broker = self.restarted()

    def restarted(self) -> Broker:
        """Return a new broker over the same store, as after a restart."""
        count = iter(range(10**9))
        self.broker = Broker(
            self.store,
            self.provider,
            self.clock,
            self.loopback,
            lambda size: next(count).to_bytes(size, "big"),
            self.catalogue,
            self.witness,
        )
        return self.broker

    async def signed_in(self, secret: Secret | None = None, label: str = "default") -> Grant:
        """Put a grant into the store, as a login would have."""
        grant = Grant(
            AccountKey("acme", label),
            GrantKind.REFRESH_TOKEN,
            "browser",
            "session",
            (ORIGIN,),
            obtained_at=self.clock.now().wall,
            scopes=("deploy", "read", "write"),
            identity=Identity("ada@acme.example"),
        )
        return await self.store.write(grant, secret or self.provider.issue(), expected=0)


def catalogue(**texts: str) -> Catalogue:
    """Return the catalogue of these definitions."""
    sources = {
        f"tools.d/{name}.toml": SourceText(f"tools.d/{name}.toml", text)
        for name, text in texts.items()
    }
    found = load(sources, None, {}, {})
    assert not [problem for problem in found.problems if not problem.note]
    return found


def _text(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
