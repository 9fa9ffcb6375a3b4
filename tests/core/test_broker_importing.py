"""`import` moves a login out of a tool's own file: persisted, renewed once, and then erased."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.delivering import ACME, Delivering
from tests.core.fakes import KEY, ME
from tool_agentd.broker import TokenAsk
from tool_agentd.errors import (
    ConflictError,
    InvalidRequestError,
    LoginRequiredError,
    ProviderError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import AccountKey, Grant, GrantKind, JournalEvent

Story = Callable[[Delivering], Coroutine[Any, Any, None]]


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Story], None]:
    """Tell a story in a world of its own."""

    def tell(story: Story) -> None:
        async def telling() -> None:
            world = Delivering(tmp_path)
            await asyncio.wait_for(story(world), 20)
            assert world.provider.replays == 0

        asyncio.run(telling())

    return tell


def test_a_login_is_moved(told: Callable[[Story], None]) -> None:
    """Its token is rotated away, so that the file, had it stayed, would be worth nothing."""

    async def story(world: Delivering) -> None:
        theirs = world.provider.issue().reveal()
        world.stand({"refresh": theirs, "access": "access-own", "how": "browser"})
        report = await world.take_over()
        assert (report.imported, report.erased, report.verified) == (True, True, True)
        assert (report.key, report.path, report.method) == (KEY, str(world.file), "browser")
        assert report.identity.name == "ada@acme.example"
        assert not world.file.exists()
        assert theirs in world.provider.rotated
        assert world.provider.refreshes == 1
        await world.broker.token(ACME, ME)
        assert world.provider.refreshes == 1
        assert await world.files.imports() == ()
        login, *_ = await world.broker.journal.history(KEY)
        assert (login.event, login.detail) == (JournalEvent.LOGIN, f"imported from {world.file}")
        assert login.by.startswith("pid ")

    told(story)


def test_a_dry_run_changes_nothing(told: Callable[[Story], None]) -> None:
    """It only says what would be."""

    async def story(world: Delivering) -> None:
        theirs = world.provider.issue().reveal()
        world.stand({"refresh": theirs})
        report = await world.take_over(dry_run=True)
        assert (report.imported, report.erased) == (False, False)
        assert world.file.exists()
        assert await world.store.current(KEY) is None
        assert theirs in world.provider.living

    told(story)


def test_an_account_that_is_signed_in_is_not_replaced(told: Callable[[Story], None]) -> None:
    """The file stays; under another name it can be imported."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        world.stand({"refresh": world.provider.issue().reveal()})
        with pytest.raises(ConflictError, match="signed in already") as caught:
            await world.take_over()
        assert "--account NAME" in (caught.value.hint or "")
        assert world.file.exists()
        report = await world.take_over("work")
        assert report.key == AccountKey("acme", "work")
        assert not world.file.exists()
        await world.broker.token(TokenAsk("acme", "default"), ME)
        await world.broker.token(TokenAsk("acme", "work"), ME)

    told(story)


def test_a_token_that_is_dead_stays_in_its_file(told: Callable[[Story], None]) -> None:
    """It is no login any more; the file is the person's to look at, and a login helps."""

    async def story(world: Delivering) -> None:
        world.stand({"refresh": "long gone"})
        with pytest.raises(LoginRequiredError, match="left as it is"):
            await world.take_over()
        assert world.file.exists()
        assert await world.files.imports() == ()
        world.stand({"refresh": world.provider.issue().reveal()})
        assert (await world.take_over()).erased

    told(story)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_import_that_broke_off_is_ended(
    told: Callable[[Story], None], *, restarts: bool
) -> None:
    """Stored and not renewed: no login is lost, and the same command ends what was begun."""

    async def story(world: Delivering) -> None:
        theirs = world.provider.issue().reveal()
        world.stand({"refresh": theirs})
        world.provider.reply = TemporarilyUnavailableError("acme.example does not answer")
        with pytest.raises(TemporarilyUnavailableError) as caught:
            await world.take_over()
        assert "again" in (caught.value.hint or "")
        assert world.file.exists()
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() == theirs
        world.provider.reply = None
        world.clock.advance(caught.value.retry_after or 0)
        if restarts:
            world.restarted()
            world.furnish()
        report = await world.take_over()
        assert report.erased
        assert not world.file.exists()
        assert theirs in world.provider.rotated
        assert world.provider.refreshes == 1

    told(story)


def test_killed_between_renewing_and_erasing(told: Callable[[Story], None]) -> None:
    """The file's token is dead and another account's login would be refused: it is only erased."""

    async def story(world: Delivering) -> None:
        world.stand({"refresh": world.provider.issue().reveal()})
        erase = world.files.erase

        async def killed(path: str, digest: str) -> bool:
            raise asyncio.CancelledError

        world.files.erase = killed  # type: ignore[method-assign]  # the process ends here
        with pytest.raises(asyncio.CancelledError):
            await world.take_over()
        world.files.erase = erase  # type: ignore[method-assign]  # and is there again
        world.restarted()
        world.furnish()
        report = await world.take_over()
        assert report.erased
        assert not world.file.exists()
        await world.broker.token(ACME, ME)

    told(story)


def test_a_login_since_then_is_another_one(told: Callable[[Story], None]) -> None:
    """An import that broke off does not erase the file for a login that its person made since."""

    async def story(world: Delivering) -> None:
        theirs = world.provider.issue().reveal()
        world.stand({"refresh": theirs})
        world.provider.reply = TemporarilyUnavailableError("acme.example does not answer")
        with pytest.raises(TemporarilyUnavailableError):
            await world.take_over()
        world.provider.reply = None
        current = await world.store.current(KEY)
        assert current is not None
        world.clock.advance(60)
        later = replace(current, obtained_at=world.clock.now().wall)
        await world.store.write(later, world.provider.issue(), expected=current.generation)
        await world.broker.sessions.adopt(KEY)
        with pytest.raises(ConflictError, match="signed in already"):
            await world.take_over()
        assert world.file.exists()
        assert theirs in world.provider.living

    told(story)


def test_what_was_delivered_is_not_imported(told: Callable[[Story], None]) -> None:
    """The file is the agent's own as long as a command reads it."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        with pytest.raises(ConflictError, match="for a command that runs"):
            await world.take_over("work")
        await world.over(7)
        with pytest.raises(InvalidRequestError, match="there is no"):
            await world.take_over("work")

    told(story)


def test_without_the_store_nothing_is_touched(told: Callable[[Story], None]) -> None:
    """Neither the file nor the token in it."""

    async def story(world: Delivering) -> None:
        theirs = world.provider.issue().reveal()
        world.stand({"refresh": theirs})

        async def unavailable(*_: object, **__: object) -> Grant:
            raise StoreUnavailableError("the keychain sleeps")

        world.store.write = unavailable  # type: ignore[method-assign]  # a keychain that sleeps
        with pytest.raises(StoreUnavailableError):
            await world.take_over()
        assert world.file.exists()
        assert theirs in world.provider.living

    told(story)


def test_an_api_key_is_verified_before_it_is_stored(told: Callable[[Story], None]) -> None:
    """One that the platform refuses, or of another shape, stays in its file."""

    async def story(world: Delivering) -> None:
        file = world.home / ".acme/key.json"
        world.stand({"key": "not a key"}, file)
        with pytest.raises(InvalidRequestError, match="shape"):
            await world.take_over()
        world.stand({"key": "ak_1"}, file)
        with pytest.raises(ProviderError, match="does not accept"):
            await world.take_over()
        assert file.exists()
        assert await world.store.current(KEY) is None
        world.provider.keys.add("ak_1")
        report = await world.take_over()
        assert (report.kind, report.method, report.erased) == (GrantKind.API_KEY, "api-key", True)
        assert not file.exists()
        assert (await world.broker.token(ACME, ME)).value.reveal() == "ak_1"

    told(story)


def test_only_a_key_can_be_kept(told: Callable[[Story], None]) -> None:
    """A login that is renewed must not have two holders; a key may stay in the file too."""

    async def story(world: Delivering) -> None:
        world.stand({"refresh": world.provider.issue().reveal()})
        with pytest.raises(InvalidRequestError, match="--keep is for API keys"):
            await world.take_over(keep=True)
        assert await world.store.current(KEY) is None
        world.file.unlink()
        file = world.home / ".acme/key.json"
        world.stand({"key": "ak_1"}, file)
        world.provider.keys.add("ak_1")
        report = await world.take_over(keep=True)
        assert (report.imported, report.erased) == (True, False)
        assert file.exists()

    told(story)


def test_where_there_is_nothing_it_is_said(told: Callable[[Story], None]) -> None:
    """No file, no login in it, no sense in it: each is named with its path."""

    async def story(world: Delivering) -> None:
        with pytest.raises(InvalidRequestError, match=r"there is no .*session\.json"):
            await world.take_over()
        world.stand({"access": "access-own"})
        with pytest.raises(InvalidRequestError, match=r"session\.json holds none that lasts"):
            await world.take_over()
        world.file.write_text("{")
        with pytest.raises(InvalidRequestError, match=r"session\.json: the file is not JSON"):
            await world.take_over()
        assert world.file.read_text() == "{"

    told(story)
