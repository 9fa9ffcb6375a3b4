"""The composition root: builds the adapters, runs them, reloads them, and ends them in order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from tool_agent import paths
from tool_agentd import config
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.listening import ListeningSocket, listen
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.peers import peer_of
from tool_agentd.adapters.store import open_store
from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.adapters.web import WebHttp
from tool_agentd.api import Api, Server
from tool_agentd.broker import Broker
from tool_agentd.broker.broker import TICK
from tool_agentd.definition import catalogue
from tool_agentd.errors import ConfigurationError
from tool_agentd.model import Peer

DRAIN = 2.0
"""Seconds that requests under way get at the end; longer ones are told to try again."""

log = logging.getLogger(__name__)


class Service:
    """The running agent."""

    def __init__(
        self, environ: Mapping[str, str], settings: config.Config, listening: ListeningSocket
    ) -> None:
        """Build everything; nothing is opened yet but the socket."""
        self._environ = environ
        self._settings = settings
        self._listening = listening
        self._stop = asyncio.Event()
        config_dir = paths.config_dir(dict(environ))
        self._folders = DefinitionFolders(config_dir + "/tools.d")
        self._config_path = config_dir + "/config.toml"
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
            self._read_catalogue(None),
        )
        api = Api(
            self.broker,
            clock,
            socket=listening.path,
            stop=self._stop.set,
            reload=self.reload,
        )
        uid = os.getuid()

        def admits(connection: socket.socket) -> Peer | None:
            peer = peer_of(connection)
            return peer if peer is not None and peer.uid == uid else None

        self._server = Server(api, admits=admits)

    def _read_catalogue(self, previous: catalogue.Catalogue | None) -> catalogue.Catalogue:
        return catalogue.load(self._folders.read(), previous, self._environ, self._settings.vars)

    async def reload(self) -> None:
        """Read the definitions again; a broken one leaves the last good one in force."""
        before = self.broker.catalogue
        after = self._read_catalogue(before)
        with contextlib.suppress(ConfigurationError):  # a broken config.toml changes nothing
            self._settings = config.read(self._config_path)
            after = self._read_catalogue(before)
        self.broker.catalogue = after
        for problem in after.problems:
            if problem not in before.problems:
                log.warning("%s", problem.detail)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop; `ready` is called once the socket answers."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        server = await loop.create_unix_server(self._server, sock=self._listening.sock)
        async with _background(self._watch(), self._tick()):
            ready()
            log.info("serving %s", self._listening.path)
            await self._stop.wait()
        log.info("stopping")
        server.close()
        self._listening.close()
        self._server.pre_shutdown()
        await self.broker.logins.close()  # whoever watches one is answered before the drain
        await self._server.shutdown(DRAIN)
        await self.broker.close()
        await self._http.close()

    def _on_hangup(self) -> None:
        _ = asyncio.ensure_future(self.reload())  # noqa: RUF006 - it ends in milliseconds

    async def _watch(self) -> None:
        async for _ in self._folders.watch(tick=TICK):
            await self.reload()

    async def _tick(self) -> None:
        while True:
            await self.broker.tick()
            await asyncio.sleep(TICK)


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


def start(environ: Mapping[str, str]) -> tuple[config.Config, ListeningSocket]:
    """Read the configuration and take the socket.

    Raises ConfigurationError, or ConflictError where another agent serves the socket.
    """
    settings = config.read(paths.config_dir(dict(environ)) + "/config.toml")
    ensure_own_directory(paths.state_dir(dict(environ)))
    return settings, listen(paths.socket_path(dict(environ)))
