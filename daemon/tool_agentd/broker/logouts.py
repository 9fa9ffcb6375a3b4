"""Logouts: a session's end by its person. Gone here at once, told to the provider now or later."""

import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.revocations import Revocations, Told
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.successors import Successors
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.errors import (
    AgentError,
    ConflictError,
    DamagedError,
    StoreUnavailableError,
    UnknownAccountError,
)
from tool_agentd.model import (
    AccessToken,
    AccountKey,
    Grant,
    GrantKind,
    JournalEvent,
    Standing,
)
from tool_agentd.ports import Clock, Store
from tool_agentd.secret import Secret
from tool_agentd.session import Active, LoggedOut, grant_of

TRIES = 16
"""Looks at the store until it has no current grant: each rotation that is being saved meanwhile
costs one."""


@dataclass(frozen=True, slots=True)
class LogoutReport:
    """What a logout did."""

    key: AccountKey
    told: Told
    alive_until: float | None
    """Wall time until which an access token that was handed out still works."""


class Logouts:
    """Ends sessions."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        unsaved: Unsaved,
        revocations: Revocations,
        journal: Journal,
        successors: Successors,
    ) -> None:
        """Take the parts."""
        self._journal = journal
        self._successors = successors
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._unsaved = unsaved
        self._revocations = revocations

    async def end(
        self,
        key: AccountKey,
        catalogue: Catalogue,
        *,
        forget: bool,
        over: Callable[[AccountKey], Awaitable[None]],
        by: Cause = ITSELF,
    ) -> LogoutReport:
        """End the account's session; with `forget` the provider is not told.

        `over` is called once nothing is served of it any more, before the provider is told; `by`
        is who asked.
        Raises UnknownAccountError, or StoreUnavailableError with the session as it was.
        """
        if not forget:
            # What is to be revoked is the token that the provider takes now. That it cannot be had
            # holds no logout up: the one that is stored is told then.
            with contextlib.suppress(AgentError):
                await self._successors.adopt(key, by)
        known = grant_of(self._sessions.get(key))
        retired, notes = await self._take_out(key, forget=forget)
        state = self._sessions.get(key)
        if known is None and retired is None and not notes:
            await over(key)  # what an earlier end has left outside
            message = f"{key} is not signed in"
            raise UnknownAccountError(message, hint="nothing is stored for it")
        served = list(state.tokens.values()) if isinstance(state, Active) else []
        # What is served of a key or a platform session is the grant itself, and no token of it.
        tokens = served if known is not None and known.kind is GrantKind.REFRESH_TOKEN else []
        held = self._unsaved.get(key)
        self._unsaved.forget(key)
        self._sessions.apply(key, LoggedOut(""))
        ended = retired or known
        if ended is not None:
            how = "the provider was not told (--forget)" if forget else ""
            self._journal.note(JournalEvent.LOGOUT, ended, detail=how, by=by)
        await over(key)
        told = Told()
        if retired is None and isinstance(state, Active) and not state.grant.generation:
            retired = state.grant  # a login that the store never had
        if retired is not None and not forget:
            told = await self._tell(catalogue, retired, tokens, held.secret if held else None)
        await self._journal.flush()
        reason = "; ".join(note for note in (told.reason, *notes) if note)
        return LogoutReport(key, replace(told, reason=reason), self._alive_until(served, told))

    async def _take_out(self, key: AccountKey, *, forget: bool) -> tuple[Grant | None, list[str]]:
        """Leave no current grant in the store; return what is to be revoked, and what to say.

        A rotation may be saved, by a renewal here or by another process, between a look and what
        follows from it: then there is a newer generation, and one more look.
        """
        retired: Grant | None = None
        notes: list[str] = []
        for _ in range(TRIES):
            grant = await self._store.current(key)
            if grant is None:
                break
            try:
                if forget or grant.standing is Standing.ENDED:
                    notes.append(await self._erase(grant))
                else:
                    retired = await self._store.retire(grant)
            except ConflictError:
                continue
        return retired, notes

    async def _erase(self, grant: Grant) -> str:
        """Erase a grant; return what of it the keychain still has to do, if anything."""
        try:
            await self._store.delete(grant)
        except StoreUnavailableError as error:
            if grant in await self._store.list():
                raise
            return error.detail
        return ""

    async def _tell(
        self,
        catalogue: Catalogue,
        grant: Grant,
        tokens: list[AccessToken],
        newest: Secret | None,
    ) -> Told:
        """Tell the provider; the grant stays in its box until that has gone through."""
        provider = catalogue.tools.get(grant.key.provider)
        if provider is None:
            return Told(queued=True, reason="its definition is gone or broken")
        try:
            secret = newest
            if secret is None and grant.generation:
                secret = await self._store.unseal(grant)
        except StoreUnavailableError as error:
            if not isinstance(error, DamagedError):
                return Told(queued=True, reason=error.detail)
            return Told(reason=await self._erase(grant) or error.detail)
        except AgentError as error:  # the person has removed the item: there is nothing to revoke
            return Told(reason=await self._erase(grant) or error.detail)
        access = [token.value for token in tokens]
        told = await self._revocations.tell(provider, grant, secret, access)
        if grant.generation and not told.queued:
            left = await self._erase(grant)
            told = replace(told, reason=told.reason or left)
        return told

    def _alive_until(self, tokens: list[AccessToken], told: Told) -> float | None:
        if {"access token", "session"} & set(told.revoked):
            return None
        now = self._clock.now().wall
        ends = [t.expires.wall for t in tokens if now < t.expires.wall < math.inf]
        return max(ends, default=None)
