"""The platforms' clock: the machine's, moved forward by hand."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class Clock:
    """Wall-clock time in seconds, plus what the tests have advanced."""

    offset: float = 0.0

    def now(self) -> float:
        """Seconds since the epoch, by this clock."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number moves it back."""
        self.offset += seconds

    def iso(self, moment: float | None = None) -> str:
        """A moment (default: now) as RFC 3339 text in UTC, to the millisecond."""
        when = datetime.fromtimestamp(self.now() if moment is None else moment, UTC)
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
