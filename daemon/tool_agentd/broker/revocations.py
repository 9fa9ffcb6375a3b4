"""Revocations: telling the provider that a login is over, now or when it can be reached again."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tool_agentd.broker.backoff import Waiting
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.providers import Providers
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.model import (
    AccountKey,
    AuditEvent,
    Grant,
    GrantKind,
    HttpRequest,
    JournalEvent,
    Standing,
)
from tool_agentd.oauth import revoke
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.registration import registration_of
from tool_agentd.ports import Clock, Http, Store
from tool_agentd.secret import Secret

PATIENCE = 5.0
"""Seconds for everything that a provider is told at once: at a logout a person is looking."""
OWED = 64
"""Revocations kept in memory; they come from rotations that arrived after a logout."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What the provider made of a revocation."""

    revoked: tuple[str, ...] = ()
    """What it confirmed: `refresh token`, `access token`, `session`."""
    queued: bool = False
    """Whether what lasts may still be alive there, and the provider is told again."""
    reason: str = ""
    """What is worth knowing about the rest."""
    lasting: str = "refresh token"
    """What of the login lasts, and is queued: else `session`."""


@dataclass(frozen=True, slots=True)
class _Debt:
    provider: ToolDefinition
    grant: Grant
    secret: Secret
    waiting: Waiting


class Revocations:
    """Ends grants at their provider. A grant that could not be ended rests as revoke-only."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        http: Http,
        clock: Clock,
        providers: Providers,
        journal: Journal,
        chance: Callable[[], float],
    ) -> None:
        """Take the parts; `chance` gives numbers in 0..1."""
        self._clock = clock
        self._journal = journal
        self._chance = chance
        self._waiting: dict[tuple[AccountKey, int], Waiting] = {}
        """Revoke-only grants that the provider was told about in vain."""
        self._store = store
        self._http = http
        self._providers = providers
        self._owed: list[_Debt] = []

    @property
    def reasons(self) -> list[str]:
        """One sentence for each revocation that only memory knows of, for `status`."""
        return [f"a token of {debt.grant.key} waits for its revocation" for debt in self._owed]

    async def tell(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: Sequence[Secret] = (),
    ) -> Told:
        """Revoke the grant's secret first (RFC 7009), then the access tokens. Raises nothing.

        Access tokens that are not revoked end by themselves; only a refresh token or a platform
        session is queued.
        """
        if grant.kind is GrantKind.API_KEY:
            return Told(reason="the key is yours, and works until it is revoked where it was made")
        if grant.method not in provider.login:
            why = f"the definition of {provider.name} has no login {grant.method!r} any more"
            return Told(queued=True, reason=why)
        answers: dict[str, revoke.RevocationOutcome] = {}
        reason = ""
        try:
            async with asyncio.timeout(PATIENCE):
                requests = await self._requests(provider, grant, secret, access_tokens)
                if not requests:
                    return Told(reason="the provider offers no way to revoke it")
                for one in requests:
                    what = one.kind.replace("_", " ")
                    answers[what] = await self._told(grant, one.request)
        except TimeoutError:
            reason = f"the provider did not answer within {PATIENCE:.0f} s"
        except AgentError as error:
            reason = error.detail
        lasting = "session" if grant.kind is GrantKind.SESSION else "refresh token"
        told = _summary(answers, reason, lasting if secret is not None else None)
        await self._tell_of(grant, secret, told)
        return told

    async def _tell_of(self, grant: Grant, secret: Secret | None, told: Told) -> None:
        """Write down what was revoked, and tell the witness of what was not, too."""
        mark = await self._journal.fingerprint(grant, secret)
        what = ", ".join(told.revoked)
        if told.revoked:
            self._journal.note(JournalEvent.REVOKED, grant, secret, fingerprint=mark, detail=what)
        outcome = "queued" if told.queued else "ok" if told.revoked else "failed"
        detail = "; ".join(text for text in (what, told.reason) if text)
        self._journal.witnessed(AuditEvent.REVOCATION, outcome, grant.key, detail, mark)

    async def _requests(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: Sequence[Secret],
    ) -> list[revoke.Revocation]:
        """Return what to send: the definition's own requests, or the discovered endpoint's."""
        if grant.kind is GrantKind.SESSION:
            return revoke.session_revocations(secret, provider.logout) if secret else []
        registration = registration_of(provider, grant.method)
        metadata = Metadata()
        if registration is not None and not provider.logout.revoke:
            metadata = await self._providers.metadata(registration, grant.origins)
        return revoke.revocations(
            metadata,
            registration.client_id if registration is not None else "",
            refresh_token=secret,
            access_tokens=tuple(access_tokens),
            logout=provider.logout,
        )

    async def _told(self, grant: Grant, request: HttpRequest) -> revoke.RevocationOutcome:
        try:
            reply = await self._http.send(request, allowed=grant.origins, deadline=PATIENCE)
        except TemporarilyUnavailableError as error:
            return revoke.StillAlive(error.detail)
        except AgentError as error:
            return revoke.RevocationRefused(error.detail)
        return revoke.read_revocation(reply, request=request)

    async def end(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: Sequence[Secret] = (),
    ) -> None:
        """Revoke what the store never had; told again from memory where it does not go through."""
        await self._end(provider, grant, secret, access_tokens, before=None)

    async def _end(
        self,
        provider: ToolDefinition,
        grant: Grant,
        secret: Secret | None,
        access_tokens: Sequence[Secret],
        before: Waiting | None,
    ) -> None:
        told = await self.tell(provider, grant, secret, access_tokens)
        if told.queued and secret is not None:
            log.warning("%s: a token is not revoked yet: %s", grant.key, told.reason)
            debt = _Debt(provider, grant, secret, self._after(before))
            self._owed = [*self._owed, debt][-OWED:]

    def _after(self, before: Waiting | None) -> Waiting:
        return Waiting.after(before, self._clock.now(), self._chance())

    @property
    def due_in(self) -> float | None:
        """Seconds until something is told again; None where nothing is known to wait."""
        now = self._clock.now()
        waiting = [*self._waiting.values(), *(debt.waiting for debt in self._owed)]
        return min((now.until(one.due) for one in waiting), default=None)

    async def drain(self, catalogue: Catalogue) -> None:
        """Tell again about everything that waits and whose time has come."""
        now = self._clock.now()
        owed = [debt for debt in self._owed if debt.waiting.over(now)]
        self._owed = [debt for debt in self._owed if not debt.waiting.over(now)]
        for debt in owed:
            await self._end(debt.provider, debt.grant, debt.secret, (), before=debt.waiting)
        there = [g for g in await self._store.list() if g.standing is Standing.REVOKE_ONLY]
        known = {(grant.key, grant.generation) for grant in there}
        self._waiting = {place: one for place, one in self._waiting.items() if place in known}
        for grant in there:
            waiting = self._waiting.get((grant.key, grant.generation))
            if waiting is None or waiting.over(now):
                await self._again(catalogue, grant)

    async def _again(self, catalogue: Catalogue, grant: Grant) -> None:
        provider = catalogue.tools.get(grant.key.provider)
        if provider is None:
            return
        place = (grant.key, grant.generation)
        try:
            told = await self.tell(provider, grant, await self._store.unseal(grant))
            if not told.queued:
                await self._store.delete(grant)
                self._waiting.pop(place, None)
                return
        except AgentError as error:
            log.warning("%s: its revocation waits: %s", grant.key, error.detail)
        self._waiting[place] = self._after(self._waiting.get(place))


def _summary(
    answers: dict[str, revoke.RevocationOutcome], reason: str, lasting: str | None
) -> Told:
    """Sum the answers up; `lasting` is what there was to revoke that does not end by itself."""
    revoked = [what for what, answer in answers.items() if isinstance(answer, revoke.Revoked)]
    last = answers.get(lasting) if lasting is not None else None
    queued = lasting is not None and (last is None or isinstance(last, revoke.StillAlive))
    for answer in answers.values():
        if not isinstance(answer, revoke.Revoked):
            reason = reason or answer.reason
    return Told(tuple(revoked), queued, reason, lasting or "refresh token")
