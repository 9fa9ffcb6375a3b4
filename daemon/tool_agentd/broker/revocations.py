"""Revocations: telling the provider that a login is over, now or when it can be reached again."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from tool_agentd.broker.providers import Providers
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import OAuthCode, ToolDefinition
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.model import Grant, GrantKind, HttpRequest, Standing
from tool_agentd.oauth import revoke
from tool_agentd.ports import Http, Store
from tool_agentd.secret import Secret

LOGOUT_PATIENCE = 5.0
"""Seconds that `logout` waits for the provider before it queues the rest: a person is looking."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What the provider made of a revocation."""

    revoked: tuple[str, ...] = ()
    """What it confirmed: `refresh token`, `access token`, `key`."""
    pending: tuple[str, ...] = ()
    """What is still alive there and has to be told again."""
    reason: str = ""


class Revocations:
    """Ends grants at their provider. A grant that could not be ended rests as revoke-only."""

    def __init__(self, store: Store, http: Http, providers: Providers) -> None:
        """Take the parts."""
        self._store = store
        self._http = http
        self._providers = providers

    async def tell(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: Iterable[Secret] = (),
    ) -> Told:
        """Revoke the grant's secret first (RFC 7009), then the access tokens. Raises nothing."""
        revoked: list[str] = []
        pending: list[str] = []
        reason = ""
        try:
            requests = await self._requests(provider, grant, secret, tuple(access_tokens))
        except AgentError as error:
            return Told(pending=("login",), reason=error.detail)
        for one in requests:
            what = one.kind.replace("_", " ")
            match await self._told(grant, one.request):
                case revoke.Revoked():
                    revoked.append(what)
                case revoke.StillAlive(why):
                    pending.append(what)
                    reason = why
                case revoke.RevocationRefused(why):
                    reason = why
                    log.warning("%s: %s was not revoked: %s", grant.key, what, why)
        return Told(tuple(dict.fromkeys(revoked)), tuple(dict.fromkeys(pending)), reason)

    async def _told(self, grant: Grant, request: HttpRequest) -> revoke.RevocationOutcome:
        try:
            reply = await self._http.send(request, allowed=grant.origins, deadline=LOGOUT_PATIENCE)
        except TemporarilyUnavailableError as error:
            return revoke.StillAlive(error.detail)
        except AgentError as error:
            return revoke.RevocationRefused(error.detail)
        return revoke.read_revocation(reply, request=request)

    async def _requests(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: tuple[Secret, ...],
    ) -> list[revoke.Revocation]:
        """Return what to send. A key is the person's own: logging out here does not end it."""
        login = provider.login.get(grant.method)
        if grant.kind is not GrantKind.REFRESH_TOKEN or not isinstance(login, OAuthCode):
            return []
        return revoke.revocations(
            await self._providers.metadata(login, grant.origins),
            login.client_id,
            refresh_token=secret,
            access_tokens=access_tokens,
            logout=provider.logout,
        )

    async def drain(self, catalogue: Catalogue) -> int:
        """Tell again about every revoke-only grant; return how many are still waiting."""
        waiting = 0
        for grant in await self._store.list():
            if grant.standing is not Standing.REVOKE_ONLY:
                continue
            provider = catalogue.tools.get(grant.key.provider)
            if provider is None:
                waiting += 1
                continue
            try:
                told = await self.tell(provider, grant, await self._store.unseal(grant))
                if told.pending:
                    waiting += 1
                else:
                    await self._store.delete(grant)
            except AgentError as error:
                waiting += 1
                log.warning("%s: its revocation waits: %s", grant.key, error.detail)
        return waiting
