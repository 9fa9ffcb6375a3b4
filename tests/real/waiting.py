"""Waiting for what another process does, where nothing but asking again tells."""

import time
from collections.abc import Callable

from tests.real.child import DEADLINE

PAUSE = 0.01
"""Seconds between two looks: a test may not take the machine from what it waits for."""


def until(happened: Callable[[], bool], what: str, *, seconds: float = DEADLINE) -> None:
    """Return once `happened()`.

    Raises:
        TimeoutError: it did not, for so many seconds; the message has `what`.
    """
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {seconds:g} s: {what}")
        time.sleep(PAUSE)
