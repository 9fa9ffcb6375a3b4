"""Breaker: when a far end that has failed may be asked again. Pure; time and chance are arguments.

The law: after a failure nobody asks before the wait is over; then one attempt goes first, and only
its success lets the others follow. A wait ends when either clock says so, so that a clock that is
set back prolongs none, and sleep counts.
"""

from dataclasses import dataclass, replace

from tool_agentd.broker.backoff import FIRST, LONGEST, pause
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.model import Instant

UNREACHED = 30.0
"""The longest wait where no connection came about. Nothing reached the provider, so nothing is
spared by waiting longer, and a laptop that is online again should notice at once."""
PROBE = 10.0
"""Seconds for which the first attempt after a wait keeps the others behind it. A probe may hang
for two minutes; others may then try their luck."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of one far end."""

    failures: int = 0
    """In a row; 0: it answers."""
    reason: str = ""
    """What it failed with last, as callers are told."""
    kind: type[AgentError] = TemporarilyUnavailableError
    """The error that callers get meanwhile."""
    until: Instant | None = None
    """When it may be asked again."""
    probe: Instant | None = None
    """Until when the attempt under way goes first."""
    round: int = 0
    """Counts the outcomes: an attempt that left in an earlier round brings no news of a failure."""


@dataclass(frozen=True, slots=True)
class Go:
    """Ask. `probe`: you go first."""

    round: int
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """Another goes first; wait for what comes of it, so many seconds at most."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Do not ask for so many seconds."""

    seconds: float
    reason: str
    kind: type[AgentError] = TemporarilyUnavailableError

    def error(self) -> AgentError:
        """Return what a caller is told at once."""
        hint = f"the login is kept; the provider is asked again in {max(1, round(self.seconds))} s"
        return self.kind(self.reason, hint=hint, retry_after=self.seconds)


def decide(state: Breaker, now: Instant) -> Go | Join | Hold:
    """Decide whether the far end may be asked now."""
    if not state.failures:
        return Go(state.round)
    left = now.until(state.until) if state.until is not None else 0.0
    if left > 0:
        return Hold(left, state.reason, state.kind)
    ahead = now.until(state.probe) if state.probe is not None else 0.0
    return Join(ahead) if ahead > 0 else Go(state.round, probe=True)


def probing(state: Breaker, now: Instant) -> Breaker:
    """Return the state in which one attempt goes first."""
    return replace(state, probe=now.plus(PROBE))


def released(state: Breaker) -> Breaker:
    """Return the state after an attempt that taught nothing: another may go first."""
    return replace(state, probe=None)


def succeeded(state: Breaker) -> Breaker:
    """Return the state after an answer, whenever its attempt left."""
    return Breaker(round=state.round + 1)


def failed(  # noqa: PLR0913 - what a failure is judged by, all of it named
    state: Breaker,
    now: Instant,
    error: AgentError,
    *,
    left: int,
    draw: float,
    longest: float = LONGEST,
) -> Breaker:
    """Return the state after a failure of an attempt that left in round `left`.

    `draw` in 0..1 is the chance in the wait. Of attempts that were under way together only the
    first to fail counts: twenty accounts that lose the network at once are one outage. Where the
    provider says itself when to come back (`error.retry_after`), that counts, for late ones too.
    """
    said = error.retry_after
    if left != state.round:
        later = now.plus(said) if said is not None and state.failures else None
        if later is not None and (state.until is None or state.until.boot < later.boot):
            return replace(state, until=later)
        return state
    failures = state.failures + 1
    wait = max(FIRST, said) if said is not None else pause(failures, draw, longest)
    return Breaker(failures, error.detail, type(error), until=now.plus(wait), round=state.round + 1)
