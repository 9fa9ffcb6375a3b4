"""A whole broker over fakes that fail: a store, and a provider that knows families of tokens."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.core.fakes import ACME, ORIGIN, FakeClock, FakeProvider, World, catalogue
from tool_agentd.adapters.store import MemoryStore
from tool_agentd.broker.attempts import INTERRUPTIONS
from tool_agentd.errors import (
    ConfigurationError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import AccountKey, Grant, HeldGrant, HttpReply, HttpRequest, Instant
from tool_agentd.ports import Presented
from tool_agentd.secret import Secret

ELSEWHERE = "https://elsewhere.example"
DEFINITIONS = {
    "usual": ACME,
    "elsewhere": ACME.replace(ORIGIN, ELSEWHERE),
    "narrower": ACME.replace('scope = "read write offline_access"', 'scope = "offline_access"'),
    "without": ACME.replace("[login.browser]", "[login.other]"),
}
"""What a reload may bring; a grant of `usual` is none for `elsewhere`."""


@dataclass(frozen=True)
class Item:
    """A keychain item without a row."""

    grant: Grant
    secret: Secret
    expected: int


class FaultyStore:
    """A store whose calls fail on demand; one that is `cut` is a dead agent's, and does nothing."""

    def __init__(self, below: MemoryStore) -> None:
        """Stand before a store that works."""
        self.below = below
        self.failing: frozenset[str] = frozenset()
        """Names of calls that fail; `*` for all of them."""
        self.cut = False
        self.stops = False
        """Whether a write waits for its agent's death between the item and its row."""
        self.items: dict[AccountKey, Item] = {}
        """What such a write has left; it outlives the agent, as the keychain does."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for every method of the port
        found = getattr(self.below, name)
        if name == "status" or not inspect.iscoroutinefunction(found):
            return found  # the status of a store that fails says so, and does not fail

        async def guarded(*words: object, **named: object) -> object:
            return await self._guarded(name, *words, **named)

        return guarded

    async def _guarded(self, name: str, *words: object, **named: object) -> Any:  # noqa: ANN401 - stands for every method
        if self.cut or {"*", name} & self.failing:
            message = "the disk is full"
            raise StoreUnavailableError(message)
        return await getattr(self.below, name)(*words, **named)

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Write by two steps, as a keychain does, where the agent is to die between them."""
        there = await self.below.current(grant.key)
        rotation = there is not None and there.obtained_at == grant.obtained_at
        if self.stops and rotation and not self.cut and not {"*", "write"} & self.failing:
            self.items[grant.key] = Item(grant, secret, expected)
            await asyncio.Event().wait()
        stored: Grant = await self._guarded("write", grant, secret, expected=expected)
        return stored

    async def adopt(self, key: AccountKey, presented: Presented) -> HeldGrant | None:
        """Keep the contract of the port, as tests/contract/test_store_adopting.py has it."""
        await self._guarded("current", key)
        item = self.items.get(key)
        held = await self.below.read(key)
        if item is None or held is None or held.grant.generation != item.expected:
            return None
        mark = await self.below.fingerprint(held.grant, held.secret)
        if not presented(await self.below.history(key), mark):
            return None
        new = await self._guarded("write", item.grant, item.secret, expected=item.expected)
        del self.items[key]
        return HeldGrant(new, item.secret)

    def left(self, key: AccountKey) -> str:
        """Return the token in an account's item without a row; empty where there is none."""
        item = self.items.get(key)
        return item.secret.reveal() if item is not None else ""

    async def close(self) -> None:
        """Keep everything: what the real ones have on disk outlives an agent."""


@dataclass
class Family:
    """What comes of one login at the provider."""

    alive: bool = True
    newest: str = ""
    """The only refresh token that is taken."""
    access: set[str] = field(default_factory=set)
    heard: bool = True
    """Whether the agent can know of `newest`: its answer arrived, and no crash took it away."""


class Families(FakeProvider):
    """Rotates without grace: a replay ends the login's family, and no other."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with no logins."""
        super().__init__(clock)
        self.mode = "good"
        self.of: dict[str, Family] = {}
        """By refresh token, whatever became of it."""
        self.ends: dict[str, Instant] = {}
        """By access token: when it ends."""
        self.presented: Counter[str] = Counter()
        """How often each token was presented after its rotation."""
        self.needless: list[str] = []
        """Those whose successor the agent had heard, and had where a crash does not take it."""
        self.unheard: Counter[str] = Counter()
        """How often the answer to each was lost on its way, and the agent lived to see that."""
        self.interrupted: Counter[str] = Counter()
        """How often the agent died over each since the provider last took it."""
        self.stolen: list[str] = []
        """Refresh tokens that went to another origin than that of their login."""
        self.seconds = 3600
        self.hold = ""
        """`before` or `after`: where a refresh waits for its agent's death."""
        self.serial = 0

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Guard the origins as the real one does, and see what goes elsewhere."""
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in allowed:
            message = f"{origin} is not listed"
            raise ConfigurationError(message)
        if origin != ORIGIN:
            values = (request.form or {}).values()
            sent = {v.reveal() for v in values if isinstance(v, Secret)}
            self.stolen += sorted(sent & self.of.keys())
            message = f"{origin} does not answer"
            raise TemporarilyUnavailableError(message)
        return await super().send(request, allowed=allowed, deadline=deadline)

    def given_up(self, family: Family) -> bool:
        """Tell whether a login may be given up that the provider takes: nobody can know that."""
        return not family.heard or self.interrupted[family.newest] >= INTERRUPTIONS

    async def _token(self, form: dict[str, str]) -> HttpReply:
        self.arrived.set()
        self.interrupted[form.get("refresh_token", "")] += bool(self.hold)
        if self.hold == "before":
            await asyncio.Event().wait()
        match self.mode:
            case "away":
                message = "acme.example does not answer"
                raise TemporarilyUnavailableError(message)
            case "broken":
                return self.json({}, 500)
            case "mute":
                return self.json({}, 400)
            case "busy":
                return self.json({"error": "temporarily_unavailable"}, 503)
            case _:
                pass
        family = Family() if "code" in form else self.of[form["refresh_token"]]
        newest = family.newest
        reply = self._login(family) if "code" in form else self._refresh(form)
        if newest != family.newest:
            family.heard = self.mode != "lost" and not self.hold
        if self.hold == "after":
            await asyncio.Event().wait()
        if self.mode == "lost":
            self.unheard[form.get("refresh_token", "")] += 1
            message = "the connection was reset"
            raise TemporarilyUnavailableError(message)
        return reply

    def _login(self, family: Family) -> HttpReply:
        return self._answer(family, rotated=True)

    def _refresh(self, form: dict[str, str]) -> HttpReply:
        old = form["refresh_token"]
        family = self.of[old]
        if old != family.newest:
            self.presented[old] += 1
            self.needless += [old] * family.heard
            family.alive = False
        if not family.alive:
            return self.json({"error": "invalid_grant"}, 400)
        self.refreshes += 1
        if not self.hold and self.mode != "lost":
            del self.interrupted[old]
        return self._answer(family, rotated=self.rotates)

    def _answer(self, family: Family, *, rotated: bool) -> HttpReply:
        self.serial += 1
        access = f"access-{self.serial}"
        self.ends[access] = self._clock.now().plus(self.seconds)
        family.access.add(access)
        said: dict[str, object] = {"access_token": access, "token_type": "Bearer"}
        said["expires_in"] = self.seconds
        if rotated:
            family.newest = f"refresh-{self.serial}"
            self.of[family.newest] = family
            said["refresh_token"] = family.newest
        return self.json(said)

    def _revoke(self, form: dict[str, str]) -> HttpReply:
        if self.mode in {"away", "broken", "busy"}:
            return self.json({}, 503)
        family = self.of.get(form["token"])
        if family is not None:
            family.alive = False
        return self.json({})


class FaultyWorld(World):
    """A broker with everything around it, which may be killed."""

    def __init__(self) -> None:
        """Begin signed out."""
        super().__init__(acme=ACME)
        self.families = self.provider = Families(self.clock)
        self.disk = self.store
        self.faulty = FaultyStore(self.disk)
        self.reborn()

    def reborn(self) -> None:
        """Begin anew over the same disk, as after a restart."""
        failing, items = self.faulty.failing, self.faulty.items
        self.faulty = FaultyStore(self.disk)
        self.faulty.failing, self.faulty.items = failing, items
        self.store = self.faulty  # type: ignore[assignment]  # it stands for every method
        self.restarted()

    async def killed(self) -> None:
        """End it as kill -9 does: nothing that is under way reaches the disk or the provider."""
        self.faulty.cut = True
        here = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not here]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self.families.hold = ""
        for family in self.families.of.values():
            family.heard &= await self._rests(family)
        self.reborn()

    async def _rests(self, family: Family) -> bool:
        """Tell whether a login's newest refresh token is in the store, with a row or without."""
        grants = await self.disk.list()
        held = [await self.disk.unseal(grant) for grant in grants if grant.ended is None]
        left = [item.secret for item in self.faulty.items.values()]
        return family.newest in {secret.reveal() for secret in (*held, *left)}

    def reload(self, name: str) -> None:
        """Put another definition in force."""
        self.catalogue = catalogue(acme=DEFINITIONS[name])
        self.broker.catalogue = self.catalogue


async def settled() -> None:
    """Let everything go on that waits for nothing but its turn."""
    for _ in range(60):
        await asyncio.sleep(0)
