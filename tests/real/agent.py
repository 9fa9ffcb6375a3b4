"""The installed agent as a process, and the installed command `tool-agent` beside it."""

import json
import os
import secrets
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.canary import Canary
from tests.real.child import DEADLINE, ChildError
from tests.real.home import BIN, Home, new_home
from tests.real.platforms import Platforms
from tests.real.terminal import Terminal
from tests.real.unix_http import Reply, Wire
from tests.real.waiting import until

Done = subprocess.CompletedProcess[str]

SECRET_ANSWERS = {"token", "env", "exec"}
"""Commands whose stdout is the secret that was asked for."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What a test may want different."""

    store: str = "memory"
    """TOOL_AGENT_STORE. A vault's key is put into the home, unless it lies in a keychain."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Added for the agent and its clients alike."""
    words: tuple[str, ...] = ("--log-level", "debug")
    """Further options of `tool-agentd run`."""
    prefix: tuple[str, ...] = ()
    """A command that runs the agent, such as setpriv."""


class Agent:
    """An agent in a home of its own; it may be stopped, killed and started again."""

    def __init__(self, home: Home, options: AgentOptions, canary: Canary | None = None) -> None:
        self.home = home
        self._options = options
        self.canary = canary
        self.usual = False
        """Whether it runs, and in nothing but its home's own environment."""
        self._process: subprocess.Popen[bytes] | None = None
        home.environ["TOOL_AGENT_STORE"] = options.store
        if options.store == "vault:credential":
            home.environ["CREDENTIALS_DIRECTORY"] = str(_credential(home))
        if options.store == "vault:passphrase":
            home.environ["TOOL_AGENT_PASSPHRASE_FILE"] = str(_passphrase(home))
        home.environ.update(options.environ)

    # --- its life

    def start(self, *, environ: Mapping[str, str] | None = None) -> None:
        """Start it and return once its socket answers.

        Raises:
            ChildError: it said something else than `ready`.
        """
        reader, writer = os.pipe()
        stderr = self.home.path / "agent.stderr"
        try:
            with stderr.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        *self._options.prefix,
                        str(BIN / "tool-agentd"),
                        *("run", "--ready-fd", str(writer), *self._options.words),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=self.home.environ | dict(environ or {}),
                    cwd="/",
                    pass_fds=(writer,),
                )
            os.close(writer)
            said = _line(reader)
        finally:
            os.close(reader)
        if said != "ready":
            self.kill()
            raise ChildError(f"the agent said {said!r}: {stderr.read_text()}")
        self.usual = not environ

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the agent does not run"
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it politely; return its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for it to end by itself; return its exit status."""
        status = self.process.wait(DEADLINE)
        self.usual = False
        self._process = None
        return status

    def dies(self, seconds: float) -> bool:
        """Tell whether it ends within so many seconds, by itself or by a fault."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it as a power cut would; without one running, nothing happens."""
        self.usual = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again over the same files."""
        self.kill()
        self.start()

    def put_back(self) -> None:
        """Wait until the files of commands that have ended are put back, if it runs."""
        leases = self.home.state / "leases"
        until(
            lambda: self._process is None or not any(map(_lasts, leases.glob("*.json"))),
            "the files of commands are put back",
        )

    # --- its clients

    def environ(self, environ: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return the environment of a client with `environ` added; None takes a variable away."""
        merged: dict[str, str | None] = {**self.home.environ, **(environ or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def run(
        self,
        *words: str,
        text: str | None = None,
        environ: Mapping[str, str | None] | None = None,
    ) -> Done:
        """Run `tool-agent` with `text` on its stdin; its status is not checked.

        What it says is searched for secrets at the end, but for the answer of a command that is
        there to give one.
        """
        done = subprocess.run(
            [str(BIN / "tool-agent"), *words],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            env=self.environ(environ),
            cwd=self.home.path,
            timeout=DEADLINE,
            check=False,
        )
        self._note(words, done.stdout, done.stderr)
        return done

    def shell(
        self, script: str, *, environ: Mapping[str, str | None] | None = None, shell: str = "sh"
    ) -> Done:
        """Run a shell script, in which `tool-agent` is on PATH; stderr is searched at the end."""
        done = subprocess.run(
            [shell, "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environ(environ),
            cwd=self.home.path,
            timeout=DEADLINE,
            check=False,
        )
        self._note(("exec", shell), done.stdout, done.stderr)
        return done

    def good(
        self,
        *words: str,
        text: str | None = None,
        environ: Mapping[str, str | None] | None = None,
    ) -> str:
        """Run `tool-agent`, which must succeed; return its stdout without the last line break."""
        done = self.run(*words, text=text, environ=environ)
        assert done.returncode == 0, (words, done)
        return done.stdout.removesuffix("\n")

    def token(self, tool: str, *words: str) -> str:
        """Return a token, which the canary searches for from now on."""
        value = self.good("token", tool, *words)
        if self.canary is not None:
            self.canary.watch(value, f"a token of {tool}")
        return value

    def begin(
        self, *words: str, environ: Mapping[str, str | None] | None = None
    ) -> "subprocess.Popen[str]":
        """Start `tool-agent` and do not wait for it."""
        return subprocess.Popen(
            [str(BIN / "tool-agent"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ(environ),
            cwd=self.home.path,
        )

    @contextmanager
    def terminal(
        self,
        *words: str,
        environ: Mapping[str, str | None] | None = None,
        echoes: bool = False,
    ) -> Iterator[Terminal]:
        """Run `tool-agent` at a terminal; with `echoes` a secret is typed where it shows."""
        with Terminal([str(BIN / "tool-agent"), *words], self.environ(environ)) as terminal:
            yield terminal
            if self.canary is not None and not echoes:
                self.canary.text(f"the terminal of {words[0]}", terminal.shown)

    # --- its socket

    def wire(self) -> Wire:
        """Return a new connection."""
        return Wire(self.home.socket)

    def http(
        self,
        method: str,
        target: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Ask once, on a connection of its own."""
        with self.wire() as wire:
            return wire.request(method, target, headers=headers, body=body).reply()

    def curl(self, *words: str) -> Done:
        """Run curl over the socket, as a person does."""
        return subprocess.run(
            ["curl", "--silent", "--unix-socket", str(self.home.socket), *words],
            capture_output=True,
            text=True,
            env=self.environ(),
            timeout=DEADLINE,
            check=False,
        )

    def _note(self, words: Sequence[str], stdout: str, stderr: str) -> None:
        if self.canary is not None:
            self.canary.text(f"stderr of {' '.join(words[:2])}", stderr)
            if not SECRET_ANSWERS & set(words[:1]):
                self.canary.text(f"stdout of {' '.join(words[:2])}", stdout)


@contextmanager
def running_agent(
    home: Home, options: AgentOptions | None = None, canary: Canary | None = None
) -> Iterator[Agent]:
    """Run an agent; with a `canary`, the home and all processes are searched while it lives."""
    agent = Agent(home, options or AgentOptions(), canary)
    if canary is not None:
        canary.home(home.path)
    agent.start()
    try:
        yield agent
        if canary is not None:
            canary.assert_all_clean()
    finally:
        agent.kill()


@pytest.fixture
def agent_options(platforms: Platforms) -> AgentOptions:
    """Return the options of the `agent` fixture; a test module may override it."""
    return AgentOptions(environ=platforms.env)


@pytest.fixture
def agent(home: Home, agent_options: AgentOptions, canary: Canary) -> Iterator[Agent]:
    """An agent for this test alone."""
    with running_agent(home, agent_options, canary) as running:
        yield running


def _lasts(lease: Path) -> bool:
    """Tell whether a lease is not over: one that only says what was kept is."""
    try:
        return not json.loads(lease.read_text())["kept"]
    except FileNotFoundError:
        return False


def _credential(home: Home) -> Path:
    """Make the vault's key, as systemd passes it on (systemd.exec(5), LoadCredential=)."""
    folder = home.path / "credentials"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "tool-agent-vault-key"
    if not file.exists():
        file.write_bytes(secrets.token_bytes(32))
        file.chmod(0o400)
    return folder


def _passphrase(home: Home) -> Path:
    file = home.path / "passphrase"
    if not file.exists():
        file.write_text(secrets.token_urlsafe(24) + "\n")
        file.chmod(0o600)
    return file


def _line(reader: int) -> str:
    """Return what the agent says at its start: one line, or nothing where it ended."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    said = b""
    while b"\n" not in said:
        if not poll.poll(DEADLINE * 1000):
            raise ChildError(f"the agent said nothing for {DEADLINE:g} s")
        chunk = os.read(reader, 65536)
        if not chunk:
            break
        said += chunk
    return said.decode().rstrip("\n")


__all__ = ["Agent", "AgentOptions", "Done", "Home", "new_home", "running_agent"]
