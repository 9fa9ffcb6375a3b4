"""Absorbing: a login that a command has put into the file that it was given is taken over."""

import logging
from dataclasses import replace

from tool_agentd.broker.broker import Broker
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.found_logins import FoundLogins
from tool_agentd.broker.identities import CredentialRefusedError
from tool_agentd.broker.token_ask import TokenAsk
from tool_agentd.definition import credentials
from tool_agentd.definition.files import FoundLogin, read_login
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    InvalidRequestError,
    LoginRequiredError,
)
from tool_agentd.model import NOBODY, AccountKey, Grant, GrantKind
from tool_agentd.oauth.registration import registration_of
from tool_agentd.ports import Lease, ToolFiles, ToolFileText
from tool_agentd.session import Active

log = logging.getLogger(__name__)


class Absorbing:
    """Takes over what the commands of deliveries have made of a login."""

    def __init__(self, broker: Broker, found_logins: FoundLogins, files: ToolFiles) -> None:
        """Take the parts."""
        self._files = files
        self._broker = broker
        self._found_logins = found_logins

    async def absorb(self, lease: Lease, there: ToolFileText) -> bool:
        """Take a login that a tool has put into the file that was delivered to it.

        False where there is none, or none that the platform accepts, or where the account is not
        signed in by the login that was delivered any more: what is there is then for the person to
        look at. Raises StoreUnavailableError, TemporarilyUnavailableError and ConflictError, with
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
            moved = self._broker.catalogue.moved_to(provider.name)
            text = there.text.reveal()
            found = await self._files.parsed(
                lambda: read_login(tool, provider, spec, text, moved=moved)
            )
            if found is None or (found.method and not _usable(provider, found)):
                return False
            async with self._found_logins.alone(str(key)):
                return await self._taken(tool, key, found, lease, there)
        except (InvalidRequestError, ConfigurationError, CredentialRefusedError):
            return False

    async def _taken(
        self,
        tool: ToolDefinition,
        key: AccountKey,
        found: FoundLogin,
        lease: Lease,
        there: ToolFileText,
    ) -> bool:
        before = await self._found_logins.before(key)
        if before is None or before.obtained_at != lease.obtained_at:
            return False  # logged out, or signed in otherwise, since the command was given this one
        if await self._held(key) == found.secret:
            return False
        provider = self._broker.catalogue.provider(tool)
        grant = _in_its_place(self._found_logins.grant(key, provider, found), before)
        grant, verified = await self._tried(tool, found, grant)
        if not verified:
            return False  # nothing shows that it is better than the login that is there
        origin = f"taken over from {there.path}, where a command had left it"
        by = Cause(NOBODY, tool.name)
        await self._found_logins.persist(grant, found, before, origin=origin, by=by)
        log.info("%s: the login that a command left in its file is taken over", key)
        if found.kind is GrantKind.REFRESH_TOKEN:
            try:
                await self._broker.token(TokenAsk(tool.name, key.label), NOBODY)
            except AgentError as error:
                log.warning("%s: not renewed yet: %s", key, error.detail)
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
        grant, verified = await self._found_logins.verified(tool, found, grant)
        return grant, verified or not signed_in


def _usable(provider: ToolDefinition, found: FoundLogin) -> bool:
    if found.kind is GrantKind.REFRESH_TOKEN:
        return registration_of(provider, found.method) is not None
    credentials.check_pattern(found.credential, found.secret)
    return True


def _in_its_place(grant: Grant, before: Grant) -> Grant:
    """Return the grant with what the person has set for the login that it replaces."""
    grant = replace(grant, ephemeral=before.ephemeral, confirm=before.confirm)
    limit = before.ends_at if not before.ends_because else None
    if limit is not None and (grant.ends_at is None or limit < grant.ends_at):
        grant = replace(grant, ends_at=limit, ends_because="")
    return grant
