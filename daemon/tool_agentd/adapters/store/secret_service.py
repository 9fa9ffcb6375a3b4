"""keyring's Secret Service backend, held to our rules; imported only in a keychain thread.

It takes nothing from KEYRING_PROPERTY_* variables, closes its connection whatever happens, and
never shows a dialog unless it is asked to: a request for a credential does not wait for a person.
"""

import contextlib
from pathlib import Path

import secretstorage
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy
from keyring.backends import SecretService
from keyring.errors import InitError, KeyringLocked
from secretstorage.util import BUS_NAME

KNOWN = {
    "gnome-keyring-d": "GNOME Keyring",
    "keepassxc": "KeePassXC",
    "ksecretd": "KDE Wallet",
    "kwalletd6": "KDE Wallet",
    "kwalletd5": "KDE Wallet",
    "oo7-daemon": "oo7",
}
"""Who serves org.freedesktop.secrets, by /proc/PID/comm (15 characters, proc_pid_comm(5))."""


class PinnedKeyring(SecretService.Keyring):
    """The default collection of the session's Secret Service."""

    def __init__(self, *, dialogs: bool) -> None:
        """With `dialogs` a locked collection asks the person to unlock it."""
        super().__init__()  # type: ignore[no-untyped-call]  # keyring leaves it so
        self._dialogs = dialogs

    def set_properties_from_env(self) -> None:
        """Take no setting from the environment: one could redirect secrets."""

    def get_preferred_collection(self) -> secretstorage.Collection:
        """Return the default collection, unlocked; KeyringLocked otherwise."""
        with contextlib.ExitStack() as undo:
            bus = secretstorage.dbus_init()
            undo.callback(bus.close)
            if self._dialogs:
                collection = secretstorage.get_default_collection(bus)
                if collection.is_locked():
                    collection.unlock()
            else:
                collection = _existing(bus)
            if collection.is_locked():
                raise KeyringLocked("the default collection is locked")
            undo.pop_all()
            return collection

    def unlock(self, item: secretstorage.Item) -> None:
        """Unlock one item, where the collection keeps each locked by itself."""
        if self._dialogs:
            super().unlock(item)  # type: ignore[no-untyped-call]  # keyring leaves it so
        elif item.is_locked():
            raise KeyringLocked("the item is locked")


def look() -> tuple[str, bool]:
    """Return who serves the Secret Service, and whether its default collection is locked."""
    with contextlib.closing(secretstorage.dbus_init()) as bus:
        locked = _existing(bus).is_locked()
        (pid,) = Proxy(message_bus, bus).GetConnectionUnixProcessID(BUS_NAME)
    try:
        command = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:  # another pid namespace: the name is a courtesy
        command = ""
    known = KNOWN.get(command)
    return f"{known} / Secret Service" if known else "Secret Service", locked


def _existing(bus: DBusConnection) -> secretstorage.Collection:
    """Return the default collection; to create one would ask the person for a password."""
    try:
        return secretstorage.Collection(bus)
    except secretstorage.ItemNotFoundException:
        raise InitError("it has no default collection yet") from None
