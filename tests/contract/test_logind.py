"""What is heard of logind, over a real dbus-daemon with a stand-in for logind on it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.real.child import DEADLINE
from tests.real.logind import OURS, THEIRS, SystemBus, system_bus
from tests.real.logind import Logind as StandIn
from tool_agentd.adapters.logind import SCREEN, SLEEP, Logind


class Ears:
    """An agent that listens, and what it has heard."""

    def __init__(self) -> None:
        """Begin to listen."""
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.troubles: asyncio.Queue[str] = asyncio.Queue()
        self.busy: asyncio.Event | None = None
        """While set and not open, what was told is still being done."""
        self.logind = Logind(self.told, self.troubles.put_nowait, first=0.01)
        self.logind.start()

    async def told(self, what: str) -> None:
        """Hear it."""
        await self.heard.put(what)
        if self.busy is not None:
            await self.busy.wait()


def run(
    story: Callable[[SystemBus, Ears], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a story on a bus of its own."""

    async def told(bus: SystemBus) -> None:
        ears = Ears()
        try:
            await asyncio.wait_for(story(bus, ears), DEADLINE)
        finally:
            ears.logind.close()

    with system_bus() as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        asyncio.run(told(bus))


def test_the_machine_waits_until_what_is_held_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inhibitor goes after the work is done, not before, and is taken again after the sleep."""

    async def story(bus: SystemBus, ears: Ears) -> None:
        logind = bus.start()
        await asyncio.to_thread(logind.subscribed.acquire)
        ears.busy = asyncio.Event()
        logind.sleeps(begins=True)
        assert await ears.heard.get() == SLEEP
        assert not logind.released.acquire(blocking=False)
        ears.busy.set()
        await asyncio.to_thread(logind.released.acquire)
        logind.sleeps(begins=False)
        await asyncio.to_thread(logind.subscribed.acquire)

    run(story, monkeypatch)


def test_only_the_persons_own_screen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of saying that it is locked are heard; its end, and others' screens, are not."""

    async def story(bus: SystemBus, ears: Ears) -> None:
        logind = bus.start()
        await asyncio.to_thread(logind.subscribed.acquire)
        logind.locks(THEIRS)
        logind.hints(THEIRS, locked=True)
        logind.hints(OURS, locked=False)
        logind.locks(OURS)
        logind.hints(OURS, locked=True)
        logind.sleeps(begins=True)
        assert [await ears.heard.get() for _ in range(3)] == [SCREEN, SCREEN, SLEEP]

    run(story, monkeypatch)


def test_a_bus_without_logind_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that nobody would tell; and a logind that comes later is found."""

    async def story(bus: SystemBus, ears: Ears) -> None:
        bus.start_alone()
        while "nobody on the system bus is logind" not in await ears.troubles.get():
            pass
        logind = StandIn(bus.address)
        await asyncio.to_thread(logind.subscribed.acquire)
        logind.sleeps(begins=True)
        assert await ears.heard.get() == SLEEP

    run(story, monkeypatch)


def test_a_bus_that_goes_away_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is there, and after it was lost, it is said that nothing is heard."""

    async def story(bus: SystemBus, ears: Ears) -> None:
        assert "logind is not heard" in await ears.troubles.get()
        for _ in range(2):
            logind = bus.start()
            await asyncio.to_thread(logind.subscribed.acquire)
            while await ears.troubles.get():
                pass
            logind.sleeps(begins=True)
            assert await ears.heard.get() == SLEEP
            bus.stop()
            assert "logind is not heard" in await ears.troubles.get()

    run(story, monkeypatch)
