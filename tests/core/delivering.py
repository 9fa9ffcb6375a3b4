"""A world whose commands are fakes and whose files are real, below a directory of the test's."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.core.acme_files import ACME_FILES
from tests.core.fakes import World
from tool_agentd.adapters.tool_files import DiskToolFiles
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.deliveries import Deliveries, Delivery
from tool_agentd.broker.importing import Importing, ImportOrder, ImportReport
from tool_agentd.model import Peer
from tool_agentd.ports import LeasedProcess

ACME = TokenAsk("acme")


class FakeProcesses:
    """Processes that run until the test ends them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ends: dict[int, asyncio.Event] = {}

    def start(self, pid: int) -> Peer:
        """Let a process begin; return it as a peer."""
        self._ends[pid] = asyncio.Event()
        return Peer(1000, 1000, pid)

    def end(self, pid: int) -> None:
        """Let it end."""
        self._ends[pid].set()

    def mark(self, pid: int) -> str | None:
        """Implement ports.Processes."""
        end = self._ends.get(pid)
        return f"mark {pid}" if end is not None and not end.is_set() else None

    async def ended(self, process: LeasedProcess) -> None:
        """Implement ports.Processes."""
        if self.mark(process.pid) == process.mark:
            await self._ends[process.pid].wait()


class Delivering(World):
    """A world with deliveries."""

    def __init__(self, place: Path, text: str = ACME_FILES) -> None:
        """Put a home, and what the agent needs, into `place`."""
        self.place = place
        self.home = place / "home"
        for room in ("home", "state", "run"):
            (place / room).mkdir(mode=0o700, exist_ok=True)
        super().__init__(acme=text)
        self.processes = FakeProcesses()
        self.furnish()

    def furnish(self) -> None:
        """Build deliveries over the broker that is there, as after a restart."""
        self.files = DiskToolFiles(str(self.place / "state"), str(self.place / "run"))
        home = str(self.home)
        self.importing = Importing(self.broker, self.clock, self.files, home)
        self.deliveries = self.broker.attendant = Deliveries(
            self.broker,
            self.clock,
            self.files,
            self.processes,
            self.importing,
            lambda size: next(self.numbers).to_bytes(size, "big"),
            home,
        )

    numbers = iter(range(1, 10**6))

    @property
    def file(self) -> Path:
        """The tool's own file."""
        return self.home / ".acme/session.json"

    def stand(self, content: dict[str, Any], path: Path | None = None) -> None:
        """Let the tool have written a file itself."""
        path = path or self.file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        path.chmod(0o600)

    @staticmethod
    def remove(path: Path) -> None:
        """Let the person remove a file."""
        path.unlink()

    async def deliver(self, pid: int, ask: TokenAsk = ACME) -> Delivery:
        """Let a process ask for a delivery."""
        return await self.deliveries.deliver(ask, self.processes.start(pid), {})

    async def take_over(
        self,
        account: str | None = None,
        *,
        keep: bool = False,
        dry_run: bool = False,
        origin: str | None = None,
    ) -> ImportReport:
        """Let the person import."""
        order = ImportOrder(self.broker.catalogue.tools["acme"], account, keep, dry_run, origin)
        return await self.importing.run(order, {}, Peer(1000, 1000, 1))

    async def over(self, *pids: int) -> None:
        """Let processes end, and wait until what follows from it is done."""
        for pid in pids:
            self.processes.end(pid)
        await self.deliveries.settled()


class Gate:
    """Somewhere that one call waits until the test lets it go on."""

    def __init__(self) -> None:
        """Begin closed, with nobody there."""
        self.there = asyncio.Event()
        self.open = asyncio.Event()

    async def wait(self) -> None:
        """Arrive, and wait."""
        self.there.set()
        await self.open.wait()


def held_up(owner: object, method: str) -> Gate:
    """Let a method wait, once it has done its work, until the test says so."""
    gate = Gate()
    real = getattr(owner, method)

    async def slow(*arguments: object) -> object:
        result = await real(*arguments)
        await gate.wait()
        return result

    setattr(owner, method, slow)
    return gate
