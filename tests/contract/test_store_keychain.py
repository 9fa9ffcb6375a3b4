"""The box `keychain`: what the person does to it, what it does to us, and how it is told."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    OTHER,
    SERVICE,
    grant,
    keychain_place,
    secret,
)
from tests.real.keychain import BUS_ADDRESS, Keychain
from tool_agentd.adapters.store import DiskStore
from tool_agentd.adapters.store import keychain as keychain_module
from tool_agentd.errors import LoginRequiredError, StoreUnavailableError
from tool_agentd.model import HeldGrant
from tool_agentd.ports import Store

CHOOSE = (
    "start a session with a keychain, or choose a vault: 'key = \"passphrase\"' with"
    " 'kind = \"vault\"' below [store] in config.toml, or TOOL_AGENT_STORE=vault:passphrase"
)


def test_the_item_is_what_the_person_sees(keychain_here: Keychain, tmp_path: Path) -> None:
    """secret-tool lists one item for the account, by its name, with its secret, until logout."""
    place, first, second = keychain_place(tmp_path), secret(), secret()

    def seen() -> list[tuple[str | None, str, str]]:
        return [
            (item.secret, item.attributes["username"], item.label)
            for item in keychain_here.search(SERVICE)
        ]

    stored = place.run(lambda store: store.write(grant(), first, expected=0))
    label = f"Password for 'cre/default#{{}}' on '{SERVICE}'"
    assert seen() == [(first.reveal(), "cre/default#1", label.format(1))]
    stored = place.run(lambda store: store.write(grant(), second, expected=1))
    assert seen() == [(second.reveal(), "cre/default#2", label.format(2))]
    place.run(lambda store: store.delete(stored))
    assert seen() == []


def test_an_item_that_the_person_deleted_asks_for_a_login(
    keychain_here: Keychain, tmp_path: Path
) -> None:
    """The account is signed out for that reason, other accounts are not, and a login mends it."""
    place = keychain_place(tmp_path)

    async def use(store: Store) -> None:
        await store.write(grant(), secret(), expected=0)
        other = HeldGrant(await store.write(grant(OTHER), (kept := secret()), expected=0), kept)
        (item,) = [
            item
            for item in keychain_here.search(SERVICE)
            if item.attributes["username"] == "cre/default#1"
        ]
        keychain_here.delete(item)
        with pytest.raises(LoginRequiredError) as refused:
            await store.read(KEY)
        assert refused.value.detail == (
            "cre/default is signed out: its item cre/default#1 is no longer in the keychain"
        )
        assert refused.value.hint == "run 'tool-agent login TOOL'"
        assert await store.read(OTHER) == other
        anew = secret()
        stored = await store.write(grant(), anew, expected=1)
        assert await store.read(KEY) == HeldGrant(stored, anew)

    place.run(use)


@pytest.mark.parametrize("text", [b"something else", b"\xff\xfe", b""])
def test_an_altered_item_is_neither_served_nor_replaced(
    keychain_here: Keychain, tmp_path: Path, text: bytes
) -> None:
    """What somebody put into our item stays there until the account is logged out."""
    place = keychain_place(tmp_path)

    async def use(store: Store) -> None:
        stored = await store.write(grant(), secret(), expected=0)
        keychain_here.tamper(keychain_here.search(SERVICE)[0], text)
        for call in (
            lambda: store.read(KEY),
            lambda: store.unseal(stored),
            lambda: store.write(grant(), secret(), expected=1),
        ):
            with pytest.raises(StoreUnavailableError) as refused:
                await call()
            assert refused.value.detail == (
                "the keychain item cre/default#1 was altered: it is not what was stored there"
            )
            assert refused.value.hint == (
                "run 'tool-agent logout TOOL' to drop it, then 'tool-agent login TOOL'"
            )
        if text != b"\xff\xfe":  # secret-tool prints it as it is
            assert len(keychain_here.search(SERVICE)) == 1
        await store.delete(stored)
        assert keychain_here.search(SERVICE) == []

    place.run(use)


def test_a_locked_keychain_is_told_and_ends_by_itself(
    keychain_here: Keychain, tmp_path: Path
) -> None:
    """Locked: reads, writes and logouts say so, nothing is lost, and unlocking is all it takes."""
    place, value = keychain_place(tmp_path), secret()

    async def use(store: DiskStore) -> None:
        stored = await store.write(grant(), value, expected=0)
        keychain_here.lock()
        for call in (lambda: store.read(KEY), lambda: store.write(grant(), secret(), expected=1)):
            with pytest.raises(StoreUnavailableError) as refused:
                await call()
            assert refused.value.detail == "the keychain (Secret Service) is locked"
            assert refused.value.retry_after == 5.0
            assert "unlock the keychain" in (refused.value.hint or "")
        assert (await store.status()).problems == (
            "the keychain (GNOME Keyring / Secret Service) is locked",
        )
        assert await store.list() == (stored,)
        keychain_here.unlock()
        assert await store.read(KEY) == HeldGrant(stored, value)
        keychain_here.lock()
        with pytest.raises(StoreUnavailableError) as refused:
            await store.delete(stored)
        assert refused.value.detail == (
            "cre/default is erased here, but its keychain item cre/default#1 is not yet:"
            " the keychain (Secret Service) is locked"
        )
        assert await store.list() == ()
        keychain_here.unlock()
        await store.delete(stored)
        assert keychain_here.search(SERVICE) == []

    place.run(use)


def test_a_keychain_that_is_killed_and_returns(keychain_here: Keychain, tmp_path: Path) -> None:
    """Gone: a typed error that says so. Back again: the same agent goes on."""
    place, value = keychain_place(tmp_path), secret()

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        keychain_here.kill()
        with pytest.raises(StoreUnavailableError, match=r"^no keychain answers: Secret Service"):
            await store.read(KEY)
        problems = (await store.status()).problems
        assert len(problems) == 1
        assert "The Secret Service daemon is neither running nor activatable" in problems[0]
        keychain_here.start()
        assert await store.read(KEY) == HeldGrant(stored, value)

    place.run(use)


def test_a_frozen_keychain_delays_nobody_beyond_the_deadline(
    keychain_here: Keychain, tmp_path: Path
) -> None:
    """While the daemon does not answer, callers hear so in time; afterwards all is as before."""
    place = keychain_place(tmp_path)
    place = replace(place, means=replace(place.means, keychain_deadline=0.2))
    value = secret()

    async def use(store: Store) -> None:
        stored = await store.write(grant(), value, expected=0)
        with keychain_here.frozen():
            with pytest.raises(StoreUnavailableError) as refused:
                await store.read(KEY)
            assert refused.value.detail == "the keychain did not answer within 0.2 s"
            assert await store.list() == (stored,)
        held = None
        while held is None:  # the daemon is awake again; each try has the same short deadline
            try:
                held = await store.read(KEY)
            except StoreUnavailableError:
                continue
        assert held == HeldGrant(stored, value)

    place.run(use)


def test_without_a_keychain_each_reason_and_the_way_out_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No session bus: the store guesses nothing, stores nothing, and says how to choose."""
    monkeypatch.delenv(BUS_ADDRESS, raising=False)
    place = keychain_place(tmp_path)

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError) as refused:
            await store.write(grant(), secret(), expected=0)
        assert refused.value.detail.startswith("no keychain answers: Secret Service: ")
        assert BUS_ADDRESS in refused.value.detail
        assert "KWallet: python-dbus not installed" in refused.value.detail
        assert refused.value.hint == CHOOSE
        assert await store.list() == ()
        assert (await store.status()).problems == (refused.value.detail,)

    place.run(use)


def test_a_bus_that_is_gone_is_no_keychain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address without a listener is an error of ours, not one of the socket's."""
    monkeypatch.setenv(BUS_ADDRESS, f"unix:path={tmp_path}/nothing")

    async def use(store: Store) -> None:
        with pytest.raises(StoreUnavailableError, match="No such file or directory"):
            await store.write(grant(), secret(), expected=0)

    keychain_place(tmp_path).run(use)


def test_the_environment_chooses_no_backend(keychain_here: Keychain, tmp_path: Path) -> None:
    """PYTHON_KEYRING_BACKEND and KEYRING_PROPERTY_* redirect nothing."""
    place = keychain_place(tmp_path)
    code = (
        "import asyncio; from pathlib import Path\n"
        "from tests.contract.store_places import *\n"
        f"place = keychain_place(Path({str(tmp_path)!r}))\n"
        "place.run(lambda store: store.write(grant(), Secret('told'), expected=0))\n"
    )
    environ = dict(os.environ) | {
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "KEYRING_PROPERTY_SCHEME": "KeePassXC",
        "KEYRING_PROPERTY_PREFERRED_COLLECTION": "/org/freedesktop/secrets/collection/session",
    }
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], env=environ, cwd=root, check=True)
    (item,) = keychain_here.search(SERVICE)
    assert (item.secret, item.attributes["username"]) == ("told", "cre/default#1")
    assert place.database.exists()


def test_keyring_is_not_imported_before_it_is_needed() -> None:
    """Opening a store imports neither keyring nor secretstorage: that is left to a thread."""
    code = (
        "import sys; from tool_agentd.adapters.store import open_store\n"
        "open_store(None, state_dir='/nonexistent', environ={})\n"
        "print([name for name in ('keyring', 'secretstorage', 'jeepney') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("platform", "places"),
    [("linux", ["secret-service", "kwallet"]), ("darwin", ["macos"]), ("plan9", [])],
)
def test_the_backends_are_pinned_by_platform(platform: str, places: list[str]) -> None:
    """Only the operating system's own keychains are tried."""
    assert [one.place for one in keychain_module.candidates(platform)] == places
