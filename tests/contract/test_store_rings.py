"""The box `keychain` over rings that hang, lie and raise: what others can do to a keychain."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from jeepney import DBusErrorResponse, HeaderFields, Message
from jeepney.low_level import Endianness, Header, MessageFlag, MessageType
from keyring.errors import KeyringError, KeyringLocked, PasswordSetError
from secretstorage import PromptDismissedException

from tests.contract.store_places import (
    KEY,
    OTHER,
    SERVICE,
    Place,
    credential_place,
    grant,
    secret,
)
from tests.contract.store_rings import FakeRing, absent, fake_place
from tool_agentd.adapters.store import DiskStore, Means
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.model import HeldGrant
from tool_agentd.ports import Store


def bus_error(name: str, text: str) -> DBusErrorResponse:
    """Return the error that jeepney raises for a D-Bus error reply."""
    header = Header(
        Endianness.little,
        MessageType.error,
        MessageFlag(0),
        1,
        0,
        0,
        {HeaderFields.error_name: name},
    )
    return DBusErrorResponse(Message(header, (text,)))


def mac_error(status: int) -> KeyringError:
    """Return what keyring raises for an OSStatus of macOS."""
    api = type("Error", (Exception,), {"__module__": "keyring.backends.macOS.api"})
    error = KeyringError(f"Can't get password from keychain: ({status}, 'Unknown Error')")
    error.__cause__ = api(status, "Unknown Error")
    return error


ERRORS = {
    "macOS, no dialog possible": (mac_error(-25308), "the keychain (Fake Ring) is locked"),
    "macOS, dialog cancelled": (
        mac_error(-128),
        (
            "the keychain (Fake Ring) refused: Can't get password from keychain:"
            " (-128, 'Unknown Error')"
        ),
    ),
    "raw D-Bus": (
        bus_error("org.freedesktop.DBus.Error.Failed", "Couldn't write: No space left on device"),
        (
            "the keychain (Fake Ring) failed: org.freedesktop.DBus.Error.Failed:"
            " Couldn't write: No space left on device"
        ),
    ),
    "D-Bus locked": (
        bus_error("org.freedesktop.Secret.Error.IsLocked", "Cannot get secret"),
        "the keychain (Fake Ring) is locked",
    ),
    "D-Bus denied": (
        bus_error("org.freedesktop.DBus.Error.AccessDenied", "not for you"),
        "the keychain (Fake Ring) refused: org.freedesktop.DBus.Error.AccessDenied: not for you",
    ),
    "D-Bus gone": (
        bus_error("org.freedesktop.DBus.Error.ServiceUnknown", "no owner"),
        "no keychain answers: Fake Ring: org.freedesktop.DBus.Error.ServiceUnknown: no owner",
    ),
    "locked": (KeyringLocked("x"), "the keychain (Fake Ring) is locked"),
    "dismissed": (
        PromptDismissedException("Prompt dismissed."),
        "the keychain (Fake Ring) refused: Prompt dismissed.",
    ),
    "reset": (ConnectionResetError(104, "reset"), "no keychain answers: Fake Ring: reset"),
    "set": (PasswordSetError("no"), "the keychain (Fake Ring) failed: no"),
    "keyring": (KeyringError(), "the keychain (Fake Ring) failed: KeyringError"),
    "unknown": (LookupError("may quote"), "the keychain (Fake Ring) failed: LookupError"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_every_backends_error_becomes_ours(tmp_path: Path, what: str) -> None:
    """Locked, refused, absent and failed are told apart; nothing raw gets through."""
    ring, value = FakeRing(), secret()
    error, detail = ERRORS[what]

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        ring.error = error
        for call in (lambda: store.read(KEY), lambda: store.write(grant(), value, expected=1)):
            with pytest.raises(StoreUnavailableError) as refused:
                await call()
            assert refused.value.detail == detail
            assert refused.value.retry_after is not None
            assert refused.value.__cause__ is None
        ring.error = None
        assert await store.read(KEY) == HeldGrant(stored, value)

    fake_place(tmp_path, ring).run(use)


def test_a_keychain_that_forgets_what_it_accepts_is_found_out(tmp_path: Path) -> None:
    """A write is read back before it counts; the former grant stays."""
    ring, value = FakeRing(), secret()

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        ring.forgetful = True
        with pytest.raises(StoreUnavailableError, match="does not give back what was written"):
            await store.write(grant(), secret(), expected=1)
        assert await store.read(KEY) == HeldGrant(stored, value)

    fake_place(tmp_path, ring).run(use)


def test_a_hanging_read_is_given_up_in_time(tmp_path: Path) -> None:
    """The caller has its error, the list is not held up, and later reads succeed."""
    ring, value = FakeRing(), secret()

    async def use(store: DiskStore) -> None:
        stored = await store.write(grant(), value, expected=0)
        await store.settled()
        ring.gate.clear()
        with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.1 s"):
            await store.read(KEY)
        assert await store.list() == (stored,)
        ring.gate.set()
        assert await store.read(KEY) == HeldGrant(stored, value)

    fake_place(tmp_path, ring, deadline=0.1).run(use)


def test_a_hanging_write_that_ends_late_does_no_harm(tmp_path: Path) -> None:
    """The caller has its error, the former grant stands, and the late item is settled later."""
    ring, value = FakeRing(), secret()
    place = fake_place(tmp_path, ring, deadline=0.1)
    stored = place.run(lambda store: store.write(grant(), value, expected=0))
    go_on, reached = threading.Event(), threading.Event()

    def failpoint(step: str) -> None:
        if step == "written":
            reached.set()
            assert go_on.wait(30)

    async def use(store: DiskStore) -> None:
        with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.1 s"):
            await store.write(grant(), secret(), expected=1)
        assert reached.is_set()
        both = [f"{SERVICE} cre/default#1", f"{SERVICE} cre/default#2"]
        assert sorted(ring.items) == both
        # Another store that opens now leaves the item alone: its writer may still be at work.
        assert await asyncio.to_thread(place.run, read_and_settle) == HeldGrant(stored, value)
        assert sorted(ring.items) == both
        go_on.set()

    async def read_and_settle(store: DiskStore) -> HeldGrant | None:
        held = await store.read(KEY)
        await store.settled()
        return held

    async def erase(store: DiskStore) -> None:
        assert await store.adopt(KEY, lambda _history, _fingerprint: False) is None

    replace(place, means=replace(place.means, failpoint=failpoint)).run(use)
    assert place.run(read_and_settle) == HeldGrant(stored, value)
    assert len(ring.items) == 2, "it may be what the account goes on with"
    place.run(erase)
    assert list(ring.items) == [f"{SERVICE} cre/default#1"]


def test_a_cancelled_write_leaves_no_orphan(tmp_path: Path) -> None:
    """A caller that goes away in the middle leaves the former grant, and no item beside it."""
    ring, value = FakeRing(), secret()
    place = fake_place(tmp_path, ring)

    async def use(store: DiskStore) -> None:
        await store.write(grant(), value, expected=0)
        await store.settled()
        ring.written.clear()
        ring.gate.clear()
        writing = asyncio.create_task(store.write(grant(), secret(), expected=1))
        while ring.called.acquire(blocking=False):
            pass
        await asyncio.to_thread(ring.called.acquire)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        ring.gate.set()

    place.run(use)
    held = place.run(lambda store: store.read(KEY))
    assert held is not None
    assert held.secret == value
    assert list(ring.items) == [f"{SERVICE} cre/default#1"]


def test_stuck_calls_are_bounded_and_block_neither_others_nor_the_end(tmp_path: Path) -> None:
    """Beyond the last thread callers hear at once; the process ends with calls still hanging."""
    code = (
        "import asyncio, threading; from pathlib import Path\n"
        "from tests.contract.test_store_rings import *\n"
        "ring = FakeRing()\n"
        f"place = fake_place(Path({str(tmp_path)!r}), ring, deadline=0.05)\n"
        "async def use():\n"
        "    store = place.store()\n"
        "    await store.write(grant(), secret(), expected=0)\n"
        "    await store.settled()\n"
        "    ring.gate.clear()\n"
        "    before = threading.active_count()\n"
        "    for _ in range(12):\n"
        "        try: await store.read(KEY)\n"
        "        except StoreUnavailableError as error: print(error.detail)\n"
        "    assert len(await store.list()) == 1\n"
        "    print('threads', threading.active_count() - before <= 4)\n"
        "asyncio.run(use())\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.splitlines() == [
        *["the keychain did not answer within 0.05 s"] * 4,
        *["the keychain has left 4 calls unanswered"] * 8,
        "threads True",
    ]


def test_the_first_keychain_that_can_be_used_is(tmp_path: Path) -> None:
    """An absent one is passed over, and an item is sought where it was put."""
    first, second, value = FakeRing(), FakeRing(), secret()
    gone = absent("fake0", "First", RuntimeError("not today"))
    only_second = Means(keychains=(gone, second.candidate("fake1")))
    place = Place("keychain", tmp_path / "state", {}, only_second)
    stored = place.run(lambda store: store.write(grant(), value, expected=0))
    both = Means(keychains=(first.candidate("fake0"), second.candidate("fake1")))
    later = replace(place, means=both)
    assert later.run(lambda store: store.read(KEY)) == HeldGrant(stored, value)
    later.run(lambda store: store.write(grant(), secret(), expected=1))
    assert list(first.items) == [f"{SERVICE} cre/default#2"]
    assert second.items == {}


def test_a_row_is_read_from_the_box_it_was_written_to(tmp_path: Path) -> None:
    """After a change of kind old grants are read where they are, new ones go to the new box."""
    ring, value, other = FakeRing(), secret(), secret()
    keys = fake_place(tmp_path, ring)
    vault = replace(credential_place(tmp_path), means=keys.means)
    stored = keys.run(lambda store: store.write(grant(), value, expected=0))

    async def use(store: Store) -> None:
        assert await store.read(KEY) == HeldGrant(stored, value)
        await store.write(grant(OTHER), other, expected=0)
        status = await store.status()
        assert status.rests == (
            "a vault in grants.db, sealed by a systemd credential; 1 of 2 still in the OS keychain"
        )
        rotated = await store.write(grant(), other, expected=1)
        assert await store.read(KEY) == HeldGrant(rotated, other)

    vault.run(use)
    assert ring.items == {}


def test_another_box_that_does_not_answer_bars_no_login(tmp_path: Path) -> None:
    """Where the keychain is gone for good, a login into a vault replaces the grant."""
    ring, value = FakeRing(), secret()
    keys = fake_place(tmp_path, ring)
    keys.run(lambda store: store.write(grant(), secret(), expected=0))
    ring.error = KeyringLocked()
    vault = replace(credential_place(tmp_path), means=keys.means)

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=1)
        assert await store.read(KEY) == HeldGrant(stored, value)

    vault.run(use)
    assert len(ring.items) == 1
    ring.error = None
    vault.run(lambda store: store.read(KEY))
    assert ring.items == {}


def test_one_silent_keychain_keeps_no_other_from_being_swept(tmp_path: Path) -> None:
    """What was left in a keychain that is gone waits; what was left in another is removed."""
    first, second = FakeRing(), FakeRing()
    gone = absent("fake0", "First", RuntimeError("not today"))
    place = fake_place(tmp_path, first)
    place.run(lambda store: store.write(grant(), secret(), expected=0))
    only_second = Means(keychains=(gone, second.candidate("fake1")))
    later = replace(place, means=only_second)
    later.run(lambda store: store.write(grant(), secret(), expected=1))
    later.run(lambda store: store.write(grant(), secret(), expected=2))
    assert list(first.items) == [f"{SERVICE} cre/default#1"]
    assert list(second.items) == [f"{SERVICE} cre/default#3"]
    both = Means(keychains=(first.candidate("fake0"), second.candidate("fake1")))
    replace(place, means=both).run(lambda store: store.read(KEY))
    assert first.items == {}
