"""Flights: identical requests share one renewal, which outlives its impatient callers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tool_agentd.broker import breaker
from tool_agentd.broker.breaker import Breaker, Hold
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.model import AccessToken, AccountKey, TokenKey
from tool_agentd.ports import Clock

PATIENCE = 9.0
"""Seconds that a caller waits. Every caller hears something within ten (promise 20)."""

log = logging.getLogger(__name__)

FlightKey = tuple[AccountKey, TokenKey]
Flight = Callable[[], Awaitable[AccessToken]]
"""What begins a renewal."""


class Flights:
    """The renewals in the air, one a key.

    A flight belongs to nobody who waits for it: a caller that goes away cancels nothing, because
    hanging up on a rotating refresh throws the login away.
    """

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        """Start with none in the air; `draw` gives chance in 0..1."""
        self._clock = clock
        self._draw = draw
        self._tasks: dict[FlightKey, asyncio.Task[AccessToken]] = {}
        self._resting: dict[FlightKey, Breaker] = {}
        """Flights behind a caller's back that have failed, for whatever reason."""
        self._callers: set[asyncio.Future[AgentError]] = set()
        """One for each caller who waits: what they are told where they are to wait no more."""

    def behind(self, key: FlightKey, fly: Callable[[], Awaitable[AccessToken]]) -> None:
        """Start the flight of `key` for nobody who waits, unless one has failed just now.

        What is served meanwhile is good, so each failure, a locked keychain too, earns a wait:
        a hundred requests for a token that cannot be renewed are not a hundred attempts.
        """
        resting = self._resting.get(key)
        if key in self._tasks:
            return
        if resting and isinstance(breaker.decide(resting, self._clock.now()), Hold):
            return
        self.launch(key, fly).add_done_callback(lambda done: self._rested(key, done))

    def _rested(self, key: FlightKey, task: asyncio.Task[AccessToken]) -> None:
        error = None if task.cancelled() else task.exception()
        before = self._resting.pop(key, Breaker())
        if error is None:
            return
        failure = error if isinstance(error, AgentError) else TemporarilyUnavailableError("")
        self._resting[key] = breaker.failed(
            before, self._clock.now(), failure, left=before.round, draw=self._draw()
        )

    def launch(self, key: FlightKey, fly: Flight) -> asyncio.Task[AccessToken]:
        """Return the flight of `key`, starting it where there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(fly())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    async def join(self, key: FlightKey, fly: Flight) -> AccessToken:
        """Wait for the flight of `key`, for as long as a caller should.

        Raises what the flight raises, TemporarilyUnavailableError when it takes longer, or the
        error of `let_go`.
        """
        task = self.launch(key, fly)
        caller: asyncio.Future[AgentError] = asyncio.get_running_loop().create_future()
        self._callers.add(caller)
        either: set[asyncio.Future[Any]] = {task, caller}
        try:
            await asyncio.wait(either, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._callers.discard(caller)
        if caller.done():
            raise caller.result()
        if not task.done():
            message = f"the provider of {key[0]} has not answered for {PATIENCE:.0f} s"
            raise TemporarilyUnavailableError(
                message, hint="try again in a few seconds; the renewal goes on", retry_after=2
            )
        return task.result()

    def let_go(self, error: AgentError) -> None:
        """Have everyone who waits hear `error` now; the flights go on."""
        for caller in self._callers:
            if not caller.done():
                caller.set_result(error)

    def _landed(self, key: FlightKey, task: asyncio.Task[AccessToken]) -> None:
        del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, AgentError):
            log.info("%s: %s", key[0], error.detail)
        elif error is not None:
            log.error("%s: a renewal failed", key[0], exc_info=error)

    @property
    def accounts(self) -> list[AccountKey]:
        """The accounts that are being renewed."""
        return sorted({key for key, _ in self._tasks})

    async def land(self) -> None:
        """Wait for every flight to end: nothing in the air is thrown away at shutdown."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))
