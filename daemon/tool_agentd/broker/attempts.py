"""Attempts: whether a refresh token may be presented now, read from its account's history. Pure.

A rotating token that is presented twice may cost the whole login; one that was presented and whose
answer nobody heard may have been rotated, and its successor is lost. So each presentation is in the
journal before it happens. One without a result was interrupted: its writer is dead, or the machine
lost power. Such a token is presented once more, and then never again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tool_agentd.model import JournalEntry, JournalEvent

INTERRUPTIONS = 2
"""Presentations without a result after which there is no further one: the first, and its replay."""

INTENTS = frozenset({JournalEvent.INTENT, JournalEvent.REPLAYED})
_SETTLED = frozenset({JournalEvent.RENEWED, JournalEvent.LOGIN})
"""The provider took the token and left it as it was, or gave it anew: whatever was open before is
settled. One that was rotated and is asked about all the same has lost its successor, and is as open
as ever."""
_CAME_TO_NOTHING = frozenset(
    {JournalEvent.FAILED, JournalEvent.UNSENT, JournalEvent.AMBIGUOUS, JournalEvent.REFUSED}
)
"""What came of one presentation, heard by who made it. An earlier one stays as open as it was."""


@dataclass(frozen=True, slots=True)
class Present:
    """Go on: write this event with this number, then post."""

    event: JournalEvent
    attempt: int
    fingerprint: str = ""
    """Of the token that is presented; the journal puts it in."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Present it no more; the session is over, for this reason."""

    reason: str


def unanswered(history: Sequence[JournalEntry], fingerprint: str) -> tuple[JournalEntry, ...]:
    """Return the presentations of a token whose end was never stored, the oldest first."""
    open_: list[JournalEntry] = []
    for entry in history:
        if entry.fingerprint != fingerprint:
            continue
        if entry.event in INTENTS:
            open_.append(entry)
        elif entry.event in _SETTLED:
            open_.clear()
        elif entry.event in _CAME_TO_NOTHING and open_:
            open_.pop()
    return tuple(open_)


def presented(history: Sequence[JournalEntry], fingerprint: str) -> bool:
    """Implement `ports.Presented`."""
    return bool(unanswered(history, fingerprint))


def attempt(
    history: Sequence[JournalEntry], fingerprint: str, wall: float, grace: float
) -> Present | GiveUp:
    """Decide whether the token with this fingerprint may be presented at `wall`.

    The caller holds the account's lease: nobody else presents it now through this store. `grace` in
    seconds is how long the provider forgives a replay.
    """
    last = next((entry for entry in reversed(history) if _of(entry, fingerprint)), None)
    if last is not None and last.event is JournalEvent.REFUSED:  # and its end could not be stored
        return GiveUp(last.detail)
    open_ = unanswered(history, fingerprint)
    number = 1 + _since_answer(history, fingerprint)
    if not open_:
        return Present(JournalEvent.INTENT, number)
    if len(open_) >= INTERRUPTIONS:
        return GiveUp(
            "its renewal was interrupted twice before the provider's answer came, and a refresh"
            " token is not presented a third time"
        )
    (once,) = open_
    # Written under the very lease that is held now: who wrote it is dead, and no other holder of
    # the token can exist. Under another lease (a store that was copied) one may.
    if once.here or 0 <= wall - once.at <= grace:
        return Present(JournalEvent.REPLAYED, number)
    return GiveUp(
        "its renewal was interrupted under another lease than this store's (a copy of the store?),"
        f" more than {grace:.0f} s ago, and may have been finished elsewhere"
    )


def _of(entry: JournalEntry, fingerprint: str) -> bool:
    """Tell whether an entry is a presentation of the token, or what came of one."""
    kinds = INTENTS | _SETTLED | _CAME_TO_NOTHING
    return entry.fingerprint == fingerprint and entry.event in kinds


def _since_answer(history: Sequence[JournalEntry], fingerprint: str) -> int:
    """Return how often the token was presented since the provider last took it."""
    count = 0
    for entry in history:
        if entry.fingerprint == fingerprint:
            if entry.event in INTENTS:
                count += 1
            elif entry.event in _SETTLED:
                count = 0
    return count
