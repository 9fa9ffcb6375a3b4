"""The clocks of this machine: wall time, and a boot clock that counts sleep."""

import asyncio
import sys
import time

from tool_agentd.model import Instant

_BOOT = time.CLOCK_MONOTONIC if sys.platform == "darwin" else time.CLOCK_BOOTTIME
"""Linux's CLOCK_MONOTONIC stands still in suspend; macOS's does not."""


class SystemClock:
    """Implements ports.Clock."""

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(time.time(), time.clock_gettime(_BOOT))

    async def pause(self, seconds: float) -> None:
        """Return when so many seconds have passed, those of a suspend not counted."""
        await asyncio.sleep(seconds)
