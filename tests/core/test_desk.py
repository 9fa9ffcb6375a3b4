"""The desk, through the broker: a terminal that waits is asked, and one that leaves is not."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, World
from tests.core.test_approvals import PLAIN, TERMINAL, FakePrompter, typed
from tool_agentd.broker import TokenAsk
from tool_agentd.errors import DeniedError, LockedError, NotFoundError
from tool_agentd.model import AuditEvent, Consent, Peer
from tool_agentd.policy import Allow, Ask, Rules, Table


def told(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with one tool."""

    async def world() -> None:
        await asyncio.wait_for(story(World(acme=ACME)), 10)

    asyncio.run(world())


async def question(world: World) -> str:
    """Return the id of the question that a terminal is shown."""
    terminal, since = Peer(1000, 1000, 1), -1
    while True:
        shown = await world.broker.desk.look(terminal, since, 5)
        if shown.waiting:
            return shown.waiting[0].id
        since = shown.revision


def test_a_terminal_that_waits_is_asked() -> None:
    """Its answer counts, once; with nobody there the request is denied at once."""

    async def story(world: World) -> None:
        broker = world.broker
        broker.gate.table = Table({"acme": Rules(confirm=Ask.ALWAYS)})
        await world.signed_in()
        with pytest.raises(DeniedError, match="nobody can be asked"):
            await broker.token(TokenAsk("acme"), typed())
        looking = asyncio.ensure_future(question(world))
        await asyncio.sleep(0)
        asking = asyncio.ensure_future(broker.token(TokenAsk("acme"), typed()))
        identifier = await looking
        broker.desk.answer(identifier, Consent.ONCE, TERMINAL)
        assert (await asking).value.reveal() == "access-1"
        with pytest.raises(NotFoundError):
            broker.desk.answer(identifier, Consent.ONCE, TERMINAL)

    told(story)


def test_a_login_that_asks_keeps_asking_through_rotations() -> None:
    """Promise 15 without a line of configuration, and after a restart."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        secret = await world.store.unseal(grant)
        await world.store.write(replace(grant, confirm=True), secret, expected=grant.generation)
        for _ in range(2):
            with pytest.raises(DeniedError, match="nobody can be asked"):
                await world.broker.token(TokenAsk("acme"), typed())
            looking = asyncio.ensure_future(question(world))
            await asyncio.sleep(0)
            asking = asyncio.ensure_future(world.broker.token(TokenAsk("acme"), typed()))
            world.broker.desk.answer(await looking, Consent.SESSION, TERMINAL)
            await asking
            world.restarted()
        current = await world.store.current(KEY)
        assert current is not None
        assert current.confirm
        assert current.generation > grant.generation + 1

    told(story)


def test_a_lock_while_the_person_is_asked_says_locked() -> None:
    """Not denied: the next command to type is another one."""

    async def story(world: World) -> None:
        broker = world.broker
        broker.gate.table = Table({"*": Rules(confirm=Ask.SESSION)})
        await world.signed_in()
        looking = asyncio.ensure_future(question(world))
        await asyncio.sleep(0)
        asking = asyncio.ensure_future(broker.token(TokenAsk("acme"), typed()))
        await looking
        broker.gate.locked = True
        broker.approvals.forget()
        with pytest.raises(LockedError):
            await asking

    told(story)


def test_a_terminal_that_has_left_is_not_waited_for() -> None:
    """Ctrl-C in `approve`, and the next request is denied at once, or goes to the dialog."""

    async def story(world: World) -> None:
        desk, terminal = world.broker.desk, Peer(1000, 1000, 1)
        looking = asyncio.ensure_future(desk.look(terminal, 0, 60))
        await asyncio.sleep(0)
        assert "approve" in desk.way
        desk.left(terminal)
        await looking
        assert desk.way == ""
        desk.behind = person = FakePrompter()
        assert desk.way == "a test"
        await world.signed_in()
        world.broker.gate.table = Table({"*": Rules(confirm=Ask.SESSION)})
        asking = asyncio.ensure_future(world.broker.token(TokenAsk("acme"), typed()))
        while not person.questions:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        desk.answer(await question(world), Consent.ONCE, TERMINAL)
        await asking
        assert person.withdrawn == 1, "the first answer counts, and the dialog is closed"

    told(story)


@pytest.mark.parametrize("dialog", [True, False])
@pytest.mark.parametrize("between", [True, False])
def test_a_terminal_that_leaves_takes_no_question_along(
    monkeypatch: pytest.MonkeyPatch,
    dialog: bool,  # noqa: FBT001 - a row
    between: bool,  # noqa: FBT001 - a row
) -> None:
    """It goes on to the dialog; without one it is denied, at once, and not when the time is up."""
    monkeypatch.setattr("tool_agentd.broker.desk.BETWEEN", 0.01)

    async def story(world: World) -> None:
        desk = world.broker.desk
        await world.signed_in()
        world.broker.gate.table = Table({"*": Rules(confirm=Ask.SESSION)})
        looking = asyncio.ensure_future(desk.look(TERMINAL, 0, 60))
        await asyncio.sleep(0)
        asking = asyncio.ensure_future(world.broker.token(TokenAsk("acme"), typed()))
        shown = await looking
        assert len(shown.waiting) == 1
        desk.behind = person = FakePrompter() if dialog else None
        if between:  # it has seen the question, and looks no more
            world.clock.advance(1)
        else:
            other = asyncio.ensure_future(desk.look(TERMINAL, shown.revision, 60))
            await asyncio.sleep(0)
            world.clock.advance(1)
            desk.left(TERMINAL)
            await other
        if person is None:
            with pytest.raises(DeniedError, match="nobody can be asked"):
                await asking
            return
        while not person.answers:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        person.answers[0].set_result(Consent.ONCE)
        await asking

    told(story)


def test_the_trail_says_who_answered() -> None:
    """A yes and a no, each with the process and terminal that the kernel has told."""

    async def story(world: World) -> None:
        broker = world.broker
        broker.gate.table = Table({"acme": Rules(confirm=Ask.ALWAYS)})
        await world.signed_in()
        for consent in (Consent.ONCE, Consent.NO):
            looking = asyncio.ensure_future(question(world))
            await asyncio.sleep(0)
            asking = asyncio.ensure_future(broker.token(TokenAsk("acme"), typed()))
            broker.desk.answer(await looking, consent, TERMINAL)
            await asyncio.wait({asking})
        said = {line.event: line.detail for line in world.witness.lines if line.peer == typed()}
        assert said[AuditEvent.APPROVAL] == "yes, once, by process 4242 at pts/7"
        assert said[AuditEvent.DENIAL].endswith(" by process 4242 at pts/7")

    told(story)


def test_the_hot_path_asks_nobody() -> None:
    """Without a rule, and without a login that asks, there is nothing to confirm."""
    world = World(acme=ACME)
    assert world.broker.gate.open_to("acme", PLAIN)
    verdict = world.broker.gate.verdict("acme", KEY, None, PLAIN)
    assert isinstance(verdict, Allow)
