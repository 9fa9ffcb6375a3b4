"""Where the demo happens: a temporary home, the practice platform, the agent; and their end."""

import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.demo import keychain
from tests.demo.errors import DemoError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
"""The environment's commands: the demo runs what was installed, not the source."""

PROGRAMS = Path(__file__).resolve().parent / "bin"
"""The CLIs that the demo's person uses."""

INHERITED = ("TERM", "TMPDIR", "TZ", "DBUS_SESSION_BUS_ADDRESS", "NO_COLOR")
"""All that the demo takes of the person's environment. Their CRE_API_KEY would win over the demo's
login, their TOOL_AGENT_SOCK leads to their own agent, and a display could ask them something."""

PATIENCE = 10.0
"""Seconds for the platform or the agent to start or to end."""

LOOK_AGAIN = 0.02
"""Seconds between two looks at a process that is not our child."""

REPORTS = """\
# Another tool of the same platform: it shares cre's logins, with a scope, an audience and a
# variable of its own. No code, no release: the agent reads this file as soon as it is there.
schema = 1
name = "reports"
title = "Example reports"
provider = "cre"

[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }
scope = "reports:read"
audience = "https://reports.example/"

[env]
REPORTS_TOKEN = "session"
"""

STORES = {
    "keychain": f'[store]\nkind = "keychain"\nservice = "{keychain.SERVICE}"\n',
    "vault": '[store]\nkind = "vault"\nkey = "passphrase"\n',
}
"""config.toml, by where the secrets rest."""


class Place:
    """Everything that the demo starts or writes; `close` takes all of it away."""

    def __init__(self) -> None:
        """Make the home; nothing is started yet."""
        self.home = Path(tempfile.mkdtemp(prefix="tool-agent-demo-"))
        self.store = ""
        """`keychain` or `vault`, once it is decided."""
        self.platform: dict[str, Any] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._agents: set[int] = set()
        self._reservation = contextlib.ExitStack()
        for folder in ("run", "config/tool-agent/tools.d", "state"):
            (self.home / folder).mkdir(parents=True, mode=0o700)
        self._write("config/tool-agent/tools.d/reports.toml", REPORTS)

    @property
    def socket(self) -> Path:
        """The demo agent's socket."""
        return self.home / "run" / "agent.sock"

    @property
    def url(self) -> str:
        """The practice platform's first origin."""
        return str(self.platform["url"])

    def environ(self) -> dict[str, str]:
        """Return the environment of everything that runs here."""
        environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environ |= self.platform.get("env", {})
        environ |= {
            "PATH": f"{BIN}:{PROGRAMS}:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "TOOL_AGENT_SOCK": str(self.socket),
            "BROWSER": "python -m tests.platforms.person",
            "PLATFORM": str(self.platform.get("url", "")),
            "DEMO": str(self.home),
        }
        if sys.platform == "darwin":  # there the keychain is found through the home
            environ["HOME"] = str(Path.home())
        if self.store == "vault":
            environ["TOOL_AGENT_PASSPHRASE_FILE"] = str(self.home / "passphrase")
        return environ

    # --- the beginning

    def start_platform(self) -> None:
        """Start the practice platform, and wait until it listens."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.platforms", "--json"],
            cwd=ROOT,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        line = self._server.stdout.readline() if self._server.stdout else b""
        if not line:
            raise DemoError("the practice platform did not start")
        self.platform = json.loads(line)

    def choose_store(self) -> str:
        """Take the OS keychain where one answers, else a vault; return the reason for the vault.

        The agent itself is asked: it knows every keychain, and asks nobody for a password.
        """
        reason = ""
        if not self._reservation.enter_context(keychain.reserved()):
            reason = f"another demo is using the keychain's name {keychain.SERVICE}"
        else:
            self.store = "keychain"
            self._write("config/tool-agent/config.toml", STORES["keychain"])
            self.run("tool-agent", "start")
            problems = self.status()["store"]["problems"]
            if problems:
                reason = str(problems[0])
            elif keychain.items() is None:
                reason = "its items cannot be listed, to show that none is left"
            self.stop_agent()
        if reason:
            self.store = "vault"
            self._write("config/tool-agent/config.toml", STORES["vault"])
            self._write("passphrase", secrets.token_hex(16) + "\n")
        else:
            keychain.sweep()  # what a demo left behind that was killed
        return reason

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    # --- in between

    def run(self, *words: str) -> str:
        """Run a command that is not shown; return its stdout."""
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return what the agent says of itself."""
        found: dict[str, Any] = json.loads(self.run("tool-agent", "status", "--json"))
        self._agents.add(int(found["pid"]))
        return found

    def asked(self, path: str, told: dict[str, object] | None = None) -> dict[str, Any]:
        """Ask the platform, or tell it something."""
        data = None if told is None else json.dumps(told).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, data, timeout=PATIENCE) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def await_agents_end(self) -> None:
        """Wait until every agent that was seen has ended.

        Raises:
            DemoError: one has not.
        """
        for pid in list(self._agents):
            if not _awaited(functools.partial(_ended, pid)):
                raise DemoError(f"the agent (pid {pid}) did not end")
            self._agents.discard(pid)

    def stop_agent(self) -> None:
        """Stop the agent, and wait until it is gone."""
        self.run("tool-agent", "stop")
        self.await_agents_end()

    # --- the end

    def close(self) -> None:
        """End what runs, erase the keychain's items and remove the home, whatever happened."""
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.home, ignore_errors=True)
            undo.callback(self._end_platform)
            undo.callback(self._reservation.close)
            if self.store == "keychain":
                undo.callback(keychain.sweep)
            undo.callback(self._end_agents)

    def _end_agents(self) -> None:
        with contextlib.suppress(DemoError, subprocess.SubprocessError, ValueError, KeyError):
            if self.socket.exists():
                self.status()
                self.run("tool-agent", "logout", "--all", "--forget")
                self.run("tool-agent", "stop")
        try:
            self.await_agents_end()
        except DemoError:
            for pid in self._agents:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _end_platform(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
            if self._server.stdout is not None:
                self._server.stdout.close()

    def left(self) -> list[str]:
        """Return what is left after `close`, in words: nothing, or the demo has failed."""
        found = [f"the agent (pid {pid})" for pid in self._agents if not _ended(pid)]
        if self._server is not None and self._server.poll() is None:
            found.append("the practice platform")
        if self.home.exists():
            found.append(str(self.home))
        if self.store == "keychain":
            found += keychain.items() or []
        return found


def _awaited(happened: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_AGAIN)
    return True


def _ended(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no /proc (macOS, where launchd reaps at once), or gone just now
        return Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] == "Z"
