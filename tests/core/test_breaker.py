"""The breaker: when a far end that has failed may be asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.broker import breaker
from tool_agentd.broker.backoff import FIRST, LONGEST, pause
from tool_agentd.broker.breaker import PROBE, UNREACHED, Breaker, Go, Hold, Join
from tool_agentd.errors import AgentError, LoginRequiredError, TemporarilyUnavailableError
from tool_agentd.model import Instant

NOW = Instant(1_000_000.0, 500.0)
DOWN = TemporarilyUnavailableError("acme.example answered 500")


def opened(
    state: Breaker | None = None, error: AgentError = DOWN, draw: float = 1.0, now: Instant = NOW
) -> Breaker:
    """Return the state after one more failure."""
    state = state or Breaker()
    return breaker.failed(state, now, error, left=state.round, draw=draw)


def held(state: Breaker, now: Instant = NOW) -> Hold:
    """Return the hold that stands."""
    decision = breaker.decide(state, now)
    assert isinstance(decision, Hold)
    return decision


def test_what_has_not_failed_is_asked() -> None:
    """Any number at once: nobody goes first."""
    assert breaker.decide(Breaker(), NOW) == Go(0)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, LONGEST), (10**6, LONGEST)]
)
def test_a_wait_doubles_to_its_cap_and_is_left_to_chance(failures: int, ceiling: float) -> None:
    """Between one second and the ceiling, all of the span, and never above five minutes."""
    assert pause(failures, 0.0) == FIRST
    assert pause(failures, 1.0) == ceiling
    assert pause(failures, 0.5) == (FIRST + ceiling) / 2


def test_nothing_reached_the_provider_so_the_cap_is_lower() -> None:
    """A laptop that is online again is not kept waiting for five minutes."""
    assert pause(50, 1.0, UNREACHED) == UNREACHED


def test_callers_hear_at_once_why_and_for_how_long() -> None:
    """The reason of the last failure, its kind, and the seconds that are left."""
    state = opened()
    error = held(state, NOW.plus(0.5)).error()
    assert type(error) is TemporarilyUnavailableError
    assert (error.detail, error.retry_after) == (DOWN.detail, 1.5)
    login = held(opened(error=LoginRequiredError("no reason given"))).error()
    assert type(login) is LoginRequiredError


def test_after_the_wait_one_goes_first() -> None:
    """The others wait for what comes of it, and after a while try their own luck."""
    state = opened()
    later = NOW.plus(2)
    assert breaker.decide(state, later) == Go(1, probe=True)
    probing = breaker.probing(state, later)
    assert breaker.decide(probing, later.plus(1)) == Join(PROBE - 1)
    assert breaker.decide(probing, later.plus(PROBE)) == Go(1, probe=True)
    assert breaker.decide(breaker.released(probing), later) == Go(1, probe=True)
    assert breaker.decide(breaker.succeeded(probing), later) == Go(2)
    assert held(opened(probing, now=later), later).seconds == 4


def test_attempts_that_fail_together_are_one_failure() -> None:
    """Twenty accounts lose the network at once: the wait is that of one outage."""
    state = Breaker()
    after = state
    for _ in range(20):
        after = breaker.failed(after, NOW, DOWN, left=state.round, draw=1.0)
    assert (after.failures, held(after).seconds) == (1, 2)


def test_the_providers_word_counts_before_ours() -> None:
    """Retry-After, shorter or longer than the backoff; never less than a second."""
    for said, wait in ((120.0, 120.0), (3.0, 3.0), (0.0, FIRST)):
        busy = TemporarilyUnavailableError("busy", retry_after=said)
        state = opened()
        for _ in range(5):
            state = opened(state)
        assert held(opened(state, busy)).seconds == wait


def test_a_late_word_of_the_provider_prolongs_the_wait() -> None:
    """Of two attempts that were under way together the second brought Retry-After."""
    state = opened()
    busy = TemporarilyUnavailableError("busy", retry_after=60)
    after = breaker.failed(state, NOW, busy, left=0, draw=1.0)
    assert (after.failures, held(after).seconds) == (1, 60)
    sooner = TemporarilyUnavailableError("busy", retry_after=1)
    assert breaker.failed(after, NOW, sooner, left=0, draw=1.0) is after


@pytest.mark.parametrize(
    "jump",
    [
        Instant(NOW.wall + 365 * 86400, NOW.boot),  # the wall clock is set forward
        Instant(NOW.wall + 3600, NOW.boot + 3600),  # an hour of sleep
        Instant(NOW.wall - 365 * 86400, NOW.boot + LONGEST),  # set back, and the wait is over
    ],
)
def test_no_jump_of_a_clock_prolongs_a_wait(jump: Instant) -> None:
    """It ends when either clock says so."""
    state = opened()
    for _ in range(20):
        state = opened(state)
    assert isinstance(breaker.decide(state, jump), Go)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fail", "busy", "answer", "late"]),
            st.floats(0, 1),
            st.floats(0, 2000),
            st.floats(0, 900),
        ),
        max_size=40,
    )
)
def test_a_wait_is_bounded_whatever_happens(story: list[tuple[str, float, float, float]]) -> None:
    """Between one second and the provider's longest word; after it somebody may ask."""
    state, now = Breaker(), NOW
    for what, draw, passes, said in story:
        word = TemporarilyUnavailableError("busy", retry_after=said)
        match what:
            case "fail":
                state = opened(state, draw=draw, now=now)
                assert FIRST <= held(state, now).seconds <= LONGEST
            case "busy":
                state = opened(state, word, draw, now)
                assert FIRST <= held(state, now).seconds <= max(FIRST, 900)
            case "answer":
                state = breaker.succeeded(state)
                assert isinstance(breaker.decide(state, now), Go)
            case _:
                state = breaker.failed(state, now, word, left=-1, draw=draw)
        now = now.plus(passes)
        assert isinstance(breaker.decide(state, now.plus(1000)), Go)
