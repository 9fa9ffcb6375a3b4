"""The states of one account's session, and what may happen next.

The law: every change goes through `step`, and every change that can happen stands in `TRANSITIONS`.
An answer that comes late is compared with the state that it left from (`Rotated.since`,
`LoginSucceeded.login`): where that is gone, `step` raises `LateError` and the caller revokes what
it holds. Nothing here reads a clock, a file or a network; time is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tool_agentd.definition import duration
from tool_agentd.model import AccessToken, End, Grant, Instant, TokenKey

MARGIN_CAP = 60.0
"""Seconds that a served token must have left, unless asked for: enough for a slow request."""
MARGIN_SHARE = 0.10
"""Of short-lived tokens the margin is this share of their life, or none would ever be served."""
WINDOW_CAP = 300.0
"""Seconds before the end from which a token is renewed behind the caller's back."""
WINDOW_SHARE = 0.20
"""The same for short-lived tokens, as a share of their life."""
TOKENS_PER_GRANT = 64
"""Cached tokens of one grant (scopes times audiences); the one that ends first makes room."""

AS_GRANTED = TokenKey()
"""The token that a login brings: its own scopes and audience."""

# -- the states ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedOut:
    """There is no grant. `reason` tells what ended the last session here, if any did."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Active:
    """The agent may act for the account. `tokens` are those in memory."""

    grant: Grant
    tokens: Mapping[TokenKey, AccessToken] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Expired:
    """The session ended by itself or by the provider's word; only a login helps."""

    grant: Grant
    reason: str
    at: float
    """Wall time of the end."""


Settled = SignedOut | Active | Expired


@dataclass(frozen=True, slots=True)
class Authorizing:
    """A login is under way. What was there before goes on until the login succeeds."""

    login: str
    before: Settled


Session = SignedOut | Authorizing | Active | Expired

# -- what may happen -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """The store has a grant for the account: at start, or since another process wrote one."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Gone:
    """The store has no grant for the account any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class LoginBegan:
    """The person set out to log in."""

    login: str


@dataclass(frozen=True, slots=True)
class LoginSucceeded:
    """The login brought a grant, which the store has."""

    login: str
    grant: Grant
    token: AccessToken | None
    key: TokenKey = AS_GRANTED


@dataclass(frozen=True, slots=True)
class LoginEnded:
    """The login failed, timed out or was cancelled."""

    login: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The provider gave a new refresh token, and the store has it: the next generation."""

    since: int
    """The generation from which the renewal set out."""
    grant: Grant


@dataclass(frozen=True, slots=True)
class Renewed:
    """The provider gave a new access token; a rotation that came with it is saved."""

    generation: int
    """The generation that the token belongs to."""
    key: TokenKey
    token: AccessToken


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider, or a limit of the session, says that it is over."""

    since: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The person ended the session."""

    reason: str = "logged out"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is held in memory is to be forgotten; the grant stays in its box."""


Event = (
    Found
    | Gone
    | LoginBegan
    | LoginSucceeded
    | LoginEnded
    | Rotated
    | Renewed
    | Refused
    | LoggedOut
    | Dropped
)


class LateError(Exception):
    """The event answers a state that is gone. Whatever it brought must be revoked."""


TRANSITIONS: Mapping[tuple[type, type], frozenset[type]] = MappingProxyType(
    {
        (SignedOut, Found): frozenset({Active, Expired}),
        (SignedOut, Gone): frozenset({SignedOut}),
        (SignedOut, LoginBegan): frozenset({Authorizing}),
        (SignedOut, LoggedOut): frozenset({SignedOut}),
        (SignedOut, Dropped): frozenset({SignedOut}),
        (Authorizing, Found): frozenset({Authorizing}),
        (Authorizing, Gone): frozenset({Authorizing}),
        (Authorizing, LoginSucceeded): frozenset({Active}),
        (Authorizing, LoginEnded): frozenset({SignedOut, Active, Expired}),
        (Authorizing, Rotated): frozenset({Authorizing}),
        (Authorizing, Renewed): frozenset({Authorizing}),
        (Authorizing, Refused): frozenset({Authorizing}),
        (Authorizing, LoggedOut): frozenset({SignedOut}),
        (Authorizing, Dropped): frozenset({Authorizing}),
        (Active, Found): frozenset({Active, Expired}),
        (Active, Gone): frozenset({SignedOut}),
        (Active, LoginBegan): frozenset({Authorizing}),
        (Active, Rotated): frozenset({Active}),
        (Active, Renewed): frozenset({Active}),
        (Active, Refused): frozenset({Expired}),
        (Active, LoggedOut): frozenset({SignedOut}),
        (Active, Dropped): frozenset({Active}),
        (Expired, Found): frozenset({Active, Expired}),
        (Expired, Gone): frozenset({SignedOut}),
        (Expired, LoginBegan): frozenset({Authorizing}),
        (Expired, LoggedOut): frozenset({SignedOut}),
        (Expired, Dropped): frozenset({Expired}),
    }
)
"""(state, event) -> the states that may follow. An absent pair is a late or a wrong event."""


def step(state: Session, event: Event) -> Session:
    """Return the state after `event`.

    Raises LateError where the event answers a state that is no longer there.
    """
    allowed = TRANSITIONS.get((type(state), type(event)))
    if allowed is None:
        message = f"{type(event).__name__} does not apply to {type(state).__name__}"
        raise LateError(message)
    after = _authorizing(state, event) if isinstance(state, Authorizing) else _settled(state, event)
    if type(after) not in allowed:
        message = f"{type(event).__name__} led from {type(state).__name__} to {after!r}"
        raise AssertionError(message)
    return after


def _authorizing(state: Authorizing, event: Event) -> Session:
    match event:
        case LoginSucceeded(login, grant, token, key):
            if login != state.login:
                message = "another login took its place"
                raise LateError(message)
            return Active(grant, MappingProxyType({} if token is None else {key: token}))
        case LoginEnded(login):
            if login != state.login:
                message = "another login took its place"
                raise LateError(message)
            return state.before
        case LoggedOut(reason):
            return SignedOut(reason)
        case _:
            if (type(state.before), type(event)) not in TRANSITIONS:
                message = f"{type(event).__name__} does not apply to what was before the login"
                raise LateError(message)
            return replace(state, before=_settle(state.before, event))


def _settled(state: Settled, event: Event) -> Session:
    return (
        Authorizing(event.login, state) if isinstance(event, LoginBegan) else _settle(state, event)
    )


def _settle(state: Settled, event: Event) -> Settled:  # noqa: C901 - a case a line
    match state, event:
        case _, LoggedOut(reason):
            return SignedOut(reason)
        case SignedOut(), Gone():
            return state
        case _, Gone(reason):
            return SignedOut(reason)
        case Active(grant) | Expired(grant), Found(found) if found.generation < grant.generation:
            return state  # what was seen in the store has been replaced since
        case _, Found(Grant(ended=End(reason, at)) as grant):
            return Expired(grant, reason, at)
        case Active(grant) | Expired(grant), Found(found) if found.generation == grant.generation:
            return state
        case _, Found(grant):
            return Active(grant)
        case Active(grant, tokens), Rotated(since, rotated):
            _still(grant, since)
            return Active(rotated, tokens)
        case Active(grant, tokens), Renewed(generation, key, token):
            _still(grant, generation)
            return Active(grant, _with(tokens, key, token))
        case Active(grant), Refused(since, reason, at):
            _still(grant, since)
            return Expired(grant, reason, at)
        case Active(grant), Dropped():
            return Active(grant)
        case _:
            return state


def _still(grant: Grant, generation: int) -> None:
    if grant.generation != generation:
        message = f"generation {generation} of {grant.key} has been replaced"
        raise LateError(message)


def _with(
    tokens: Mapping[TokenKey, AccessToken], key: TokenKey, token: AccessToken
) -> Mapping[TokenKey, AccessToken]:
    merged = {**tokens, key: token}
    while len(merged) > TOKENS_PER_GRANT:
        del merged[min(merged, key=lambda k: merged[k].expires.wall)]
    return MappingProxyType(merged)


# -- what a request gets -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serve:
    """FRESH: hand it out."""

    token: AccessToken


@dataclass(frozen=True, slots=True)
class ServeAndRefresh:
    """STALE: hand it out, and renew it behind the caller's back."""

    token: AccessToken


@dataclass(frozen=True, slots=True)
class Refresh:
    """INVALID: there is no token with enough life; renew first."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Only the person can help; `reason` says why."""

    reason: str


Answer = Serve | ServeAndRefresh | Refresh | SignIn


def ask(
    state: Session,
    key: TokenKey,
    now: Instant,
    *,
    min_ttl: float | None = None,
    jitter: float = 0.0,
) -> Answer:
    """Decide what a request for a token gets.

    `min_ttl` in seconds is what the caller insists on; None takes the margin of the token's life.
    `jitter` in -1..1 moves the refresh window by up to a tenth, so that a crowd of clients does
    not renew at one moment.
    """
    match state:
        case Authorizing(before=before):
            return ask(before, key, now, min_ttl=min_ttl, jitter=jitter)
        case SignedOut(reason):
            return SignIn(reason)
        case Expired(reason=reason):
            return SignIn(reason)
        case Active(grant, tokens):
            if lapsed(grant, now):
                return SignIn(end_of(grant))
            token = tokens.get(key)
            if token is None:
                return Refresh()
            if not grant.renewable:
                # Nothing better can be had: it is good as long as it lives.
                left = now.until(token.expires)
                return Serve(token) if left > 0 and left >= (min_ttl or 0) else Refresh()
            return _weigh(token, now, min_ttl, jitter)


def _weigh(token: AccessToken, now: Instant, min_ttl: float | None, jitter: float) -> Answer:
    left = now.until(token.expires)
    margin, window = margins(token)
    needed = margin if min_ttl is None else min_ttl
    if left <= 0 or left < needed:
        return Refresh()
    return ServeAndRefresh(token) if left < window * (1 + 0.1 * jitter) else Serve(token)


def margins(token: AccessToken) -> tuple[float, float]:
    """Return the seconds before its end below which it is not served, and renewed behind."""
    life = token.lifetime
    return min(MARGIN_CAP, MARGIN_SHARE * life), min(WINDOW_SHARE * life, WINDOW_CAP)


def end_of(grant: Grant) -> str:
    """Return why a session ends that reaches the end which was set for it."""
    if grant.ephemeral and grant.ends_at is not None and not grant.ends_because:
        life = duration.words(grant.ends_at - grant.obtained_at)
        return f"an ephemeral login: its lifetime of {life}, set at login, is over"
    return grant.ends_because or "the lifetime that was set at login is over"


def settled(state: Session, now: Instant) -> Settled:
    """Return what stands for the account now, whatever login is under way."""
    there = state.before if isinstance(state, Authorizing) else state
    if isinstance(there, Active) and lapsed(there.grant, now):
        return Expired(there.grant, end_of(there.grant), there.grant.ends_at or now.wall)
    return there


def lapsed(grant: Grant, now: Instant) -> bool:
    """Tell whether the session has reached the end that was set for it."""
    return grant.ends_at is not None and now.wall >= grant.ends_at


def grant_of(state: Session) -> Grant | None:
    """Return the grant that the state is about, if there is one."""
    match state:
        case Authorizing(before=before):
            return grant_of(before)
        case Active(grant) | Expired(grant):
            return grant
        case SignedOut():
            return None
