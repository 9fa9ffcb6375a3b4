"""What the store needs of the world besides its directory, so that a test can stand in for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tool_agentd.adapters.store import keychain, locks, sealing


def _no_failpoint(_step: str) -> None:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Means:
    """Clock, keychains, limits and failpoints; the defaults are the real ones."""

    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits a number of seconds between two tries for a lease."""
    monotonic: Callable[[], float] = time.monotonic
    """Dates the cached status."""
    keychains: tuple[keychain.Candidate, ...] = field(default_factory=keychain.candidates)
    keychain_deadline: float = keychain.DEADLINE
    patience: float = locks.PATIENCE
    """Seconds that a waiter for a lease has."""
    scrypt_n: int = sealing.SCRYPT_N
    failpoint: Callable[[str], None] = _no_failpoint
    """Called with the name of each step of a keychain write that has just been done: `noted`,
    `written`, `verified`, `committed`, `removed`, `forgotten`; after a crash `adopted`."""
