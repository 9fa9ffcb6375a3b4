"""Leases: files that were written for commands, watched, and put back once those have ended."""

import asyncio
import logging
import shlex
from collections.abc import Awaitable, Callable, Sequence

from msgspec import structs

from tool_agentd.broker.background import Background
from tool_agentd.errors import AgentError, ConfigurationError, ConflictError
from tool_agentd.model import AccountKey
from tool_agentd.ports import KeptFile, Lease, LeasedProcess, Processes, ToolFiles, ToolFileText
from tool_agentd.secret import Secret

LOGOUT_PATIENCE = 3.0
"""Seconds that a logout waits for files to be put back, which goes on behind it: a disk takes
milliseconds, one that hangs must not keep the provider from being told."""

LONGEST = 200
"""Characters of an error's text in `status`: a sentence, not a list of everything on a disk."""

Texts = Sequence[tuple[str, Secret]]
Absorb = Callable[[Lease, ToolFileText], Awaitable[bool]]
"""Takes over the login that a command has left in its file; tells whether it has."""

log = logging.getLogger(__name__)


class Leases:
    """Every lease that the agent knows of. Implements attendant.Attendant."""

    def __init__(self, tool_files: ToolFiles, processes: Processes, absorb: Absorb) -> None:
        """Begin with none; `recover` finds what the last agent has left."""
        self._files = tool_files
        self._processes = processes
        self._absorb = absorb
        self._background = Background()
        self._writing = asyncio.Lock()
        self._unsure = False
        """Whether a write may have come about that nobody saw the end of."""
        self._leases: dict[str, Lease] = {}
        self._watches: dict[str, dict[asyncio.Task[None], LeasedProcess]] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}
        self._absorptions: dict[str, asyncio.Future[bool]] = {}
        self._troubles: dict[str, str] = {}
        self._kept: dict[str, Lease] = {}
        self._logouts = 0
        self._last_logout: dict[AccountKey, int] = {}

    # -- writing ---------------------------------------------------------------------------------

    async def _written(self, lease: Lease, texts: Texts, check: Callable[[], None]) -> Lease:
        """Write the files: under the lease that is there for them, or a new one.

        `check` raises where the account is not signed in any more by what is written.
        """
        waited = ""
        while True:
            async with self._writing:
                if self._unsure:
                    await self._reconcile()
                check()
                there = self._in_place(lease, texts)
                fresh = None
                if there is None:
                    fresh = await self._write(lease, lease, texts)
                elif self._in_use(there):
                    joined = structs.replace(there, processes=(*there.processes, *lease.processes))
                    fresh = await self._write(joined, lease, texts)
            if fresh is not None:
                try:
                    check()
                except AgentError:  # a logout could not see what was being written
                    await asyncio.shield(self._take_away(fresh.id))
                    raise
                return fresh
            if there is None or there.id == waited:
                path = texts[0][0]
                why = self._troubles.get(waited, "it is not put back yet")
                raise ConflictError(f"{path} cannot be written: {why}", hint="try again")
            waited = there.id
            await asyncio.shield(self._ending(waited))

    async def _write(self, lease: Lease, asked: Lease, texts: Texts) -> Lease:
        """Write under `lease`, and watch the process that asked from then on."""
        try:
            fresh = await self._files.write(lease, texts)
        except AgentError as error:
            self._unsure = True
            if lease.id != asked.id:
                _ = self._ending(lease.id)  # it may be over on the disk: that is looked at again
            if not isinstance(error, ConflictError | ConfigurationError):
                # The disk may still do it: then it is put back when that process has ended.
                self._leases.setdefault(lease.id, lease)
                self._watch(lease.id, asked.processes[0])
            raise
        self._leases[fresh.id] = fresh
        self._watch(fresh.id, asked.processes[0])
        return fresh

    def _in_use(self, lease: Lease) -> bool:
        return lease.id not in self._endings and not lease.over and self._lives(lease)

    def _in_place(self, lease: Lease, texts: Texts) -> Lease | None:
        """Return the lease that has these paths already. Raises ConflictError for another's."""
        if lease.stands_for:
            return None
        paths = {path for path, _ in texts}
        for there in self._leases.values():
            taken = paths & {file.path for file in there.files}
            if there.directory or not taken:
                continue
            same = (there.tool, there.file, there.provider, there.label)
            if same != (lease.tool, lease.file, lease.provider, lease.label) and (
                self._in_use(there)
            ):
                raise ConflictError(
                    f"{min(taken)} is in use for {there.tool}, account {there.label!r}, by process"
                    f" {there.processes[0].pid}",
                    hint="wait until that command has ended",
                )
            return there
        return None

    def _lives(self, lease: Lease) -> bool:
        return any(self._processes.mark(p.pid) == p.mark for p in lease.processes)

    # -- the commands' ends ----------------------------------------------------------------------

    def _watch(self, identifier: str, process: LeasedProcess) -> None:
        watches = self._watches.setdefault(identifier, {})
        if process in watches.values():
            return
        task = asyncio.ensure_future(self._until_ended(identifier, process))
        watches[task] = process
        task.add_done_callback(lambda done: watches.pop(done, None))

    async def _until_ended(self, identifier: str, process: LeasedProcess) -> None:
        await self._processes.ended(process)
        async with self._writing:
            lease = self._leases.get(identifier)
            if lease is None:
                return
            left = tuple(other for other in lease.processes if other != process)
            self._leases[identifier] = structs.replace(lease, processes=left)
            if not left:
                _ = self._ending(identifier)
                return
            try:
                await self._files.amend(identifier, lambda there: _without(there, process))
            except AgentError as error:  # the next look sees for itself that it has ended
                log.info("%s", error.detail)

    def _ending(self, identifier: str) -> "asyncio.Task[None]":
        """Begin to put back what a lease has written, once; return that work."""
        task = self._endings.get(identifier)
        if task is None or task.done():
            fresh = self._endings[identifier] = self._background.start(self._end(identifier))
            fresh.add_done_callback(lambda done: self._ended(identifier, done))
            return fresh
        return task

    def _ended(self, identifier: str, task: "asyncio.Task[None]") -> None:
        if self._endings.get(identifier) is task:
            del self._endings[identifier]

    async def _end(self, identifier: str) -> None:
        """Put everything back. What cannot be done now is tried again with the next tick."""
        lease = self._leases.get(identifier)
        if lease is None:
            return
        for other in list(self._leases.values()):
            # A private directory that stands for this one: what is in it goes there first.
            if lease.directory and other.stands_for == lease.directory and not self._lives(other):
                await self._ending(other.id)
        try:
            due = await self._due(identifier)
            if due is None:
                return
            taken: list[str] = []
            for there in await self._files.changed(due):
                own = due.file and there.path == due.files[0].path
                # What stands beside it is fetched anew whenever it is needed.
                if not own or await self._taken_over(due, there):
                    taken.append(there.path)
            left = await self._files.end(due, taken)
        except AgentError as error:
            why = "; ".join(_capped(text) for text in (error.detail, error.hint) if text)
            self._troubles[identifier] = why
            log.warning("%s: its file is not put back yet: %s", lease.tool, why)
            return
        self._forget(identifier)
        if left is not None:
            self._keep(left)

    async def _due(self, identifier: str) -> Lease | None:
        """Return the lease as it is recorded, if it is to end now.

        Another agent over the same state directory may have let a command join the lease, or have
        put everything back already.
        """
        recorded = next((one for one in await self._files.leases() if one.id == identifier), None)
        lease = self._leases.get(identifier)
        if lease is None:
            return None
        if recorded is None or recorded.kept:
            self._forget(identifier)
            if recorded is not None:
                self._keep(recorded)
            return None
        over = lease.over or recorded.over
        lease = self._leases[identifier] = structs.replace(recorded, over=over)
        if over:
            if not recorded.over:  # whoever goes on with it, after us too, must know
                await self._files.amend(identifier, lambda there: structs.replace(there, over=True))
            return lease
        if not self._lives(lease):
            return lease
        self._troubles.pop(identifier, None)
        for process in lease.processes:
            self._watch(identifier, process)
        return None

    async def _taken_over(self, lease: Lease, there: ToolFileText) -> bool:
        """Take over the login in a changed file, unless the account is logged out meanwhile."""
        if self._is_over(lease.id):
            return False
        work = self._absorptions[lease.id] = asyncio.ensure_future(self._absorb(lease, there))
        try:
            return await work
        except asyncio.CancelledError:
            if self._is_over(lease.id):
                return False
            raise
        finally:
            del self._absorptions[lease.id]

    def _is_over(self, identifier: str) -> bool:
        lease = self._leases.get(identifier)
        return lease is None or lease.over

    def _forget(self, identifier: str) -> None:
        self._leases.pop(identifier, None)
        self._troubles.pop(identifier, None)
        for task in list(self._watches.pop(identifier, {})):
            task.cancel()

    def _keep(self, lease: Lease) -> None:
        self._kept[lease.id] = lease
        for sentence in _sentences(lease):
            log.warning("%s", sentence)

    # -- logouts ---------------------------------------------------------------------------------

    async def logged_out(self, key: AccountKey) -> None:
        """Take the account's files away from the commands that still run."""
        self._logouts += 1
        self._last_logout[key] = self._logouts
        endings = [
            self._take_away(lease.id)
            for lease in list(self._leases.values())
            if (lease.provider, lease.label) == (key.provider, key.label)
        ]
        if endings:
            await asyncio.wait(endings, timeout=LOGOUT_PATIENCE)

    def _logged_out_since(self, key: AccountKey, logouts: int) -> bool:
        """Tell whether the account was logged out since so many logouts of any were counted."""
        return self._last_logout.get(key, 0) > logouts

    def _take_away(self, identifier: str) -> "asyncio.Task[None]":
        """Begin to put everything back, whoever still runs; what is there is not taken over."""
        lease = self._leases.get(identifier)
        if lease is not None:
            self._leases[identifier] = structs.replace(lease, over=True)
        for task in list(self._watches.pop(identifier, {})):
            task.cancel()
        absorption = self._absorptions.get(identifier)
        if absorption is not None:
            absorption.cancel()
        return self._ending(identifier)

    # -- the agent's own life --------------------------------------------------------------------

    async def recover(self) -> None:
        """Go on with what the last agent has left: watch the living, put back the others'."""
        async with self._writing:
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Take up what is recorded and not known: an earlier agent's, and writes that were late.

        Nothing is written meanwhile, so what ends meanwhile is known beforehand.
        """
        known = {*self._leases, *self._endings, *self._kept}
        recorded = await self._files.leases()
        self._unsure = False
        for lease in recorded:
            if lease.id in known:
                continue
            if lease.kept:
                self._keep(lease)
                continue
            self._leases[lease.id] = lease
            if lease.over or not self._lives(lease):
                _ = self._ending(lease.id)
                continue
            for process in lease.processes:
                self._watch(lease.id, process)

    @property
    def reasons(self) -> list[str]:
        """One sentence for every file that was not put back, and every record that is no use."""
        found = [
            f"the file of {self._leases[identifier].tool} is not put back yet: {why}"
            for identifier, why in self._troubles.items()
            if identifier in self._leases
        ]
        for lease in self._kept.values():
            found += _sentences(lease)
        return [*found, *self._files.unreadable]

    async def tick(self) -> None:
        """Try again what could not be put back; look what the person has seen to."""
        try:
            await self.recover()
        except AgentError as error:
            log.info("the records of deliveries cannot be read now: %s", error.detail)
        for identifier in list(self._troubles):
            await self._ending(identifier)
        for lease in list(self._kept.values()):
            try:
                left = await self._files.forget_kept(lease)
            except AgentError:
                continue
            if left is None:
                del self._kept[lease.id]

    async def settled(self) -> None:
        """Return when everything of commands that have ended is put back, or cannot be now."""
        while True:
            over = [
                task
                for watches in self._watches.values()
                for task, process in watches.items()
                if self._processes.mark(process.pid) != process.mark
            ]
            under_way = [*over, *self._endings.values()]
            if not under_way:
                return
            await asyncio.wait(under_way)

    async def close(self) -> None:
        """Stop watching; the next start goes on with what commands still use."""
        for tasks in self._watches.values():
            for task in tasks:
                task.cancel()
        await self._background.settle()


def _without(lease: Lease, process: LeasedProcess) -> Lease:
    left = tuple(other for other in lease.processes if other != process)
    return structs.replace(lease, processes=left)


def _sentences(lease: Lease) -> list[str]:
    return [_sentence(lease.tool, kept) for kept in lease.kept]


def _sentence(tool: str, kept: KeptFile) -> str:
    """Say where the versions of a file are, and what to type."""
    path, aside = shlex.quote(kept.path), shlex.quote(kept.aside)
    if kept.why:
        return (
            f"what a command of {tool} left in {kept.aside} is not moved to {kept.path}:"
            f" {_capped(kept.why)}; move what you want of it there, then run 'rm -r {aside}'"
        )
    if kept.aside == kept.path:
        return f"{kept.path} was changed by a command of {tool}; it is left as it is"
    return (
        f"{kept.path} was changed by a command of {tool}: one version of it is {kept.path}, the"
        f" other version of it is {kept.aside}; look at both, then run 'rm {aside}' to do without"
        f" the other, or 'mv {aside} {path}' to have it in the place of the one"
    )


def _capped(text: str) -> str:
    """Return an error's text as `status` has room for it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
