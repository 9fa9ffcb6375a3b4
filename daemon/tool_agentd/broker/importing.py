"""Importing: a login moves out of a tool's own file into the store.

A rotating token must not have two holders: it is persisted, refreshed once, which makes the file's
own worthless, and then the file is erased. Every step is durable before the next, so a login that
is not in the store yet is still in its file.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from tool_agentd.broker.broker import Broker
from tool_agentd.broker.identities import CredentialRefusedError
from tool_agentd.broker.login_flows import origins_of
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
    ProviderError,
)
from tool_agentd.model import AccountKey, Grant, GrantKind, Identity, Peer
from tool_agentd.oauth.registration import registration_of
from tool_agentd.ports import Clock, ImportNote, Lease, ToolFiles, ToolFileText
from tool_agentd.session import Active, Authorizing, Found, grant_of

SESSION_OVER = "the session that was imported has reached its end"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What the person asked for."""

    tool: ToolDefinition
    account: str | None = None
    keep: bool = False
    """Leave the file as it is."""
    dry_run: bool = False
    """Only say what would be done."""


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
        self._clock = clock
        self._files = files
        self._home = home

    async def run(self, order: ImportOrder, environ: Mapping[str, str], peer: Peer) -> ImportReport:
        """Move a login from the tool's own file into the store.

        Raises UnknownAccountError where there is none, ConflictError where the account is signed
        in already, and otherwise what a login raises; the file is then as it was.
        """
        await self._broker.load()
        tool = order.tool
        provider = self._broker.catalogue.provider(tool)
        there, found = await self._find(tool, provider, Directories.of(environ, self._home))
        key = self._broker.sessions.key_for(tool.name, provider.name, order.account)
        grant = self._grant(key, provider, found)
        note = ImportNote(there.path, there.digest, key.provider, key.label, grant.obtained_at)
        begun = await self._begun(note)
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
            grant, verified = await self._verified(tool, found, grant)
            await self._files.note_import(note)
            await self._persist(grant, found)
            report = replace(report, identity=grant.identity, verified=verified)
        if found.kind is GrantKind.REFRESH_TOKEN:
            await self._refresh(tool, key, there.path, note, peer)
            report = replace(report, verified=True)
        erased = not order.keep and await self._files.erase(there.path, there.digest)
        await self._files.end_import(note)
        return replace(report, imported=True, erased=erased)

    async def _begun(self, note: ImportNote) -> ImportNote | None:
        """Return the note of this import if it has come as far as to store the login."""
        grant = grant_of(self._broker.sessions.get(AccountKey(note.provider, note.label)))
        for other in await self._files.imports():
            same = structs.replace(note, obtained_at=other.obtained_at) == other
            if same and grant is not None and grant.obtained_at == other.obtained_at:
                return other
        return None

    async def _find(
        self, tool: ToolDefinition, provider: ToolDefinition, directories: Directories
    ) -> tuple[ToolFileText, FoundLogin]:
        """Return the first of the tool's files that holds a login, with it."""
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
            found = _login_in(tool, provider, spec, there)
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

    def _grant(self, key: AccountKey, provider: ToolDefinition, found: FoundLogin) -> Grant:
        session = found.kind is GrantKind.SESSION and found.expires_at is not None
        return Grant(
            key=key,
            kind=found.kind,
            method=found.method,
            credential=found.credential.id,
            origins=origins_of(provider),
            obtained_at=self._clock.now().wall,
            ends_at=found.expires_at if session else None,
            ends_because=SESSION_OVER if session else "",
            kept=found.kept,
        )

    async def _verified(
        self, tool: ToolDefinition, found: FoundLogin, grant: Grant
    ) -> tuple[Grant, bool]:
        """Ask the platform whose login this is. A refresh token is tried by being refreshed."""
        value = found.access if found.kind is GrantKind.REFRESH_TOKEN else found.secret
        if value is None or found.credential.id not in tool.identity:
            return grant, False
        credential = credentials.credential(
            found.credential, tool, value, account=grant.key.label, token_type=""
        )
        try:
            who = await self._broker.identities.ask(
                tool, found.credential, credential, grant.origins, grant.method, grant.kept
            )
        except (ProviderError, ConfigurationError):
            if found.kind is not GrantKind.REFRESH_TOKEN:
                raise
            return grant, False  # its access token may have ended; what counts is the other
        return replace(grant, identity=who.identity), True

    async def _persist(self, grant: Grant, found: FoundLogin) -> None:
        async with self._broker.store.lease(grant.key):
            before = await self._broker.store.current(grant.key)
            expected = before.generation if before is not None else 0
            stored = await self._broker.store.write(grant, found.secret, expected=expected)
        self._broker.sessions.apply(grant.key, Found(stored))

    async def _refresh(
        self, tool: ToolDefinition, key: AccountKey, path: str, note: ImportNote, peer: Peer
    ) -> None:
        """Renew what was persisted: from here on the file's token is worth nothing."""
        try:
            await self._broker.token(TokenAsk(tool.name, key.label), peer)
        except LoginRequiredError as error:
            await self._files.end_import(note)
            raise LoginRequiredError(
                f"the login in {path} is not accepted any more ({error.detail});"
                " the file is left as it is",
                hint=f"run 'tool-agent login {tool.name}'",
            ) from error
        except AgentError as error:
            error.hint = (
                f"the login is stored, and {path} is not erased yet:"
                f" run 'tool-agent import {tool.name}' again to end what was begun"
            )
            raise

    # -- what a command has changed ---------------------------------------------------------------

    async def absorb(self, lease: Lease, there: ToolFileText) -> bool:
        """Take a login that a tool has put into the file that was delivered to it.

        False where there is none, or none that the platform accepts: what is there is then for
        the person to look at. Raises StoreUnavailableError and TemporarilyUnavailableError, with
        everything as it was.
        """
        tool = self._broker.catalogue.tools.get(lease.tool)
        spec = tool.file.get(lease.file) if tool is not None else None
        if tool is None or spec is None:
            return False
        await self._broker.load()
        key = AccountKey(lease.provider, lease.label)
        provider = self._broker.catalogue.provider(tool)
        try:
            found = read_login(tool, provider, spec, there.text.reveal())
            if found is None or (found.method and not self._usable(provider, found)):
                return False
            held = await self._held(key)
            if held is not None and held == found.secret:
                return False
            grant, verified = await self._tried(tool, found, self._grant(key, provider, found))
        except (InvalidRequestError, ConfigurationError, CredentialRefusedError):
            return False
        if not verified:
            return False  # nothing shows that it is better than the login that is there
        await self._persist(grant, found)
        log.info("%s: the login that a command left in its file is taken over", key)
        if found.kind is GrantKind.REFRESH_TOKEN:
            try:
                await self._broker.token(TokenAsk(tool.name, key.label), Peer(0, 0, 0))
            except AgentError as error:
                log.warning("%s: not renewed yet: %s", key, error.detail)
        return True

    @staticmethod
    def _usable(provider: ToolDefinition, found: FoundLogin) -> bool:
        if found.kind is GrantKind.REFRESH_TOKEN:
            return registration_of(provider, found.method) is not None
        credentials.check_pattern(found.credential, found.secret)
        return True

    async def _held(self, key: AccountKey) -> object:
        """Return the account's secret as it is stored; None where there is none to compare."""
        try:
            held = await self._broker.store.read(key)
        except LoginRequiredError:
            return None
        return held.secret if held is not None else None

    async def _tried(
        self, tool: ToolDefinition, found: FoundLogin, grant: Grant
    ) -> tuple[Grant, bool]:
        """Verify a login; nobody signed in to lose makes up for a definition that cannot ask."""
        signed_in = isinstance(self._broker.sessions.get(grant.key), Active)
        grant, verified = await self._verified(tool, found, grant)
        return grant, verified or not signed_in


def _login_in(
    tool: ToolDefinition, provider: ToolDefinition, spec: FileSpec, there: ToolFileText
) -> FoundLogin | None:
    try:
        return read_login(tool, provider, spec, there.text.reveal())
    except InvalidRequestError as error:
        raise InvalidRequestError(
            f"{there.path}: {error.detail}", hint="it is left as it is"
        ) from None
