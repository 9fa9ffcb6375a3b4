"""The OpenID provider of tests/idp: node's oidc-provider as a process of its own."""

import fcntl
import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.real.child import Child
from tests.real.person import Person
from tests.real.presence import absent, requires

SOURCE = Path(__file__).resolve().parent.parent / "idp"


@dataclass(frozen=True, slots=True)
class IdpOptions:
    """What a test may want different. Lifetimes in seconds."""

    access_token_ttl: int = 600
    id_token_ttl: int = 600
    refresh_token_ttl: int = 86400
    device_code_ttl: int = 600
    port: int = 0
    """0: any free one."""


@dataclass(frozen=True, slots=True)
class IdpCounters:
    """What the provider has seen since it started."""

    logins: int
    """Authorization codes handed out."""
    token_requests: int
    """On arrival, whatever the answer."""
    code_exchanges: int
    refreshes: int
    """Refreshes that succeeded."""
    replays: int
    """Presentations of an already rotated refresh token; each ended its whole family."""
    refusals: int
    """Token requests answered with an error."""
    revocations: int
    """Revocations of a token that the provider still knew."""
    unknown_revocations: int
    userinfo_requests: int
    discovery_requests: int
    key_requests: int
    accepted_refresh_tokens: int
    """Refresh tokens that would still be accepted now."""

    def __sub__(self, before: "IdpCounters") -> "IdpCounters":
        """Return what was added since `before`."""
        earlier = asdict(before)
        return IdpCounters(**{name: n - earlier[name] for name, n in asdict(self).items()})


@dataclass(frozen=True, slots=True)
class Idp:
    """A running provider. Any login and any password is let in."""

    issuer: str
    client_id: str
    """A public native client, PKCE S256, whose ID tokens are signed with RS256."""
    es256_client_id: str
    """The same with ES256."""
    redirect_path: str
    """Registered for 127.0.0.1, [::1] and localhost, with any port."""
    scopes: tuple[str, ...]
    known: dict[str, str]
    """What the person may present to `/api/user`: `email`, `api_token`, `global_key`."""
    child: Child

    @property
    def log(self) -> Path:
        """The file of its stderr."""
        return self.child.log

    def counters(self) -> IdpCounters:
        """Ask it what it has seen."""
        with urllib.request.urlopen(f"{self.issuer}/_/counters", timeout=30) as reply:  # noqa: S310 - our own
            return IdpCounters(**json.load(reply))

    def person(self, login: str = "alice", *, consents: bool = True) -> Person:
        """Return somebody who goes through its pages with a browser of their own."""
        return Person(self.issuer, login, consents=consents)

    def end_everything(self) -> None:
        """End every grant and session, as an administrator would: refreshes are now refused."""
        self._command("end")

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse connections for a while; its grants outlast it."""
        self._command("leave")
        try:
            yield
        finally:
            self._command("return")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Accept connections and answer nothing for a while."""
        with self.child.frozen():
            yield

    def _command(self, name: str) -> None:
        self.child.send(f"{name}\n")
        answer = json.loads(self.child.line())
        if answer != {"done": name}:
            raise AssertionError(f"the provider answered {name} with {answer}")


@contextmanager
def running_idp(options: IdpOptions | None = None) -> Iterator[Idp]:
    """Run a provider of one's own, with `options`."""
    requires("node", "npm")
    _install()
    options = options or IdpOptions()
    with tempfile.TemporaryDirectory(prefix="ta-idp-") as directory:
        child = Child(
            ["node", "server.mjs", json.dumps(asdict(options))],
            cwd=SOURCE,
            log=Path(directory) / "stderr",
        )
        try:
            told = json.loads(child.line())
            yield Idp(
                issuer=told["issuer"],
                client_id=told["client_id"],
                es256_client_id=told["es256_client_id"],
                redirect_path=told["redirect_path"],
                scopes=tuple(told["scopes"]),
                known=told["person"],
                child=child,
            )
        finally:
            child.stop()


@pytest.fixture
def idp_options() -> IdpOptions:
    """Return the options of the `idp` fixture; a test module may override it."""
    return IdpOptions()


@pytest.fixture
def idp(idp_options: IdpOptions) -> Iterator[Idp]:
    """A provider for this test alone."""
    with running_idp(idp_options) as running:
        yield running


def _install() -> None:
    """Install what package-lock.json pins, once: two test runs may ask for it at the same time."""
    lock = SOURCE / "package-lock.json"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stamp = SOURCE / "node_modules" / ".installed"
        if stamp.exists() and stamp.stat().st_mtime_ns >= lock.stat().st_mtime_ns:
            return
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--silent"],
            cwd=SOURCE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            absent(f"npm ci in tests/idp failed: {(done.stderr or done.stdout).strip()[-500:]}")
        stamp.touch()
