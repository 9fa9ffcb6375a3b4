"""Deliveries that cross a logout, a new login, a disk that hangs, or a caller that goes away."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.delivering import ACME, Delivering, Gate, held_up
from tests.core.fakes import KEY, ORIGIN
from tool_agentd.errors import (
    ConfigurationError,
    ConflictError,
    LockedError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import Grant, GrantKind, HttpRequest, Peer
from tool_agentd.ports import Lease, ToolFileText
from tool_agentd.secret import Secret

Story = Callable[[Delivering], Coroutine[Any, Any, None]]

PROFILE = """
[cache.profile]
credential = ["key"]
request = { get = "https://acme.example/profile" }
take = "profile"
path = "~/.acme/profile.yaml"
in_place = true
"""
"""What the tool reads beside its key, which goes by variable."""


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., None]:
    """Tell a story in a world of its own."""

    def tell(story: Story, text: str = ACME_FILES) -> None:
        async def telling() -> None:
            world = Delivering(tmp_path, text)
            await asyncio.wait_for(story(world), 20)
            assert world.provider.replays == 0

        asyncio.run(telling())

    return tell


async def changed_by_the_command(world: Delivering) -> str:
    """Let the command put a login of its own into its file; return its refresh token."""
    fresh = world.provider.issue().reveal()
    world.stand({"access": "access-own", "refresh": fresh})
    return fresh


# -- logouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True])
def test_a_logout_wins_over_a_delivery_under_way(
    told: Callable[..., None], *, written: bool
) -> None:
    """Before the file is written, or while it is: the command is refused and no file is left."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        gate = held_up(world.files, "write")
        if not written:
            gate.open.set()
            gate = held_up(world.deliveries, "_beside")
        under_way = asyncio.ensure_future(world.deliver(7))
        await gate.there.wait()
        await world.broker.logout("acme", None)
        gate.open.set()
        with pytest.raises(LoginRequiredError, match="logged out meanwhile"):
            await under_way
        await world.over(7)
        assert list(world.home.iterdir()) == []
        assert await world.files.leases() == ()

    told(story)


def test_a_lock_wins_over_a_delivery_under_way(told: Callable[..., None]) -> None:
    """What takes its time before the file is written may be overtaken: no file is written then."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        gate = held_up(world.deliveries, "_beside")
        under_way = asyncio.ensure_future(world.deliver(7))
        await gate.there.wait()
        world.broker.gate.locked = True
        gate.open.set()
        with pytest.raises(LockedError):
            await under_way
        assert list(world.home.iterdir()) == []

    told(story)


def test_a_new_login_wins_over_a_delivery_under_way(told: Callable[..., None]) -> None:
    """What was about to be written is another login's."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        gate = held_up(world.files, "write")
        under_way = asyncio.ensure_future(world.deliver(7))
        await gate.there.wait()
        before = await world.store.current(KEY)
        assert before is not None
        world.clock.advance(1)
        later = Grant(
            KEY, GrantKind.REFRESH_TOKEN, "browser", "session", (ORIGIN,), world.clock.now().wall
        )
        await world.store.write(later, world.provider.issue(), expected=before.generation)
        await world.broker.sessions.adopt(KEY)
        gate.open.set()
        with pytest.raises(ConflictError, match="signed in anew meanwhile"):
            await under_way
        assert list(world.home.iterdir()) == []

    told(story)


@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_taken_over_after_a_logout(told: Callable[..., None], *, again: bool) -> None:
    """The command's login does not sign the account in again, nor replace a new one."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        theirs = await changed_by_the_command(world)
        await world.broker.logout("acme", None)
        newer = world.provider.issue()
        if again:
            await world.signed_in(newer)
        assert "left as it is" in world.deliveries.reasons[0]
        await world.over(7)
        await world.broker.tick()
        held = await world.store.read(KEY)
        assert (held is not None) is again
        assert held is None or held.secret == newer
        assert theirs in world.provider.living
        assert json.loads(world.file.read_text())["refresh"] == theirs

    told(story)


def test_a_login_that_another_has_replaced_takes_nothing_over(told: Callable[..., None]) -> None:
    """The person signed in anew while the command ran: theirs stands."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        theirs = await changed_by_the_command(world)
        before = await world.store.current(KEY)
        assert before is not None
        world.clock.advance(1)
        newer = world.provider.issue()
        later = Grant(
            KEY, GrantKind.REFRESH_TOKEN, "browser", "session", (ORIGIN,), world.clock.now().wall
        )
        await world.store.write(later, newer, expected=before.generation)
        await world.over(7)
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret == newer
        assert theirs in world.provider.living

    told(story)


def test_a_logout_does_not_wait_for_the_platform(told: Callable[..., None]) -> None:
    """It breaks off what is being taken over, which then signs nobody in."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        await changed_by_the_command(world)
        gate = Gate()
        ask = world.broker.identities.ask

        async def slow(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as the real one
            await gate.wait()
            return await ask(*arguments, **more)

        world.broker.identities.ask = slow  # type: ignore[method-assign]  # a platform that hangs
        world.processes.end(7)
        await gate.there.wait()
        await world.broker.logout("acme", None)
        assert not gate.open.is_set()
        await world.over()
        assert await world.store.read(KEY) is None
        assert await world.files.leases() != ()  # the record of what was left for the person

    told(story)


def test_a_logout_that_the_store_refuses_takes_nothing_away(told: Callable[..., None]) -> None:
    """The session goes on, and so does the command with its file."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        retire = world.store.retire

        async def unavailable(grant: Grant) -> Grant:
            raise StoreUnavailableError("the keychain sleeps")

        world.store.retire = unavailable  # type: ignore[method-assign]  # a keychain that sleeps
        with pytest.raises(StoreUnavailableError):
            await world.broker.logout("acme", None)
        assert world.file.exists()
        await world.deliver(8)
        world.store.retire = retire  # type: ignore[method-assign]  # and wakes up
        await world.broker.logout("acme", None)
        assert list(world.home.iterdir()) == []

    told(story)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_logout_that_cannot_put_a_file_back_is_not_forgotten(
    told: Callable[..., None], *, restarts: bool
) -> None:
    """It is tried again though the command lives on, by the next agent too."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)

        async def broken(lease: Lease) -> Sequence[ToolFileText]:
            raise ConfigurationError("disk trouble")

        changed = world.files.changed
        world.files.changed = broken  # type: ignore[assignment]  # a disk in trouble
        await world.broker.logout("acme", None)
        await world.broker.tick()
        assert world.file.exists()
        assert world.deliveries.reasons == ["the file of acme is not put back yet: disk trouble"]
        world.files.changed = changed  # type: ignore[method-assign]  # and well again
        if restarts:
            await world.deliveries.close()
            world.restarted()
            world.furnish()
            await world.deliveries.recover()
            await world.deliveries.settled()
        else:
            await world.broker.tick()
        assert list(world.home.iterdir()) == []
        assert world.deliveries.reasons == []

    told(story)


def test_a_process_is_watched_once(told: Callable[..., None]) -> None:
    """However often it asks, and whatever is looked at again."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        await world.deliveries.deliver(ACME, Peer(1000, 1000, 7), {})
        for _ in range(3):
            await world.broker.tick()
        assert [len(watches) for watches in world.deliveries._watches.values()] == [1]
        await world.over(7)
        assert list(world.home.iterdir()) == []

    told(story)


# -- writes that nobody waits for ------------------------------------------------------------------


def test_a_write_that_outlives_its_deadline_is_put_back(told: Callable[..., None]) -> None:
    """It was done after all, and the client that was refused has ended."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        write = world.files.write

        async def late(lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
            await write(lease, texts)
            raise TemporarilyUnavailableError("the disk did not answer within 8 s")

        world.files.write = late  # type: ignore[method-assign]  # a disk that is slow
        with pytest.raises(TemporarilyUnavailableError):
            await world.deliver(7)
        world.files.write = write  # type: ignore[method-assign]  # and fast again
        assert world.file.exists()
        await world.over(7)
        assert list(world.home.iterdir()) == []

    told(story)


def test_a_write_that_comes_after_everything_is_found(told: Callable[..., None]) -> None:
    """The process had ended and the lease was forgotten before the disk did it."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        write = world.files.write
        asked: list[tuple[Lease, Sequence[tuple[str, Secret]]]] = []

        async def late(lease: Lease, texts: Sequence[tuple[str, Secret]]) -> Lease:
            asked.append((lease, texts))
            raise TemporarilyUnavailableError("the disk did not answer within 8 s")

        world.files.write = late  # type: ignore[method-assign]  # a disk that is slow
        with pytest.raises(TemporarilyUnavailableError):
            await world.deliver(7)
        await world.over(7)
        await write(*asked[0])
        assert world.file.exists()
        world.files.write = write  # type: ignore[method-assign]  # and fast again
        await world.broker.tick()
        await world.over()
        assert list(world.home.iterdir()) == []

    told(story)


def test_a_caller_that_goes_away_leaves_nothing_behind(told: Callable[..., None]) -> None:
    """The write goes on, is watched, and is put back when the process has ended."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        gate = held_up(world.files, "write")
        under_way = asyncio.ensure_future(world.deliver(7))
        await gate.there.wait()
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        gate.open.set()
        await world.deliveries._background.settle()
        assert world.file.exists()
        await world.over(7)
        assert list(world.home.iterdir()) == []

    told(story)


# -- beside a variable -----------------------------------------------------------------------------


def test_a_key_that_goes_by_variable_gets_what_stands_beside_it(
    told: Callable[..., None],
) -> None:
    """Fetched anew for each command, written in its place, and gone with the command."""

    async def story(world: Delivering) -> None:
        grant = Grant(KEY, GrantKind.API_KEY, "api-key", "key", (ORIGIN,), 0.0)
        await world.store.write(grant, Secret("ak_1"), expected=0)
        profile = {"profile": {"team": "blue"}}

        def answer(_: HttpRequest) -> Any:  # noqa: ANN401 - the fake's own reply
            return world.provider.json(profile)

        world.provider.routes["/profile"] = answer
        given = await world.deliver(7)
        path = world.home / ".acme/profile.yaml"
        assert (list(given.credential.env), given.files) == (["ACME_KEY"], (str(path),))
        assert path.read_text() == "team: blue\n"
        await world.deliver(8)
        assert len(world.provider.requests) == 2
        await world.over(7, 8)
        assert list(world.home.iterdir()) == []

    told(story, ACME_FILES + PROFILE)


def test_without_it_the_command_runs_all_the_same(told: Callable[..., None]) -> None:
    """A platform that has none, and a place that others can write, are only said."""

    async def story(world: Delivering) -> None:
        grant = Grant(KEY, GrantKind.API_KEY, "api-key", "key", (ORIGIN,), 0.0)
        await world.store.write(grant, Secret("ak_1"), expected=0)
        given = await world.deliver(7)
        assert (list(given.credential.env), given.files) == (["ACME_KEY"], ())
        assert "profile.yaml is not there for the command" in given.notes[0]
        world.provider.routes["/profile"] = lambda _: world.provider.json({"profile": {"a": "b"}})
        world.home.chmod(0o777)
        given = await world.deliver(8)
        assert (list(given.credential.env), given.files) == (["ACME_KEY"], ())
        assert "writable by others" in given.notes[0]

    told(story, ACME_FILES + PROFILE)


def test_a_record_that_makes_no_sense_is_reported(told: Callable[..., None]) -> None:
    """In `status`, until the person has removed it."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        await world.over(7)
        record = world.place / "state/leases/00ff00ff00ff00ff.json"
        record.write_text("{")
        await world.broker.tick()
        (reason,) = world.deliveries.reasons
        assert f"{record}.unreadable" in reason
        world.remove(record.with_name(f"{record.name}.unreadable"))
        await world.broker.tick()
        assert world.deliveries.reasons == []
        assert (await world.deliver(8, ACME)).files == (str(world.file),)

    told(story)
