"""The subjects: everything that answers on a socket in this run, and what is absent."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import exchange, machine
from bench.agents import Agent, Platform
from bench.bare import ROUTE
from bench.exchange import ServerError, Target
from bench.peers import Peer, oidc_agent, ssh_agent
from bench.plan import Plan
from bench.processes import Server, module


@dataclass(slots=True)
class Subjects:
    """What is measured side by side."""

    one: Agent
    """Ours, with one account."""
    many: Agent
    """Ours, with many."""
    accounts: int
    bare: Target
    """A bare aiohttp handler that answers as many bytes."""
    token_size: int
    peers: list[Peer] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """Why a peer is not there, in words."""


@contextmanager
def running(folder: Path, plan: Plan, say: Callable[[str], None]) -> Iterator[Subjects]:
    """Start all of them, and end them afterwards."""
    with ExitStack() as stack:
        say("starting the practice platform and signing in")
        platform = Platform()
        stack.callback(platform.stop)
        one, many = Agent(folder / "one", platform.environ), Agent(folder / "n", platform.environ)
        stack.callback(one.stop)
        one.start()
        one.login()
        size = len(exchange.once(one.token).partition(b"\r\n\r\n")[2])
        say(f"storing {plan.accounts:,} accounts")
        many.fill(plan.accounts)
        stack.callback(many.stop)
        many.start()
        many.login()
        path = str(folder / "bare.sock")
        bare = exchange.http(path, ROUTE)
        server = Server(*module("bench.bare", path, str(size)), bare, folder / "bare.log")
        stack.callback(server.stop)
        server.start()
        subjects = Subjects(one, many, plan.accounts, bare, size)
        say("starting the peers")
        known: tuple[tuple[str, str, Callable[[], Peer | None]], ...] = (
            ("ssh-agent", "openssh-client", lambda: ssh_agent(folder / "ssh")),
            ("oidc-agent", "oidc-agent-cli", lambda: oidc_agent(folder / "oidc", size - 1)),
        )
        for name, package, start in known:
            try:
                peer = start()
            except ServerError as error:
                subjects.absent.append(f"{name} is installed and could not be set up: {error}")
                continue
            if peer is None:
                subjects.absent.append(f"{name} is not installed (Debian: {package})")
                continue
            stack.callback(peer.stop)
            peer.version = machine.package_version(package)
            subjects.peers.append(peer)
        yield subjects
