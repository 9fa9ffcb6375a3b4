"""A system bus of one's own, and on it who stands for logind."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

from tests.real.child import Child
from tests.real.keychain import BUS_CONFIG
from tests.real.presence import requires
from tool_agentd.adapters.logind import MANAGER, SERVICE, SESSIONS

OURS, THEIRS = f"{SESSIONS}/_31", f"{SESSIONS}/_32"
"""The session of this user, and one of somebody else."""


class Logind:
    """Answers what the agent asks, and tells what the test wants told."""

    def __init__(self, address: str) -> None:
        self._connection: DBusConnection = open_dbus_connection(address, enable_fds=True)
        self.subscribed = threading.Semaphore(0)
        """Released for each inhibitor that was taken: whoever takes one listens already."""
        self.released = threading.Semaphore(0)
        """Released for each inhibitor that was let go."""
        Proxy(message_bus, self._connection).RequestName(SERVICE)
        threading.Thread(target=self._serve, daemon=True).start()

    def sleeps(self, *, begins: bool) -> None:
        """Tell that the machine goes to sleep, or has woken up."""
        self._tell(MANAGER, f"{SERVICE}.Manager", "PrepareForSleep", "b", (begins,))

    def locks(self, session: str) -> None:
        """Tell a session to lock, as loginctl lock-session does."""
        self._tell(session, f"{SERVICE}.Session", "Lock", None, ())

    def hints(self, session: str, *, locked: bool) -> None:
        """Tell that a session's screen is locked, or no longer."""
        changed: tuple[Any, ...] = (f"{SERVICE}.Session", {"LockedHint": ("b", locked)}, [])
        name = "org.freedesktop.DBus.Properties"
        self._tell(session, name, "PropertiesChanged", "sa{sv}as", changed)

    def _tell(
        self, path: str, interface: str, member: str, signature: str | None, body: tuple[Any, ...]
    ) -> None:
        emitter = DBusAddress(path, interface=interface)
        self._connection.send(new_signal(emitter, member, signature, body))

    def _serve(self) -> None:
        try:
            while True:
                self._answer(self._connection.receive())
        except (OSError, ValueError):
            pass  # the bus is gone
        finally:
            self._connection.close()

    def _answer(self, message: Any) -> None:  # noqa: ANN401 - jeepney has no types
        if message.header.message_type is not MessageType.method_call:
            return
        fields = message.header.fields
        if fields[HeaderFields.member] == "Inhibit":
            reader, writer = os.pipe()
            self._connection.send(new_method_return(message, "h", (writer,)))
            os.close(writer)
            threading.Thread(target=self._await_end, args=(reader,), daemon=True).start()
            self.subscribed.release()
        elif fields[HeaderFields.member] == "Get":
            uid = os.getuid() + (fields[HeaderFields.path] == THEIRS)
            user = ("(uo)", (uid, "/org/freedesktop/login1/user/self"))
            self._connection.send(new_method_return(message, "v", (user,)))
        else:
            self._connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))

    def _await_end(self, reader: int) -> None:
        os.read(reader, 1)
        os.close(reader)
        self.released.release()


class SystemBus:
    """A bus that can go away and come back at the same address."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:path={directory / 'bus'}"
        self._directory = directory
        self._config = directory / "bus.conf"
        self._config.write_text(BUS_CONFIG.format(path=directory / "bus"))
        self._bus: Child | None = None

    def start(self) -> Logind:
        """Start it, with logind on it."""
        self.start_alone()
        return Logind(self.address)

    def start_alone(self) -> None:
        """Start it, with nobody on it."""
        (self._directory / "bus").unlink(missing_ok=True)
        self._bus = Child(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address=1"],
            log=self._directory / "dbus.stderr",
            environ=dict(os.environ),
        )
        self._bus.line()

    def stop(self) -> None:
        """End it, as a crash does."""
        if self._bus is not None:
            self._bus.kill()
            self._bus = None


@contextmanager
def system_bus() -> Iterator[SystemBus]:
    """Return a bus that is still to be started."""
    requires("dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="ta-bus-") as name:
        bus = SystemBus(Path(name))
        try:
            yield bus
        finally:
            bus.stop()
