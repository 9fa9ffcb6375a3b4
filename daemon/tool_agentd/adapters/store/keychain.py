"""The box `keychain`: one item per grant in the keychain of the operating system, through keyring.

The backend is pinned by platform: neither PYTHON_KEYRING_BACKEND nor a keyringrc nor another
installed package can put a different one in its place. Everything here but `Keychain`'s methods
runs in a keychain thread.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tool_agentd.adapters.store import keychain_trouble
from tool_agentd.adapters.store.trouble import UnansweredError
from tool_agentd.adapters.worker import Workers
from tool_agentd.errors import AgentError
from tool_agentd.secret import Secret

T = TypeVar("T")

THREADS = 4
"""Calls at once: a dialog or a dead daemon may keep some, and others still pass."""
DEADLINE = 4.0
"""Seconds for one call: with its transaction around it, a caller has an answer within 5 s."""


class Ring(Protocol):
    """What is used of a keyring backend (`keyring.backend.KeyringBackend`)."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return an item's text, None where there is no item."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write an item."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Remove an item."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A keychain that may be there."""

    place: str
    """Its name in grants.db."""
    title: str
    connect: Callable[[bool], Ring]
    """Return a backend, with or without dialogs; raise with the reason where it cannot be used."""
    look: Callable[[], tuple[str, bool]]
    """Return its title more exactly, and whether it is locked; never a dialog."""


def _secret_service(dialogs: bool) -> Ring:  # noqa: FBT001 - the shape of Candidate.connect
    from tool_agentd.adapters.store.secret_service import PinnedKeyring  # noqa: PLC0415 - slow import

    _ = PinnedKeyring.priority  # raises with the reason where there is no service
    return PinnedKeyring(dialogs=dialogs)


def _look_at_secret_service() -> tuple[str, bool]:
    from tool_agentd.adapters.store.secret_service import look  # noqa: PLC0415 - slow import

    return look()


def _kwallet(_dialogs: bool) -> Ring:  # noqa: FBT001 - the shape of Candidate.connect
    from keyring.backends.kwallet import DBusKeyring  # noqa: PLC0415 - slow import

    class PinnedWallet(DBusKeyring):
        def set_properties_from_env(self) -> None:
            """Take no setting from the environment: one could redirect secrets."""

    _ = PinnedWallet.priority
    return PinnedWallet()  # type: ignore[no-untyped-call]  # keyring leaves it so


def _macos(_dialogs: bool) -> Ring:  # noqa: FBT001 - the shape of Candidate.connect
    from keyring.backends.macOS import Keyring  # noqa: PLC0415 - slow import

    class PinnedKeychain(Keyring):
        keychain = None  # not KEYCHAIN_PATH's

        def set_properties_from_env(self) -> None:
            """Take no setting from the environment: one could redirect secrets."""

    _ = PinnedKeychain.priority
    return PinnedKeychain()  # type: ignore[no-untyped-call]  # keyring leaves it so


def candidates(platform: str = sys.platform) -> tuple[Candidate, ...]:
    """Return the keychains of a platform (`sys.platform`), the preferred one first."""
    if platform == "darwin":
        title = "macOS Keychain"
        return (Candidate("macos", title, _macos, lambda: (title, False)),)
    if platform.startswith(("linux", "freebsd", "openbsd", "netbsd")):
        return (
            Candidate("secret-service", "Secret Service", _secret_service, _look_at_secret_service),
            Candidate("kwallet", "KWallet", _kwallet, lambda: ("KWallet", False)),
        )
    return ()


class Keychain:
    """Items of one service, each call in a thread with a deadline."""

    def __init__(
        self, service: str, *, available: Sequence[Candidate], deadline: float = DEADLINE
    ) -> None:
        """`service` is the items' attribute; `available` the keychains to try, in order."""
        self._service = service
        self._available = {candidate.place: candidate for candidate in available}
        self._rings: dict[tuple[str, bool], Ring] = {}
        self._workers = Workers(
            "the keychain", room="store", error=UnansweredError, limit=THREADS, deadline=deadline
        )

    async def place(self) -> str:
        """Return the first keychain that can be used; NoKeychainError says why each cannot."""
        return (await self._workers.run(self._first)).place

    async def get(self, place: str, item: str) -> str | None:
        """Return the text of an item, None where there is none. Never shows a dialog."""
        return await self._workers.run(
            lambda: self._call(place, lambda ring: _text(ring, self._service, item))
        )

    async def put(
        self,
        place: str,
        item: str,
        secret: Secret,
        *,
        started: Callable[[Future[None]], None],
        between: Callable[[], None],
    ) -> None:
        """Write an item and read it back; it may ask the person to unlock the keychain.

        `started` is given the job, which goes on after a deadline; `between` is called between
        the two steps.
        """

        def work(ring: Ring) -> None:
            ring.set_password(self._service, item, secret.reveal())
            between()
            if Secret(_text(ring, self._service, item) or "") != secret:
                raise UnansweredError(
                    f"the keychain does not give back what was written to its item {item}",
                    retry_after=keychain_trouble.RETRY_AFTER,
                )

        await self._workers.run(lambda: self._call(place, work, dialogs=True), started=started)

    async def remove(
        self, place: str, item: str, *, started: Callable[[Future[None]], None]
    ) -> None:
        """Remove an item; that there is none is no error."""

        def work(ring: Ring) -> None:
            try:
                ring.delete_password(self._service, item)
            except Exception:
                if _text(ring, self._service, item) is not None:
                    raise

        await self._workers.run(lambda: self._call(place, work), started=started)

    async def look(self, *, deadline: float) -> tuple[str, bool]:
        """Return the title of the keychain in use and whether it is locked."""

        def work() -> tuple[str, bool]:
            candidate = self._first()
            try:
                return candidate.look()
            except Exception as error:
                raise self._explained(error, candidate) from error

        return await self._workers.run(work, deadline=deadline)

    def close(self) -> None:
        """Let the threads end."""
        self._workers.close()

    def _first(self) -> Candidate:
        reasons = []
        for candidate in self._available.values():
            try:
                self._ring(candidate, dialogs=False)
            except Exception as error:  # noqa: BLE001 - a backend raises what it likes
                reasons.append(f"{candidate.title}: {keychain_trouble.reason(error)}")
            else:
                return candidate
        raise keychain_trouble.no_keychain(reasons)

    def _call(self, place: str, work: Callable[[Ring], T], *, dialogs: bool = False) -> T:
        candidate = self._available.get(place)
        if candidate is None:
            raise keychain_trouble.no_keychain([f"{place}: not a keychain of this system"])
        try:
            return work(self._ring(candidate, dialogs=dialogs))
        except AgentError:
            raise
        except Exception as error:  # noqa: BLE001 - a backend raises what it likes
            # Without the cause: a traceback through the backend's frames may show the secret.
            raise self._explained(error, candidate) from None

    def _ring(self, candidate: Candidate, *, dialogs: bool) -> Ring:
        wanted = (candidate.place, dialogs)
        ring = self._rings.get(wanted)
        if ring is None:
            ring = self._rings[wanted] = candidate.connect(dialogs)
        return ring

    def _explained(self, error: Exception, candidate: Candidate) -> AgentError:
        """Turn a backend's error into ours, and find out anew next time what there is."""
        for wanted in ((candidate.place, False), (candidate.place, True)):
            self._rings.pop(wanted, None)
        return keychain_trouble.explained(error, candidate.title)


def _text(ring: Ring, service: str, item: str) -> str | None:
    """Read an item; one that is no UTF-8 any more is not ours: its text is empty."""
    try:
        return ring.get_password(service, item)
    except UnicodeDecodeError:
        return ""
    except Exception as error:
        if type(error).__name__ in keychain_trouble.GONE_NAMES:
            return None  # another agent has removed it between the search and the look
        raise
