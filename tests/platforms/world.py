"""What the four platforms share: clock, counters, switches, mail."""

from dataclasses import dataclass

from aiohttp import web

from .clock import Clock
from .counters import Counters
from .faults import Faults, Handler
from .mail import MailBox, Message

PLATFORMS = ("cre", "libretto", "nrepo", "encore")


@dataclass
class World:
    """One per process."""

    clock: Clock
    counters: Counters
    mail: MailBox
    faults: dict[str, Faults]
    """Each platform's own copy, set together."""


def new_world() -> World:
    """A world in which nothing has happened yet."""
    counters = Counters(PLATFORMS)

    def dropping(platform: str) -> Faults:
        return Faults(lambda: counters.add(platform, "dropped"))

    return World(Clock(), counters, MailBox(), {name: dropping(name) for name in PLATFORMS})


@dataclass
class Desk:
    """One platform's place in the world: everything it does goes through here."""

    world: World
    platform: str
    url: str

    @property
    def faults(self) -> Faults:
        """This platform's switches."""
        return self.world.faults[self.platform]

    def now(self) -> float:
        """Seconds since the epoch, by the platforms' clock."""
        return self.world.clock.now()

    def iso(self, moment: float | None = None) -> str:
        """A moment (default: now) as RFC 3339 text."""
        return self.world.clock.iso(moment)

    def count(self, name: str) -> None:
        """Count one of `counters.NAMES`."""
        self.world.counters.add(self.platform, name)

    def send_mail(self, to: str, subject: str, text: str, link: str = "") -> None:
        """Send a message."""
        self.count("mails")
        self.world.mail.send(Message(self.platform, to, subject, text, link, self.iso()))

    async def around(
        self, point: str, request: web.Request, handle: Handler, *, grant: str = ""
    ) -> web.Response:
        """Handle a request as the switches of its point say."""
        return await self.faults.around(point, request, handle, grant=grant)
