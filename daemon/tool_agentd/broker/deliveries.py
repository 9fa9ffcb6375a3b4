"""Deliveries: what `exec` gives a command, and the files that are put back once it has ended.

A variable where the credential has one. Else the tool's own file: below a private directory that a
variable names, or, where the definition says so, in its place, under a lease.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from tool_agentd.broker.broker import Broker
from tool_agentd.broker.importing import Importing
from tool_agentd.broker.leases import Leases, Texts
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.broker.tokens import sign_in
from tool_agentd.definition import destinations, duration, files
from tool_agentd.definition.delivery import FileSpec
from tool_agentd.definition.files import Directories
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, ConfigurationError, ConflictError
from tool_agentd.model import AccountKey, AuditLine, Credential, Grant, Peer
from tool_agentd.ports import Clock, Lease, LeasedProcess, Processes, ToolFiles
from tool_agentd.secret import Secret
from tool_agentd.session import grant_of

LEASE_ID_BYTES = 8
"""64 bits: no two leases of one machine meet."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a command gets."""

    credential: Credential
    directories: Mapping[str, str] = field(default_factory=dict)
    """Variables that point the tool at a private directory."""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Order:
    """What is delivered of which login, and to whom."""

    tool: ToolDefinition
    key: AccountKey
    grant: Grant | None
    credential: Credential
    peer: Peer
    directories: Directories
    check: Callable[[], None]
    """Raises where the account is not signed in any more by this login."""


class Deliveries(Leases):
    """What commands are given. Implements attendant.Attendant."""

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
        super().__init__(tool_files, processes, importing.absorb)
        self._broker = broker
        self._clock = clock
        self._entropy = entropy
        self._home = home

    async def deliver(self, request: TokenAsk, peer: Peer, environ: Mapping[str, str]) -> Delivery:
        """Return what the command that `peer` becomes is to get; its files are written already.

        Raises what `Broker.token` raises, also where the account is logged out meanwhile;
        ConflictError where the tool's file is in use for another account; ConfigurationError where
        it may not be written.
        """
        lines: list[AuditLine] = []  # for the witness, once it is sure that the command gets it
        delivery = await self._delivered(structs.replace(request, lines=lines), peer, environ)
        if delivery.credential.env or delivery.files:
            self._broker.gate.tell(lines[-1:])  # one credential, asked for once more or not
        return delivery

    async def _delivered(
        self, request: TokenAsk, peer: Peer, environ: Mapping[str, str]
    ) -> Delivery:
        logouts = self._logouts
        credential = await self._broker.token(request, peer)
        tool = self._broker.catalogue.get(request.tool)
        named = _file_for(tool, credential)
        if named is None and not self._alone(tool, credential):
            return Delivery(credential)
        if named is not None:
            credential = await self._living(request, named[1], credential, peer)
        key = self._broker.sessions.key_for(tool.name, tool.provider_name, request.account)
        grant = grant_of(self._broker.sessions.get(key))

        def check() -> None:
            now = grant_of(self._broker.sessions.get(key))
            if now is None or self._logged_out_since(key, logouts):
                raise sign_in(tool, key, "logged out meanwhile")
            if grant is None or now.obtained_at != grant.obtained_at:
                raise ConflictError(f"{key} was signed in anew meanwhile", hint="try again")

        check()
        directories = Directories.of(environ, self._home)
        order = _Order(tool, key, grant, credential, peer, directories, check)
        if named is not None:
            return await self._with_file(order, *named)
        return await self._with_caches(order)

    async def _with_file(self, order: _Order, name: str, spec: FileSpec) -> Delivery:
        """Deliver the tool's own file, and what stands beside it."""
        tool, directories = order.tool, order.directories
        path = files.path_of(spec.path, directories, macos_config=spec.macos_config)
        now = self._clock.now().wall
        if order.grant is not None:
            tree = files.filled(spec, order.credential, order.grant, now)
            secret = order.credential.value.reveal()
            destinations.check_file(tool, tree, secret, order.grant.origins)
        text = files.render(spec, order.credential, order.grant, now)
        names = self._broker.caches.names(tool, order.credential.id)
        beside, missing = await self._beside(order, names)
        moved = files.moved_directory(spec, directories)
        if moved is None and not spec.in_place:
            raise ConfigurationError(
                f"{tool.name} reads its {order.credential.id} from {path} alone, and its definition"
                " does not let that be written",
                hint=f"use 'tool-agent token {tool.name}', or let the definition say in_place",
            )
        lease = await self._leased(order, name, [(path, text), *beside], moved or "")
        paths = tuple(file.path for file in lease.files)
        variables: dict[str, str] = {}
        if spec.directory_env and lease.directory:
            variables = {spec.directory_env: lease.directory}
        return Delivery(order.credential, variables, paths, tuple(missing))

    def _alone(self, tool: ToolDefinition, credential: Credential) -> list[str]:
        """Return the caches whose files are delivered though the credential itself has none."""
        names = self._broker.caches.names(tool, credential.id)
        return [name for name in names if tool.cache[name].in_place]

    async def _with_caches(self, order: _Order) -> Delivery:
        """Deliver what the tool reads beside a variable; the command runs without it, too."""
        texts, missing = await self._beside(order, self._alone(order.tool, order.credential))
        paths: tuple[str, ...] = ()
        if texts:
            try:
                lease = await self._leased(order, "", texts, "")
                paths = tuple(file.path for file in lease.files)
            except AgentError as error:
                missing.append(f"{texts[0][0]} is not there for the command: {error.detail}")
        order.check()
        return Delivery(order.credential, {}, paths, tuple(missing))

    async def _leased(self, order: _Order, name: str, texts: Texts, stands_for: str) -> Lease:
        """Write files under a lease that ends with the process that asked."""
        self._broker.gate.leave(
            order.peer, (order.tool.name,)
        )  # what is beside it may have taken its time
        mark = self._processes.mark(order.peer.pid)
        if mark is None:
            raise ConflictError("the process that asked has ended", hint="ask again")
        lease = Lease(
            self._entropy(LEASE_ID_BYTES).hex(),
            order.tool.name,
            name,
            order.key.provider,
            order.key.label,
            self._clock.now().wall,
            obtained_at=order.grant.obtained_at if order.grant is not None else 0.0,
            processes=(LeasedProcess(order.peer.pid, mark),),
            stands_for=stands_for,
        )
        # A caller that goes away must not leave a file behind that nobody knows of.
        return await asyncio.shield(
            self._background.start(self._written(lease, texts, order.check))
        )

    async def _beside(
        self, order: _Order, names: Sequence[str]
    ) -> tuple[list[tuple[str, Secret]], list[str]]:
        """Return what stands beside the credential, and what to say of what cannot be had now."""
        tool, grant = order.tool, order.grant
        texts: list[tuple[str, Secret]] = []
        missing: list[str] = []
        allowed = grant.origins if grant is not None else tool.origins
        for name in names:
            place = tool.cache[name].path
            try:
                destinations.check_cache(tool, tool.cache[name], allowed)
                text = await self._broker.caches.text_for(
                    tool, name, order.credential, grant, allowed
                )
            except AgentError as error:
                missing.append(f"{place} is not there for the command: {error.detail}")
            else:
                texts.append((files.path_of(place, order.directories), Secret(text)))
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


def _file_for(tool: ToolDefinition, credential: Credential) -> tuple[str, FileSpec] | None:
    """Return the tool's file for a credential that no variable carries to it."""
    for name, spec in tool.file.items():
        wanted = spec.beside_env or not credential.env
        if wanted and spec.content and spec.credential == credential.id:
            return name, spec
    return None
