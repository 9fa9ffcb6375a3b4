"""When a refresh token may be presented, read from a history; how long to wait between tries."""

import random
from dataclasses import replace

import pytest

from tests.core.fakes import KEY
from tool_agentd.broker import backoff
from tool_agentd.broker.attempts import GiveUp, Present, attempt, unanswered
from tool_agentd.model import Instant, JournalEntry, JournalEvent

THIS, OTHER = "aaaa", "bbbb"
NOW, GRACE = 1000.0, 30.0
E = JournalEvent


def told(*events: JournalEvent, at: float = NOW, here: bool = True) -> list[JournalEntry]:
    """Return a history of one token."""
    return [JournalEntry(at, KEY, event, fingerprint=THIS, here=here) for event in events]


@pytest.mark.parametrize(
    ("events", "decided"),
    [
        ((), Present(E.INTENT, 1)),
        ((E.INTENT, E.RENEWED), Present(E.INTENT, 1)),
        ((E.INTENT, E.FAILED), Present(E.INTENT, 2)),
        ((E.INTENT, E.FAILED) * 5, Present(E.INTENT, 6)),
        ((E.INTENT, E.UNSENT), Present(E.INTENT, 2)),
        ((E.INTENT, E.AMBIGUOUS), Present(E.INTENT, 2)),
        ((E.INTENT,), Present(E.REPLAYED, 2)),
        ((E.INTENT, E.ROTATED), Present(E.REPLAYED, 2)),
        ((E.INTENT, E.REPLAYED, E.FAILED), Present(E.REPLAYED, 3)),
        ((E.INTENT, E.REPLAYED, E.RENEWED), Present(E.INTENT, 1)),
        ((E.INTENT, E.REPLAYED, E.LOGIN), Present(E.INTENT, 1)),
        ((E.INTENT, E.REFUSED, E.LOGIN), Present(E.INTENT, 1)),
        ((E.INTENT, E.REPLAYED, E.RENEWED, E.INTENT), Present(E.REPLAYED, 2)),
    ],
)
def test_what_a_history_permits(events: tuple[JournalEvent, ...], decided: Present) -> None:
    """A result closes its presentation; one without a result is followed by one replay."""
    assert attempt(told(*events), THIS, NOW, GRACE) == decided


@pytest.mark.parametrize("between", [(), (E.ROTATED,), (E.FAILED,), (E.UNSENT,), (E.AMBIGUOUS,)])
def test_two_without_a_result_are_the_last(between: tuple[JournalEvent, ...]) -> None:
    """There is no third presentation, whatever failed in an orderly way between."""
    if between in {(), (E.ROTATED,)}:  # a rotation that was lost settles nothing
        history = told(E.INTENT, *between, E.REPLAYED)
    else:
        history = told(E.INTENT, E.REPLAYED, *between, E.REPLAYED)
    decided = attempt(history, THIS, NOW, GRACE)
    assert isinstance(decided, GiveUp)
    assert "interrupted twice" in decided.reason


def test_what_was_refused_is_not_presented_again() -> None:
    """Its end could not be stored, and the agent that heard it is gone: the reason is there yet."""
    history = [*told(E.INTENT, E.REPLAYED), replace(*told(E.REFUSED), detail="invalid_grant")]
    history += told(E.REVOKED)
    assert attempt(history, THIS, NOW, GRACE) == GiveUp("invalid_grant")


def test_another_tokens_history_counts_for_nothing() -> None:
    """A login, or a rotation that was stored, begins anew: the fingerprint is another."""
    history = told(E.INTENT, E.REPLAYED)
    assert attempt(history, OTHER, NOW, GRACE) == Present(E.INTENT, 1)
    assert [entry.event for entry in unanswered(history, THIS)] == [E.INTENT, E.REPLAYED]


@pytest.mark.parametrize(
    ("age", "may"), [(0, True), (GRACE, True), (GRACE + 1, False), (-1, False)]
)
def test_under_another_lease_the_grace_decides(age: float, may: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """In a store that was copied another holder may live: only a young intent is replayed."""
    history = told(E.INTENT, at=NOW - age, here=False)
    decided = attempt(history, THIS, NOW, GRACE)
    assert isinstance(decided, Present) is may
    assert isinstance(attempt(told(E.INTENT, at=NOW - age), THIS, NOW, GRACE), Present)


def test_pauses_grow_within_their_bounds() -> None:
    """One second at least, five minutes at most, doubled at each failure, and spread in full."""
    assert [backoff.pause(n, 1.0) for n in (1, 2, 3, 8, 9, 1000)] == [2, 4, 8, 256, 300, 300]
    assert [backoff.pause(n, 0.0) for n in (1, 50)] == [1, 1]
    chance = random.Random(4)  # noqa: S311 - a test's own spread
    many = [backoff.pause(20, chance.random()) for _ in range(1000)]
    assert min(many) < 10
    assert max(many) > 290


def test_either_clock_ends_a_wait() -> None:
    """A wall clock that was set back does not keep anything waiting for an hour."""
    now = Instant(1000.0, 50.0)
    first = backoff.Waiting.after(None, now, 1.0)
    assert (first.failures, first.over(now)) == (1, False)
    assert first.over(Instant(0.0, 52.0))
    assert first.over(Instant(1002.0, 50.0))
    assert backoff.Waiting.after(first, now, 1.0).due == now.plus(4)
