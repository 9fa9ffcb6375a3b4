"""A disk that is full or broken, under the agent and under the keychain: nothing is lost."""

import http.client
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.faults.far_ends import Driver, PracticePlatform
from tests.faults.injection import MAIN, OTHERS, held, threads_of
from tests.faults.keychain_disk import keychain_disk
from tests.faults.table import Line
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home
from tests.real.keychain import Keychain
from tests.real.platforms import Platforms
from tests.real.presence import requires

FULL, BROKEN = "ENOSPC", "EIO"
CALLS = {
    "write": ("pwrite64", "write"),
    "fsync": ("fsync", "fdatasync"),
    "rename": ("rename", "renameat", "renameat2"),
}
"""What fails, by what a person calls it."""


def long(*case: str) -> ParameterSet:
    """Return a case for `make test-long`."""
    return pytest.param(*case, marks=pytest.mark.long)


@contextmanager
def failing(pid: int, calls: tuple[str, ...], error: str, *paths: Path) -> Iterator[None]:
    """Let these calls of a process fail; with `paths`, only on these files. One at least does."""
    listed = ",".join(calls)
    words = ["-e", f"trace={listed}", "-e", f"inject={listed}:error={error}"]
    words += [word for path in paths for word in ("-P", str(path))]
    with tempfile.NamedTemporaryFile(prefix="ta-strace-") as log:
        threads = [*threads_of(pid, MAIN), *threads_of(pid, OTHERS)]
        with held(words, threads, Path(log.name)):
            yield
        assert "(INJECTED)" in Path(log.name).read_text(), "no call has failed"


def degraded(agent: Agent) -> bool:
    """Tell whether status says that something is wrong."""
    return bool(agent.http("GET", "/v1/agent").json["state"] == "degraded")


class Trouble:
    """An agent with a login, whose disk or keychain fails."""

    def __init__(self, home: Home, platforms: Platforms, keychain: Keychain, store: str) -> None:
        requires("strace", "root")
        self.far = PracticePlatform(platforms)
        self.far.define(home)
        self.keychain = keychain
        self.agent = Agent(home, AgentOptions(store=store, environ=keychain.environ))
        self.driver = Driver(self.agent, self.far)
        self.agent.start()
        assert self.driver.log_in()
        self.driver.token(min_ttl=self.far.life)  # every thread and every file is open

    def files(self) -> list[Path]:
        """Return the files of the agent's database."""
        database = self.agent.home.database
        return [database, *(database.with_name(f"grants.db-{end}") for end in ("journal", "wal"))]

    def serves(self) -> bool:
        """Tell whether a token is served that the provider takes."""
        reply = self.driver.token()
        return reply.status == http.client.OK and self.far.takes(reply.json["access_token"])


@contextmanager
def trouble(home: Home, platforms: Platforms, keychain: Keychain, store: str) -> Iterator[Trouble]:
    """Make one, and take it away."""
    made = Trouble(home, platforms, keychain, store)
    try:
        with keychain.watched():
            yield made
    finally:
        made.agent.kill()


def told(line: Line, found: Trouble, refreshes: int) -> None:
    """Count an account that works now, or say what became of it; see that nothing was replayed."""
    line.runs += 1
    line.went_on += found.serves()
    line.lost += not found.serves()
    seen = found.far.seen()
    line.replayed += seen.replays
    assert (line.lost, seen.replays) == (0, 0)
    assert seen.refreshes >= refreshes


@pytest.mark.parametrize(
    ("what", "error"),
    [("write", FULL), *(long(what, BROKEN) for what in ("write", "fsync")), long("fsync", FULL)],
)
def test_the_agents_disk(  # noqa: PLR0913 - a story names what it stands on
    what: str, error: str, home: Home, platforms: Platforms, keychain: Keychain, line: Line
) -> None:
    """What cannot be written down is not presented: the token that is there goes on serving."""
    line.fault = f"{error} at {what}, the agent's database"
    with trouble(home, platforms, keychain, "vault:credential") as found:
        before = found.far.seen().refreshes
        with failing(found.agent.pid, CALLS[what], error, *found.files()):
            refused = found.driver.token(min_ttl=found.far.life)
            assert refused.json["code"] == "store_unavailable"
            assert found.serves(), "what is in memory goes on"
            assert found.far.seen().refreshes == before, "nothing was presented"
        found.driver.token(min_ttl=found.far.life)
        told(line, found, before + 1)
        assert not degraded(found.agent)


@pytest.mark.parametrize(
    ("what", "error"),
    [("rename", FULL), *(long(what, BROKEN) for what in ("rename", "fsync")), long("fsync", FULL)],
)
def test_the_keychains_disk(  # noqa: PLR0913 - a story names what it stands on
    what: str, error: str, home: Home, platforms: Platforms, keychain: Keychain, line: Line
) -> None:
    """gnome-keyring cannot save: the agent holds the rotation, and saves it when it can."""
    line.fault = f"{error} at {what}, gnome-keyring"
    with trouble(home, platforms, keychain, "keychain") as found:
        before = found.far.seen().refreshes
        with failing(keychain.pid, CALLS[what], error):
            found.driver.token(min_ttl=found.far.life)
            assert found.serves(), "the login goes on from memory"
            assert found.far.seen().refreshes > before
            assert degraded(found.agent)
        assert found.agent.stop() == 0, "the last chance to save it"
        found.agent.start()
        told(line, found, before + 1)


@contextmanager
def bad_disk(
    keychain: Keychain, error: str
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Put the keychain on a disk of its own; what comes back lets its writes fail."""
    with keychain_disk(keychain) as disk:
        yield disk.full if error == FULL else disk.broken


@pytest.mark.parametrize("error", [FULL, long(BROKEN)])
def test_the_keychains_disk_takes_no_write(
    error: str, home: Home, platforms: Platforms, keychain: Keychain, line: Line
) -> None:
    """A rotation that gnome-keyring cannot write is held, served, and saved when it can be."""
    line.fault = f"{error} at write, gnome-keyring"
    with (
        bad_disk(keychain, error) as fails,
        trouble(home, platforms, keychain, "keychain") as found,
    ):
        before = found.far.seen().refreshes
        with fails():
            found.driver.token(min_ttl=found.far.life)
            assert found.serves(), "the login goes on from memory"
            assert found.far.seen().refreshes > before
            assert degraded(found.agent)
        assert found.agent.stop() == 0, "the last chance to save it"
        found.agent.start()
        told(line, found, before + 1)


@pytest.mark.long
@pytest.mark.parametrize("error", [FULL, BROKEN])
def test_a_login_that_the_keychain_cannot_write(
    error: str, home: Home, platforms: Platforms, keychain: Keychain, line: Line
) -> None:
    """It says so, what was there goes on, and the next one works."""
    line.fault = f"{error} at write in a login, gnome-keyring"
    with (
        bad_disk(keychain, error) as fails,
        trouble(home, platforms, keychain, "keychain") as found,
    ):
        with fails():
            assert not found.driver.log_in()
            assert found.serves(), "what was there goes on"
        assert found.driver.log_in()
        found.agent.restart()
        told(line, found, 0)


IN_A_LOGIN = (
    ("vault:credential", "write"),
    ("vault:credential", "fsync"),
    ("vault:keychain", "write"),
    ("vault:keychain", "fsync"),
    ("keychain", "write"),
    ("keychain", "fsync"),
    ("keychain", "rename"),  # only gnome-keyring renames
)


@pytest.mark.long
@pytest.mark.parametrize("error", [FULL, BROKEN])
@pytest.mark.parametrize(("store", "what"), IN_A_LOGIN)
def test_a_login_on_a_bad_disk(  # noqa: PLR0913 - a story names what it stands on
    store: str,
    what: str,
    error: str,
    home: Home,
    platforms: Platforms,
    keychain: Keychain,
    line: Line,
) -> None:
    """A login that cannot be stored says so, nothing that was there is lost, and the next works."""
    line.fault = f"{error} at {what} in a login, {store}"
    with trouble(home, platforms, keychain, store) as found:
        with ExitStack() as faults:
            if what == "rename":
                faults.enter_context(failing(keychain.pid, CALLS[what], error))
            else:
                files = found.files()
                faults.enter_context(failing(found.agent.pid, CALLS[what], error, *files))
            found.driver.try_log_in()
            assert found.serves(), "what was there goes on"
        assert found.driver.log_in()
        found.agent.restart()
        told(line, found, 0)
