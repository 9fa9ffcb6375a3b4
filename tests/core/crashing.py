"""A world whose agent can be killed between any two steps of a refresh."""

from collections.abc import Sequence
from typing import Any

from tests.core.fakes import ACME, KEY, World
from tool_agentd.adapters.store import MemoryStore
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import Grant, HttpRequest, JournalEntry, JournalEvent
from tool_agentd.secret import Secret

STEPS = ("before the intent", "after the intent", "acted", "answered", "stored")
"""Where the agent may die: the intent, the provider, the answer, the row."""


class Crash(BaseException):
    """Ends a task as kill -9 ends a process: nobody catches it."""


class MortalStore:
    """One agent's view of a store that outlives it; after its death nothing of it arrives."""

    def __init__(self, below: MemoryStore) -> None:
        """Live, until `step` is reached."""
        self.below = below
        self.step = ""
        self.dead = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of the store's
        """Return the store's own method."""
        return getattr(self.below, name)

    def reach(self, step: str) -> None:
        """Die here, if this is the step."""
        if step == self.step:
            self.dead = True
            raise Crash(step)

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Write to the journal; an intent may be the last thing that is done."""
        if self.dead:
            message = "dead"
            raise StoreUnavailableError(message)
        intent = any(e.event in {JournalEvent.INTENT, JournalEvent.REPLAYED} for e in entries)
        if intent:
            self.reach("before the intent")
        await self.below.record(entries)
        if intent:
            self.reach("after the intent")

    async def write(self, grant: Grant, secret: Secret, *, expected: int) -> Grant:
        """Store a rotation, and perhaps die before or after."""
        self.reach("answered")
        stored = await self.below.write(grant, secret, expected=expected)
        self.reach("stored")
        return stored


class Deaths:
    """A world in which the agent dies as often as it is told to."""

    def __init__(self) -> None:
        """Begin with the first agent, which lives."""
        self.world = World(acme=ACME)
        self.below = self.world.store
        self.store = MortalStore(self.below)
        self._send = self.world.provider.send
        self.world.provider.send = self._sent  # type: ignore[method-assign]  # to die after it
        self.born()

    def born(self, step: str = "") -> None:
        """Start an agent over the same store; it dies at `step`."""
        self.store = MortalStore(self.below)
        self.store.step = step
        self.world.store = self.store  # type: ignore[assignment]  # the store as this agent sees it
        self.world.restarted()

    async def _sent(self, request: HttpRequest, **how: Any) -> Any:  # noqa: ANN401 - passed on
        reply = await self._send(request, **how)
        self.store.reach("acted")
        return reply

    async def events(self) -> list[str]:
        """Return what the journal has, by name."""
        return [entry.event.value for entry in await self.below.history(KEY)]
