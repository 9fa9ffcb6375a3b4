"""Taking: how what a login brought becomes a session, or is revoked because nobody can use it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from tool_agentd.broker.background import Background
from tool_agentd.broker.caches import Caches
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.login import Login, LoginState
from tool_agentd.broker.login_flows import Obtained
from tool_agentd.broker.revocations import Revocations
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.definition import duration, placeholder
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, CancelledError, ConflictError
from tool_agentd.model import AccountKey, AuditEvent, Grant, GrantKind, JournalEvent
from tool_agentd.ports import Clock, Store
from tool_agentd.session import Authorizing, LateError, LoginSucceeded

TRIES = 16
"""Attempts to put a grant in the place of another: each rotation that crosses it costs one."""


class Taking:
    """Implements login_flows.Taker for one login."""

    def __init__(  # noqa: PLR0913 - what a login's end touches
        self,
        login: Login,
        provider: ToolDefinition,
        lifetime: float | None,
        *,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        unsaved: Unsaved,
        revocations: Revocations,
        background: Background,
        caches: Caches,
        journal: Journal,
    ) -> None:
        """`lifetime` in seconds is what the person set, if anything."""
        self._login = login
        self._provider = provider
        self._lifetime = lifetime
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._unsaved = unsaved
        self._revocations = revocations
        self._background = background
        self._caches = caches
        self._journal = journal
        self._work: asyncio.Task[str] | None = None

    async def see_through(self, work: Coroutine[Any, Any, str]) -> str:
        """Do the last steps in the background, shielded from who waits for the login."""
        self._work = self._background.start(work)
        return await asyncio.shield(self._work)

    async def outcome(self) -> AgentError | None:
        """Wait for the last steps; return what went wrong with them, if anything did."""
        if self._work is None:
            return None
        await asyncio.wait({self._work})
        error = self._work.exception()
        if error is not None and not isinstance(error, AgentError):
            raise error
        return error

    async def take(self, obtained: Obtained) -> str:
        """Store it, then let everyone see it; what cannot be taken is revoked."""
        try:
            grant, replaced = await self._enrolled(obtained)
        except AgentError:
            await self.abandon(obtained)
            raise
        text = f"Logged in to {self._provider.title}"
        text += f" as {grant.identity.name}." if grant.identity.name else "."
        remarks = self._remarks(obtained, replaced)
        said = self._login.view.said
        wording = self._login.wording
        if wording is None or ("{name}" in wording and not grant.identity.name):
            text = " ".join([text, *remarks])
        else:  # the tool's own words, and nothing else among them
            values = {
                "name": grant.identity.name,
                "account": grant.key.label,
                "method": grant.method,
            }
            text = placeholder.substitute(wording, values)
            said = (*said, *remarks)
        self._login.update(
            state=LoginState.DONE,
            identity=grant.identity,
            text=text,
            said=said,
            prompts=(),
            url=None,
        )
        return text

    async def keep(self, obtained: Obtained) -> str:
        """Store it and let everyone see it, in the middle of what goes on; see `take`."""
        try:
            grant, _ = await self._enrolled(obtained)
        except AgentError:
            await self.abandon(obtained)
            raise
        self._login.saving = False
        self._login.update(identity=grant.identity)
        if self._login.leaving:
            message = "cancelled; the session is stored all the same"
            raise CancelledError(message)
        return grant.identity.name

    async def _enrolled(self, obtained: Obtained) -> tuple[Grant, Grant | None]:
        grant = obtained.grant
        if self._lifetime is not None:
            ends_at = self._clock.now().wall + self._lifetime
            if grant.ends_at is None or ends_at < grant.ends_at:
                grant = replace(grant, ends_at=ends_at, ends_because="")
        grant = self._marked(grant, obtained)
        fingerprint = await self._journal.fingerprint(grant, obtained.secret)
        if not self._awaited(grant.key):
            raise _cancelled()
        self._login.saving = True
        # Not under the account's lease: a refresh that hangs keeps that for two minutes. The
        # generations settle it: whatever the refresh still brings is late.
        grant, replaced = await self._replace(grant, obtained)
        self._unsaved.forget(grant.key)
        try:
            self._sessions.apply(
                grant.key, LoginSucceeded(self._login.view.id, grant, obtained.token)
            )
        except LateError:
            if grant.generation:
                await self._store.delete(grant)
            raise _cancelled() from None
        self._journal.note(
            JournalEvent.LOGIN,
            grant,
            obtained.secret,
            fingerprint=fingerprint,
            detail=f"by {grant.method}",
            by=self._login.by,
        )
        await self._journal.flush()
        served = obtained.token.value if obtained.token is not None else obtained.secret
        if served is not None:
            # Behind the person's back: a login is not late, nor fails, for want of it.
            self._background.later(self._caches.after_login(self._provider, grant, served))
        return grant, replaced

    def _marked(self, grant: Grant, obtained: Obtained) -> Grant:
        """Mark what is kept in memory only: as asked for, or because nothing lasts of it."""
        login = self._login
        grant = replace(
            grant,
            ephemeral=grant.ephemeral or login.ephemeral,
            confirm=grant.confirm or login.confirm,
        )
        if obtained.secret is not None or obtained.token is None:
            return grant
        end = obtained.token.expires.wall
        if grant.ends_at is not None and grant.ends_at < end:
            return replace(grant, ephemeral=True)
        life = duration.words(obtained.token.lifetime)
        because = f"an ephemeral login: it ended after {life}"
        return replace(grant, ephemeral=True, ends_at=end, ends_because=because)

    async def _replace(self, grant: Grant, obtained: Obtained) -> tuple[Grant, Grant | None]:
        """Put the new grant in the place of what is stored; return both.

        A refresh token that is replaced is erased and not revoked: many providers end every login
        of the person's when one of them is revoked, this new one too.
        """
        for last in (*[False] * (TRIES - 1), True):
            before = await self._store.current(grant.key)
            try:
                if obtained.secret is not None:
                    expected = before.generation if before is not None else 0
                    return await self._store.write(
                        grant, obtained.secret, expected=expected
                    ), before
                if before is not None:
                    await self._store.delete(before)
            except ConflictError:  # a rotation was saved between the look and the write
                if last:
                    raise
                continue
            break
        return grant, before

    def _awaited(self, key: AccountKey) -> bool:
        state = self._sessions.get(key)
        if self._login.broken_off:
            return False
        return isinstance(state, Authorizing) and state.login == self._login.view.id

    def _remarks(self, obtained: Obtained, replaced: Grant | None) -> list[str]:
        remarks = []
        if not obtained.verified:
            remarks.append("The key was not tried: the definition does not say how.")
        if obtained.secret is None:
            remarks.append("The provider gave nothing that lasts: this login ends with its token.")
        if replaced is not None and replaced.kind is GrantKind.REFRESH_TOKEN and not replaced.ended:
            remarks.append("The login before it is erased here; the provider still knows it.")
        return remarks

    def came_to_nothing(self, outcome: str, error: AgentError) -> None:
        """Tell the witness of a login that has failed or was cancelled."""
        view = self._login.view
        detail = f"by {view.method}: {error.detail}"
        self._journal.witnessed(AuditEvent.LOGIN, outcome, view.key, detail, by=self._login.by)

    async def abandon(self, obtained: Obtained) -> None:
        """Revoke what nobody will use. A pasted key is the person's own and stays as it is."""
        if obtained.grant.kind is not GrantKind.API_KEY:
            access = [] if obtained.token is None else [obtained.token.value]
            await self._revocations.end(self._provider, obtained.grant, obtained.secret, access)


def _cancelled() -> CancelledError:
    return CancelledError("the login was cancelled; what it brought was revoked")
