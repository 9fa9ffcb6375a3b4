"""Imports that cross each other, a login or a slow platform; and where a login belongs."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.core.acme_files import ACME_FILES
from tests.core.delivering import ACME, Delivering
from tests.core.fakes import KEY, ME
from tool_agentd.broker import importing
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.errors import (
    AgentError,
    ConflictError,
    InvalidRequestError,
    TemporarilyUnavailableError,
)
from tool_agentd.ports import ImportNote

Story = Callable[[Delivering], Coroutine[Any, Any, None]]

OVERRIDABLE = ACME_FILES.replace(
    "[[credential]]",
    '[vars]\nid = { default = "https://acme.example", env = "ACME_URL" }\n\n[[credential]]',
    1,
)


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


def login(world: Delivering) -> str:
    """Let the tool have signed in itself; return its refresh token."""
    theirs = world.provider.issue().reveal()
    world.stand({"refresh": theirs, "access": "access-own", "how": "browser"})
    return theirs


class Held:
    """A world whose imports wait before they store, until the test says so."""

    def __init__(self, world: Delivering) -> None:
        """Hold them up."""
        self.there = asyncio.Event()
        self.open = asyncio.Event()
        note = world.files.note_import

        async def slow(what: ImportNote) -> None:
            await note(what)
            self.there.set()
            await self.open.wait()

        world.files.note_import = slow  # type: ignore[assignment]  # a disk that is slow


def test_two_imports_at_once_are_one(told: Callable[[Story], None]) -> None:
    """Both are told the same, the token is rotated once, and the login lives."""

    async def story(world: Delivering) -> None:
        login(world)
        first, second = await asyncio.gather(world.take_over(), world.take_over())
        assert first == second
        assert (first.imported, first.erased) == (True, True)
        assert world.provider.refreshes == 1
        assert (await world.broker.token(ACME, ME)).value
        held = await world.store.read(KEY)
        assert held is not None
        assert held.secret.reveal() in world.provider.living

    told(story)


def test_two_accounts_do_not_get_one_login(told: Callable[[Story], None]) -> None:
    """Whoever is second waits for the path, and finds nothing there any more."""

    async def story(world: Delivering) -> None:
        login(world)
        done = await asyncio.gather(
            world.take_over("one"), world.take_over("two"), return_exceptions=True
        )
        (refused,) = (one for one in done if isinstance(one, BaseException))
        assert isinstance(refused, InvalidRequestError)
        assert world.provider.refreshes == 1

    told(story)


def test_an_import_that_broke_off_keeps_its_file_to_its_account(
    told: Callable[[Story], None],
) -> None:
    """Another account is told to let the first be ended: one token has one holder."""

    async def story(world: Delivering) -> None:
        login(world)
        world.provider.reply = TemporarilyUnavailableError("acme.example does not answer")
        with pytest.raises(TemporarilyUnavailableError):
            await world.take_over("one")
        world.provider.reply = None
        with pytest.raises(ConflictError, match="being imported as the account 'one'") as caught:
            await world.take_over("two")
        assert "--account one" in (caught.value.hint or "")
        world.clock.advance(5)  # after a failure the provider is left alone for a moment
        assert (await world.take_over("one")).erased

    told(story)


def test_a_login_meanwhile_is_not_overwritten(told: Callable[[Story], None]) -> None:
    """The person's own stands, and the file with its token is left as it was."""

    async def story(world: Delivering) -> None:
        theirs = login(world)
        held = Held(world)
        under_way = asyncio.ensure_future(world.take_over())
        await held.there.wait()
        fresh = world.provider.issue()
        await world.signed_in(fresh)
        held.open.set()
        with pytest.raises(ConflictError, match="changed meanwhile"):
            await under_way
        stored = await world.store.read(KEY)
        assert stored is not None
        assert stored.secret == fresh
        assert theirs in world.provider.living
        assert world.file.exists()
        assert await world.files.imports() == ()

    told(story)


def test_a_login_while_a_command_ends_is_not_overwritten(told: Callable[[Story], None]) -> None:
    """What a command has left is judged by the login that was there, and loses to a newer one."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.deliver(7)
        theirs = login(world)
        newer = world.provider.issue()
        ask = world.broker.identities.ask

        async def crossing(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as the real one
            before = await world.store.current(KEY)
            assert before is not None
            await world.store.write(before, newer, expected=before.generation)
            return await ask(*arguments, **more)

        world.broker.identities.ask = crossing  # type: ignore[method-assign]  # a login crosses it
        await world.over(7)
        stored = await world.store.read(KEY)
        assert stored is not None
        assert stored.secret == newer
        assert theirs in world.provider.living
        assert "changed meanwhile" in world.deliveries.reasons[0]

    told(story)


def test_a_slow_platform_is_said_and_the_import_goes_on(
    told: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is answered in time; the same command again waits for what is under way."""
    monkeypatch.setattr(importing, "PATIENCE", 0.0)

    async def story(world: Delivering) -> None:
        login(world)
        held = Held(world)
        with pytest.raises(TemporarilyUnavailableError, match="the import goes on"):
            await world.take_over()
        await held.there.wait()
        monkeypatch.setattr(importing, "PATIENCE", 9.0)
        again = asyncio.ensure_future(world.take_over())
        held.open.set()
        assert (await again).erased
        assert world.provider.refreshes == 1

    told(story)


# -- where a login belongs -------------------------------------------------------------------------


def jwt(issuer: str) -> str:
    """Return an access token that says who has issued it."""
    claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


def redirected(world: Delivering) -> None:
    """Let an override lead the tool's logins elsewhere."""
    text = OVERRIDABLE.replace('token = "https://acme.example/token"', 'token = "{id}/token"')
    source = SourceText("tools.d/acme.toml", text)
    environ = {"ACME_URL": "https://staging.example"}
    world.broker.catalogue = load({source.file: source}, None, environ, {})
    assert world.broker.catalogue.problems == ()


@pytest.mark.parametrize(
    ("access", "origin", "why"),
    [
        ("opaque", None, "does not say where its login was issued"),
        (jwt("https://acme.example/"), None, "is for https://acme.example"),
        (jwt("https://other.example/"), None, "is for https://other.example"),
        ("opaque", "https://acme.example", "is for https://acme.example"),
        ("opaque", "https://other.example", "which is no origin of acme"),
        (jwt("https://staging.example/"), "https://acme.example", "is for https://acme.example"),
    ],
)
def test_an_override_gets_nothing_that_was_issued_elsewhere(
    told: Callable[[Story], None], access: str, origin: str | None, why: str
) -> None:
    """Neither the file's login nor the question whose it is leaves for the other place."""

    async def story(world: Delivering) -> None:
        redirected(world)
        world.stand({"refresh": world.provider.issue().reveal(), "access": access})
        with pytest.raises(InvalidRequestError, match=why) as caught:
            await world.take_over(origin=origin)
        if origin is None:
            assert "--origin https://staging.example" in (caught.value.hint or "")
        assert world.file.exists()
        assert await world.store.current(KEY) is None

    told(story)


@pytest.mark.parametrize(
    ("access", "origin"),
    [(jwt("https://staging.example/"), None), ("opaque", "https://staging.example")],
)
def test_what_was_issued_there_is_imported_there(
    told: Callable[[Story], None], access: str, origin: str | None
) -> None:
    """By what its access token says, or by what the person says."""

    async def story(world: Delivering) -> None:
        redirected(world)
        world.stand({"refresh": world.provider.issue().reveal(), "access": access})
        report = await world.take_over(origin=origin, dry_run=True)
        assert report.path == str(world.file)

    told(story)


def test_without_an_override_nobody_has_to_say(told: Callable[[Story], None]) -> None:
    """A file that names no place belongs to the definition's own; a wrong one is still refused."""

    async def story(world: Delivering) -> None:
        world.stand({"refresh": world.provider.issue().reveal(), "access": "opaque"})
        with pytest.raises(AgentError, match="which is no origin of acme"):
            await world.take_over(origin="https://other.example")
        assert (await world.take_over(origin="https://acme.example")).erased

    told(story)
