"""The lock at work: what stops, what goes on, what is dropped, and how unlocking backs off."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import KEY, ME, FakeWitness, World
from tests.faults.machine_world import FaultyStore
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.errors import InvalidRequestError, LockedError, StoreUnavailableError
from tool_agentd.model import NOBODY, AccessToken, Grant, HttpReply, HttpRequest, StoredLock
from tool_agentd.secret import Secret
from tool_agentd.session import Active, LoginBegan, LoginSucceeded

ACME = TokenAsk("acme")
RIGHT, WRONG = Secret("open sesame"), Secret("open barley")


class Stretch:
    """Stands for scrypt: at once, unless held."""

    cost = 2**10

    def __init__(self) -> None:
        """Count the guesses."""
        self.guesses = 0
        self.begun = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def stretch(self, passphrase: Secret, salt: bytes, cost: int) -> bytes:
        """Implement ports.Stretcher."""
        self.guesses += 1
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        return f"{passphrase.reveal()}/{salt.hex()}/{cost}".encode()


class LockWorld(World):
    """A world whose store may fail, and whose passphrases cost nothing."""

    def __init__(self) -> None:
        """Begin signed out and unlocked."""
        super().__init__()
        self.faulty = FaultyStore(self.store)
        self.stretch = Stretch()
        self.restart()

    def restart(self) -> None:
        """Start an agent over the same store, as the service does."""
        self.witness = FakeWitness()
        self.store, below = self.faulty, self.store  # type: ignore[assignment]  # stands for it
        self.restarted()
        self.store = below
        self.broker.locking.stretcher = self.stretch
        self.broker.locking.ask_store()

    async def lock(self, *, keep: bool = False) -> str | None:
        """Lock by the right passphrase."""
        return await self.broker.locking.lock(RIGHT, keep=keep, peer=ME)

    async def token(self) -> str:
        """Return the token of acme."""
        await self.broker.locking.known()
        return (await self.broker.token(ACME, ME)).value.reveal()

    async def settle(self) -> None:
        """Wait for what goes on behind."""
        await self.broker._flights.land()
        await self.broker._background.settle()

    def held(self) -> list[AccessToken]:
        """Return the access tokens in memory."""
        state = self.broker.sessions.get(KEY)
        return list(state.tokens.values()) if isinstance(state, Active) else []


def run(story: Callable[[LockWorld], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        world = LockWorld()
        await world.signed_in()
        await asyncio.wait_for(story(world), 10)
        assert world.provider.replays == 0

    asyncio.run(told())


def test_nothing_is_served_until_the_passphrase_comes_again() -> None:
    """A lock stops the cached token at once and drops it; the unlock needs no new login."""

    async def story(world: LockWorld) -> None:
        before = await world.token()
        assert await world.lock() is None
        assert world.held() == []
        with pytest.raises(LockedError, match="the agent is locked"):
            await world.token()
        with pytest.raises(LockedError):
            await world.broker.token(ACME, NOBODY)
        await world.broker.unlock(RIGHT, ME)
        assert await world.token() != before
        assert [(one.event, one.outcome) for one in world.witness.lines if not one.tool] == [
            ("lock", "ok"),
            ("unlock", "ok"),
        ]

    run(story)


def test_the_gate_is_shut_before_the_lock_is_durable() -> None:
    """While the passphrase is stretched nothing is served, and the answer waits for the store."""

    async def story(world: LockWorld) -> None:
        world.stretch.gate = asyncio.Event()
        await world.broker.locking.known()
        locking = asyncio.ensure_future(world.lock())
        await world.stretch.begun.wait()
        with pytest.raises(LockedError):
            await world.token()
        assert await world.store.lock() is None
        world.stretch.gate.set()
        await locking
        kept = await world.store.lock()
        assert kept is not None
        assert kept.locked

    run(story)


def test_who_waits_for_a_renewal_hears_of_the_lock_at_once() -> None:
    """The provider holds its answer; the rotation in it is saved, and its token dropped."""

    async def story(world: LockWorld) -> None:
        world.provider.gate = asyncio.Event()
        waiting = asyncio.ensure_future(world.token())
        await world.provider.arrived.wait()
        await world.lock()
        with pytest.raises(LockedError):
            await asyncio.wait_for(waiting, 1)
        world.provider.gate.set()
        await world.settle()
        assert world.held() == []
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living
        assert world.provider.refreshes == 1
        await world.broker.tick()
        assert world.provider.refreshes == 1, "nothing is renewed behind a lock"
        await world.broker.unlock(RIGHT, ME)
        await world.token()

    run(story)


def test_an_agent_that_restarts_starts_locked() -> None:
    """The store knows, with the wrong passphrases before; and an unlocked one starts unlocked."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        with pytest.raises(LockedError):
            await world.broker.unlock(WRONG, ME)
        world.restart()
        with pytest.raises(LockedError):
            await world.token()
        guesses = world.stretch.guesses
        with pytest.raises(LockedError) as soon:
            await world.broker.unlock(RIGHT, ME)
        assert soon.value.retry_after == 1
        assert world.stretch.guesses == guesses, "refused at once"
        world.clock.advance(1)
        await world.broker.unlock(RIGHT, ME)
        assert await world.store.lock() is None
        world.restart()
        await world.token()

    run(story)


def test_wrong_passphrases_back_off_and_a_right_one_forgives() -> None:
    """1, 2, 4, 8, 10 s, each refused at once with the time that is left."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        waits = []
        for _ in range(6):
            with pytest.raises(LockedError, match="wrong passphrase") as wrong:
                await world.broker.unlock(WRONG, ME)
            left = wrong.value.retry_after
            assert left is not None
            waits.append(left)
            world.clock.advance(left - 0.5)
            with pytest.raises(LockedError, match="just now"):
                await world.broker.unlock(RIGHT, ME)
            world.clock.advance(0.5)
        assert waits == [1, 2, 4, 8, 10, 10]
        await world.broker.unlock(RIGHT, ME)
        await world.lock()
        with pytest.raises(LockedError) as again:
            await world.broker.unlock(WRONG, ME)
        assert again.value.retry_after == 1

    run(story)


def test_guesses_at_one_moment_are_one_guess() -> None:
    """Of many that come together one is looked at; it counts before that, even if we are killed."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        before = world.stretch.guesses
        world.stretch.gate, world.stretch.begun = asyncio.Event(), asyncio.Event()
        together = [asyncio.ensure_future(world.broker.unlock(WRONG, ME)) for _ in range(20)]
        await world.stretch.begun.wait()
        kept = await world.store.lock()
        assert kept is not None
        assert kept.failures == 1
        world.stretch.gate.set()
        found = await asyncio.gather(*together, return_exceptions=True)
        assert all(isinstance(one, LockedError) for one in found)
        assert world.stretch.guesses == before + 1

    run(story)


def test_a_lock_that_cannot_be_saved_holds_and_says_so() -> None:
    """It is in memory, `status` says that a restart would end it, and the tick saves it."""

    async def story(world: LockWorld) -> None:
        await world.broker.locking.known()
        world.faulty.failing = frozenset({"keep_lock"})
        assert await world.lock() == "the disk is full"
        with pytest.raises(LockedError):
            await world.token()
        assert "a restart would end it" in (await world.broker.status())[1][0]
        world.faulty.failing = frozenset()
        await world.broker.tick()
        kept = await world.store.lock()
        assert kept is not None
        assert kept.locked
        assert (await world.broker.status())[1] == []

    run(story)


def test_an_unlock_is_durable_before_anything_is_served() -> None:
    """Where the store keeps the lock the agent stays locked; a lock it never had ends in memory."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        world.faulty.failing = frozenset({"keep_lock"})
        with pytest.raises(StoreUnavailableError, match="passphrase is right"):
            await world.broker.unlock(RIGHT, ME)
        with pytest.raises(LockedError):
            await world.token()
        world.faulty.failing = frozenset()
        await world.broker.unlock(RIGHT, ME)
        world.faulty.failing = frozenset({"keep_lock"})
        await world.lock()
        await world.broker.unlock(RIGHT, ME)
        await world.token()

    run(story)


def test_a_store_that_does_not_answer_keeps_the_gate_shut() -> None:
    """Nothing is served until it is known; and then it is, unaided."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        world.restart()
        world.faulty.failing = frozenset({"lock"})
        with pytest.raises(StoreUnavailableError):
            await world.broker.locking.known()
        with pytest.raises(StoreUnavailableError, match="not known yet whether"):
            await world.broker.token(ACME, ME)
        world.faulty.failing = frozenset()
        await world.broker.tick()
        with pytest.raises(LockedError):
            await world.broker.token(ACME, ME)

    run(story)


def test_a_passphrase_that_is_kept_locks_without_being_typed() -> None:
    """Suspend and screen lock use it; without one they only drop what is held."""

    async def story(world: LockWorld) -> None:
        await world.token()
        await world.broker.locking.by_itself("the machine goes to sleep")
        assert world.held() == []
        await world.token()
        with pytest.raises(InvalidRequestError, match="no passphrase is kept"):
            await world.broker.locking.lock(None, keep=False, peer=ME)
        await world.token()
        await world.lock(keep=True)
        await world.broker.unlock(RIGHT, ME)
        world.restart()
        await world.token()
        await world.broker.locking.by_itself("the machine goes to sleep")
        with pytest.raises(LockedError):
            await world.token()
        await world.broker.unlock(RIGHT, ME)
        await world.lock()
        await world.broker.unlock(RIGHT, ME)
        assert not world.broker.locking.kept, "the last lock decides"

    run(story)


def test_a_login_under_way_is_cancelled() -> None:
    """Whoever types into it is not the one who has locked."""

    async def story(world: LockWorld) -> None:
        await world.broker.locking.known()
        tool = world.catalogue.get("acme")
        view, _ = await world.broker.start_login(LoginOrder(tool, KEY))
        await world.lock()
        await world.settle()
        assert world.broker.login(view.id).view.state.value == "cancelled"

    run(story)


def test_what_only_memory_has_is_not_dropped() -> None:
    """A token that nothing could renew is no copy; neither SIGUSR1 nor a lock loses it."""

    async def story(world: LockWorld) -> None:
        await world.token()
        [token] = world.held()
        grant: Grant = world.broker.sessions.get(KEY).grant  # type: ignore[union-attr]  # it is Active
        world.broker.sessions.apply(KEY, LoginBegan("login"))
        only = replace(grant, generation=0)
        world.broker.sessions.apply(KEY, LoginSucceeded("login", only, token))
        world.broker.locking.drop()
        assert world.held() == [token]

    run(story)


def test_what_is_kept_of_a_lock_holds_no_passphrase() -> None:
    """The store gets a salt and a check, and nothing that was typed."""

    async def story(world: LockWorld) -> None:
        await world.lock()
        kept = await world.store.lock()
        assert isinstance(kept, StoredLock)
        assert RIGHT.reveal().encode() not in kept.verifier.check + kept.verifier.salt

    run(story)


def test_no_renewal_begins_behind_a_lock() -> None:
    """A platform that refuses a token makes the agent renew it; not where it is locked by then."""

    async def story(world: LockWorld) -> None:
        await world.token()
        renewals = world.provider.refreshes

        def refuse(_: HttpRequest) -> HttpReply:
            world.broker.gate.locked = True
            return world.provider.json({}, 401)

        world.provider.routes["/me"] = refuse
        with pytest.raises(LockedError):
            await world.broker.identity(ACME, ME)
        assert world.provider.refreshes == renewals

    run(story)


def test_no_login_begins_behind_a_lock() -> None:
    """One that was asked for before, and waited for the store, is refused and not begun."""

    async def story(world: LockWorld) -> None:
        arrived, go = asyncio.Event(), asyncio.Event()
        prepare = world.store.prepare

        async def slowly() -> None:
            arrived.set()
            await go.wait()
            await prepare()

        world.store.prepare = slowly  # type: ignore[method-assign]  # a disk that takes its time
        order = LoginOrder(world.catalogue.get("acme"), KEY, "browser")
        login = asyncio.ensure_future(world.broker.start_login(order))
        await arrived.wait()
        await world.lock()
        go.set()
        with pytest.raises(LockedError):
            await login
        assert world.loopback.listeners == []

    run(story)
