"""Four platforms in one process, each at an origin of its own on 127.0.0.1."""

import socket
from dataclasses import dataclass

from aiohttp import web

from .clients import CRE_AUDIENCE
from .control import Control
from .cre import Cre
from .encore import Encore
from .libretto import Libretto
from .neuralrepo import NeuralRepo
from .site import Site
from .world import PLATFORMS, Desk, World, new_world

HOST = "127.0.0.1"
BACKLOG = 1024
"""Two hundred clients at once are a test of the agent, not of this server."""
BODY_LIMIT = 256 * 1024
"""Bytes; no form or query here comes near it."""


@dataclass
class Platforms:
    """The running server."""

    world: World
    sites: dict[str, Site]
    urls: dict[str, str]
    _runners: list[web.AppRunner]

    @property
    def url(self) -> str:
        """The first origin, CRE's. The control routes are at every origin."""
        return self.urls["cre"]

    def env(self) -> dict[str, str]:
        """The variables that point tools, and the agent, here instead of at the world."""
        return {
            "CRE_CLI_AUTH_BASE": self.urls["cre"],
            "CRE_CLI_GRAPHQL_URL": f"{self.urls['cre']}/graphql",
            "CRE_CLI_CLIENT_ID": "cre-cli-practice",
            "CRE_CLI_AUDIENCE": CRE_AUDIENCE,
            "LIBRETTO_API_URL": self.urls["libretto"],
            "LIBRETTO_SITE_URL": self.urls["libretto"],
            "NREPO_API_URL": f"{self.urls['nrepo']}/api/v1",
            "NREPO_SITE_URL": self.urls["nrepo"],
            "ENCORE_PLATFORM_API_URL": self.urls["encore"],
        }

    def announcement(self) -> dict[str, object]:
        """The one line that `--json` prints."""
        return {
            "url": self.url,
            "env": self.env(),
            "accounts": {name: site.account for name, site in self.sites.items()},
            "urls": self.urls,
        }

    async def stop(self) -> None:
        """Close the listeners and every connection."""
        for runner in self._runners:
            await runner.cleanup()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


async def start(port: int = 0) -> Platforms:
    """Listen and serve.

    Args:
        port: where CRE is; the others take the next three. 0: any four free ports.

    Raises:
        OSError: a port is taken.
    """
    world = new_world()
    listeners = {name: _listen(port and port + place) for place, name in enumerate(PLATFORMS)}
    urls = {name: f"http://{HOST}:{one.getsockname()[1]}" for name, one in listeners.items()}
    desks = {name: Desk(world, name, url) for name, url in urls.items()}
    sites: dict[str, Site] = {
        "cre": Cre(desks["cre"]),
        "libretto": Libretto(desks["libretto"]),
        "nrepo": NeuralRepo(desks["nrepo"]),
        "encore": Encore(desks["encore"]),
    }
    world.counters.clear()  # what the platforms start with did not happen
    runners = []
    for name, site in sites.items():
        app = web.Application(client_max_size=BODY_LIMIT)
        app.add_routes(site.routes)
        app.add_routes(Control(world, site, sites).routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.SockSite(runner, listeners[name], backlog=BACKLOG).start()
        runners.append(runner)
    return Platforms(world, sites, urls, runners)
