"""Backoff: how long to wait before something that failed is tried again. Pure; chance is given."""

from dataclasses import dataclass

from tool_agentd.model import Instant

FIRST = 1.0
"""Seconds: the least, so that a fault which lasts is not asked about without a pause."""
LONGEST = 300.0
"""Seconds: the most, so that what was mended is noticed within minutes."""
DOUBLINGS = 9
"""2^9 s is past the longest wait; more would only make large numbers."""


def pause(failures: int, chance: float, longest: float = LONGEST) -> float:
    """Return the seconds to wait after so many failures in a row: FIRST to `longest`.

    Full jitter above FIRST: `chance` in 0..1 is the share of the span up to this stage's longest
    wait, which doubles with each failure. So a crowd that failed at one moment does not come back
    at one moment.
    """
    stage: float = FIRST * 2 ** min(max(failures, 1), DOUBLINGS)
    return FIRST + chance * (min(longest, stage) - FIRST)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that has failed and is to be tried again."""

    failures: int
    due: Instant

    @classmethod
    def after(cls, before: "Waiting | None", now: Instant, chance: float) -> "Waiting":
        """Return the state after one more failure."""
        failures = before.failures + 1 if before is not None else 1
        return cls(failures, now.plus(pause(failures, chance)))

    def over(self, now: Instant) -> bool:
        """Tell whether it is time, by either clock."""
        return now.until(self.due) <= 0
