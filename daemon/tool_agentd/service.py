"""The composition root: builds the adapters, runs them, reloads them, and ends them in order."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from tool_agent import paths, wire
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.doors import DiskDoors
from tool_agentd.adapters.listening import BACKLOG, ListeningSocket, listen
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.peers import peer_of
from tool_agentd.adapters.processes import SystemProcesses
from tool_agentd.adapters.prompting import prompter_of
from tool_agentd.adapters.store import open_store
from tool_agentd.adapters.tool_files import DiskToolFiles
from tool_agentd.adapters.web import WebHttp
from tool_agentd.api import Api, Server
from tool_agentd.broker import Broker
from tool_agentd.broker.broker import TICK
from tool_agentd.broker.deliveries import Deliveries
from tool_agentd.broker.importing import Importing
from tool_agentd.broker.scoped import ScopedSockets
from tool_agentd.errors import AgentError
from tool_agentd.files import Files
from tool_agentd.model import Peer, Rights

DRAIN = 2.0
"""Seconds that requests under way get at the end; then their connections are cut."""

log = logging.getLogger(__name__)


class Service:
    """The running agent."""

    def __init__(
        self, environ: Mapping[str, str], files: Files, listening: ListeningSocket
    ) -> None:
        """Build everything; nothing is opened yet but the socket."""
        self._files = files
        self._listening = listening
        self._accepting: asyncio.Server | None = None
        self._stop = asyncio.Event()
        settings = files.settings
        clock = SystemClock()
        self._http = WebHttp(clock)
        store = open_store(
            settings.store.kind,
            key=settings.store.key,
            state_dir=paths.state_dir(dict(environ)),
            environ=environ,
            service=settings.store.service,
        )
        self.broker = Broker(
            store,
            self._http,
            clock,
            LoopbackListeners(),
            os.urandom,
            files.catalogue,
        )
        self._environ = environ
        self._follow_policy()
        processes = SystemProcesses()
        self.broker.approvals.mark = processes.mark
        tool_files = DiskToolFiles(paths.state_dir(dict(environ)), paths.runtime_dir(dict(environ)))
        home = paths.home(dict(environ))
        importing = Importing(self.broker, clock, tool_files, home)
        self._deliveries = self.broker.attendant = Deliveries(
            self.broker, clock, tool_files, processes, importing, os.urandom, home
        )
        self._scoped = ScopedSockets(
            self.broker,
            clock,
            DiskDoors(paths.state_dir(dict(environ)), listening.path, self._serve_scoped),
            listening.path,
            os.urandom,
        )
        self.broker.complaints.append(lambda: self._scoped.reasons)
        api = self._api = Api(
            self.broker,
            clock,
            self._deliveries,
            importing,
            self._scoped,
            socket=listening.path,
            stop=self._end,
            reload=self.reload,
        )
        self._server = Server(api, admits=_admitting(os.getuid(), None))

    def _serve_scoped(self, rights: Rights, uid: int | None) -> Server:
        """Return the server of a scoped socket."""
        return Server(self._api, admits=_admitting(os.getuid() if uid is None else uid, rights))

    async def reload(self) -> None:
        """Read the person's files again."""
        before = self.broker.catalogue
        self._files.read_again()
        self.broker.catalogue = self._files.catalogue
        self._follow_policy()
        for problem in self.broker.catalogue.problems:
            if problem not in before.problems:
                log.warning("%s", problem.detail)

    def _follow_policy(self) -> None:
        """Put into force who may have what, and who asks the person."""
        self.broker.gate.table = self._files.policy
        self.broker.desk.behind = prompter_of(self._environ, self._files.settings.prompt.program)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop; `ready` is called once the socket answers."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            await self._deliveries.recover()  # before a command can ask for another delivery
        except AgentError as error:
            log.warning("what the last agent has delivered is not put back: %s", error.detail)
        # This calls listen() again, with a backlog of its own unless told.
        self._accepting = await loop.create_unix_server(
            self._server, sock=self._listening.sock, backlog=BACKLOG
        )
        try:
            await self._scoped.recover()
        except AgentError as error:
            log.warning("the scoped sockets are not opened: %s", error.detail)
        async with _background(self._watch(), self._tick()):
            ready()
            log.info("serving %s", self._listening.path)
            await self._stop.wait()
            log.info("stopping")
            self._server.pre_shutdown()
            await self.broker.logins.close()  # whoever watches one is answered before the drain
            await self._server.shutdown(DRAIN)
        await self._scoped.close()
        await self.broker.close()
        await self._http.close()

    def _end(self) -> None:
        """Take no more clients from this moment on, before any is told; `run` does the rest.

        The socket goes with its lock: whoever comes now starts an agent of its own, and what this
        one still has to save is guarded by the leases of the store.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        if self._accepting is not None:
            self._accepting.close()
        self._listening.close()

    def _on_signal(self) -> None:
        """End in order; at the second signal at once, whatever is still under way."""
        if self._stop.is_set():
            log.error("ended by a second signal")
            os._exit(wire.EXIT_FAILURE)
        self._end()

    def _on_hangup(self) -> None:
        _ = asyncio.ensure_future(self.reload())  # noqa: RUF006 - it ends in milliseconds

    async def _watch(self) -> None:
        async for _ in self._files.watch(TICK):
            try:
                await self.reload()
            except Exception:
                log.exception("the definitions could not be read again")

    async def _tick(self) -> None:
        while True:
            try:
                await self.broker.tick()
                await self._scoped.tick()
            except Exception:
                log.exception("looking after what waits")
            await asyncio.sleep(self.broker.next_tick)


@asynccontextmanager
async def _background(
    *work: Coroutine[None, None, None],
) -> AsyncIterator[None]:
    """Run coroutines beside the body and cancel them after it; one that fails is logged."""
    tasks = [asyncio.ensure_future(one) for one in work]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a background task ended", exc_info=task.exception())


def _admitting(uid: int, rights: Rights | None) -> Callable[[socket.socket], Peer | None]:
    """Return who is let in: processes of one user, with the rights of the socket."""

    def admits(connection: socket.socket) -> Peer | None:
        peer = peer_of(connection)
        if peer is None or peer.uid != uid:
            return None
        return peer if rights is None else replace(peer, rights=rights)

    return admits


def take_socket(environ: Mapping[str, str]) -> ListeningSocket:
    """Check the directories and bind the socket.

    Raises ConfigurationError, or ConflictError where another agent serves the socket.
    """
    ensure_own_directory(paths.state_dir(dict(environ)))
    return listen(paths.socket_path(dict(environ)))
