"""The refresh journal under the broker: what is written when, also when things fail."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import ACME, KEY, ME, World
from tests.core.test_broker_logins import begun, callback, code_exchange
from tests.core.test_broker_races import full
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.backoff import LONGEST
from tool_agentd.broker.journal import asker
from tool_agentd.errors import (
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import AGENT_ITSELF, AccountKey, JournalEntry, JournalEvent, Requester
from tool_agentd.ports import JOURNAL_LENGTH

ASK = TokenAsk("acme")


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with one tool."""

    async def told() -> None:
        await asyncio.wait_for(story(World(acme=ACME)), 10)

    asyncio.run(told())


@pytest.mark.parametrize(
    ("executable", "requester", "said"),
    [
        ("", None, ""),
        ("/usr/bin/git", None, ", /usr/bin/git"),
        ("/usr/bin/git", Requester(4711, "/usr/bin/git"), ", /usr/bin/git"),
        ("/bin/py", Requester(7, "/usr/bin/git"), ", /bin/py, started by pid 7, /usr/bin/git"),
        ("/bin/py", Requester(7, ""), ", /bin/py, started by pid 7"),
        ("/a\n\x1b[2J\u202eb", None, ", /a\\n\\x1b[2J\\u202eb"),
        ("/home" + 100 * "/long" + "/git", None, ", ...ong" + 22 * "/long" + "/git"),
    ],
)
def test_who_asked(executable: str, requester: Requester | None, said: str) -> None:
    """The executable where it is known, of a command of ours who runs it; printable and bounded."""
    peer = replace(ME, executable=executable, requester=requester)
    assert asker(peer) == f"pid 4711, uid 1000{said}"
    assert asker(None) == AGENT_ITSELF


async def written(world: World) -> list[str]:
    """Return the events of the account, in order."""
    return [entry.event.value for entry in await world.broker.journal.history(KEY)]


def test_the_intent_is_durable_before_the_post() -> None:
    """While the provider thinks, the store has the fingerprint, and no result."""

    async def story(world: World) -> None:
        held = await world.signed_in()
        secret = (await world.store.read(KEY)).secret  # type: ignore[union-attr]  # just stored
        world.provider.gate = asyncio.Event()
        caller = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        (intent,) = await world.store.history(KEY)
        assert intent.event is JournalEvent.INTENT
        assert intent.fingerprint == await world.store.fingerprint(held, secret)
        assert secret.reveal() not in repr(intent)
        assert (intent.attempt, intent.generation, intent.by) == (1, 1, "pid 4711, uid 1000")
        world.provider.gate.set()
        await caller
        assert await written(world) == ["intent", "rotated", "persisted"]

    run(story)


def test_the_whole_life_of_a_login_is_in_order() -> None:
    """Login, renewal and logout, each with the fingerprint that the next one goes on from."""

    async def story(world: World) -> None:
        view = await begun(world)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        await world.broker.logout("acme", None, peer=ME)
        history = await world.broker.journal.history(KEY)
        assert [entry.event.value for entry in history] == [
            "login",
            "intent",
            "rotated",
            "persisted",
            "logout",
            "revoked",
        ]
        login, intent, rotated, persisted, _, revoked = history
        assert login.fingerprint == intent.fingerprint == rotated.fingerprint != ""
        assert persisted.fingerprint == revoked.fingerprint != login.fingerprint
        assert [entry.at for entry in history] == sorted(entry.at for entry in history)

    run(story)


def test_a_provider_that_keeps_the_token_is_told_apart() -> None:
    """`renewed` and not `rotated`; the next attempt is the first again."""

    async def story(world: World) -> None:
        world.provider.rotates = False
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        assert await written(world) == ["intent", "renewed"] * 2
        assert {e.attempt for e in await world.broker.journal.history(KEY)} == {1}

    run(story)


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (TemporarilyUnavailableError("reset"), "failed"),
        (UnreachableError("no route"), "unsent"),
        (500, "failed"),
        (429, "failed"),
        (401, "ambiguous"),
    ],
)
def test_what_fails_has_a_result_and_is_tried_again(fault: Exception | int, event: str) -> None:
    """However often it fails in an orderly way, nothing counts as a replay and the login stays."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.reply = world.provider.json({}, fault) if isinstance(fault, int) else fault
        for _ in range(4):
            with pytest.raises((TemporarilyUnavailableError, LoginRequiredError)):
                await world.broker.token(ASK, ME)
            world.clock.advance(LONGEST)  # what has failed is left alone for a while
        world.provider.reply = None
        await world.broker.token(ASK, ME)
        assert await written(world) == ["intent", event] * 4 + ["intent", "rotated", "persisted"]
        assert world.provider.replays == 0

    run(story)


def test_a_refusal_is_explained() -> None:
    """`refused` with the provider's word, then `ended`."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.living.clear()
        with pytest.raises(LoginRequiredError, match="invalid_grant"):
            await world.broker.token(ASK, ME)
        assert await written(world) == ["intent", "refused", "ended"]
        assert "invalid_grant" in (await world.broker.journal.history(KEY))[-1].detail

    run(story)


def test_without_an_intent_nothing_is_presented() -> None:
    """The journal cannot be written: the caller hears it, the provider nothing, the login stays."""

    async def story(world: World) -> None:
        await world.signed_in()
        record = world.store.record

        async def broken(entries: Sequence[JournalEntry]) -> None:
            message = "the disk is full"
            raise StoreUnavailableError(message)

        world.store.record = broken  # type: ignore[method-assign]  # the fault is put in
        with pytest.raises(StoreUnavailableError, match="disk is full"):
            await world.broker.token(ASK, ME)
        assert world.provider.refreshes == 0
        world.store.record = record  # type: ignore[method-assign]  # it is mended
        await world.broker.token(ASK, ME)

    run(story)


def test_a_login_in_memory_goes_on_without_a_journal() -> None:
    """Nothing on the disk can be made worse: service goes on, status says so, then it is mended."""

    async def story(world: World) -> None:
        await world.signed_in()
        write, record = world.store.write, world.store.record

        async def broken(entries: Sequence[JournalEntry]) -> None:
            message = "the disk is full"
            raise StoreUnavailableError(message)

        world.store.write = full  # type: ignore[method-assign]  # the fault is put in
        await world.broker.token(ASK, ME)
        world.store.record = broken  # type: ignore[method-assign]  # the fault is put in
        world.clock.advance(3600)
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-2"
        await world.broker.journal.flush(at_once=True)
        reasons = (await world.broker.status())[1]
        assert len(reasons) == 2
        assert "only in memory" in reasons[0]
        assert "journal is not written" in reasons[1]
        world.store.write, world.store.record = write, record  # type: ignore[method-assign]  # it is mended
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert (await world.broker.status())[1] == []
        assert (await written(world))[-1] == "persisted"
        world.restarted()
        assert (await world.broker.token(ASK, ME)).value.reveal() == "access-3"

    run(story)


def test_what_is_unsaved_is_tried_again_after_growing_pauses() -> None:
    """Not at every tick: the pauses double, and the end of the agent waits for none."""

    async def story(world: World) -> None:
        await world.signed_in()
        tries = 0

        async def counted(*_: object, **__: object) -> None:
            nonlocal tries
            tries += 1
            await full(*_, **__)  # type: ignore[arg-type]  # it takes no notice of them

        world.store.write = counted  # type: ignore[method-assign,assignment]  # the fault
        await world.broker.token(ASK, ME)
        assert 1 <= world.broker.next_tick <= 2
        for _ in range(600):
            world.clock.advance(1)
            await world.broker.tick()
        assert 5 <= tries <= 60
        before = tries
        await world.broker.close()
        assert tries == before + 1

    run(story)


def test_the_tick_outlives_an_account_that_is_busy() -> None:
    """One account's lease is taken: the others are looked after all the same."""

    async def story(world: World) -> None:
        await world.signed_in()
        write = world.store.write
        world.store.write = full  # type: ignore[method-assign]  # the fault
        await world.broker.token(ASK, ME)
        lease = world.store.lease

        def busy(key: AccountKey) -> Any:  # noqa: ANN401 - it never returns
            message = f"{key} is busy"
            raise TemporarilyUnavailableError(message)

        world.store.lease = busy  # type: ignore[method-assign]  # the fault
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert "busy" in (await world.broker.status())[1][0]
        world.store.lease, world.store.write = lease, write  # type: ignore[method-assign]  # it is mended again again now
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert (await world.broker.status())[1] == []

    run(story)


def test_a_queued_revocation_is_tried_again_after_growing_pauses() -> None:
    """A provider that is down for an hour is not asked every second, and is told in the end."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.broker.token(ASK, ME)
        world.provider.down = True
        await world.broker.logout("acme", None)
        tried = 0
        send = world.provider.send

        async def counted(*request: Any, **how: Any) -> Any:  # noqa: ANN401 - passed on
            nonlocal tried
            tried += 1
            return await send(*request, **how)

        world.provider.send = counted  # type: ignore[method-assign]  # to count
        for _ in range(600):
            world.clock.advance(1)
            await world.broker.tick()
        assert 5 <= tried <= 60
        world.provider.down = False
        world.clock.advance(LONGEST)
        await world.broker.tick()
        assert await world.store.list() == ()
        assert (await written(world))[-1] == "revoked"

    run(story)


def test_a_late_rotation_is_told() -> None:
    """A logout came first: `late`, and then `revoked`."""

    async def story(world: World) -> None:
        await world.signed_in()
        world.provider.gate = asyncio.Event()
        world.provider.unrevokable = {"refresh-1"}
        caller = asyncio.ensure_future(world.broker.token(ASK, ME))
        await world.provider.arrived.wait()
        await world.broker.logout("acme", None)
        world.provider.gate.set()
        with pytest.raises(LoginRequiredError):
            await caller
        await world.broker.close()

    async def told() -> None:
        world = World(acme=ACME)
        kept: list[JournalEntry] = []
        record = world.store.record

        async def copied(entries: Sequence[JournalEntry]) -> None:
            kept.extend(entries)
            await record(entries)

        world.store.record = copied  # type: ignore[method-assign]  # closing forgets it
        await asyncio.wait_for(story(world), 10)
        events = [entry.event.value for entry in kept]
        assert events[:4] == ["intent", "logout", "rotated", "late"]
        assert "revoked" in events[4:]

    asyncio.run(told())


def test_what_is_ephemeral_leaves_nothing_in_the_store() -> None:
    """Its history is in memory, as it is, and is told all the same."""

    async def story(world: World) -> None:
        view = await begun(world, ephemeral=True)
        world.provider.reply = code_exchange(world)
        await world.loopback.listeners[0].answer(callback(view))
        world.provider.reply = None
        world.clock.advance(3600)
        await world.broker.token(ASK, ME)
        assert await written(world) == ["login", "intent", "rotated", "persisted"]
        assert await world.store.history(KEY) == ()

    run(story)


def test_one_account_never_waits_for_the_journal_of_another() -> None:
    """A cached token is served while the journal's write hangs."""

    async def story(world: World) -> None:
        await world.signed_in()
        await world.signed_in(label="work")
        await world.broker.token(TokenAsk("acme", "work"), ME)
        await world.broker.journal.flush()

        async def hangs(entries: Sequence[JournalEntry]) -> None:
            await asyncio.Event().wait()

        world.store.record = hangs  # type: ignore[method-assign]  # a disk that does not answer
        stuck = asyncio.ensure_future(world.broker.token(TokenAsk("acme", "default"), ME))
        await asyncio.sleep(0)
        served = await world.broker.token(TokenAsk("acme", "work"), ME)
        assert served.value.reveal() == "access-1"
        assert not stuck.done()

    run(story)


def test_the_history_has_a_bound() -> None:
    """A token of five seconds for a day does not fill the memory."""

    async def story(world: World) -> None:
        world.provider.rotates = False
        await world.signed_in()
        for _ in range(JOURNAL_LENGTH):
            await world.broker.token(ASK, ME)
            world.clock.advance(3600)
        assert len(await world.broker.journal.history(KEY)) == JOURNAL_LENGTH

    run(story)
