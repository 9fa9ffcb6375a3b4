"""What `exec` gives a command as a file, and what becomes of it when the command has ended."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.core.acme_files import ACME_FILES, ACME_MOVED
from tests.core.delivering import ACME, Delivering
from tests.core.fakes import KEY, ORIGIN
from tool_agentd.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    LoginRequiredError,
    StoreUnavailableError,
)
from tool_agentd.model import Grant, GrantKind, Peer
from tool_agentd.secret import Secret

Story = Callable[[Delivering], Coroutine[Any, Any, None]]


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


def content(path: Path) -> Any:  # noqa: ANN401 - a JSON value
    """Return what a file says."""
    return json.loads(path.read_text())


def test_the_file_is_there_as_long_as_the_command(told: Callable[..., None]) -> None:
    """It holds the access token and no refresh token, and nothing is left of it afterwards."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        given = await world.deliver(7)
        assert (given.files, dict(given.credential.env)) == ((str(world.file),), {})
        assert content(world.file) == {
            "access": "access-1",
            "refresh": "",
            "left": 3600,
            "how": "browser",
        }
        await world.over(7)
        assert list(world.home.iterdir()) == []
        assert world.deliveries.reasons == []

    told(story)


def test_a_variable_is_preferred_to_a_file(told: Callable[..., None]) -> None:
    """Where `[env]` has one for the credential, nothing is written."""

    async def story(world: Delivering) -> None:
        grant = Grant(KEY, GrantKind.API_KEY, "api-key", "key", (ORIGIN,), 0.0)
        await world.store.write(grant, Secret("ak_1"), expected=0)
        given = await world.deliver(7)
        assert (given.files, list(given.credential.env)) == ((), ["ACME_KEY"])
        assert list(world.home.iterdir()) == []

    told(story)


def test_a_file_beside_a_variable(told: Callable[..., None]) -> None:
    """Where the tool does not read that variable itself, it gets both."""

    async def story(world: Delivering) -> None:
        grant = Grant(KEY, GrantKind.API_KEY, "api-key", "key", (ORIGIN,), 0.0)
        await world.store.write(grant, Secret("ak_1"), expected=0)
        given = await world.deliver(7)
        assert list(given.credential.env) == ["ACME_KEY"]
        assert content(world.home / ".acme/key.json") == {"key": "ak_1"}
        await world.over(7)
        assert list(world.home.iterdir()) == []

    told(story, ACME_FILES.replace('key.json"\n', 'key.json"\nbeside_env = true\n'))


def test_two_commands_share_a_lease(told: Callable[..., None]) -> None:
    """Written for the first, put back after the last, in whatever order they end."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        await world.deliver(7)
        await world.deliver(8)
        await world.over(7)
        assert content(world.file)["access"] == "access-1"
        (lease,) = await world.files.leases()
        assert [process.pid for process in lease.processes] == [8]
        await world.over(8)
        assert content(world.file) == {"refresh": "theirs"}
        assert await world.files.leases() == ()

    told(story)


def test_another_account_waits_for_the_path(told: Callable[..., None]) -> None:
    """One path holds one account's credential; the second is told whose."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.signed_in(label="work")
        await world.deliver(7, structs.replace(ACME, account="default"))
        work = structs.replace(ACME, account="work")
        with pytest.raises(ConflictError, match="account 'default', by process 7"):
            await world.deliver(8, work)
        assert content(world.file)["access"] == "access-1"
        world.processes.end(7)  # and asked again before the agent has seen it
        await world.deliver(9, work)
        assert content(world.file)["access"] == "access-2"
        await world.over(9)
        assert list(world.home.iterdir()) == []

    told(story)


def test_one_command_after_another(told: Callable[..., None]) -> None:
    """A script's next command may ask before the agent has seen the last one's end."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        for pid in range(10, 15):
            await world.deliver(pid)
            world.processes.end(pid)
        await world.over()
        assert content(world.file) == {"refresh": "theirs"}

    told(story)


def test_the_life_that_the_tool_insists_on(told: Callable[..., None]) -> None:
    """The greater of the definition's and the person's counts: renewed, or refused unwritten."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        world.clock.advance(3600 - 299.5)  # more than a minute, less than five
        await world.deliver(8)
        assert world.provider.refreshes == 2
        await world.over(7, 8)
        await world.deliver(9, structs.replace(ACME, min_ttl=3599.0))
        assert world.provider.refreshes == 2
        await world.over(9)
        world.provider.life = 200
        world.clock.advance(3500)
        with pytest.raises(InvalidRequestError, match="less than the 300 s"):
            await world.deliver(10)
        assert list(world.home.iterdir()) == []

    told(story)


def test_a_directory_that_a_variable_names(told: Callable[..., None]) -> None:
    """The person's own file is never touched, and the directory goes with the command."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        own = world.home / ".config/acme/session.json"
        world.stand({"refresh": "theirs"}, own)
        given = await world.deliver(7)
        private = Path(given.directories["XDG_CONFIG_HOME"])
        assert content(private / "acme/session.json")["access"] == "access-1"
        assert content(own) == {"refresh": "theirs"}
        await world.over(7)
        assert not list(world.place.glob("run/exec/*"))
        assert content(own) == {"refresh": "theirs"}

    told(story, ACME_MOVED)


def test_two_files_in_one_moved_directory(told: Callable[..., None]) -> None:
    """The second stands for the first; what the command adds ends where it meant it."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"font": 12}, world.home / ".config/other.json")
        first = await world.deliver(7)
        second = await world.deliveries.deliver(
            ACME, Peer(1000, 1000, 7), {"HOME": str(world.home), **first.directories}
        )
        private = Path(second.directories["XDG_CONFIG_HOME"])
        assert private != Path(first.directories["XDG_CONFIG_HOME"])
        assert content(private / "other.json") == {"font": 12}
        world.stand({"new": 1}, private / "new.json")
        await world.over(7)
        assert sorted(path.name for path in world.home.rglob("*.json")) == [
            "new.json",
            "other.json",
        ]
        assert not list(world.place.glob("run/exec/*"))
        assert world.deliveries.reasons == []

    told(story, ACME_MOVED)


def test_a_login_in_a_private_directory_is_taken_over(told: Callable[..., None]) -> None:
    """The directory goes, what was in the file does not."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        given = await world.deliver(7)
        fresh = world.provider.issue()
        path = Path(given.directories["XDG_CONFIG_HOME"]) / "acme/session.json"
        world.stand({"access": "access-own", "refresh": fresh.reveal()}, path)
        await world.over(7)
        assert fresh.reveal() in world.provider.rotated
        assert not list(world.place.glob("run/exec/*"))
        assert world.deliveries.reasons == []

    told(story, ACME_MOVED)


def test_without_a_place_nothing_is_written(told: Callable[..., None]) -> None:
    """A process that has ended, and nobody signed in: an error, and no file."""

    async def story(world: Delivering) -> None:
        with pytest.raises(LoginRequiredError):
            await world.deliver(7)
        await world.signed_in()
        await world.broker.sessions.adopt(KEY)
        peer = world.processes.start(8)
        world.processes.end(8)
        with pytest.raises(ConflictError, match="has ended"):
            await world.deliveries.deliver(ACME, peer, {})
        world.home.chmod(0o777)
        with pytest.raises(ConfigurationError, match="writable by others"):
            await world.deliver(9)
        assert list(world.home.iterdir()) == []

    told(story)


# -- what a command has changed -------------------------------------------------------------------


def test_a_login_that_the_command_made_is_taken_over(told: Callable[..., None]) -> None:
    """Verified, stored, renewed once; then the file is gone and its token worth nothing."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        fresh = world.provider.issue()
        world.stand({"access": "access-own", "refresh": fresh.reveal()})
        await world.over(7)
        assert list(world.home.iterdir()) == []
        assert world.deliveries.reasons == []
        assert fresh.reveal() in world.provider.rotated
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living
        assert (await world.broker.token(ACME, world.processes.start(1))).value

    told(story)


def test_a_login_that_the_platform_refuses_replaces_nothing(told: Callable[..., None]) -> None:
    """Both versions are kept and reported, and the account goes on."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        await world.deliver(7)
        world.provider.dead.add("access-bad")
        world.stand({"access": "access-bad", "refresh": "made up"})
        await world.over(7)
        assert content(world.file)["refresh"] == "made up"
        (reason,) = world.deliveries.reasons
        (aside,) = world.file.parent.glob("*tool-agent*")
        assert content(aside) == {"refresh": "theirs"}
        assert str(world.file) in reason
        assert str(aside) in reason
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living
        world.remove(aside)
        await world.broker.tick()
        assert world.deliveries.reasons == []

    told(story)


def test_without_the_store_a_changed_file_stays_where_it_is(told: Callable[..., None]) -> None:
    """It is tried again, and then taken over."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        fresh = world.provider.issue()
        world.stand({"access": "access-own", "refresh": fresh.reveal()})
        write = world.store.write

        async def unavailable(*_: object, **__: object) -> Grant:
            raise StoreUnavailableError("the keychain sleeps")

        world.store.write = unavailable  # type: ignore[method-assign]  # a keychain that sleeps
        await world.over(7)
        assert content(world.file)["refresh"] == fresh.reveal()
        assert "the keychain sleeps" in world.deliveries.reasons[0]
        world.store.write = write  # type: ignore[method-assign]  # and wakes up
        await world.broker.tick()
        assert list(world.home.iterdir()) == []
        assert fresh.reveal() in world.provider.rotated
        assert world.deliveries.reasons == []

    told(story)


# -- the agent's own life --------------------------------------------------------------------------


def test_the_next_start_goes_on(told: Callable[..., None]) -> None:
    """What a living command uses stays until it ends; what a dead one has left is put back."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        await world.deliver(7)
        await world.deliveries.close()
        world.restarted()
        world.furnish()
        await world.deliveries.recover()
        assert content(world.file)["access"] == "access-1"
        await world.over(7)
        assert content(world.file) == {"refresh": "theirs"}

        await world.deliver(8)
        await world.deliveries.close()
        world.processes.end(8)
        world.restarted()
        world.furnish()
        await world.deliveries.recover()
        await world.over()
        assert content(world.file) == {"refresh": "theirs"}

    told(story)


def test_two_agents_over_one_state_directory(told: Callable[..., None]) -> None:
    """A command that joined by way of the one is waited for by the other."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        first = world.deliveries
        await world.deliver(7)
        world.restarted()
        world.furnish()
        await world.deliveries.recover()
        await world.deliver(8)
        world.processes.end(7)
        await first.settled()
        await world.over()
        assert content(world.file)["refresh"] == ""
        world.processes.end(8)
        await first.settled()
        await world.over()
        assert content(world.file) == {"refresh": "theirs"}
        assert [*first.reasons, *world.deliveries.reasons] == []

    told(story)


def test_a_logout_takes_the_file_away(told: Callable[..., None]) -> None:
    """The command still runs; what the person had is back, and its end changes nothing."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": "theirs"})
        await world.deliver(7)
        await world.broker.logout("acme", None)
        assert content(world.file) == {"refresh": "theirs"}
        await world.over(7)
        assert content(world.file) == {"refresh": "theirs"}
        assert await world.files.leases() == ()

    told(story)
