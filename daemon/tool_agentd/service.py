"""The composition root: builds the adapters, runs them, reloads them, and ends them in order."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from tool_agent import paths, wire
from tool_agent._version import __version__
from tool_agentd.adapters.audit import AuditTrail
from tool_agentd.adapters.audit.file import AuditFile
from tool_agentd.adapters.audit.journald import Journald
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.door import room_for
from tool_agentd.adapters.entrances import Entrance, Entrances
from tool_agentd.adapters.listening import ListeningSocket, listen
from tool_agentd.adapters.logind import SLEEP, Logind
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.peers import Peers
from tool_agentd.adapters.process import descriptors
from tool_agentd.adapters.processes import SystemProcesses
from tool_agentd.adapters.prompting import prompter_of
from tool_agentd.adapters.scoped_places import DiskPlaces
from tool_agentd.adapters.store import open_store
from tool_agentd.adapters.stretching import Scrypt
from tool_agentd.adapters.tool_files import DiskToolFiles
from tool_agentd.adapters.web import WebHttp
from tool_agentd.api import Api, Server
from tool_agentd.api.connection import NO_ROOM, Presence
from tool_agentd.broker import Broker
from tool_agentd.broker.broker import TICK
from tool_agentd.broker.deliveries import Deliveries
from tool_agentd.broker.importing import Importing
from tool_agentd.broker.journal import asker
from tool_agentd.broker.scoped import ScopedSockets
from tool_agentd.errors import AgentError
from tool_agentd.files import SETTLE, Files
from tool_agentd.model import NOBODY, AuditEvent, AuditLine, Peer, Rights

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
        self._entrances = Entrances(room_for(descriptors()), NO_ROOM)
        self._settling: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()
        settings = files.settings
        clock = self._clock = SystemClock()
        self._http = WebHttp(clock)
        store = open_store(
            settings.store.kind,
            key=settings.store.key,
            state_dir=paths.state_dir(dict(environ)),
            environ=environ,
            service=settings.store.service,
        )
        self._trail = AuditTrail(
            AuditFile(paths.state_dir(dict(environ))),
            Journald(settings.audit.socket) if settings.audit.journal else None,
        )
        self.broker = Broker(
            store,
            self._http,
            clock,
            LoopbackListeners(),
            os.urandom,
            files.catalogue,
            self._trail,
        )
        self._environ = environ
        self._follow_policy()
        self.broker.locking.stretcher = Scrypt()
        self.broker.locking.ask_store()
        processes = SystemProcesses()
        self.broker.approvals.mark = processes.mark
        tool_files = DiskToolFiles(paths.state_dir(dict(environ)), paths.runtime_dir(dict(environ)))
        home = paths.home(dict(environ))
        importing = Importing(self.broker, clock, tool_files, home)
        self._deliveries = self.broker.attendant = Deliveries(
            self.broker, clock, tool_files, processes, importing, os.urandom, home
        )
        self._logind = Logind(self._told_by_logind, self._logind_trouble)
        self._unheard = ""
        """Why logind is not heard; empty while it is, or nobody has tried."""
        self._scoped = ScopedSockets(
            self.broker,
            clock,
            DiskPlaces(paths.state_dir(dict(environ)), listening.path, self._take_in_scoped),
            listening.path,
            os.urandom,
        )
        self.broker.complaints += [lambda: self._scoped.reasons, self._deaf]
        self._api = Api(
            self.broker,
            clock,
            self._deliveries,
            importing,
            self._scoped,
            self._trail,
            socket=listening.path,
            stop=self._end,
            reload=self.reload,
        )
        self._peers = Peers(self.broker.gate.stranger)
        self._server = self._serving(os.getuid(), None)

    def _take_in_scoped(self, sock: socket.socket, rights: Rights, uid: int | None) -> Entrance:
        """Serve a scoped socket."""
        server = self._serving(os.getuid() if uid is None else uid, rights)
        return self._entrances.open(sock, server)

    def _serving(self, uid: int, rights: Rights | None) -> Server:
        """Return a server of processes of one user, with the rights of its socket."""

        def admits(connection: socket.socket) -> Presence | None:
            return self._peers.presence(connection, uid, rights)

        return Server(self._api, admits=admits, gone=self._gone, company=self._api.company)

    async def reload(self) -> None:
        """Read the person's files again, because they say so."""
        self._read_again(None)

    def _noticed(self) -> None:
        """Read the person's files again, because they may have changed."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        try:
            self._read_again(self._clock.now().boot)
        except Exception:
            log.exception("the person's files could not be read again")
        if self._files.settling:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(SETTLE, self._noticed)

    def _read_again(self, noticed: float | None) -> None:
        before = self.broker.catalogue
        self._files.read_again(noticed)
        self.broker.catalogue = self._files.catalogue
        self._follow_policy()
        logging.getLogger().setLevel(self._files.log_level.upper())
        self._listen_to_logind()
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
        loop.add_signal_handler(signal.SIGUSR1, self._on_drop)
        self._listen_to_logind()
        try:
            await self._deliveries.recover()  # before a command can ask for another delivery
        except AgentError as error:
            log.warning("what the last agent has delivered is not put back: %s", error.detail)
        self._entrances.open(self._listening.sock, self._server)
        try:
            await self._scoped.recover()
        except AgentError as error:
            log.warning("the scoped sockets are not opened: %s", error.detail)
        async with _background(self._watch(), self._tick()):
            ready()
            self._note("started", f"version {__version__}")
            log.info("serving %s", self._listening.path)
            await self._stop.wait()
            log.info("stopping")
            self._server.pre_shutdown()
            await self.broker.logins.close()  # whoever watches one is answered before the drain
            await self._server.shutdown(DRAIN)
        try:
            await self._scoped.close()
            self._logind.close()
        finally:  # what is not saved yet is saved, whatever became of the rest
            await self.broker.close()
        await self._http.close()
        self._peers.close()
        self._note("stopped", "")
        await self._trail.close()

    def _note(self, outcome: str, detail: str) -> None:
        """Tell the audit trail of the agent's own life."""
        now = self._clock.now().wall
        self._trail.record(AuditLine(now, AuditEvent.AGENT, outcome, NOBODY, detail=detail))

    def _gone(self, peer: Peer, why: str) -> None:
        """Take notice of an answer that was not written."""
        log.warning("no answer for %s: %s", asker(peer), why)
        self.broker.gate.gone(peer, why)

    def _end(self) -> None:
        """Take no more clients from this moment on, before any is told; `run` does the rest.

        The socket goes with its lock: whoever comes now starts an agent of its own, and what this
        one still has to save is guarded by the leases of the store.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        self._entrances.shut()
        self._listening.close()

    def _on_signal(self) -> None:
        """End in order; at the second signal at once, whatever is still under way."""
        if self._stop.is_set():
            log.error("ended by a second signal")
            logging.shutdown()  # what waits to be written
            os._exit(wire.EXIT_FAILURE)
        self._end()

    def _on_hangup(self) -> None:
        _ = asyncio.ensure_future(self.reload())  # noqa: RUF006 - it ends in milliseconds

    def _listen_to_logind(self) -> None:
        """Listen where config.toml wants it; once begun it goes on, and is not always heeded."""
        if self._heeds_logind and sys.platform == "linux":
            self._logind.start()

    @property
    def _heeds_logind(self) -> bool:
        wanted = self._files.settings.lock
        return wanted.on_suspend or wanted.on_screen_lock

    async def _told_by_logind(self, what: str) -> None:
        wanted = self._files.settings.lock
        if wanted.on_suspend if what == SLEEP else wanted.on_screen_lock:
            await self.broker.locking.by_itself(what)

    def _logind_trouble(self, trouble: str) -> None:
        self._unheard = trouble

    def _deaf(self) -> list[str]:
        return [self._unheard] if self._unheard and self._heeds_logind else []

    def _on_drop(self) -> None:
        self.broker.locking.forget()
        log.info("what was held in memory is dropped")

    async def _watch(self) -> None:
        async for _ in self._files.watch(TICK):
            self._noticed()

    async def _tick(self) -> None:
        while True:
            for look in (self.broker.tick, self._scoped.tick):  # neither waits for the other's luck
                try:
                    await look()
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


def take_socket(environ: Mapping[str, str]) -> ListeningSocket:
    """Check the directories and bind the socket.

    Raises ConfigurationError, or ConflictError where another agent serves the socket.
    """
    ensure_own_directory(paths.state_dir(dict(environ)))
    return listen(paths.socket_path(dict(environ)))
