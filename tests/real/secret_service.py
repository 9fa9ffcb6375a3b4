"""What a test does to a keychain from the outside, over D-Bus: watch, lock, unlock, delete."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jeepney import DBusAddress, DBusErrorResponse, MatchRule, MessageType, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection
from secretstorage import Collection, Item, get_collection_by_alias, search_items
from secretstorage.util import format_secret, open_session

NAME = "org.freedesktop.secrets"


class SecretService:
    """The Secret Service on the bus at `address`; each call has a connection of its own."""

    def __init__(self, address: str) -> None:
        self._address = address

    def await_owner(self, *, owned: bool, seconds: float) -> None:
        """Return once somebody (or, with `owned` False, nobody) owns the service's name.

        Raises:
            TimeoutError: `seconds` passed.
        """
        until = time.monotonic() + seconds
        rule = MatchRule(
            type="signal",
            interface=message_bus.interface,
            member="NameOwnerChanged",
            path=message_bus.object_path,
        )
        rule.add_arg_condition(0, NAME)
        with self._connection() as connection:
            bus = Proxy(message_bus, connection)
            with connection.filter(rule) as changes:
                bus.AddMatch(rule)
                now_owned = bool(bus.NameHasOwner(NAME)[0])
                while now_owned is not owned:
                    change = connection.recv_until_filtered(
                        changes, timeout=max(0.0, until - time.monotonic())
                    )
                    now_owned = bool(change.body[2])

    def is_locked(self) -> bool:
        """Whether the default collection is locked."""
        with self._collection() as collection:
            return collection.is_locked()

    def lock(self) -> None:
        """Lock the default collection."""
        with self._collection() as collection:
            collection.lock()

    def unlock(self, password: str) -> None:
        """Unlock the default collection without a prompt."""
        with self._collection() as collection:
            connection = collection.connection
            session = open_session(connection)
            # gnome-keyring's own way in, which its PAM module and its tests use.
            address = DBusAddress(
                "/org/freedesktop/secrets",
                NAME,
                "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface",
            )
            secret = format_secret(session, password.encode(), "text/plain")
            reply = connection.send_and_get_reply(
                new_method_call(
                    address,
                    "UnlockWithMasterPassword",
                    "o(oayays)",
                    (collection.collection_path, secret),
                )
            )
            if reply.header.message_type is MessageType.error:
                raise DBusErrorResponse(reply)

    def delete(self, attributes: Mapping[str, str]) -> int:
        """Delete every item with `attributes`; return how many there were."""
        with self._connection() as connection:
            items = list(search_items(connection, dict(attributes)))
            for item in items:
                item.delete()
            return len(items)

    def replace_secret(self, attributes: Mapping[str, str], secret: bytes) -> int:
        """Put `secret` into every item with `attributes`; return how many there were."""
        with self._connection() as connection:
            items: list[Item] = list(search_items(connection, dict(attributes)))
            for item in items:
                item.set_secret(secret)
            return len(items)

    @contextmanager
    def _connection(self) -> Iterator[DBusConnection]:
        with open_dbus_connection(bus=self._address) as connection:
            yield connection

    @contextmanager
    def _collection(self) -> Iterator[Collection]:
        with self._connection() as connection:
            yield get_collection_by_alias(connection, "default")
