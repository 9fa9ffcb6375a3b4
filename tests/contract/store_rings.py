"""Keychains that misbehave on demand, in the place of an operating system's."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.store_places import Place
from tool_agentd.adapters.store import Means
from tool_agentd.adapters.store.keychain import Candidate


@dataclass
class FakeRing:
    """Items in a dictionary, behind a gate and with errors to raise."""

    items: dict[str, str] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    """Every call waits here; set at first, so nothing waits."""
    called: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Counts calls that have begun."""
    error: Exception | None = None
    """Raised by every call."""
    forgetful: bool = False
    """Writes are accepted and not kept."""
    written: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin with the gate open."""
        self.gate.set()

    def get_password(self, service: str, username: str) -> str | None:
        """Return an item."""
        self._enter()
        return self.items.get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write an item."""
        self._enter()
        if not self.forgetful:
            self.items[f"{service} {username}"] = password
        self.written.set()

    def delete_password(self, service: str, username: str) -> None:
        """Remove an item."""
        self._enter()
        del self.items[f"{service} {username}"]

    def _enter(self) -> None:
        self.called.release()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error

    def candidate(self, place: str = "fake", title: str = "Fake Ring") -> Candidate:
        """Return it as a keychain that is there."""
        return Candidate(place, title, lambda _dialogs: self, lambda: (title, False))


def absent(place: str, title: str, error: Exception) -> Candidate:
    """Return a keychain that cannot be used."""

    def connect(_dialogs: bool) -> FakeRing:  # noqa: FBT001 - the shape of Candidate.connect
        raise error

    look: Callable[[], tuple[str, bool]] = lambda: (title, False)  # noqa: E731 - a value
    return Candidate(place, title, connect, look)


def fake_place(home: Path, *rings: FakeRing, deadline: float = 30.0) -> Place:
    """A keychain store over rings of the test's own."""
    means = Means(
        keychains=tuple(ring.candidate(f"fake{n}") for n, ring in enumerate(rings)),
        keychain_deadline=deadline,
    )
    return Place("keychain", home / "state", {}, means)
