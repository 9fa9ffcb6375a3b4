"""A second process on a store: it dies at a step, holds a lease, or races another writer.

Run as `python -m tests.contract.store_child WHAT STATE KIND ...`; it talks by lines of stdout and
waits for lines of stdin.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.contract.store_places import KEY, LOCK, QUICK_SCRYPT, Place, grant
from tool_agentd.adapters.store import DiskStore, Means
from tool_agentd.errors import ConflictError
from tool_agentd.secret import Secret


def dying(step: str) -> Callable[[str], None]:
    """Return a failpoint that kills this process at `step`, as kill -9 does."""

    def failpoint(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


async def write(store: DiskStore, expected: str, text: str) -> None:
    """Write one generation, and let the old item be removed."""
    await store.write(grant(), Secret(text), expected=int(expected))
    await store.settled()


async def delete(store: DiskStore) -> None:
    """Delete the current generation."""
    held = await store.read(KEY)
    assert held is not None
    await store.delete(held.grant)


async def lock(store: DiskStore) -> None:
    """Keep a lock, and say so."""
    await store.keep_lock(LOCK)
    say("kept")
    hear()


async def lease(store: DiskStore) -> None:
    """Hold the lease until the parent says otherwise."""
    async with store.lease(KEY):
        say("held")
        hear()
    say("released")


async def race(store: DiskStore, rounds: str) -> None:
    """Increase the generation so many times against another process; print how often it won."""
    say("ready")
    hear()
    won = 0
    for number in range(int(rounds)):
        held = await store.read(KEY)
        expected = held.grant.generation if held else 0
        try:
            await store.write(grant(), Secret(f"{os.getpid()}-{number}"), expected=expected)
        except ConflictError:
            continue
        won += 1
    say(str(won))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def hear() -> None:
    """Wait for the parent's line."""
    sys.stdin.readline()


USES: dict[str, Callable[..., Awaitable[None]]] = {
    "write": write,
    "delete": delete,
    "lease": lease,
    "lock": lock,
    "race": race,
}


async def main(what: str, state: str, kind: str, step: str, *arguments: str) -> None:
    """Open the store and use it; `step` names where to die, or is `-`."""
    means = Means(scrypt_n=QUICK_SCRYPT, failpoint=dying(step))
    place = Place(kind, Path(state), dict(os.environ), means)
    async with place.opened() as store:
        await USES[what](store, *arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
