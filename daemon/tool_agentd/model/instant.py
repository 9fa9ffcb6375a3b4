"""A moment on both clocks.

Times are seconds. `wall` is the Unix time, `boot` a clock that never jumps and counts sleep; an
`Instant` carries both, because a token is expired when either says so.
"""

import msgspec


class Instant(msgspec.Struct, frozen=True, gc=False):
    """A moment on both clocks, in seconds. A Struct, because every request makes one."""

    wall: float
    boot: float

    def plus(self, seconds: float) -> "Instant":
        """Return the moment `seconds` later."""
        return Instant(self.wall + seconds, self.boot + seconds)

    def until(self, later: "Instant") -> float:
        """Return the seconds left until `later`: the lesser of what the two clocks say."""
        return min(later.wall - self.wall, later.boot - self.boot)
