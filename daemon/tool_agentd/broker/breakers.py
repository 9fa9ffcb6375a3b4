"""Breakers: one for each token endpoint, and one for each login there.

An endpoint that fails is everyone's matter; a login that alone is answered with failures must not
keep the others of its provider waiting, so it has a wait of its own, which only its own success
ends. They are in memory only: an agent that starts anew may ask once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tool_agentd.broker import breaker
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.broker.breaker import Breaker, Go, Hold, Join
from tool_agentd.errors import (
    AgentError,
    ProviderError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import AccountKey, Grant
from tool_agentd.oauth import token
from tool_agentd.oauth.registration import Registration
from tool_agentd.ports import Clock

log = logging.getLogger(__name__)

LoginKey = tuple[str, AccountKey, float]
"""Endpoint, account and the moment of the login: a new login, or endpoint, begins afresh."""


def endpoint_of(registration: Registration) -> str:
    """Return what stands for the place where a login is renewed: its issuer, or the address."""
    return registration.refresh or registration.issuer or registration.token or ""


class Breakers:
    """The states, and the one place where they change."""

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        """Start with every endpoint answering; `draw` gives chance in 0..1."""
        self._clock = clock
        self._draw = draw
        self._endpoints: dict[str, Breaker] = {}
        self._logins: dict[LoginKey, Breaker] = {}
        self._outcomes: dict[str, asyncio.Event] = {}
        """Set when a probe has come to something."""

    def check(self, endpoint: str, grant: Grant) -> None:
        """Raise at once what an attempt would now; it costs no disk and no lease."""
        now = self._clock.now()
        states = self._login(endpoint, grant), self._endpoint(endpoint)
        holds = [one for one in (breaker.decide(s, now) for s in states) if isinstance(one, Hold)]
        if holds:
            raise max(holds, key=lambda hold: hold.seconds).error()

    @asynccontextmanager
    async def attempt(self, endpoint: str, grant: Grant) -> AsyncIterator[None]:
        """Ask the endpoint for a login, in the body; what it raises is what came of it.

        Raises TemporarilyUnavailableError, or what the login met last, where it is not yet time.
        A failure that passes through says from then on when it is worth trying again.
        """
        go = await self._admitted(endpoint, grant)
        try:
            yield
        except (TemporarilyUnavailableError, ProviderError) as error:
            self._failed(endpoint, grant, error, go)
            raise
        except BaseException:
            if go.probe:
                self._endpoints[endpoint] = breaker.released(self._endpoint(endpoint))
            raise
        else:
            self._answered(endpoint)
        finally:
            outcome = self._outcomes.pop(endpoint, None) if go.probe else None
            if outcome is not None:
                outcome.set()

    async def _admitted(self, endpoint: str, grant: Grant) -> Go:
        while True:
            self.check(endpoint, grant)
            now = self._clock.now()
            decision = breaker.decide(self._endpoint(endpoint), now)
            if isinstance(decision, Go):
                if decision.probe:
                    self._endpoints[endpoint] = breaker.probing(self._endpoint(endpoint), now)
                    self._outcomes[endpoint] = asyncio.Event()
                return decision
            if isinstance(decision, Join):
                await self._outcome(endpoint, decision.seconds)

    async def _outcome(self, endpoint: str, seconds: float) -> None:
        """Wait for what comes of the attempt that goes first, as long as it does."""
        outcome = self._outcomes.get(endpoint)
        if outcome is None:
            self._endpoints[endpoint] = breaker.released(self._endpoint(endpoint))
            return
        try:
            async with asyncio.timeout(seconds):
                await outcome.wait()
        except TimeoutError:
            self._endpoints[endpoint] = breaker.released(self._endpoint(endpoint))

    def renewed(self, endpoint: str, grant: Grant) -> None:
        """Note that a login was renewed: it is well, however it was before."""
        self._logins.pop(_key(endpoint, grant), None)

    def doubted(self, endpoint: str, grant: Grant, error: AgentError) -> float:
        """Note an answer that is this login's matter alone; return the seconds it has to wait."""
        state = self._login(endpoint, grant)
        after = breaker.failed(state, self._clock.now(), error, left=state.round, draw=self._draw())
        self._logins[_key(endpoint, grant)] = after
        return self._wait(after)

    def _failed(self, endpoint: str, grant: Grant, error: AgentError, go: Go) -> None:
        longest = breaker.UNREACHED if isinstance(error, UnreachableError) else LONGEST
        now, draw = self._clock.now(), self._draw()
        before = self._endpoint(endpoint)
        after = breaker.failed(before, now, error, left=go.round, draw=draw, longest=longest)
        self._endpoints[endpoint] = after
        wait = self._wait(after)
        if not isinstance(error, UnreachableError):  # that says nothing of the login
            wait = max(wait, self.doubted(endpoint, grant, error))
        if after is not before:
            log.info("%s; asked again in %.0f s", error.detail, self._wait(after))
        error.retry_after = wait
        error.hint = error.hint or "the login is kept; try again then"

    def _answered(self, endpoint: str) -> None:
        state = self._endpoint(endpoint)
        if state.failures:
            log.info("%s answers again", endpoint)
            self._endpoints[endpoint] = breaker.succeeded(state)

    def _wait(self, state: Breaker) -> float:
        return max(0.0, self._clock.now().until(state.until)) if state.until is not None else 0.0

    def _endpoint(self, endpoint: str) -> Breaker:
        return self._endpoints.get(endpoint, Breaker())

    def _login(self, endpoint: str, grant: Grant) -> Breaker:
        return self._logins.get(_key(endpoint, grant), Breaker())


def _key(endpoint: str, grant: Grant) -> LoginKey:
    return endpoint, grant.key, grant.obtained_at


def judge(outcome: token.TokenOutcome) -> token.TokenOutcome:
    """Return an answer that the endpoint has given; raise what is none, to be tried again."""
    if isinstance(outcome, token.Busy | token.Transient):
        raise token.failure_error(outcome)
    return outcome
