"""The lock's states and its pauses, without a clock, a store or scrypt."""

import pytest

from tool_agentd.broker import lock
from tool_agentd.broker.lock import Locked, Tries, Unknown, Unlocked
from tool_agentd.errors import LockedError
from tool_agentd.model import Instant, StoredLock, Verifier

KNOWN = lock.verifier(b"salt", 1024, b"key")
NOW = Instant(1_000_000.0, 500.0)


def test_only_the_right_key_fits() -> None:
    """The check is of the key, and is not the key."""
    assert lock.fits(KNOWN, b"key")
    assert not lock.fits(KNOWN, b"kez")
    assert b"key" not in KNOWN.check


@pytest.mark.parametrize("state", [Unknown(), Unknown("the disk is gone"), Locked(KNOWN)])
def test_what_is_not_open_is_not_locked_again(state: lock.State) -> None:
    """A second lock would put another passphrase in the place of the first."""
    with pytest.raises(LockedError):
        lock.lock(state, KNOWN, keep=False)


@pytest.mark.parametrize("keep", [False, True])
def test_an_unlock_keeps_what_was_to_be_kept(keep: bool) -> None:  # noqa: FBT001 - a parameter
    """The verifier stays for later locks only where that was asked for."""
    locked = lock.lock(Unlocked(), KNOWN, keep=keep)
    assert locked == Locked(KNOWN, keep)
    assert lock.unlocked(locked) == Unlocked(KNOWN if keep else None)


def test_pauses_double_up_to_ten_seconds() -> None:
    """Promise 13: 1, 2, 4, 8, 10, and 10 for ever."""
    assert [lock.pause(n) for n in (0, 1, 2, 3, 4, 5, 6, 1000)] == [0, 1, 2, 4, 8, 10, 10, 10]
    tries = Tries()
    waits = []
    for _ in range(6):
        tries = lock.failed(tries, NOW)
        waits.append(lock.wait(tries, NOW))
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (Instant(NOW.wall + 3, NOW.boot + 3), 1.0),
        (Instant(NOW.wall + 9, NOW.boot + 9), 0.0),
        (Instant(NOW.wall + 9_999, NOW.boot), 4.0),
        (Instant(NOW.wall - 9_999, NOW.boot + 3), 1.0),
    ],
)
def test_a_pause_is_of_the_clock_that_nobody_sets(later: Instant, left: float) -> None:
    """Setting the date neither shortens a pause nor makes it longer."""
    assert lock.wait(lock.waiting(3, NOW), later) == left


STORED: list[tuple[lock.State, StoredLock | None]] = [
    (Unlocked(), None),
    (Unknown(), None),
    (Unlocked(KNOWN), StoredLock(KNOWN, locked=False, keep=True)),
    (Locked(KNOWN), StoredLock(KNOWN, locked=True, keep=False, failures=2)),
    (Locked(KNOWN, keep=True), StoredLock(KNOWN, locked=True, keep=True, failures=2)),
]


@pytest.mark.parametrize(("state", "stored"), STORED)
def test_a_restart_finds_the_state_again(state: lock.State, stored: StoredLock | None) -> None:
    """What is stored gives the same state, with the wrong passphrases and a pause from now."""
    assert lock.stored(state, Tries(2)) == stored
    found, tries = lock.found(stored, NOW)
    if isinstance(state, Unknown):
        assert found == Unlocked()
    else:
        assert found == lock.saved(state)
    assert lock.wait(tries, NOW) == (2 if isinstance(state, Locked) else 0)


def test_a_verifier_shows_nothing_of_itself() -> None:
    """Neither salt nor check reaches a log by its repr."""
    assert repr(Verifier(b"salt-bytes", 1024, b"check-bytes")) == "Verifier(cost=1024)"
