"""Found logins: whose a login in a tool's own file is, and how it gets into the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from tool_agentd.broker.broker import Broker
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.login_flows import origins_of
from tool_agentd.definition import credentials
from tool_agentd.definition.files import FoundLogin
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError, ConflictError, ProviderError
from tool_agentd.model import AccountKey, Grant, GrantKind, JournalEvent
from tool_agentd.ports import Clock
from tool_agentd.session import Found

SESSION_OVER = "the session that was imported has reached its end"


class FoundLogins:
    """What importing a login and taking one over from a command have in common."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        """Take the parts."""
        self._broker = broker
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def alone(self, *things: str) -> AsyncIterator[None]:
        """Let nobody else move a login out of these paths or into these accounts meanwhile.

        Other processes are kept out by the generations of the store alone: the account's lease
        cannot be held here, because the renewal that ends an import takes it.
        """
        async with AsyncExitStack() as stack:
            for thing in sorted(things):  # in one order, so that no two wait for each other
                await stack.enter_async_context(self._locks.setdefault(thing, asyncio.Lock()))
            yield

    async def before(self, key: AccountKey) -> Grant | None:
        """Return what the store has of the account now, after which `persist` judges."""
        grant = await self._broker.store.current(key)
        if grant is not None:
            self._broker.sessions.apply(key, Found(grant))
        return grant

    def grant(self, key: AccountKey, provider: ToolDefinition, found: FoundLogin) -> Grant:
        """Return the grant that a found login would be."""
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

    async def verified(
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

    async def persist(
        self, grant: Grant, found: FoundLogin, before: Grant | None, *, origin: str, by: Cause
    ) -> Grant:
        """Store a login in the place of `before`, what was there when it was judged.

        `origin` is where it comes from and `by` who asked, for the journal.
        Raises ConflictError where the account has changed since, with the account as it is then.
        """
        store = self._broker.store
        expected = before.generation if before is not None else 0
        try:
            async with store.lease(grant.key):
                stored = await store.write(grant, found.secret, expected=expected)
                still = await store.current(grant.key)
        except ConflictError as error:
            raise changed_meanwhile(grant.key) from error
        if still is None or still.generation != stored.generation:
            raise changed_meanwhile(grant.key)  # logged out, or renewed, before anybody saw it
        self._broker.sessions.apply(grant.key, Found(stored))
        journal = self._broker.journal
        fingerprint = await journal.fingerprint(stored, found.secret)
        journal.note(
            JournalEvent.LOGIN,
            stored,
            found.secret,
            fingerprint=fingerprint,
            detail=origin,
            by=by,
        )
        await journal.flush()
        return stored


def changed_meanwhile(key: AccountKey) -> ConflictError:
    """Say that somebody signed the account in or out between the look and the write."""
    return ConflictError(
        f"{key} has changed meanwhile: it was signed in or out; the file is left as it is",
        hint="look at 'tool-agent account list', then try again",
    )
