"""Deliveries: what `exec` gives a command, and the files that are put back once it has ended.

A variable where the credential has one. Else the tool's own file: below a private directory that a
variable names, or, where the definition says so, in its place, under a lease.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from tool_agentd.broker.background import Background
from tool_agentd.broker.broker import Broker
from tool_agentd.broker.importing import Importing
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.definition import duration, files
from tool_agentd.definition.delivery import FileSpec
from tool_agentd.definition.files import Directories
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, ConfigurationError, ConflictError
from tool_agentd.model import AccountKey, Credential, Grant, Peer
from tool_agentd.ports import Clock, Lease, LeasedProcess, Processes, ToolFiles
from tool_agentd.secret import Secret
from tool_agentd.session import grant_of

LEASE_ID_BYTES = 8
"""64 bits: no two leases of one machine meet."""

Texts = Sequence[tuple[str, Secret]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a command gets."""

    credential: Credential
    directories: Mapping[str, str] = field(default_factory=dict)
    """Variables that point the tool at a private directory."""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Deliveries:
    """Implements attendant.Attendant."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        broker: Broker,
        clock: Clock,
        tool_files: ToolFiles,
        processes: Processes,
        importing: Importing,
        entropy: Callable[[int], bytes],
        home: str,
    ) -> None:
        """`home` is the person's, where a client does not say."""
        self._broker = broker
        self._clock = clock
        self._files = tool_files
        self._processes = processes
        self._importing = importing
        self._entropy = entropy
        self._home = home
        self._background = Background()
        self._writing = asyncio.Lock()
        self._leases: dict[str, Lease] = {}
        self._watches: dict[str, dict[asyncio.Task[None], LeasedProcess]] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, str] = {}
        self._kept: dict[str, Lease] = {}

    # -- what a command gets ---------------------------------------------------------------------

    async def deliver(self, request: TokenAsk, peer: Peer, environ: Mapping[str, str]) -> Delivery:
        """Return what the command that `peer` becomes is to get; its files are written already.

        Raises what `Broker.token` raises; ConflictError where the tool's file is in use for
        another account; ConfigurationError where it may not be written.
        """
        credential = await self._broker.token(request, peer)
        tool = self._broker.catalogue.get(request.tool)
        named = _file_for(tool, credential)
        if named is None:
            return Delivery(credential)
        name, spec = named
        credential = await self._living(request, spec, credential, peer)
        directories = Directories.of(environ, self._home)
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, request.account)
        grant = grant_of(self._broker.sessions.get(key))
        path = files.path_of(spec.path, directories, macos_config=spec.macos_config)
        text = files.render(spec, credential, grant, self._clock.now().wall)
        beside, missing = await self._beside(tool, credential, grant, directories)
        moved = files.moved_directory(spec, directories)
        if moved is None and not spec.in_place:
            raise ConfigurationError(
                f"{tool.name} reads its {credential.id} from {path} alone, and its definition does"
                " not let that be written",
                hint=f"use 'tool-agent token {tool.name}', or let the definition say in_place",
            )
        mark = self._processes.mark(peer.pid)
        if mark is None:
            raise ConflictError("the process that asked has ended", hint="ask again")
        lease = Lease(
            self._entropy(LEASE_ID_BYTES).hex(),
            tool.name,
            name,
            key.provider,
            key.label,
            self._clock.now().wall,
            processes=(LeasedProcess(peer.pid, mark),),
            stands_for=moved or "",
        )
        lease = await self._written(lease, [(path, text), *beside])
        return _delivery(credential, spec, lease, missing)

    async def _beside(
        self,
        tool: ToolDefinition,
        credential: Credential,
        grant: Grant | None,
        directories: Directories,
    ) -> tuple[Texts, list[str]]:
        """Return what stands beside the file, and what to say of what cannot be had now."""
        texts: list[tuple[str, Secret]] = []
        missing: list[str] = []
        caches = self._broker.caches
        allowed = grant.origins if grant is not None else tool.origins
        for name in caches.names(tool, credential.id):
            place = tool.cache[name].path
            if place is None:
                continue
            try:
                text = await caches.text_for(tool, name, credential, grant, allowed)
            except AgentError as error:
                missing.append(f"{place} is not there for the command: {error.detail}")
            else:
                texts.append((files.path_of(place, directories), Secret(text)))
        return texts, missing

    async def _living(
        self, request: TokenAsk, spec: FileSpec, credential: Credential, peer: Peer
    ) -> Credential:
        """Return the credential with the life that the tool's own client insists on."""
        if credential.expires_at is None:
            return credential
        needed = max(duration.seconds(spec.min_ttl), request.min_ttl or 0.0)
        if credential.expires_at - self._clock.now().wall >= needed:
            return credential
        return await self._broker.token(structs.replace(request, min_ttl=needed), peer)

    async def _written(self, lease: Lease, texts: Texts) -> Lease:
        """Write the files: under the lease that is there for them, or a new one."""
        waited = ""
        while True:
            async with self._writing:
                there = self._in_place(lease, texts)
                if there is None:
                    fresh = await self._files.write(lease, texts)
                elif there.id not in self._endings and self._lives(there):
                    fresh = await self._files.write(_joined(there, lease), texts)
                else:
                    fresh = None
                if fresh is not None:
                    self._leases[fresh.id] = fresh
                    self._watch(fresh.id, lease.processes[0])
                    return fresh
            if there is None or there.id == waited:
                path = texts[0][0]
                why = self._troubles.get(waited, "it is not put back yet")
                raise ConflictError(f"{path} cannot be written: {why}", hint="try again")
            waited = there.id
            await asyncio.shield(self._ending(waited))

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
                there.id not in self._endings and self._lives(there)
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
        task = asyncio.ensure_future(self._until_ended(identifier, process))
        watches = self._watches.setdefault(identifier, {})
        watches[task] = process
        task.add_done_callback(lambda done: watches.pop(done, None))

    async def _until_ended(self, identifier: str, process: LeasedProcess) -> None:
        await self._processes.ended(process)
        async with self._writing:
            lease = self._leases.get(identifier)
            if lease is None:
                return
            left = tuple(other for other in lease.processes if other != process)
            lease = self._leases[identifier] = structs.replace(lease, processes=left)
            if left:
                try:
                    await self._files.save(lease)
                except AgentError as error:  # the next start sees for itself that it has ended
                    log.info("%s", error.detail)
                return
            _ = self._ending(identifier)

    def _ending(self, identifier: str, *, absorb: bool = True) -> "asyncio.Task[None]":
        """Begin to put back what a lease has written, once; return that work."""
        task = self._endings.get(identifier)
        if task is None:
            work = self._end(identifier, absorb=absorb)
            task = self._endings[identifier] = self._background.start(work)
            task.add_done_callback(lambda _: self._endings.pop(identifier, None))
        return task

    async def _end(self, identifier: str, *, absorb: bool) -> None:
        """Put everything back. What cannot be done now is tried again with the next tick."""
        lease = self._leases.get(identifier)
        if lease is None:
            return
        for other in list(self._leases.values()):
            # A private directory that stands for this one: what is in it goes there first.
            if lease.directory and other.stands_for == lease.directory and not self._lives(other):
                await self._ending(other.id)
        try:
            if absorb and not await self._last(lease):
                return
            taken: list[str] = []
            for there in await self._files.changed(lease):
                first = there.path == lease.files[0].path
                # What stands beside it is fetched anew whenever it is needed.
                if not first or (absorb and await self._importing.absorb(lease, there)):
                    taken.append(there.path)
            left = await self._files.end(lease, taken)
        except AgentError as error:
            self._troubles[identifier] = error.detail
            log.warning("%s: its file is not put back yet: %s", lease.tool, error.detail)
            return
        self._troubles.pop(identifier, None)
        self._leases.pop(identifier, None)
        self._watches.pop(identifier, None)
        if left is not None:
            self._keep(left)

    async def _last(self, lease: Lease) -> bool:
        """Tell whether nobody uses the files any more, by what is recorded.

        Another agent over the same state directory may have let a command join the lease, or have
        put everything back already.
        """
        recorded = next((one for one in await self._files.leases() if one.id == lease.id), None)
        if recorded is None:
            self._leases.pop(lease.id, None)
            return False
        if not self._lives(recorded):
            return True
        self._leases[lease.id] = recorded
        for process in recorded.processes:
            self._watch(lease.id, process)
        return False

    def _keep(self, lease: Lease) -> None:
        self._kept[lease.id] = lease
        for sentence in _sentences(lease):
            log.warning("%s", sentence)

    # -- the agent's own life --------------------------------------------------------------------

    async def recover(self) -> None:
        """Go on with what the last agent has left: watch the living, put back the others'."""
        for lease in await self._files.leases():
            if lease.kept:
                self._kept[lease.id] = lease
                continue
            self._leases[lease.id] = lease
            if not self._lives(lease):
                _ = self._ending(lease.id)
                continue
            for process in lease.processes:
                self._watch(lease.id, process)

    @property
    def reasons(self) -> list[str]:
        """One sentence for every file that was not put back."""
        found = [
            f"the file of {self._leases[identifier].tool} is not put back yet: {why}"
            for identifier, why in self._troubles.items()
            if identifier in self._leases
        ]
        for lease in self._kept.values():
            found += _sentences(lease)
        return found

    async def logged_out(self, key: AccountKey) -> None:
        """Take the account's files away from the commands that still run."""
        for lease in list(self._leases.values()):
            if (lease.provider, lease.label) == (key.provider, key.label):
                for task in self._watches.pop(lease.id, {}):
                    task.cancel()
                await self._ending(lease.id, absorb=False)

    async def tick(self) -> None:
        """Try again what could not be put back; look what the person has seen to."""
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


def _file_for(tool: ToolDefinition, credential: Credential) -> tuple[str, FileSpec] | None:
    """Return the tool's file for a credential that no variable carries to it."""
    for name, spec in tool.file.items():
        wanted = spec.beside_env or not credential.env
        if wanted and spec.content and spec.credential == credential.id:
            return name, spec
    return None


def _joined(there: Lease, lease: Lease) -> Lease:
    return structs.replace(there, processes=(*there.processes, *lease.processes))


def _delivery(
    credential: Credential, spec: FileSpec, lease: Lease, notes: Sequence[str]
) -> Delivery:
    paths = tuple(file.path for file in lease.files)
    moved: dict[str, str] = {}
    if spec.directory_env and lease.directory:
        moved = {spec.directory_env: lease.directory}
    return Delivery(credential, moved, paths, tuple(notes))


def _sentences(lease: Lease) -> list[str]:
    return [
        f"{kept.path} was changed by a command of {lease.tool}; "
        + (
            "it is left as it is"
            if kept.aside == kept.path
            else f"the other version of it is {kept.aside}"
        )
        for kept in lease.kept
    ]
