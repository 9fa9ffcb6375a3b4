"""The lock of the agent: whether it serves, and when the next passphrase may be tried.

Pure: each change is a function of the state before it, and time is an argument. Whoever holds the
state, shuts the gate and writes it down is `locking`.
"""

import hmac
from dataclasses import dataclass, field, replace

from tool_agentd.errors import LockedError
from tool_agentd.model import Instant, StoredLock, Verifier

LONGEST = 10.0
"""Seconds between two wrong passphrases at most (promise 13)."""
DOUBLINGS = 4
"""2^4 s is past the longest pause; more would only make large numbers."""

CHECK = b"tool-agent lock check 1"
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Unknown:
    """The store has not told yet; it counts as locked. `why` it has not, once it was asked."""

    why: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The agent serves. `kept` recognises the passphrase of a lock that nobody has to type."""

    kept: Verifier | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """Nothing is served until the passphrase comes."""

    verifier: Verifier
    keep: bool = False
    """Whether the verifier stays beyond the unlock."""
    saved: bool = False
    """Whether an agent that restarts would start locked."""


State = Unknown | Unlocked | Locked


@dataclass(frozen=True, slots=True)
class Tries:
    """The wrong passphrases in a row, and when the next one is looked at."""

    failures: int = 0
    due: Instant = field(default_factory=lambda: Instant(0.0, 0.0))


def verifier(salt: bytes, cost: int, key: bytes) -> Verifier:
    """Return what recognises a passphrase by the key that was stretched from it."""
    return Verifier(salt, cost, _check(key))


def fits(known: Verifier, key: bytes) -> bool:
    """Tell, in constant time, whether a key was stretched from the right passphrase."""
    return hmac.compare_digest(_check(key), known.check)


def _check(key: bytes) -> bytes:
    return hmac.digest(key, CHECK, "sha256")


def lock(state: State, known: Verifier, *, keep: bool) -> Locked:
    """Return the locked state. Raises LockedError where it is locked already."""
    if not isinstance(state, Unlocked):
        message = "the agent is locked already"
        raise LockedError(message, hint="run 'tool-agent unlock'")
    return Locked(known, keep)


def unlocked(state: Locked) -> Unlocked:
    """Return the state after the right passphrase."""
    return Unlocked(state.verifier if state.keep else None)


def wait(tries: Tries, now: Instant) -> float:
    """Return the seconds until a passphrase is looked at; 0 where one may be tried now."""
    # By the clock that nobody sets: an earlier or later date must not shorten it.
    return max(0.0, tries.due.boot - now.boot) if tries.failures else 0.0


def failed(tries: Tries, now: Instant) -> Tries:
    """Return the count after one more passphrase, which is wrong until it is shown to be right."""
    return waiting(tries.failures + 1, now)


def waiting(failures: int, now: Instant) -> Tries:
    """Return a count whose pause begins now."""
    return Tries(failures, now.plus(pause(failures)))


def pause(failures: int) -> float:
    """Return the seconds to wait after so many wrong ones: 1, 2, 4, 8, and then 10."""
    return min(LONGEST, 2.0 ** min(failures - 1, DOUBLINGS)) if failures > 0 else 0.0


def stored(state: State, tries: Tries) -> StoredLock | None:
    """Return what the store keeps of a state: nothing where there is nothing to know again."""
    match state:
        case Locked(known, keep):
            return StoredLock(known, locked=True, keep=keep, failures=tries.failures)
        case Unlocked(Verifier() as known):
            return StoredLock(known, locked=False, keep=True, failures=0)
        case _:
            return None


def found(what: StoredLock | None, now: Instant) -> tuple[State, Tries]:
    """Return the state that the store has; a restart does not forget the wrong passphrases."""
    if what is None:
        return Unlocked(), Tries()
    if not what.locked:
        return Unlocked(what.verifier), Tries()
    state = Locked(what.verifier, what.keep, saved=True)
    return state, waiting(what.failures, now) if what.failures else Tries()


def saved(state: State) -> State:
    """Return the state once the store has it."""
    return replace(state, saved=True) if isinstance(state, Locked) else state
