"""Which lines the witness is told: one for each thing that happens, none twice, none missing."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.core.delivering import Delivering
from tests.core.fakes import ACME, DEPLOY, KEY, ME, World
from tests.core.test_actions import TEXT, sign_in, started
from tests.core.test_broker_logins import begun, callback, code_exchange, ended
from tests.core.test_procedure_logins import Place
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.gate import STRANGERS_APART
from tool_agentd.errors import (
    AgentError,
    DeniedError,
    LockedError,
    LoginRequiredError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import NOBODY, AuditEvent, JournalEntry, JournalEvent, Peer
from tool_agentd.policy import EVERY, Rules, Table
from tool_agentd.secret import Secret

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]], **definitions: str) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        await asyncio.wait_for(story(World(**(definitions or {"acme": ACME}))), 10)

    asyncio.run(told())


def test_no_container_answers_for_the_person() -> None:
    """A peer in another namespace that is let in elsewhere is denied there, and it is one line."""

    async def story(world: World) -> None:
        gate = world.broker.gate
        gate.table = Table({EVERY: Rules(foreign=True)})
        boxed = replace(ME, foreign=("pid",))
        gate.enter(boxed, (), serves_tokens=False, while_locked=False)
        assert world.witness.told() == []
        with pytest.raises(DeniedError, match="no container answers"):
            gate.enter(boxed, (), serves_tokens=False, while_locked=False, answers=True)
        assert world.witness.told() == ["denial denied"]

    run(story)


def test_the_whole_life_of_a_login() -> None:
    """Login, grants, refresh, logout and revocation; the peer on each, and the secrets on none."""

    async def story(world: World) -> None:
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        await world.broker.token(ASK, ME)
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        await world.broker.logout("acme", None, peer=ME)
        assert world.witness.told() == [
            "login ok",
            "grant ok",
            "refresh rotated",
            "grant ok",
            "logout ok",
            "revocation ok",
        ]
        login, _, refresh, grant, logout, revocation = world.witness.lines
        assert login.fingerprint == refresh.fingerprint != ""
        assert revocation.fingerprint not in {"", login.fingerprint}
        assert (grant.peer, grant.tool, grant.account) == (ME, "acme", "default")
        assert refresh.peer == logout.peer == ME
        assert revocation.peer is NOBODY
        assert "refresh-" not in repr(world.witness.lines)
        assert "access-" not in repr(world.witness.lines)

    run(story)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(500, "failed"), (401, "ambiguous"), (TemporarilyUnavailableError("reset"), "failed")],
)
def test_a_refresh_that_fails_is_a_line(fault: Exception | int, outcome: str) -> None:
    """One line for one presentation, and no grant."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.reply = world.provider.json({}, fault) if isinstance(fault, int) else fault
        with pytest.raises(TemporarilyUnavailableError):
            await world.broker.token(ASK, ME)
        assert world.witness.told() == [f"refresh {outcome}"]
        assert world.witness.lines[0].fingerprint

    run(story)


def test_a_refusal_ends_the_session() -> None:
    """Refused, then ended; whoever asks afterwards needs a login, which is no denial."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.living.clear()
        for _ in range(2):
            with pytest.raises(LoginRequiredError):
                await world.broker.token(ASK, ME)
        assert world.witness.told() == ["refresh refused", "end ended"]
        assert "invalid_grant" in world.witness.lines[1].detail

    run(story)


def test_a_crowd_has_one_refresh_and_a_line_for_each_grant() -> None:
    """The flight is one, the peers are many."""

    async def story(world: World) -> None:
        await world.signed_in()
        await asyncio.gather(*(world.broker.token(ASK, ME) for _ in range(5)))
        assert world.witness.told() == ["refresh rotated", *["grant ok"] * 5]

    run(story)


def test_a_question_is_one_use_even_where_two_tokens_answer_it() -> None:
    """A tool whose provider knows who it is: one use by the tool, and no grant."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.identity(TokenAsk("deploy"), ME)
        assert world.provider.refreshes == 2
        assert [line for line in world.witness.told() if "refresh" not in line] == ["use ok"]
        assert world.witness.lines[1].tool == "deploy"
        assert world.witness.lines[1].provider == "acme"

    run(story, acme=ACME, deploy=DEPLOY)


def test_the_persons_own_variable_is_a_use_without_its_value() -> None:
    """By its name; it belongs to no account."""

    async def story(world: World) -> None:
        world.provider.keys.add("ak_own")
        await world.broker.identity(ASK, ME, ("ACME_KEY", Secret("ak_own")))
        (line,) = world.witness.lines
        assert (line.event, line.tool, line.account) == (AuditEvent.USE, "acme", "")
        assert "ACME_KEY" in line.detail
        assert "ak_own" not in repr(line)

    run(story)


def test_a_login_that_fails_and_one_that_is_cancelled_are_lines() -> None:
    """With who began it, and why it came to nothing."""

    async def story(world: World) -> None:
        view = await begun(world, "api-key", inputs={"secret": "ak_wrong"})
        assert (await ended(world, view)).error is not None
        view = await begun(world)
        await world.broker.logins.cancel(view.id)
        assert world.witness.told() == ["login failed", "login cancelled"]
        assert "by api-key" in world.witness.lines[0].detail
        assert "ak_wrong" not in repr(world.witness.lines)

    run(story)


def test_denials_are_lines_and_nothing_is_granted() -> None:
    """The lock, and a rule: one line each, naming the rule."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.broker.gate.locked = True
        with pytest.raises(LockedError):
            await world.broker.token(ASK, ME)
        world.broker.gate.locked = False
        world.broker.gate.table = Table({"acme": Rules(allow=("git",))})
        with pytest.raises(DeniedError):
            await world.broker.token(ASK, ME)
        assert world.witness.told() == ["denial locked", "denial denied"]
        assert world.witness.lines[1].detail.startswith("allow: ")

    run(story)


def test_an_interrupted_refresh_is_told_when_it_is_done_again() -> None:
    """Nobody has heard what came of the first; the second has its outcome."""

    async def story(world: World) -> None:
        grant = await world.signed_in()
        held = await world.store.read(KEY)
        assert held is not None
        mark = await world.store.fingerprint(grant, held.secret)
        at = world.clock.now().wall
        intent = JournalEntry(at, KEY, JournalEvent.INTENT, 1, mark, attempt=1)
        await world.store.record([intent])  # by an agent that was killed then
        await world.broker.token(ASK, ME)
        assert world.witness.told() == ["refresh interrupted", "refresh rotated", "grant ok"]
        assert {line.fingerprint for line in world.witness.lines} == {mark, ""}

    run(story)


def test_an_action_is_one_use_of_each_credential() -> None:
    """However many requests its steps send; a key that is issued is a grant besides."""

    async def story(place: Place) -> None:
        await sign_in(place)
        place.witness.lines.clear()
        place.script.on("/invite", {"id": "i1"})
        login = await started(place, "invite", email="grace@example.com")
        await login.finished()
        assert login.view.text == "Invited: i1.", login.view.error
        (use,) = place.witness.lines
        assert (use.event, use.peer, use.tool) == (AuditEvent.USE, ME, "acme")
        place.script.on("/keys", {"key": "ak_9", "id": "k9"})
        issued = await place.broker.issue_key(ASK, ME, "laptop")
        assert issued.key is not None
        assert place.witness.told() == ["use ok", "use ok", "grant ok"]
        assert "laptop" in place.witness.lines[2].detail
        assert "ak_9" not in repr(place.witness.lines)

    asyncio.run(asyncio.wait_for(story(Place(TEXT)), 10))


def test_a_platform_that_refuses_a_revocation_is_a_line() -> None:
    """Erased here, and queued there: the line says so."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.unrevokable = {"refresh-"}
        await world.broker.logout("acme", None, peer=ME)
        assert world.witness.told() == ["logout ok", "revocation queued"]

    run(story)


def test_what_the_platform_refuses_is_no_grant() -> None:
    """A use that was refused is a use: the credential was sent."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.rotates = False
        world.provider.dead = {"access-1", "access-2"}
        with pytest.raises((LoginRequiredError, ProviderError)):
            await world.broker.identity(ASK, ME)
        assert world.witness.told() == ["refresh renewed", "use ok", "refresh renewed"]

    run(story)


def test_keys_of_accounts() -> None:
    """Each line about an account has its provider beside the tool that was asked for."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(TokenAsk("deploy"), ME)
        assert {(line.tool, line.provider, line.account) for line in world.witness.lines} == {
            ("deploy", KEY.provider, KEY.label)
        }
        assert {line.scope for line in world.witness.lines} == {"deploy"}

    run(story, acme=ACME, deploy=DEPLOY)


def test_a_delivery_is_one_grant(tmp_path: Path) -> None:
    """Also where its file needs a longer life, and the token is renewed; none where it fails."""

    async def story(world: Delivering) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3400)
        world.witness.lines.clear()
        await world.deliver(7)
        assert world.witness.told().count("grant ok") == 1
        assert world.witness.told().count("refresh rotated") == 1
        world.witness.lines.clear()
        world.remove(world.file)
        world.file.mkdir()
        with pytest.raises(AgentError):
            await world.deliver(8)
        assert world.witness.told() == []

    asyncio.run(asyncio.wait_for(story(Delivering(tmp_path)), 10))


def test_an_import_is_a_login_and_its_refresh(tmp_path: Path) -> None:
    """Nothing is handed out by it."""

    async def story(world: Delivering) -> None:
        world.stand({"refresh": world.provider.issue().reveal(), "how": "browser"})
        await world.take_over()
        assert world.witness.told() == ["login ok", "refresh rotated"]
        login, refresh = world.witness.lines
        assert login.peer.pid == refresh.peer.pid == 1
        assert login.fingerprint == refresh.fingerprint != ""

    asyncio.run(asyncio.wait_for(story(Delivering(tmp_path)), 10))


def test_strangers_who_loop_are_a_line_now_and_then() -> None:
    """No other user turns the trail over: of many there is one line, and then their number."""
    world = World()
    for _ in range(1000):
        world.broker.gate.stranger(Peer(1001, 1001, 4712))
    world.clock.advance(STRANGERS_APART)
    world.broker.gate.stranger(Peer(1001, 1001, 4712))
    details = [line.detail for line in world.witness.lines]
    assert details == ["another user's process", "another user's process; 999 more before it"]
