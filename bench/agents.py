"""Our own agent as the benchmark runs it: a home of its own, a sealed vault, a real login.

The far end is the practice platform of tests/platforms, the person who signs in is its script.
Secrets rest in a vault whose key is a file (the form that systemd passes), because the OS keychain
of this machine is the person's and a passphrase would add half a second of scrypt to each start.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import exchange
from bench.bare import ROUTE
from bench.processes import Server, program
from tool_agent import paths, wire
from tool_agentd.adapters.store import open_store
from tool_agentd.adapters.store.key_files import CREDENTIAL
from tool_agentd.model import DEFAULT_ACCOUNT, AccountKey, Grant, GrantKind, Identity
from tool_agentd.secret import Secret

ROOT = Path(__file__).resolve().parents[1]
TOOL = "cre"
LOGIN_LIMIT = 60.0
"""Seconds for a login through the pages; it takes about one."""
LOGIN_TRIES = 5
LOGIN_PAUSE = 3.0
"""Seconds between two tries: the address that the login returns to is fixed, and another agent's
login may hold it for the moment."""
TOGETHER = 16
"""Grants that are written at once: enough that the store is never idle."""


class Platform:
    """The far end, and the environment that points an agent to it."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.platforms", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise exchange.ServerError("the practice platform did not start")
        self.environ: dict[str, str] = json.loads(line)["env"]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate()


class Agent(Server):
    """An agent in a home of its own."""

    def __init__(
        self, home: Path, platform: Mapping[str, str], *, interpreter: Sequence[str] = ()
    ) -> None:
        """Make the home. `interpreter` are words before the command: an interpreter's options."""
        self.home = home
        self.socket = home / "agent" / "agent.sock"
        credentials = home / "credentials"
        for folder in (home, credentials, self.socket.parent, home / ".config/tool-agent/tools.d"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = credentials / CREDENTIAL
        if not key.exists():
            key.touch(0o600)
            key.write_bytes(secrets.token_bytes(32))
        self.environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            paths.HOME: str(home),
            paths.SOCK: str(self.socket),
            paths.STORE: "vault:credential",
            paths.CREDENTIALS_DIRECTORY: str(credentials),
            **platform,
        }
        self.platform = platform
        super().__init__(
            [*interpreter, program("tool-agentd"), "run"],
            self.environ,
            exchange.http(str(self.socket), wire.TOOLS),
            home / "stderr",
        )
        self.token = exchange.http(str(self.socket), ROUTE)
        self.status = exchange.http(str(self.socket), wire.AGENT)

    def login(self) -> None:
        """Sign in through the platform's pages."""
        person = f"{sys.executable} -m tests.platforms.person"
        for tries_left in reversed(range(LOGIN_TRIES)):
            done = subprocess.run(
                [program("tool-agent"), "login", TOOL, "--account", DEFAULT_ACCOUNT],
                cwd=ROOT,
                env={**self.environ, paths.BROWSER: person},
                check=False,
                capture_output=True,
                text=True,
                timeout=LOGIN_LIMIT,
            )
            if done.returncode == 0:
                exchange.once(self.token)
                return
            if not tries_left:
                said = done.stderr.strip()[-300:]
                raise exchange.ServerError(f"the login did not succeed: {said}")
            time.sleep(LOGIN_PAUSE)

    def fill(self, accounts: int) -> None:
        """Put grants into the store of an agent that does not run, as logins would."""
        asyncio.run(self._fill(accounts))

    async def _fill(self, accounts: int) -> None:
        store = open_store(None, state_dir=paths.state_dir(self.environ), environ=self.environ)
        now = time.time()

        async def write(number: int) -> None:
            key = AccountKey(TOOL, f"person-{number:05}")
            grant = Grant(
                key,
                GrantKind.REFRESH_TOKEN,
                method="browser",
                credential="session",
                origins=(self.environ["CRE_CLI_AUTH_BASE"],),
                obtained_at=now,
                scopes=("openid", "offline_access"),
                identity=Identity(f"person-{number:05}@example.com", f"auth0|{number}"),
            )
            await store.write(grant, Secret(secrets.token_urlsafe(48)), expected=0)

        for first in range(0, accounts, TOGETHER):
            last = min(first + TOGETHER, accounts)
            await asyncio.gather(*(write(number) for number in range(first, last)))
        await store.close()


def imported(log: Path) -> list[str]:
    """Return the modules that a process with `-X importtime` has imported, without our own."""
    names = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("import time:") and "|" in line:
            name = line.rpartition("|")[2].strip()
            if name.partition(".")[0] not in {"tool_agent", "tool_agentd", "imported package"}:
                names.append(name)
    return names


LIBRARIES = """
import importlib, sys, contextlib
for name in sys.stdin.readline().split():
    with contextlib.suppress(ImportError):  # a submodule that only its package can import
        importlib.import_module(name)
print("ready", flush=True)
sys.stdin.read()
"""


class Importer:
    """A process that has imported the given modules and waits."""

    def __init__(self, modules: list[str], environ: Mapping[str, str]) -> None:
        """Start it and wait until it has."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", LIBRARIES],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(modules) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            raise exchange.ServerError("the agent's libraries could not be imported")
        self.pid = self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.communicate()
