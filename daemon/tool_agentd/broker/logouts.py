"""Logouts: a session's end by its person. Gone here at once, told to the provider now or later."""

import math
from dataclasses import dataclass, replace

from tool_agentd.broker.revocations import Revocations, Told
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.errors import AgentError, DamagedError, StoreUnavailableError, UnknownAccountError
from tool_agentd.model import AccessToken, AccountKey, Grant, Standing
from tool_agentd.ports import Clock, Store
from tool_agentd.secret import Secret
from tool_agentd.session import Active, LoggedOut, grant_of


@dataclass(frozen=True, slots=True)
class LogoutReport:
    """What a logout did."""

    key: AccountKey
    told: Told
    alive_until: float | None
    """Wall time until which an access token that was handed out still works."""


class Logouts:
    """Ends sessions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sessions: Sessions,
        unsaved: Unsaved,
        revocations: Revocations,
    ) -> None:
        """Take the parts."""
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._unsaved = unsaved
        self._revocations = revocations

    async def end(self, key: AccountKey, catalogue: Catalogue, *, forget: bool) -> LogoutReport:
        """End the account's session; with `forget` the provider is not told.

        Raises UnknownAccountError, or StoreUnavailableError with the session as it was.
        """
        state = self._sessions.get(key)
        grant = grant_of(state)
        if grant is None:
            message = f"{key} is not signed in"
            raise UnknownAccountError(message, hint="nothing is stored for it")
        tokens = list(state.tokens.values()) if isinstance(state, Active) else []
        held = self._unsaved.get(key)
        newest = held.secret if held is not None else None
        if grant.generation:  # another program may have renewed it, or ended it
            stored = await self._stored(key)
            if stored is None:
                left = await self._erase(grant)
                self._forget(key)
                told = Told(reason=left or "another program had ended it already")
                return LogoutReport(key, told, self._alive_until(tokens, told))
            grant = stored
        if forget or not isinstance(state, Active) or grant.ended is not None:
            told = Told(reason=await self._erase(grant))
            self._forget(key)
        else:
            told = await self._retire(catalogue, grant, tokens, newest)
        return LogoutReport(key, told, self._alive_until(tokens, told))

    async def _stored(self, key: AccountKey) -> Grant | None:
        """Return the account's grant as the store has it now."""
        for grant in await self._store.list():
            if grant.key == key and grant.standing is not Standing.REVOKE_ONLY:
                return grant
        return None

    def _forget(self, key: AccountKey) -> None:
        self._unsaved.forget(key)
        self._sessions.apply(key, LoggedOut(""))

    async def _erase(self, grant: Grant) -> str:
        """Erase a grant; return what of it the keychain still has to do, if anything."""
        try:
            await self._store.delete(grant)
        except StoreUnavailableError as error:
            if grant in await self._store.list():
                raise
            return error.detail
        return ""

    async def _retire(
        self,
        catalogue: Catalogue,
        grant: Grant,
        tokens: list[AccessToken],
        newest: Secret | None,
    ) -> Told:
        """Make the grant revoke-only, forget it in memory, then tell the provider."""
        retired = await self._store.retire(grant) if grant.generation else grant
        self._forget(grant.key)
        provider = catalogue.tools.get(grant.key.provider)
        if provider is None:
            return Told(pending=("login",), reason="its definition is gone or broken")
        try:
            secret = newest or await self._secret(retired)
        except DamagedError as error:
            return Told(reason=await self._erase(retired) or error.detail)
        except StoreUnavailableError as error:
            return Told(pending=("login",), reason=error.detail)
        except AgentError as error:  # the person has removed the item: there is nothing to revoke
            return Told(reason=await self._erase(retired) or error.detail)
        access = [token.value for token in tokens if not math.isinf(token.expires.wall)]
        told = await self._revocations.tell(provider, retired, secret, access)
        if retired.generation and not told.pending:
            left = await self._erase(retired)
            told = replace(told, reason=told.reason or left)
        return told

    async def _secret(self, grant: Grant) -> Secret | None:
        """Return the stored secret; None for a login that never had one that lasts."""
        return await self._store.unseal(grant) if grant.generation else None

    def _alive_until(self, tokens: list[AccessToken], told: Told) -> float | None:
        if "access token" in told.revoked:
            return None
        now = self._clock.now().wall
        ends = [t.expires.wall for t in tokens if now < t.expires.wall < math.inf]
        return max(ends, default=None)
