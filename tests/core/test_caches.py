"""Caches: fetched at login, kept beside the session, fetched anew with a key."""

import asyncio
import json
from collections.abc import Collection

import msgspec
import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.fakes import KEY, ORIGIN, FakeClock, World, catalogue
from tests.core.test_broker_logins import begun, callback, code_exchange, ended
from tool_agentd.adapters.store import Means, MemoryStore
from tool_agentd.broker.caches import Caches
from tool_agentd.definition import credentials
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    LoginRequiredError,
    ProviderError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import Credential, Grant, GrantKind, HttpReply, HttpRequest
from tool_agentd.secret import Secret

CACHED = f"""
{ACME_FILES}
[cache.profile]
credential = ["session", "key"]
request = {{ post = "{ORIGIN}/me", json = {{ want = "profile" }} }}
take = "email"
path = "~/.acme/profile.json"
format = "json"
under = "acme"
"""
NAME = "acme/profile"


class Platform:
    """Says `said` to everyone, and remembers who asked."""

    def __init__(self) -> None:
        """Begin with a good answer."""
        self.clock = FakeClock()
        self.status = 200
        self.said: object = {"email": {"address": "ada@acme.example"}}
        self.asked: list[HttpRequest] = []

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Implement ports.Http."""
        assert ORIGIN in allowed
        self.asked.append(request)
        now = self.clock.now()
        return HttpReply(self.status, {}, json.dumps(self.said).encode(), now, now)


class Desk:
    """Caches over a store with one login, and the platform that they ask."""

    def __init__(self) -> None:
        """Begin signed out."""
        self.platform = Platform()
        self.store = MemoryStore(Means())
        self.tool: ToolDefinition = catalogue(acme=CACHED).get("acme")
        self.caches = Caches(self.store, self.platform)

    async def signed_in(self, kind: GrantKind = GrantKind.REFRESH_TOKEN) -> Grant:
        """Store a login."""
        credential = "key" if kind is GrantKind.API_KEY else "session"
        grant = Grant(KEY, kind, "browser", credential, (ORIGIN,), obtained_at=1000.0)
        return await self.store.write(grant, Secret("rt"), expected=0)

    async def text(self, grant: Grant | None, id_: str = "session") -> str:
        """Ask for the file's text."""
        return await self.caches.text_for(
            self.tool, "profile", self.credential(id_), grant, {ORIGIN}
        )

    def credential(self, id_: str) -> Credential:
        """Return what a client would get."""
        spec = credentials.spec_of(self.tool, id_)
        return credentials.credential(spec, self.tool, Secret("at-1"), "default")


TEXT = {"acme": {"address": "ada@acme.example"}}


def test_a_session_fetches_it_once() -> None:
    """With the credential's own headers; from then on it is there, for the next token too."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        assert json.loads(await desk.text(grant)) == TEXT
        later = await desk.store.write(grant, Secret("rt-2"), expected=grant.generation)
        assert json.loads(await desk.text(later)) == TEXT
        (asked,) = desk.platform.asked
        assert asked.headers["Authorization"] == Secret("Bearer at-1")
        assert (asked.method, asked.json) == ("POST", {"want": "profile"})

    asyncio.run(story())


def test_the_file_has_the_shape_that_the_definition_has_now() -> None:
    """What is kept is the platform's answer: a definition that changes needs no new login."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        await desk.text(grant)
        shape = CACHED.replace('under = "acme"', 'shape = { who = "address" }')
        desk.tool = catalogue(acme=shape).get("acme")
        assert json.loads(await desk.text(grant)) == {"who": "ada@acme.example"}
        assert len(desk.platform.asked) == 1

    asyncio.run(story())


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "the person's own"])
def test_a_key_fetches_it_each_time(*, stored: bool) -> None:
    """And nothing is kept."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in(GrantKind.API_KEY) if stored else None
        for _ in range(2):
            assert json.loads(await desk.text(grant, "key")) == TEXT
        assert len(desk.platform.asked) == 2
        assert desk.platform.asked[0].headers["Authorization"] == Secret("Key at-1")
        assert await desk.store.caches(KEY) == {}

    asyncio.run(story())


def test_what_cannot_be_read_is_fetched_anew() -> None:
    """A text that is no JSON, from whatever wrote it."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        await desk.store.keep_cache(grant, NAME, "{")
        assert json.loads(await desk.text(grant)) == TEXT
        assert json.loads((await desk.store.caches(KEY))[NAME]) == TEXT["acme"]

    asyncio.run(story())


class Broken(MemoryStore):
    """A store that does not answer about caches."""

    async def caches(self, key: object) -> dict[str, str]:
        """Fail."""
        message = "no answer"
        raise StoreUnavailableError(message)

    async def keep_cache(self, grant: Grant, name: str, text: str) -> bool:
        """Fail."""
        message = "no answer"
        raise StoreUnavailableError(message)


def test_a_store_that_does_not_answer_is_done_without() -> None:
    """It is fetched, and good for this once."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        desk.caches = Caches(Broken(Means()), desk.platform)
        assert json.loads(await desk.text(grant)) == TEXT

    asyncio.run(story())


REFUSALS: list[tuple[int, object, type[AgentError], str]] = [
    (401, {}, LoginRequiredError, "does not accept this session"),
    (503, {}, TemporarilyUnavailableError, "cannot answer now"),
    (429, {}, TemporarilyUnavailableError, "cannot answer now"),
    (200, {"email": None}, ProviderError, "HTTP 200, and no email"),
    (400, {"error_description": "ask later"}, ProviderError, "for this account: ask later"),
    (200, [], ProviderError, "no profile for this account"),
    (200, {"email": "x" * 300_000}, ProviderError, "more than 262144 bytes"),
]


@pytest.mark.parametrize(("status", "said", "error", "words"), REFUSALS)
def test_what_cannot_be_had_says_why(
    status: int, said: object, error: type[AgentError], words: str
) -> None:
    """To whoever asks for it; a login is not told, and keeps nothing."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        desk.platform.status, desk.platform.said = status, said
        with pytest.raises(error) as caught:
            await desk.text(grant)
        assert words in caught.value.detail
        await desk.caches.after_login(desk.tool, grant, Secret("at-1"))
        assert await desk.store.caches(KEY) == {}

    asyncio.run(story())


def test_a_cache_that_is_gone_from_the_definition_is_an_error() -> None:
    """The definition may change between looking and asking."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        desk.tool = msgspec.structs.replace(desk.tool, cache={})
        with pytest.raises(ConfigurationError, match="no longer has a cache 'profile'"):
            await desk.text(grant)

    asyncio.run(story())


def test_an_ended_login_keeps_nothing_that_comes_late() -> None:
    """A logout while it is being fetched: it is not kept beside nobody."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        await desk.store.delete(grant)
        await desk.caches.after_login(desk.tool, grant, Secret("at-1"))
        assert len(desk.platform.asked) == 1
        assert await desk.store.caches(KEY) == {}

    asyncio.run(story())


def test_a_login_has_it_fetched() -> None:
    """Behind the person's back, with the token that the login brought; a logout erases it."""

    async def story() -> None:
        world = World(acme=CACHED)
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        await ended(world, view)
        await world.broker._background.settle()
        assert await world.store.caches(KEY) == {NAME: '"ada@acme.example"'}
        await world.broker.logout("acme", None)
        assert await world.store.caches(KEY) == {}

    asyncio.run(story())


def test_tools_that_share_a_login_have_theirs_apart() -> None:
    """The same name in two definitions is two caches."""

    async def story() -> None:
        desk = Desk()
        grant = await desk.signed_in()
        await desk.text(grant)
        desk.tool = msgspec.structs.replace(desk.tool, name="other")
        desk.platform.said = {"email": "bob"}
        assert json.loads(await desk.text(grant)) == {"acme": "bob"}
        assert set(await desk.store.caches(KEY)) == {NAME, "other/profile"}
        assert desk.caches.names(desk.tool, "session") == ["profile"]
        assert desk.caches.names(desk.tool, "nothing") == []

    asyncio.run(story())
