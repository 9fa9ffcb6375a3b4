"""Two processes on one store: kill -9 at each step, leases that die with their holder, races."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.store_places import (
    KEY,
    SERVICE,
    Place,
    credential_place,
    grant,
    keychain_place,
    vault_in_keychain_place,
)
from tests.real.child import Child
from tests.real.keychain import Keychain
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.ports import Store
from tool_agentd.secret import Secret

ROOT = Path(__file__).parents[2]

BEFORE_COMMIT = ("noted", "written", "verified")
AFTER_COMMIT = ("committed", "removed", "forgotten")


def child(place: Place, what: str, *arguments: str, step: str = "-") -> Child:
    """Start a second process on the same store."""
    module = "tests.contract.store_child"
    argv = [sys.executable, "-m", module, what, str(place.state), place.kind, step, *arguments]
    return Child(argv, log=place.state.parent / "child.log", cwd=ROOT, environ=environ(place))


def environ(place: Place) -> dict[str, str]:
    """Return this process's environment (the bus address is in it) with the place's."""
    return dict(os.environ) | place.environ


def died(process: Child) -> None:
    """See that the process was killed at its step, and did not end by itself."""
    status = process.process.wait(30)
    process.stop()
    assert status == -signal.SIGKILL, process.log.read_text()


def items(keychain: Keychain) -> dict[str, str | None]:
    """Return what the keychain holds of ours: item name to secret."""
    return {item.attributes["username"]: item.secret for item in keychain.search(SERVICE)}


async def _write(store: Store, text: str, expected: int) -> None:
    await store.write(grant(), Secret(text), expected=expected)


@pytest.mark.parametrize("step", BEFORE_COMMIT + AFTER_COMMIT)
def test_a_rotation_killed_at_a_step_leaves_old_or_new(
    keychain_here: Keychain, tmp_path: Path, step: str
) -> None:
    """After kill -9 one secret is current and readable; once a renewal has looked, it is alone.

    Nothing was presented here, so what the rotation left is nobody's answer.
    """
    place = keychain_place(tmp_path)
    place.run(lambda store: _write(store, "old", 0))
    died(child(place, "write", "1", "new", step=step))

    async def use(store: Store) -> str:
        held = await store.read(KEY)
        assert held is not None
        async with store.lease(KEY):
            assert await store.adopt(KEY, lambda _history, _fingerprint: False) is None
        assert await store.read(KEY) == held
        return held.secret.reveal()

    survivor = place.run(use)  # closing waits for the sweep
    assert survivor == ("old" if step in BEFORE_COMMIT else "new")
    assert list(items(keychain_here).values()) == [survivor]


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_first_login_killed_before_its_commit_leaves_nothing(
    keychain_here: Keychain, tmp_path: Path, step: str
) -> None:
    """The account does not exist, its item is swept, and the next login succeeds."""
    place = keychain_place(tmp_path)
    died(child(place, "write", "0", "lost", step=step))

    async def look(store: Store) -> None:
        assert await store.list() == ()
        assert (await store.status()).problems == ()

    place.run(look)
    assert items(keychain_here) == {}
    place.run(lambda store: _write(store, "kept", 0))
    assert list(items(keychain_here).values()) == ["kept"]


@pytest.mark.parametrize("step", ["removed", "forgotten"])
def test_a_logout_that_is_killed_leaves_nothing(
    keychain_here: Keychain, tmp_path: Path, step: str
) -> None:
    """Once the row is gone the account is, whatever becomes of the process."""
    place = keychain_place(tmp_path)
    place.run(lambda store: _write(store, "old", 0))
    died(child(place, "delete", step=step))
    assert place.run(lambda store: store.list()) == ()
    place.run(lambda store: store.status())
    assert items(keychain_here) == {}


def test_a_lease_dies_with_its_holder(tmp_path: Path) -> None:
    """Another process's lease is awaited; kill -9 of the holder gives it free."""
    place = credential_place(tmp_path)
    holder = child(place, "lease")
    try:
        assert holder.line() == "held"
        pauses: list[float] = []

        async def wait(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 5:
                holder.kill()

        async def use() -> None:
            async with _with(place, wait).opened() as store, store.lease(KEY):
                assert len(pauses) >= 5
                assert pauses == sorted(pauses)

        asyncio.run(use())
    finally:
        holder.stop()


def test_another_processs_lease_is_not_awaited_for_ever(tmp_path: Path) -> None:
    """After thirty seconds of waiting, counted on the given clock, the answer is `try later`."""
    place = credential_place(tmp_path)
    holder = child(place, "lease")
    try:
        assert holder.line() == "held"
        pauses: list[float] = []

        async def wait(seconds: float) -> None:
            pauses.append(seconds)

        async def use() -> None:
            async with _with(place, wait).opened() as store:
                with pytest.raises(TemporarilyUnavailableError) as refused:
                    async with store.lease(KEY):
                        pass
                assert refused.value.detail == "somebody else has kept cre/default busy for 30 s"
                assert refused.value.retry_after == 5.0
            assert 30 <= sum(pauses) < 31

        asyncio.run(use())
        holder.send("go\n")
        assert holder.line() == "released"

        async def again(store: Store) -> None:
            async with store.lease(KEY):
                pass

        place.run(again)
    finally:
        holder.stop()


@pytest.mark.parametrize("make", [credential_place, keychain_place, vault_in_keychain_place])
def test_two_processes_never_win_the_same_generation(
    request: pytest.FixtureRequest, tmp_path: Path, make: Callable[[Path], Place]
) -> None:
    """Every write that was not refused is one generation: none is lost, none overwritten."""
    keychain: Keychain | None = None
    if make is not credential_place:
        keychain = request.getfixturevalue("keychain_here")
    place = make(tmp_path)
    rounds = 15
    racers = [child(place, "race", str(rounds)) for _ in range(2)]
    try:
        for racer in racers:
            assert racer.line() == "ready"
        for racer in racers:
            racer.send("go\n")
        won = [int(racer.line()) for racer in racers]
    finally:
        for racer in racers:
            racer.stop()

    async def use(store: Store) -> None:
        (last,) = await store.list()
        assert last.generation == sum(won) >= rounds
        held = await store.read(KEY)
        assert held is not None

    place.run(use)
    if keychain is not None:
        assert len(items(keychain)) == 1


def _with(place: Place, wait: Callable[[float], Awaitable[None]]) -> Place:
    return replace(place, means=replace(place.means, wait=wait))
