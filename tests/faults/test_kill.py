"""kill -9 before each system call that writes, in a login, a refresh and a rotation.

After each kill the agent is started again over the same files: the account works, or one honest
`login_required` says that it does not; the provider has counted at most one replay; and neither
the state directory nor the keychain has anything that belongs to nobody.
"""

import http.client
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.far_ends import CUT, Driver, FarEnd, OpenIdProvider, PracticePlatform
from tests.faults.injection import Point, counted, held, threads_of
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.keychain import Keychain
from tests.real.platforms import Platforms
from tests.real.presence import requires
from tests.real.unix_http import Reply
from tests.real.waiting import until

SERVICE = "tool-agent"
FILES = {"audit.jsonl", "agent.log", "grants.db", "grants.lock"}
"""What may lie in the state directory once nothing is under way."""
JOURNAL = "grants.db-journal"
"""SQLite's own: one that had not begun to count stays until the next write, which a test awaits."""
ITEMS = {"vault:credential": 0, "keychain": 1, "vault:keychain": 1}
"""How many keychain items stand for one account: its own, or the vault's key."""
PHASES = ("login", "refresh", "rotation")
BOXES = tuple(ITEMS)
SETTLING = 0.5
"""Seconds in which an agent does what it still has to do behind its answers."""
COMING_BACK = 10.0
"""Seconds for which an agent may answer `try later` after its start."""
SHORT = 4
"""Points of each short sweep: one of each kind that matters, in a few seconds."""


@dataclass
class Sweep:
    """One phase of one account's life, disturbed at one point after another."""

    phase: str
    store: str
    driver: Driver
    keychain: Keychain
    line: Line
    wrong: list[str] = field(default_factory=list)
    """One sentence for each promise that was broken."""

    def begin(self) -> None:
        """Bring the agent to where the phase can begin, with all its threads."""
        reply = self.driver.token()
        if reply.status != http.client.OK:
            assert self.driver.log_in()
        self.renewed()
        if self.phase == "login":
            self.driver.log_out()

    def renewed(self) -> None:
        """Have the token renewed: no token lives longer than the whole of its life."""
        self.driver.token(min_ttl=self.driver.far.life)

    def act(self) -> bool:
        """Do the phase; tell whether a client has heard of its success."""
        with suppress(*CUT):
            if self.phase == "login":
                return self.driver.log_in()
            self.renewed()
        return False

    def points(self) -> list[Point]:
        """Return every point that an undisturbed run reaches."""
        found: list[Point] = []
        self.begin()
        self.driver.agent.dies(SETTLING)  # the last renewal's sweep is none of this one's calls
        with counted(self.driver.agent.pid, found):
            self.act()
            self.driver.agent.dies(SETTLING)
        assert found
        return found

    def strike(self, point: Point) -> None:
        """Kill the agent at a point, start it again, and see what is left."""
        agent, far = self.driver.agent, self.driver.far
        self.begin()
        before = far.seen()
        with held(point.words, threads_of(agent.pid, point.threads)):
            heard = self.act()
            killed = agent.dies(SETTLING)
        if not killed:
            return  # one call fewer than in the undisturbed run: nothing was disturbed
        agent.kill()
        kept = self._kept()
        agent.start()
        self.line.runs += 1
        reply = self._answer()
        since = far.seen() - before
        if kept and since.replays:
            self.say(point, "a token was replayed, and the keychain had the one that came for it")
        if reply.status == http.client.OK:
            self.line.went_on += 1
            if not far.takes(reply.json["access_token"]):
                self.say(point, "a token was served that the provider does not take")
        elif not kept and self._honest(heard=heard, replays=since.replays) and self._repeats():
            self.line.asked += 1
        else:
            self.line.lost += 1
            had = ", with its new token in the keychain" if kept else ""
            self.say(point, f"the account was lost{had}: {reply.status} {reply.body!r}, {since}")
        replays = (far.seen() - before).replays
        self.line.replayed += min(replays, 1)
        self.line.again += max(replays - 1, 0)
        if replays > 1:
            self.say(point, f"a token was replayed {replays} times")
        self._tidy(point)

    def _kept(self) -> bool:
        """Tell whether a rotation had come as far as the keychain: then it is no reason to ask."""
        if (self.phase, self.store) != ("rotation", "keychain"):
            return False
        row = self._generation()
        there = [item for item in self.keychain.search(SERVICE) if item.secret]
        return any(int(item.attributes["username"].rpartition("#")[2]) > row for item in there)

    def _generation(self) -> int:
        """Return the generation that the dead agent's database has, and leave its files alone."""
        with TemporaryDirectory() as directory:
            for name in ("grants.db", JOURNAL):
                with suppress(FileNotFoundError):
                    shutil.copy(self.driver.agent.home.state / name, directory)
            with closing(sqlite3.connect(Path(directory) / "grants.db")) as copy:
                query = "SELECT max(generation) FROM grants WHERE standing = 'current'"
                return int(copy.execute(query).fetchone()[0])

    def _answer(self) -> Reply:
        """Return what a request for a token gets that comes back while it is told to."""
        answers: list[Reply] = []

        def final() -> bool:
            answers.append(self.driver.token())
            return answers[-1].status != http.client.SERVICE_UNAVAILABLE

        with suppress(TimeoutError):
            until(final, "an answer that stands", seconds=COMING_BACK)
        return answers[-1]

    def say(self, point: Point, what: str) -> None:
        """Remember what is wrong."""
        self.wrong.append(f"{point.call} {point.number} of the {point.threads}: {what}")

    def _honest(self, *, heard: bool, replays: int) -> bool:
        """Tell whether a login may be asked for.

        Either nobody has heard that the login was done, or the answer to a rotation was lost with
        the agent before it was in the keychain (`_kept`), and the provider has refused the one try
        with the token before it.
        """
        reply = self._answer()
        if reply.status == http.client.OK or reply.json["code"] != "login_required":
            return False
        if self.phase == "login":
            return not heard
        return replays == 1 and "signed out: " in reply.json["detail"]

    def _repeats(self) -> bool:
        """Tell whether the answer stays, and no request goes to the provider for it."""
        before = self.driver.far.seen()
        reply = self.driver.token()
        return reply.status != http.client.OK and self.driver.far.seen() == before

    def _tidy(self, point: Point) -> None:
        """See that nothing is left over, once what goes on behind the answers is done."""
        signed_in = self.driver.token().status == http.client.OK
        try:
            until(lambda: self.files() <= FILES | {JOURNAL}, "no file is left over", seconds=5)
        except TimeoutError:
            self.say(point, f"files are left over: {sorted(self.files() - FILES)}")
        most = ITEMS[self.store] if signed_in or self.store != "keychain" else 0
        try:
            until(lambda: self._items() <= most, "no item is left over", seconds=5)
        except TimeoutError:
            self.say(point, f"{self._items()} keychain items instead of {most}")

    def files(self) -> set[str]:
        """Return what lies in the state directory."""
        return {entry.name for entry in self.driver.agent.home.state.iterdir()}

    def _items(self) -> int:
        try:
            return len(self.keychain.search(SERVICE))
        except AssertionError:  # one went away under secret-tool's eyes
            return len(self.keychain.search(SERVICE))


@contextmanager
def sweeping(  # noqa: PLR0913 - what a sweep stands on
    phase: str, store: str, far: FarEnd, home: Home, keychain: Keychain, line: Line
) -> Iterator[Sweep]:
    """Run an agent for a sweep; at the end every broken promise is told at once."""
    requires("strace", "root")
    line.fault = f"kill -9 in a {phase}, {store}, {far.tool}"
    far.define(home)
    agent = Agent(home, AgentOptions(store=store, environ=keychain.environ))
    agent.start()
    sweep = Sweep(phase, store, Driver(agent, far), keychain, line)
    try:
        yield sweep
        assert sweep.driver.log_in()
        until(lambda: sweep.files() <= FILES, "no file is left over at the end")
    finally:
        agent.kill()
    assert not sweep.wrong, "\n".join(sweep.wrong)


def spread(points: list[Point], count: int) -> list[Point]:
    """Return `count` of the points, from the first to the last."""
    step = (len(points) - 1) / max(count - 1, 1)
    return [points[round(step * number)] for number in range(min(count, len(points)))]


@pytest.mark.parametrize(
    ("phase", "store"), [("rotation", "keychain"), ("login", "vault:keychain")]
)
def test_killed_now_and_then(  # noqa: PLR0913 - a story names what it stands on
    phase: str, store: str, home: Home, keychain: Keychain, platforms: Platforms, line: Line
) -> None:
    """A few points of a rotation and of a login: nothing is lost, replayed twice or left over."""
    with sweeping(phase, store, PracticePlatform(platforms), home, keychain, line) as sweep:
        for point in spread(sweep.points(), SHORT):
            sweep.strike(point)
    assert line.runs


@pytest.mark.long
@pytest.mark.parametrize("store", BOXES)
@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_every_call(  # noqa: PLR0913 - a story names what it stands on
    phase: str, store: str, home: Home, keychain: Keychain, platforms: Platforms, line: Line
) -> None:
    """Every point, against a platform that rotates without grace."""
    platforms.faults(rotation=phase != "refresh")
    with sweeping(phase, store, PracticePlatform(platforms), home, keychain, line) as sweep:
        for point in sweep.points():
            sweep.strike(point)
    assert line.runs


@pytest.mark.long
@pytest.mark.parametrize("store", BOXES)
@pytest.mark.parametrize("phase", ["login", "rotation"])
def test_killed_with_a_certified_provider(  # noqa: PLR0913 - a story names what it stands on
    phase: str,
    store: str,
    home: Home,
    keychain: Keychain,
    request: pytest.FixtureRequest,
    line: Line,
) -> None:
    """Every point, against node's oidc-provider."""
    far = OpenIdProvider(request.getfixturevalue("idp"))
    with sweeping(phase, store, far, home, keychain, line) as sweep:
        for point in sweep.points():
            sweep.strike(point)
    assert line.runs


def test_killed_with_a_certified_provider_now_and_then(
    home: Home, keychain: Keychain, request: pytest.FixtureRequest, line: Line
) -> None:
    """A few points of a rotation at node's oidc-provider."""
    far = OpenIdProvider(request.getfixturevalue("idp"))
    with sweeping("rotation", "vault:credential", far, home, keychain, line) as sweep:
        for point in spread(sweep.points(), SHORT):
            sweep.strike(point)
    assert line.runs
