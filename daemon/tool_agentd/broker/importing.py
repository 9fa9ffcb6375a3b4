"""Importing: a login moves out of a tool's own file into the store.

A rotating token must not have two holders: it is persisted, refreshed once, which makes the file's
own worthless, and then the file is erased. Every step is durable before the next, so a login that
is not in the store yet is still in its file.
"""

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from tool_agentd.broker.absorbing import Absorbing
from tool_agentd.broker.background import Background
from tool_agentd.broker.broker import Broker
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.found_logins import FoundLogins, changed_meanwhile
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.definition import credentials
from tool_agentd.definition.delivery import FileSpec
from tool_agentd.definition.files import Directories, FoundLogin, path_of, read_login
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    LoginRequiredError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import AccountKey, GrantKind, Identity, Peer
from tool_agentd.oauth.registration import registration_of
from tool_agentd.ports import Clock, ImportNote, ToolFiles, ToolFileText
from tool_agentd.session import Active, Authorizing, grant_of

PATIENCE = 9.0
"""Seconds that a client waits: below its own limit, and as long as for a token."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What the person asked for."""

    tool: ToolDefinition
    account: str | None = None
    keep: bool = False
    """Leave the file as it is."""
    dry_run: bool = False
    """Only say what would be done."""
    origin: str | None = None
    """Where the login was issued, where its file does not say."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do."""

    key: AccountKey
    path: str
    kind: GrantKind
    method: str
    identity: Identity
    imported: bool
    erased: bool
    verified: bool


class Importing:
    """Takes logins from the tools' own files."""

    def __init__(self, broker: Broker, clock: Clock, files: ToolFiles, home: str) -> None:
        """`home` is the person's, where a client does not say."""
        self._broker = broker
        self._files = files
        self._home = home
        self._found_logins = FoundLogins(broker, clock)
        self._background = Background()
        self._moves: dict[Hashable, asyncio.Task[ImportReport]] = {}
        self.absorb = Absorbing(broker, self._found_logins, files).absorb

    async def run(self, order: ImportOrder, environ: Mapping[str, str], peer: Peer) -> ImportReport:
        """Move a login from the tool's own file into the store.

        Raises UnknownAccountError where there is none, ConflictError where the account is signed
        in already or changes meanwhile, and otherwise what a login raises; the file is then as it
        was. A platform that is slow makes it TemporarilyUnavailableError, and the import goes on.
        """
        await self._broker.load()
        directories = Directories.of(environ, self._home)
        same = (order.tool.name, order.account, order.origin, order.keep, directories)
        work = self._moves.get((same, order.dry_run))
        if work is None:
            work = self._background.start(self._move(order, directories, peer))
            self._moves[same, order.dry_run] = work
            work.add_done_callback(lambda _: self._moves.pop((same, order.dry_run)))
        done, _ = await asyncio.wait({work}, timeout=PATIENCE)
        if not done:
            raise TemporarilyUnavailableError(
                f"{order.tool.title} has not answered for {PATIENCE:.0f} s; the import goes on",
                hint=f"'tool-agent account list {order.tool.name}' shows when it is done;"
                " the same command again waits for it, or resumes it",
                retry_after=2,
            )
        return work.result()

    async def _move(self, order: ImportOrder, directories: Directories, peer: Peer) -> ImportReport:
        tool = order.tool
        provider = self._broker.catalogue.provider(tool)
        key = self._broker.sessions.key_for(tool.name, provider.name, order.account)
        there, found = await self._find(order, provider, directories)
        if order.dry_run:
            return await self._moved(order, key, there, found, peer)
        async with self._found_logins.alone(str(key), there.path):
            # Another import may have had the file, or the account, while this one waited.
            again, found = await self._find(order, provider, directories)
            if again.path != there.path:
                raise changed_meanwhile(key)
            return await self._moved(order, key, again, found, peer)

    async def _moved(
        self,
        order: ImportOrder,
        key: AccountKey,
        there: ToolFileText,
        found: FoundLogin,
        peer: Peer,
    ) -> ImportReport:
        tool = order.tool
        provider = self._broker.catalogue.provider(tool)
        # What is refused, and what is replaced, is judged by this one look.
        before = await self._found_logins.before(key)
        grant = self._found_logins.grant(key, provider, found)
        note = ImportNote(there.path, there.digest, key.provider, key.label, grant.obtained_at)
        begun = await self._begun(tool, note)
        self._check(tool, provider, key, found, order, begun=begun is not None)
        report = ImportReport(
            key,
            there.path,
            found.kind,
            grant.method,
            grant.identity,
            imported=False,
            erased=False,
            verified=False,
        )
        if order.dry_run:
            return report
        if begun is not None:
            note = begun
        else:
            grant, verified = await self._found_logins.verified(tool, found, grant)
            await self._files.note_import(note)
            try:
                await self._found_logins.persist(
                    grant,
                    found,
                    before,
                    origin=f"imported from {there.path}",
                    by=Cause(peer, tool.name),
                )
            except ConflictError:
                await self._files.end_import(note)
                raise
            report = replace(report, identity=grant.identity, verified=verified)
        if found.kind is GrantKind.REFRESH_TOKEN:
            await self._refresh(tool, key, note, peer)
            report = replace(report, verified=True)
        erased = not order.keep and await self._files.erase(there.path, there.digest)
        await self._files.end_import(note)
        return replace(report, imported=True, erased=erased)

    async def _begun(self, tool: ToolDefinition, note: ImportNote) -> ImportNote | None:
        """Return the note of this import if it has come as far as to store the login.

        Raises ConflictError where it has done so for another account: one token, one holder.
        """
        for other in await self._files.imports():
            if (other.path, other.digest) != (note.path, note.digest):
                continue
            key = AccountKey(other.provider, other.label)
            grant = grant_of(self._broker.sessions.get(key))
            if grant is None or grant.obtained_at != other.obtained_at:
                continue
            if key != AccountKey(note.provider, note.label):
                raise ConflictError(
                    f"the login in {note.path} is being imported as the account {key.label!r}",
                    hint=f"run 'tool-agent import {tool.name} --account {key.label}' to end that",
                )
            return other
        return None

    async def _find(
        self, order: ImportOrder, provider: ToolDefinition, directories: Directories
    ) -> tuple[ToolFileText, FoundLogin]:
        """Return the first of the tool's files that holds a login, with it."""
        tool = order.tool
        leases = await self._files.leases()
        looked: list[str] = []
        for spec in tool.file.values():
            path = path_of(spec.path, directories, macos_config=spec.macos_config)
            if any(path == file.path for lease in leases for file in lease.files):
                raise ConflictError(
                    f"{path} is written by the agent, for a command that runs",
                    hint="wait until that command has ended",
                )
            there = await self._files.read(path)
            if there is None:
                looked.append(f"there is no {path}")
                continue
            found = await self._login_in(order, provider, spec, there)
            if found is not None:
                return there, found
            looked.append(f"{path} holds none that lasts")
        if not looked:
            raise InvalidRequestError(
                f"the definition of {tool.name} does not say how its own file is read",
                hint=f"run 'tool-agent login {tool.name}'",
            )
        raise InvalidRequestError(
            f"there is no login of {tool.name} to import: {'; '.join(dict.fromkeys(looked))}",
            hint=f"run 'tool-agent login {tool.name}'",
        )

    def _check(  # noqa: PLR0913 - the facts of one decision
        self,
        tool: ToolDefinition,
        provider: ToolDefinition,
        key: AccountKey,
        found: FoundLogin,
        order: ImportOrder,
        *,
        begun: bool,
    ) -> None:
        """Refuse what must not be imported."""
        state = self._broker.sessions.get(key)
        active = isinstance(state, Active)
        if isinstance(state, Authorizing) or (active and not begun):
            what = "is signed in already" if active else "is being signed in"
            raise ConflictError(
                f"{tool.name} {what} as the account {key.label!r}; its file is left as it is",
                hint=f"run 'tool-agent import {tool.name} --account NAME' with another name,"
                f" or 'tool-agent logout {tool.name}' first",
            )
        if order.keep and found.kind is not GrantKind.API_KEY:
            raise InvalidRequestError(
                "--keep is for API keys: this login is renewed, or ended, by whoever holds it,"
                " and two holders would end it for each other",
                hint="leave --keep out: the file is then erased",
            )
        if found.kind is GrantKind.REFRESH_TOKEN:
            if registration_of(provider, found.method) is None:
                raise ConfigurationError(
                    f"the definition of {provider.name} does not say how such a login is renewed",
                    hint=f"run 'tool-agent login {tool.name}'",
                )
        else:
            credentials.check_pattern(found.credential, found.secret)

    async def _login_in(
        self,
        order: ImportOrder,
        provider: ToolDefinition,
        spec: FileSpec,
        there: ToolFileText,
    ) -> FoundLogin | None:
        moved = self._broker.catalogue.moved_to(provider.name)
        text = there.text.reveal()
        try:
            return await self._files.parsed(
                lambda: read_login(
                    order.tool, provider, spec, text, moved=moved, origin=order.origin or ""
                )
            )
        except InvalidRequestError as error:
            hint = error.hint or "it is left as it is"
            raise InvalidRequestError(f"{there.path}: {error.detail}", hint=hint) from None

    async def _refresh(
        self, tool: ToolDefinition, key: AccountKey, note: ImportNote, peer: Peer
    ) -> None:
        """Renew what was persisted: from here on the file's token is worth nothing."""
        try:
            # The witness hears of the login and of its refresh: nothing is handed out.
            await self._broker.token(TokenAsk(tool.name, key.label, handed=False, lines=[]), peer)
        except LoginRequiredError as error:
            await self._files.end_import(note)
            now = await self._broker.store.current(key)
            if now is None or now.obtained_at != note.obtained_at:
                raise changed_meanwhile(key) from error
            raise LoginRequiredError(
                f"the login in {note.path} is not accepted any more ({error.detail});"
                " the file is left as it is",
                hint=f"run 'tool-agent login {tool.name}'",
            ) from error
        except AgentError as error:
            error.hint = (
                f"the login is stored, and {note.path} is not erased yet:"
                f" run 'tool-agent import {tool.name}' again to end what was begun"
            )
            raise
