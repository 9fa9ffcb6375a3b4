"""Scoped sockets over fakes: what is recorded, opened, ended, and opened anew."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.core.fakes import ACME, ME, World
from tool_agentd.broker.scoped import MOST, ScopedSockets, SocketOrder
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    UnknownToolError,
)
from tool_agentd.model import AuditEvent, GrantKind, Rights, ScopedSocket
from tool_agentd.secret import Secret

AGENT = "/run/tool-agent/agent.sock"


class FakePlaces:
    """Places that are only remembered; it outlives the agent, as a disk does."""

    def __init__(self) -> None:
        """Begin with none."""
        self.records: dict[str, ScopedSocket] = {}
        self.open_now: dict[str, Rights] = {}
        self.steps: list[str] = []
        self.failing: AgentError | None = None

    def usual_path(self, name: str) -> str:
        """Return a path."""
        return f"/run/tool-agent/scoped/{name}/agent.sock"

    async def record(self, socket: ScopedSocket) -> None:
        """Remember it, a moment later, as a disk does."""
        await asyncio.sleep(0)
        self.steps.append("record")
        self.records[socket.name] = socket

    async def forget(self, socket: ScopedSocket) -> None:
        """Forget it."""
        self.steps.append("forget")
        self.records.pop(socket.name, None)

    async def recorded(self) -> Sequence[ScopedSocket]:
        """Return what is remembered."""
        return list(self.records.values())

    async def open(self, socket: ScopedSocket, rights: Rights) -> None:
        """Open, or fail."""
        self.steps.append("open")
        if self.failing is not None:
            raise self.failing
        self.open_now[socket.name] = rights

    async def close(self, socket: ScopedSocket) -> None:
        """Close."""
        self.steps.append("close")
        self.open_now.pop(socket.name, None)


class Scene:
    """An agent with one account, and its doors."""

    def __init__(self) -> None:
        """Begin signed out."""
        self.world = World(acme=ACME)
        self.places = FakePlaces()
        self.sockets = self.restarted()

    def restarted(self) -> ScopedSockets:
        """Return the scoped sockets of an agent that has started anew."""
        broker = self.world.restarted()
        self.places.open_now.clear()
        names = iter(range(10**6, 10**9))
        self.sockets = ScopedSockets(
            broker,
            self.world.clock,
            self.places,
            AGENT,
            lambda size: next(names).to_bytes(size, "big"),
        )
        return self.sockets

    async def made(self, lifetime: float | None = 3600.0) -> ScopedSocket:
        """Make one for acme."""
        return await self.sockets.create(SocketOrder("acme", lifetime=lifetime), ME)


def test_recorded_before_it_is_open() -> None:
    """A kill at any moment leaves no open door without a record."""

    async def story() -> None:
        scene = Scene()
        await scene.world.signed_in()
        one = await scene.made()
        assert scene.places.steps == ["record", "open"]
        assert scene.places.open_now[one.name].account == "default"
        await scene.sockets.revoke(one.path, ME)
        assert scene.places.steps == ["record", "open", "close", "forget"]
        with pytest.raises(NotFoundError):
            await scene.sockets.revoke(one.name, ME)

    asyncio.run(story())


def test_what_cannot_be_opened_is_not_recorded() -> None:
    """A refusal leaves nothing behind, and says why."""

    async def story() -> None:
        scene = Scene()
        scene.places.failing = ConfigurationError("no such folder")
        with pytest.raises(ConfigurationError, match="no such folder"):
            await scene.made()
        assert (scene.places.records, scene.sockets.there()) == ({}, [])

    asyncio.run(story())


def test_ends_in_time() -> None:
    """At its end it is closed and forgotten, also where the agent did not run then."""

    async def story() -> None:
        scene = Scene()
        await scene.made(60.0)
        scene.world.clock.advance(59.0)
        await scene.sockets.tick()
        assert len(scene.sockets.there()) == 1
        scene.world.clock.advance(1.0)
        await scene.sockets.tick()
        assert (scene.sockets.there(), scene.places.records) == ([], {})
        await scene.made(60.0)
        scene.world.clock.advance(60.0)
        await scene.restarted().recover()
        assert (scene.places.open_now, scene.places.records) == ({}, {})

    asyncio.run(story())


def test_opened_anew() -> None:
    """After a restart what was made is open again for what is left of its lifetime."""

    async def story() -> None:
        scene = Scene()
        one = await scene.made(100.0)
        scene.world.clock.advance(40.0)
        await scene.restarted().recover()
        ends = scene.places.open_now[one.name].ends
        assert ends is not None
        assert scene.world.clock.now().until(ends) == pytest.approx(60.0)

    asyncio.run(story())


def test_another_agents_are_left_alone() -> None:
    """An agent over the same state directory opens none that was made on another socket."""

    async def story() -> None:
        scene = Scene()
        await scene.made()
        broker = scene.world.restarted()
        other = ScopedSockets(broker, scene.world.clock, scene.places, "/elsewhere.sock", bytes)
        scene.places.open_now.clear()
        await other.recover()
        assert scene.places.open_now == {}
        assert len(scene.places.records) == 1

    asyncio.run(story())


def test_trouble_is_said_and_tried_again() -> None:
    """One that cannot be opened after a restart is a reason in `status` until it can."""

    async def story() -> None:
        scene = Scene()
        one = await scene.made()
        sockets = scene.restarted()
        scene.places.failing = ConfigurationError("its folder is gone")
        await sockets.recover()
        assert sockets.reasons == [f"the scoped socket {one.name}: its folder is gone"]
        scene.places.failing = None
        await sockets.tick()
        assert (sockets.reasons, list(scene.places.open_now)) == ([], [one.name])

    asyncio.run(story())


def test_bounded() -> None:
    """There is an end to how many there are."""

    async def story() -> None:
        scene = Scene()
        for _ in range(MOST):
            await scene.made()
        with pytest.raises(ConflictError, match=str(MOST)):
            await scene.made()

    asyncio.run(story())


def test_bounded_for_a_crowd_too() -> None:
    """Those that are being made count as well."""

    async def story() -> None:
        scene = Scene()
        made = await asyncio.gather(*(scene.made() for _ in range(100)), return_exceptions=True)
        assert sum(isinstance(one, ScopedSocket) for one in made) == MOST
        assert len(scene.places.records) == MOST

    asyncio.run(story())


def test_one_that_is_being_made_is_not_opened_twice() -> None:
    """Another that has trouble is tried again meanwhile, and looks at every record."""

    async def story() -> None:
        scene = Scene()
        opening, go = asyncio.Event(), asyncio.Event()
        opened = scene.places.open

        async def slowly(socket: ScopedSocket, rights: Rights) -> None:
            opening.set()
            await go.wait()
            await opened(socket, rights)

        scene.places.open = slowly  # type: ignore[method-assign]  # a disk that takes its time
        making = asyncio.ensure_future(scene.made())
        await opening.wait()
        again = asyncio.ensure_future(scene.sockets.recover())
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(making, again)
        assert scene.places.steps == ["record", "open"]

    asyncio.run(story())


def test_orders_that_make_no_sense() -> None:
    """An unknown tool, a moment's lifetime, and a scope for a key are refused, and nothing made."""

    async def story() -> None:
        scene = Scene()
        with pytest.raises(UnknownToolError):
            await scene.sockets.create(SocketOrder("nothing"), ME)
        with pytest.raises(InvalidRequestError, match="1 s at least"):
            await scene.made(0.0)
        grant = await scene.world.signed_in()
        key = replace(grant, kind=GrantKind.API_KEY, credential="key", method="api-key")
        await scene.world.store.write(key, Secret("ak_1"), expected=grant.generation)
        scene.restarted()
        with pytest.raises(InvalidRequestError, match="cannot be narrowed"):
            await scene.sockets.create(SocketOrder("acme", scope="read"), ME)
        assert scene.places.records == {}

    asyncio.run(story())


def test_witnessed() -> None:
    """Making, revoking and ending one are lines of the audit trail."""

    async def story() -> None:
        scene = Scene()
        one = await scene.made(10.0)
        two = await scene.made()
        await scene.sockets.revoke(two.name, ME)
        scene.world.clock.advance(10.0)
        await scene.sockets.tick()
        told = [
            (line.outcome, line.peer.pid, line.detail.partition(":")[0])
            for line in scene.world.witness.lines
            if line.event is AuditEvent.SOCKET
        ]
        assert told == [
            ("created", ME.pid, one.name),
            ("created", ME.pid, two.name),
            ("revoked", ME.pid, two.name),
            ("ended", -1, one.name),
        ]

    asyncio.run(story())
