"""Renewal: how an account in memory comes by a credential again.

For a refresh token: read it from its box, post it, save what came back, and only then let anyone
see the new access token. For a stored key: read it from its box. Both under the account's lease.
"""

import contextlib
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

from tool_agentd.broker.attempts import GiveUp
from tool_agentd.broker.breakers import Breakers, endpoint_of, judge
from tool_agentd.broker.cause import ITSELF, Cause
from tool_agentd.broker.journal import Journal
from tool_agentd.broker.providers import Providers
from tool_agentd.broker.sessions import Sessions
from tool_agentd.broker.successors import Successors
from tool_agentd.broker.unsaved import Unsaved
from tool_agentd.definition import duration
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ConflictError,
    LoginRequiredError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    UnreachableError,
)
from tool_agentd.model import (
    AccessToken,
    AccountKey,
    AuditEvent,
    End,
    Grant,
    GrantKind,
    HeldGrant,
    HttpReply,
    HttpRequest,
    Instant,
    JournalEvent,
    TokenKey,
)
from tool_agentd.oauth import token
from tool_agentd.oauth.refresh import refresh_request
from tool_agentd.oauth.registration import registration_of
from tool_agentd.ports import Clock, Http, Store
from tool_agentd.secret import Secret
from tool_agentd.session import (
    Active,
    Authorizing,
    Found,
    Gone,
    LateError,
    Refused,
    Renewed,
    Rotated,
    Serve,
    ServeAndRefresh,
    Session,
    SignedOut,
    ask,
    grant_of,
)

FLIGHT_DEADLINE = 120.0
"""Seconds that a refresh reads on once it is posted: its callers have long been answered, but a
rotation that nobody reads is a login lost."""

RevokeLate = Callable[[ToolDefinition, Grant, Secret | None, tuple[Secret, ...]], None]
"""Takes a refresh token and access tokens that came after their session's end."""

DOUBTS = 3
"""Refusals without a reason, in a row, after which callers are told to log in: some providers
never give one. The grant stays, and a success restores the session."""

log = logging.getLogger(__name__)


class Renewal:
    """The way from a grant to an access token."""

    def __init__(  # noqa: PLR0913 - the composition root names each part
        self,
        store: Store,
        http: Http,
        clock: Clock,
        sessions: Sessions,
        providers: Providers,
        breakers: Breakers,
        unsaved: Unsaved,
        journal: Journal,
        successors: Successors,
        revoke_late: RevokeLate,
    ) -> None:
        """Take the parts; `revoke_late` gets a rotation that came after the session's end."""
        self._store = store
        self._http = http
        self._clock = clock
        self._sessions = sessions
        self._providers = providers
        self._breakers = breakers
        self._unsaved = unsaved
        self._journal = journal
        self._successors = successors
        self._revoke_late = revoke_late
        self._doubts: dict[AccountKey, tuple[float, int]] = {}

    async def renew(  # noqa: PLR0913 - which token, how fresh, and who asks
        self,
        provider: ToolDefinition,
        spec: CredentialSpec,
        key: AccountKey,
        want: TokenKey,
        needed: float | None,
        by: Cause = ITSELF,
        *,
        dead: bool = False,
    ) -> AccessToken:
        """Return a token for `want` with at least `needed` seconds left if it can be had.

        `by` is who asked; `dead`: the platform has refused the token that there
        is, before its end.

        Raises LoginRequiredError when the provider refuses the grant for good, and
        TemporarilyUnavailableError, ProviderError, StoreUnavailableError or ConfigurationError
        with the grant kept.
        """
        self._check_time(provider, key)
        async with self._store.lease(key):
            held = await self._held(key, by)
            # Another process, or the flight before this one, may have brought it meanwhile.
            state = self._sessions.get(key)
            match ask(state, want, self._clock.now(), min_ttl=needed):
                case Serve(there) | ServeAndRefresh(there):
                    return there
                case _:
                    pass
            if held.grant.kind is not GrantKind.REFRESH_TOKEN:
                return self._publish(held.grant, want, _as_it_is(held, self._clock.now()))
            try:
                return await self._refresh(provider, spec, held, want, by, dead=dead)
            finally:
                await self._journal.settled()  # before anybody hears what came of it

    def _check_time(self, provider: ToolDefinition, key: AccountKey) -> None:
        """Raise at once where its endpoint is not to be asked yet: no box is opened for that."""
        grant = grant_of(self._sessions.get(key))
        if grant is not None and grant.renewable:
            registration = registration_of(provider, grant.method)
            if registration is not None:
                self._breakers.check(endpoint_of(registration), grant)

    async def _held(self, key: AccountKey, by: Cause) -> HeldGrant:
        try:
            await self._successors.adopt(key, by)
            held = self._unsaved.get(key) or await self._store.read(key)
        except LoginRequiredError as error:  # the person has deleted the keychain's item
            grant = await self._store.current(key)
            if grant is not None:
                self._sessions.apply(key, Found(grant))
                await self._end(grant, error.detail)
            raise
        if held is None:
            raise self._without_grant(key)
        self._sessions.apply(key, Found(held.grant))
        return held

    def _without_grant(self, key: AccountKey) -> LoginRequiredError:
        """Say why there is nothing to renew with; what is in memory and still good goes on."""
        state = self._sessions.get(key)
        if isinstance(state, SignedOut):
            return _late(key)
        reason = "its login was removed by another program"
        grant = grant_of(state)
        if grant is not None and not grant.generation:
            reason = "the provider gave nothing to renew it with; only its first token was good"
            tokens = state.tokens.values() if isinstance(state, Active) else ()
            if any(self._clock.now().until(token.expires) > 0 for token in tokens):
                return LoginRequiredError(reason)
        self._sessions.apply(key, Gone(reason))
        self._journal.witnessed(AuditEvent.END, "ended", key, reason)
        return LoginRequiredError(reason)

    async def _refresh(  # noqa: PLR0913 - what is renewed, for whom, and why
        self,
        provider: ToolDefinition,
        spec: CredentialSpec,
        held: HeldGrant,
        want: TokenKey,
        by: Cause,
        *,
        dead: bool,
    ) -> AccessToken:
        grant = held.grant
        registration = registration_of(provider, grant.method)
        if registration is None or not registration.renews:
            lost = "no login" if grant.method not in provider.login else "no renewal for the login"
            message = f"the definition of {provider.name} has {lost} {grant.method!r} any more"
            raise ConfigurationError(
                message, hint=f"restore it, or run 'tool-agent login {provider.name}'"
            )
        endpoint = endpoint_of(registration)
        attempt, mark = 0, ""

        def note(event: JournalEvent, detail: str = "") -> None:
            self._journal.note(
                event,
                grant,
                held.secret,
                fingerprint=mark,
                attempt=attempt,
                detail=detail,
                by=by,
            )

        async with self._breakers.attempt(endpoint, grant):
            metadata = await self._providers.metadata(registration, grant.origins)
            request = refresh_request(registration, metadata, refresh_token=held.secret, key=want)
            attempt, mark = await self._intend(provider, held, by)
            reply = await self._post(request, grant, note)
            outcome = token.read_token(
                reply,
                request=request,
                asked=want.scopes or grant.scopes,
                expiry=spec.expiry,
                fatal_status=provider.refresh.fatal_status,
                errors=provider.errors,
            )
            if isinstance(outcome, token.Busy | token.Transient):
                note(JournalEvent.FAILED, outcome.reason)  # before it counts, and is raised
            judge(outcome)
        match outcome:
            case token.Granted(access, rotated):
                self._doubts.pop(grant.key, None)
                self._breakers.renewed(endpoint, grant)
                note(_taken(held, rotated))
                grant = await self._save(provider, held, rotated, (access.value,), by)
                return self._publish(grant, want, access)
            case token.Unusable(reason, rotated):
                note(_taken(held, rotated), reason)
                await self._save(provider, held, rotated, (), by)
                raise token.failure_error(outcome)
            case token.Refused(reason):
                note(JournalEvent.REFUSED, reason)
                raise await self._refused(held, reason, dead=dead)
            case token.Ambiguous(reason):
                note(JournalEvent.AMBIGUOUS, reason)
                error = self._doubted(grant, reason)
                error.retry_after = self._breakers.doubted(endpoint, grant, error)
                raise error
            case _:
                note(JournalEvent.FAILED, outcome.reason)
                raise token.failure_error(outcome)

    async def _intend(
        self, provider: ToolDefinition, held: HeldGrant, by: Cause
    ) -> tuple[int, str]:
        """Write the intent; return the attempt's number and the token's fingerprint.

        Raises LoginRequiredError where the token may be presented no more, and
        StoreUnavailableError where the intent cannot be written: nothing is presented then.
        """
        grace = duration.seconds(provider.refresh.rotation_grace)
        try:
            decided = await self._journal.intend(held, grace, by)
        except StoreUnavailableError:
            if self._unsaved.get(held.grant.key) is held:
                return 0, ""  # what the store has is worth nothing any more: no crash is worse
            raise
        if isinstance(decided, GiveUp):
            try:
                await self._end(held.grant, decided.reason)
            except LateError:
                raise _late(held.grant.key) from None
            self._revoke_late(provider, held.grant, held.secret, ())
            raise LoginRequiredError(decided.reason)
        return decided.attempt, decided.fingerprint

    async def _post(
        self, request: HttpRequest, grant: Grant, note: Callable[[JournalEvent, str], None]
    ) -> HttpReply:
        """Send it; what fails without an answer is a result too, and the session goes on."""
        try:
            return await self._http.send(request, allowed=grant.origins, deadline=FLIGHT_DEADLINE)
        except (UnreachableError, ConfigurationError) as error:
            note(JournalEvent.UNSENT, error.detail)
            raise
        except AgentError as error:
            note(JournalEvent.FAILED, error.detail)
            raise

    def _doubted(self, grant: Grant, reason: str) -> AgentError:
        """Return the error for a no without a reason: the grant is kept, however often.

        They are counted for one login: a new one is not doubted for what the last one met.
        """
        login, count = self._doubts.get(grant.key, (grant.obtained_at, 0))
        count = count + 1 if login == grant.obtained_at else 1
        self._doubts[grant.key] = grant.obtained_at, count
        if count >= DOUBTS:
            return LoginRequiredError(f"{reason}, {count} times in a row")
        return TemporarilyUnavailableError(reason, hint="the login is kept; try again")

    async def _save(
        self,
        provider: ToolDefinition,
        held: HeldGrant,
        rotated: Secret | None,
        access: tuple[Secret, ...],
        by: Cause,
    ) -> Grant:
        """Save a rotated refresh token durably, before anyone sees what came with it."""
        grant = held.grant
        if not self._still(grant):
            self._too_late(provider, grant, rotated, access, by)
            raise _late(grant.key)
        if rotated is None or rotated == held.secret:
            return grant
        try:
            saved = await self._store.write(grant, rotated, expected=grant.generation)
        except ConflictError:
            self._too_late(provider, grant, rotated, access, by)
            raise _late(grant.key) from None
        except StoreUnavailableError as error:
            # Durable or not, it is the only token that the provider still takes: go on with it in
            # memory, say so, and try to save it again.
            self._unsaved.keep(HeldGrant(grant, rotated), error.detail)
            self._journal.note(JournalEvent.UNSAVED, grant, rotated, detail=error.detail, by=by)
            return grant
        self._unsaved.forget(grant.key)
        self._journal.note(JournalEvent.PERSISTED, saved, rotated, by=by)
        try:
            self._sessions.apply(grant.key, Rotated(grant.generation, saved))
        except LateError:
            # A logout meanwhile looks into the store until nothing is left: it finds this one.
            raise _late(grant.key) from None
        return saved

    def _too_late(
        self,
        provider: ToolDefinition,
        grant: Grant,
        rotated: Secret | None,
        access: tuple[Secret, ...],
        by: Cause,
    ) -> None:
        why = "its session was over or replaced when the answer came"
        self._journal.note(JournalEvent.LATE, grant, rotated, detail=why, by=by)
        self._revoke_late(provider, grant, rotated, access)

    def _still(self, grant: Grant) -> bool:
        state = self._sessions.get(grant.key)
        state = state.before if isinstance(state, Authorizing) else state
        return isinstance(state, Active) and state.grant.generation == grant.generation

    def _publish(self, grant: Grant, want: TokenKey, fresh: AccessToken) -> AccessToken:
        try:
            self._sessions.apply(grant.key, Renewed(grant.generation, want, fresh))
        except LateError:
            raise _late(grant.key) from None
        return fresh

    async def _refused(self, held: HeldGrant, reason: str, *, dead: bool) -> AgentError:
        """End the session, unless the store meanwhile holds another token than the refused."""
        key = held.grant.key
        again = await self._store.current(key)
        if again is not None and again.generation != held.grant.generation:
            self._sessions.apply(key, Found(again))
            message = f"another program has just renewed {key}"
            return TemporarilyUnavailableError(message, hint="try again", retry_after=1)
        if not dead:
            reason += afterlife(self._sessions.get(key), self._clock.now())
        try:
            await self._end(held.grant, reason)
        except LateError:
            return _late(key)
        return LoginRequiredError(reason)

    async def lapse(self, grant: Grant, reason: str) -> HeldGrant | None:
        """End a session that is over, by its limit or its platform; return what is to be revoked.

        Raises StoreUnavailableError with the session as it was.
        """
        async with self._store.lease(grant.key):
            await self._successors.adopt(grant.key)  # it is the one that is to be revoked
            try:
                held = self._unsaved.get(grant.key) or await self._store.read(grant.key)
            except LoginRequiredError:
                held = None
            if held is not None and held.grant.generation != grant.generation:
                held = None  # another login's, which goes on
            with contextlib.suppress(LateError):
                await self._end(grant, reason)
                return held
        return None

    async def _end(self, grant: Grant, reason: str) -> None:
        """End a session here and leave a tombstone. Raises LateError where it is over already."""
        await self._bury(grant, reason)
        await self._journal.flush()  # whoever hears that it is over can ask why at once

    async def _bury(self, grant: Grant, reason: str) -> None:
        end = End(reason, self._clock.now().wall)
        self._sessions.apply(grant.key, Refused(grant.generation, reason, end.at))
        self._unsaved.forget(grant.key)
        log.warning("session of %s ended: %s", grant.key, reason)
        self._journal.note(JournalEvent.ENDED, grant, detail=reason)
        if not grant.generation:
            return  # the store never had it
        try:
            await self._store.bury(grant, end)
        except ConflictError:
            await self._sessions.adopt(grant.key)  # somebody logged in between: theirs stands
        except StoreUnavailableError as error:
            log.warning("%s: its end is not written down: %s", grant.key, error.detail)


def _taken(held: HeldGrant, rotated: Secret | None) -> JournalEvent:
    """Return what became of a refresh token that the provider took."""
    kept = rotated is None or rotated == held.secret
    return JournalEvent.RENEWED if kept else JournalEvent.ROTATED


def afterlife(state: Session, now: Instant) -> str:
    """Return what is said of the tokens that outlive their session; nothing where none does."""
    there = state.before if isinstance(state, Authorizing) else state
    tokens = there.tokens.values() if isinstance(there, Active) else ()
    walls = [token.expires.wall for token in tokens if now.until(token.expires) > 0]
    last = max((wall for wall in walls if wall < math.inf), default=None)
    if last is None:
        return ""
    until = datetime.fromtimestamp(last, UTC)
    today = until.date() == datetime.fromtimestamp(now.wall, UTC).date()
    shown = until.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")
    return f"; a token that was handed out works until {shown} UTC at the latest"


def _as_it_is(held: HeldGrant, now: Instant) -> AccessToken:
    """Return a key or a platform session as what is served: until its end, if that is known."""
    ends_at = held.grant.ends_at
    end = Instant(math.inf, math.inf) if ends_at is None else now.plus(ends_at - now.wall)
    return AccessToken(held.secret, now, end, held.grant.scopes, token_type="")


def _late(key: AccountKey) -> LoginRequiredError:
    return LoginRequiredError(f"{key} was logged out or replaced while it was renewed")
