"""A keychain of a test's own: gnome-keyring-daemon on a private session bus.

Nothing of the person's is touched: the bus, the home and the keyring files lie in a temporary
directory, and no service is started by name.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real.child import DEADLINE, Child, ChildError
from tests.real.presence import requires

if TYPE_CHECKING:
    from tests.real.secret_service import SecretService

BUS_ADDRESS = "DBUS_SESSION_BUS_ADDRESS"

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
"""Without a display there is nobody to ask: a locked keychain answers at once."""

PASSWORD = "the login password"  # noqa: S105 - of a keyring that lives as long as one test

# No <servicedir>: what a test has killed stays away until the test starts it again.
BUS_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@dataclass(frozen=True, slots=True)
class KeychainItem:
    """An item as secret-tool lists it."""

    label: str
    attributes: Mapping[str, str]
    secret: str | None = field(repr=False)
    """None where the keychain is locked."""


class Keychain:
    """A running keychain, unlocked at first; its default collection is `login`."""

    def __init__(self, directory: Path, address: str, service: "SecretService") -> None:
        self.directory = directory
        """Home, runtime and data directory of the daemon, its keyring files among them."""
        self.address = address
        self._service = service
        self._daemon: Child | None = None

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to use this keychain, and nothing more.

        Its environment must not have a display (DISPLAYS), or a prompt may appear on it.
        """
        return {BUS_ADDRESS: self.address}

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._running().pid

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let a failure say so where the daemon has crashed by itself, which gets a second try.

        Nobody else's test may end it: `kill`, `stop` and `frozen` are told apart by that.
        """
        try:
            yield
        except Exception as error:
            if self._daemon is not None and self._daemon.process.poll() is not None:
                raise ChildError("gnome-keyring-daemon has crashed by itself") from error
            raise

    @property
    def files(self) -> Path:
        """The folder of the keyring files."""
        return self.directory / "data" / "keyrings"

    def start(
        self,
        *,
        unlocked: bool = True,
        prefix: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start the daemon, and wait until it answers.

        `prefix` is a command that becomes the daemon, such as unshare; `environ` is added.
        """
        if self._daemon is not None:
            raise AssertionError("the keychain is running already")
        argv = [*prefix, "gnome-keyring-daemon", "--foreground", "--components=secrets"]
        child = Child(
            [*argv, "--unlock"] if unlocked else [*argv, "--start"],
            log=self.directory / "gnome-keyring.stderr",
            environ=_environ(self.directory) | self.environ | dict(environ or {}),
        )
        self._daemon = child
        child.send(PASSWORD if unlocked else "", close=True)
        self._service.await_owner(owned=True, seconds=DEADLINE)

    def kill(self) -> None:
        """End the daemon by SIGKILL, and wait until the bus has noticed."""
        self._running().kill()
        self._daemon = None
        self._service.await_owner(owned=False, seconds=DEADLINE)

    def restart(self, *, unlocked: bool = True) -> None:
        """Kill the daemon and start it again over the same files."""
        self.kill()
        self.start(unlocked=unlocked)

    def stop(self) -> None:
        """End the daemon if it runs."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the daemon still: calls to it are neither answered nor refused."""
        with self._running().frozen():
            yield

    def is_locked(self) -> bool:
        """Whether the collection is locked."""
        return self._service.is_locked()

    def lock(self) -> None:
        """Lock the collection, as a screen lock may."""
        self._service.lock()

    def unlock(self) -> None:
        """Unlock the collection, without a prompt."""
        self._service.unlock(PASSWORD)

    def search(self, service: str) -> list[KeychainItem]:
        """Return the items whose attribute `service` is that, as secret-tool lists them."""
        listing = self._secret_tool("search", "--all", "service", service)
        return [_item(block) for block in re.split(r"(?m)^\[/.*\]\n", listing)[1:]]

    def store(self, secret: str, label: str = "by hand", **attributes: str) -> None:
        """Store an item by hand with secret-tool; the same attributes replace what was there."""
        words = [word for pair in attributes.items() for word in pair]
        self._secret_tool("store", f"--label={label}", *words, text=secret)

    def delete(self, item: KeychainItem) -> None:
        """Delete an item by hand, as somebody does who tidies up their keychain."""
        if not self._service.delete(item.attributes):
            raise AssertionError(f"there is no item {item}")

    def tamper(self, item: KeychainItem, secret: bytes) -> None:
        """Put another secret into an item."""
        if not self._service.replace_secret(item.attributes, secret):
            raise AssertionError(f"there is no item {item}")

    def _running(self) -> Child:
        if self._daemon is None:
            raise AssertionError("the keychain does not run")
        return self._daemon

    def _secret_tool(self, *words: str, text: str = "") -> str:
        # One pipe for both: `search` writes an item's secret to stdout and its attributes to
        # stderr, and only together do they tell which belongs to which. Its status says nothing:
        # 1 also means that nothing was found.
        done = subprocess.run(
            ["secret-tool", *words],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environ(self.directory) | self.environ,
            timeout=DEADLINE,
            check=False,
        )
        if done.returncode not in {0, 1} or (done.returncode == 1 and done.stdout.strip()):
            raise AssertionError(f"secret-tool {words[0]}: {done.returncode}: {done.stdout}")
        return done.stdout


@contextmanager
def running_keychain() -> Iterator[Keychain]:
    """Run a keychain of one's own, unlocked."""
    requires("dbus-daemon", "gnome-keyring-daemon", "secret-tool")
    from tests.real.secret_service import SecretService  # noqa: PLC0415 - its libraries: Linux only

    # Not below pytest's tmp_path: the daemon binds sockets here, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="ta-keys-") as name:
        directory = Path(name)
        for room in ("home", "run", "data", "config", "cache"):
            (directory / room).mkdir(mode=0o700)
        config = directory / "bus.conf"
        config.write_text(BUS_CONFIG.format(path=directory / "bus"))
        bus = Child(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
            log=directory / "dbus.stderr",
            environ=_environ(directory),
        )
        try:
            address = bus.line()
            keychain = Keychain(directory, address, SecretService(address))
            try:
                keychain.start()
                yield keychain
            finally:
                keychain.stop()
        finally:
            bus.stop()


@pytest.fixture
def keychain() -> Iterator[Keychain]:
    """A keychain for this test alone; processes reach it through `keychain.environ`."""
    with running_keychain() as running:
        yield running


@pytest.fixture
def keychain_here(keychain: Keychain, monkeypatch: pytest.MonkeyPatch) -> Keychain:
    """The same keychain, for code that runs inside the test's own process as well."""
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    for name, value in keychain.environ.items():
        monkeypatch.setenv(name, value)
    return keychain


def _environ(directory: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": str(directory / "home"),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "XDG_DATA_HOME": str(directory / "data"),
        "XDG_CONFIG_HOME": str(directory / "config"),
        "XDG_CACHE_HOME": str(directory / "cache"),
    }


def _item(block: str) -> KeychainItem:
    """Read one item of `secret-tool search`; a secret may span lines."""
    secret = re.search(r"(?ms)^secret = (.*?)\ncreated = ", block)
    label = re.search(r"(?m)^label = (.*)$", block)
    return KeychainItem(
        label=label[1] if label else "",
        attributes=dict(re.findall(r"(?m)^attribute\.(\S+) = (.*)$", block)),
        secret=secret[1] if secret else None,
    )
