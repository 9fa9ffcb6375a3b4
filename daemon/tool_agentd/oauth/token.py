"""The token endpoint's answer, as one of a few meanings (RFC 6749 section 5; sessions.md).

The law: only `Refused` may end a session, and only a readable `error` or a status that the
definition names makes one. Whatever else comes back keeps the grant, because a login thrown away
on a bad day of the provider's is the one loss that the person notices.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tool_agentd.definition import select
from tool_agentd.definition.duration import seconds
from tool_agentd.definition.moment import wall_time
from tool_agentd.definition.table import Errors
from tool_agentd.definition.vocabulary import Expiry
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    InvalidRequestError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import AccessToken, HttpReply, HttpRequest
from tool_agentd.oauth.json_object import read_object, text_at
from tool_agentd.oauth.reply_clock import provider_wall, retry_after
from tool_agentd.oauth.wording import complaint, error_of, host_of, printable
from tool_agentd.secret import Secret

MAX_LIFE = 366 * 86400.0
"""Seconds. Tokens rest in memory only; one that claims more is renewed after a year, no harm."""
DEFAULT_LIFE = 3600.0
"""Seconds, where neither the reply nor the definition says: the commonest life, and the example of
RFC 6749 section 5.1."""
_MAX_SCOPES = 200
"""Scopes kept from one reply; the longest list of a large provider has some 170."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token. Without a refresh token the old one stays valid (RFC 6749 section 6)."""

    access_token: AccessToken
    refresh_token: Secret | None = None
    id_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """`invalid_grant`: the code or refresh token is worth nothing any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The definition or the client's registration is wrong. The grant is kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class BadRequest:
    """This scope or audience is refused; the grant serves for others."""

    reason: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Come back after `retry_after` seconds; None: the provider does not say when."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A no without a readable reason. Kept; the third in a row makes a login necessary."""

    reason: str


@dataclass(frozen=True, slots=True)
class Transient:
    """Nothing was learnt about the grant: try again with backoff."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A success whose access token is of no use here (not a bearer token, or none at all).

    A refresh token that came with it has replaced the old one and must be kept.
    """

    reason: str
    refresh_token: Secret | None = None


class NotGrantedError(InvalidRequestError):
    """The login does not include the scope or the audience that was asked for."""


Failure = Refused | Misconfigured | BadRequest | Busy | Ambiguous | Transient | Unusable
TokenOutcome = Granted | Failure

_BY_ERROR: dict[str, type[Refused | Misconfigured | BadRequest | Transient]] = {
    "invalid_grant": Refused,
    "invalid_client": Misconfigured,
    "unauthorized_client": Misconfigured,
    "unsupported_grant_type": Misconfigured,
    "invalid_scope": BadRequest,
    "invalid_target": BadRequest,  # RFC 8707 section 2
    "server_error": Transient,
}
"""What `error` means. Others are read by their status: `invalid_request` too, with which some
providers answer for a refresh token that they no longer know."""
_BUSY_ERRORS = frozenset({"temporarily_unavailable", "slow_down"})
_BUSY_STATUSES = frozenset({429, 503})
_AMBIGUOUS_STATUSES = frozenset({400, 401, 403})


def read_token(  # noqa: PLR0913 - what a reply is judged by, all of it named
    reply: HttpReply,
    *,
    request: HttpRequest,
    asked: tuple[str, ...] = (),
    expiry: Expiry | None = None,
    fatal_status: Collection[int] = (),
    errors: Errors | None = None,
) -> TokenOutcome:
    """Read the answer to a code exchange or a refresh. Any bytes yield an outcome, never an error.

    `request` is what was sent: its host is named in reasons, and its secrets are kept out of them.
    `asked` are the scopes asked for, which the reply may leave unsaid (RFC 6749 section 5.1).
    `fatal_status` are the statuses that the definition declares to mean `invalid_grant`, where no
    known `error` says otherwise; a page of a proxy's with such a status means nothing.
    `errors` is where this platform's errors stand, beside RFC 6749's own place.
    """
    found = read_object(reply.body)
    error = text_at(found, "error")
    good = 200 <= reply.status < 300  # noqa: PLR2004 - RFC 9110 section 15.3
    if good and found is not None and (error is None or "access_token" in found):
        life = _Life(reply, expiry or Expiry())
        return _read_success(found, error, host_of(request.url), asked, life)
    if good and found is None:
        return Transient(f"{host_of(request.url)} answered with something that is not JSON")
    fatal = fatal_status if found is not None or not reply.body.strip() else ()
    reason = complaint(request, reply, errors)
    return _read_failure(reply, error_of(found, errors), reason, fatal)


def kept(reply: HttpReply, keep: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the plain values of a token's reply that stay with the grant: name -> path.

    A path that leads to one of the tokens keeps nothing: what is kept is shown.
    """
    found = read_object(reply.body) or {}
    tokens = {found.get(name) for name in ("access_token", "refresh_token", "id_token")}
    values = ((name, select.path(found, path)) for name, path in keep.items())
    texts = ((name, select.text_of(v)) for name, v in values if not _is_one_of(v, tokens))
    return tuple((name, text) for name, text in texts if text)


def failure_error(failure: Failure) -> AgentError:
    """Return the error that a caller gets for a failed exchange.

    For a refresh, `Refused` and `Ambiguous` are the broker's to judge.
    """
    match failure:
        case Misconfigured(reason):
            return ConfigurationError(
                reason, hint="check client_id and the endpoints in the tool definition"
            )
        case BadRequest(reason):
            return NotGrantedError(reason, hint="ask for a scope and audience that it knows")
        case Busy(reason, after):
            return TemporarilyUnavailableError(reason, retry_after=after)
        case Transient(reason):
            return TemporarilyUnavailableError(reason)
        case Refused(reason) | Ambiguous(reason) | Unusable(reason):
            return ProviderError(reason)


def _read_failure(
    reply: HttpReply, error: str | None, reason: str, fatal_status: Collection[int]
) -> TokenOutcome:
    if error in _BY_ERROR:
        return _BY_ERROR[error](reason)
    if error in _BUSY_ERRORS:
        return Busy(reason, retry_after(reply))
    if reply.status in fatal_status:
        return Refused(reason)
    if reply.status in _BUSY_STATUSES:
        return Busy(reason, retry_after(reply))
    refused_somehow = error is not None and reply.status < 500  # noqa: PLR2004 - RFC 9110
    if refused_somehow or reply.status in _AMBIGUOUS_STATUSES:
        return Ambiguous(reason)
    return Transient(reason)


@dataclass(frozen=True, slots=True)
class _Life:
    """Where the life of the reply's access token is to be found."""

    reply: HttpReply
    expiry: Expiry

    def length(self, token: Secret, found: dict[str, Any]) -> float:
        """Return the life, counted from the moment the request was sent."""
        if self.expiry.field is not None:
            end = wall_time(select.path(found, self.expiry.field))
            if end is not None:
                return _clamp(end - provider_wall(self.reply))
        if self.expiry.jwt_claim is not None:
            end = select.claim_time(select.claims(token), self.expiry.jwt_claim)
            if end is not None:
                return _clamp(end - provider_wall(self.reply))
        said = _number(found.get("expires_in"))
        if said is not None:
            return _clamp(said)
        default = self.expiry.default
        return DEFAULT_LIFE if default is None else _clamp(seconds(default))


def _read_success(
    found: dict[str, Any], error: str | None, host: str, asked: tuple[str, ...], life: _Life
) -> TokenOutcome:
    refresh = _token_at(found, "refresh_token")
    value = _token_at(found, "access_token")
    if value is None:
        return Unusable(f"{host} answered with no access token", refresh)
    if error is not None:
        return Unusable(f"{host} answered with a token and an error at once", refresh)
    kind = found.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        named = printable(kind) if isinstance(kind, str) else "unknown"
        return Unusable(
            f"{host} answered with a token of type {named}; only Bearer is spoken here", refresh
        )
    sent = life.reply.sent
    token = AccessToken(
        value=value,
        obtained=sent,
        expires=sent.plus(life.length(value, found)),
        scopes=_scopes(found.get("scope"), asked),
    )
    return Granted(token, refresh, _token_at(found, "id_token"))


def _is_one_of(value: Any, tokens: set[Any]) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, str) and value in tokens


def _token_at(found: dict[str, Any], name: str) -> Secret | None:
    """Return a token of printable ASCII (RFC 6749 appendices A.12 and A.17).

    Anything else would be no token, but a header of its own.
    """
    value = text_at(found, name)
    if value is None or not (value.isascii() and value.isprintable()):
        return None
    return Secret(value)


def _scopes(said: Any, asked: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    """Return the scopes granted: what was asked for, unless the reply says otherwise."""
    if isinstance(said, str):
        names = said.split()
    elif isinstance(said, list) and all(isinstance(name, str) for name in said):
        names = said
    else:
        return asked
    kept = {name for name in names if name and name.isascii() and name.isprintable()}
    return tuple(sorted(kept)[:_MAX_SCOPES]) if kept else asked


def _number(value: Any) -> float | None:  # noqa: ANN401 - any JSON value
    """Return a finite number; also one written as text, as some providers do."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _clamp(life: float) -> float:
    return min(max(life, 0.0), MAX_LIFE)
