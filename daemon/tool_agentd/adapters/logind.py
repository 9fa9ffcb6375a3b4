"""What logind tells: that the machine is about to sleep, and that the person's screen is locked.

org.freedesktop.login1 on the system bus, read in one thread that sleeps until a signal comes. It
holds a delay inhibitor meanwhile (systemd.io/INHIBITOR_LOCKS), so that the machine waits for us.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

SERVICE = "org.freedesktop.login1"
MANAGER = "/org/freedesktop/login1"
SESSIONS = "/org/freedesktop/login1/session"

CALL_DEADLINE = 5.0
"""Seconds for logind's own answers."""
SLEEP_DEADLINE = 3.0
"""Seconds that the machine is held back at most; logind itself waits 5 (InhibitDelayMaxSec=)."""
FIRST, LONGEST = 1.0, 300.0
"""Seconds between two tries to reach the bus: the first, and the most."""

ABSENT = {
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
}

Told = Callable[[str], Awaitable[None]]

log = logging.getLogger(__name__)


class Logind:
    """Listens until it is closed; a bus that goes away is looked for again."""

    def __init__(self, told: Told, trouble: Callable[[str], None], *, first: float = FIRST) -> None:
        """`told` hears SLEEP and SCREEN; `trouble` why nothing is heard, or an empty text."""
        self._told = told
        self._trouble = trouble
        self._first = first
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to listen, once, beside the running event loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._listen, name="logind", daemon=True).start()

    def close(self) -> None:
        """Listen no more. The thread may be waiting in the kernel; it ends with the process."""
        self._over.set()

    def _listen(self) -> None:
        pause = self._first
        while not self._over.is_set():
            try:
                with contextlib.ExitStack() as undo:
                    bus = Bus(undo)
                    self._say("")
                    pause = self._first
                    while not self._over.is_set():
                        self._hear(bus, bus.next())
            except Exception as error:  # noqa: BLE001 - whatever jeepney and the bus come up with
                if not self._over.is_set():
                    self._say(f"logind is not heard: {error} ({type(error).__name__})")
            self._over.wait(pause)
            pause = min(LONGEST, pause * 2)

    def _hear(self, bus: "Bus", heard: tuple[str, str, tuple[Any, ...]]) -> None:
        member, path, body = heard
        if member == "PrepareForSleep" and body[0]:
            self._tell(SLEEP)
            bus.let_sleep()
        elif member == "PrepareForSleep":
            bus.hold_sleep()
        elif _locks(member, body) and bus.uid_of(path) == os.getuid():
            self._tell(SCREEN)

    def _tell(self, what: str) -> None:
        assert self._loop is not None  # noqa: S101 - `start` has set it before the thread began
        done = asyncio.run_coroutine_threadsafe(_awaited(self._told(what)), self._loop)
        try:
            done.result(SLEEP_DEADLINE)
        except TimeoutError:
            log.warning("%s: not done within %g s", what, SLEEP_DEADLINE)

    def _say(self, trouble: str) -> None:
        assert self._loop is not None  # noqa: S101 - as above
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._trouble, trouble)


SLEEP = "the machine goes to sleep"
SCREEN = "the screen is locked"


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _locks(member: str, body: tuple[Any, ...]) -> bool:
    """Tell whether a session's signal says that its screen is locked, or is to be."""
    if member == "Lock":
        return True
    return member == "PropertiesChanged" and body[1].get("LockedHint", ("b", False))[1] is True


class Bus:
    """One connection to the system bus, which has asked for logind's signals."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        """Connect, subscribe, and hold the machine's sleep back; `undo` closes it all."""
        # Only who wants this pays for it, and only Linux has it.
        from jeepney import DBusAddress, MatchRule  # noqa: PLC0415 - see above
        from jeepney.bus_messages import message_bus  # noqa: PLC0415 - see above
        from jeepney.io.blocking import Proxy, open_dbus_connection  # noqa: PLC0415 - see above

        self._manager = DBusAddress(MANAGER, SERVICE, f"{SERVICE}.Manager")
        self._connection = open_dbus_connection("SYSTEM", enable_fds=True)
        undo.callback(self._connection.close)
        self._inhibitor: Any = None
        undo.callback(self.let_sleep)
        bus = Proxy(message_bus, self._connection, timeout=CALL_DEADLINE)
        session = {"type": "signal", "sender": SERVICE, "path_namespace": SESSIONS}
        manager = {"type": "signal", "sender": SERVICE, "path": MANAGER}
        for rule in (
            MatchRule(**manager, interface=f"{SERVICE}.Manager", member="PrepareForSleep"),
            MatchRule(**session, interface=f"{SERVICE}.Session", member="Lock"),
            MatchRule(
                **session, interface="org.freedesktop.DBus.Properties", member="PropertiesChanged"
            ),
        ):
            bus.AddMatch(rule)
        self._waiting: list[Any] = []
        self.hold_sleep()

    def next(self) -> tuple[str, str, tuple[Any, ...]]:
        """Return the next signal: its name, whose it is, and what it says."""
        from jeepney import HeaderFields, MessageType  # noqa: PLC0415 - see above

        while True:
            message = self._waiting.pop(0) if self._waiting else self._connection.receive()
            if message.header.message_type is MessageType.signal:
                fields = message.header.fields
                return fields[HeaderFields.member], fields[HeaderFields.path], message.body

    def hold_sleep(self) -> None:
        """Ask logind to wait for us before it sleeps; if it will not, we are told all the same."""
        if self._inhibitor is None:
            words = ("sleep", "tool-agent", "drops secrets held in memory", "delay")
            answer = self._ask(self._manager, "Inhibit", "ssss", words)
            self._inhibitor = answer[0] if answer else None

    def let_sleep(self) -> None:
        """Let go of that."""
        inhibitor, self._inhibitor = self._inhibitor, None
        if inhibitor is not None:
            inhibitor.close()

    def uid_of(self, session: str) -> int | None:
        """Return whose session it is; None where logind does not say."""
        from jeepney import DBusAddress  # noqa: PLC0415 - see above

        address = DBusAddress(session, SERVICE, "org.freedesktop.DBus.Properties")
        answer = self._ask(address, "Get", "ss", (f"{SERVICE}.Session", "User"))
        return int(answer[0][1][0]) if answer else None

    def _ask(
        self,
        address: Any,  # noqa: ANN401 - jeepney has no types
        method: str,
        signature: str,
        body: tuple[str, ...],
    ) -> tuple[Any, ...] | None:
        """Return the answer, None for an error; signals that come before it wait for `next`.

        Raises ConnectionError where nobody on the bus is logind.
        """
        from jeepney import HeaderFields, MessageType, new_method_call  # noqa: PLC0415 - see above

        serial = next(self._connection.outgoing_serial)
        self._connection.send(new_method_call(address, method, signature, body), serial=serial)
        while True:
            message = self._connection.receive(timeout=CALL_DEADLINE)
            if message.header.fields.get(HeaderFields.reply_serial) != serial:
                self._waiting.append(message)
                continue
            if message.header.message_type is MessageType.method_return:
                return tuple(message.body)
            if message.header.fields.get(HeaderFields.error_name) in ABSENT:
                raise ConnectionError("nobody on the system bus is logind")
            log.info("logind: %s: %s", method, message.body)
            return None
