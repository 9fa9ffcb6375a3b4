"""ID tokens: who signed in, as the provider signed it (OpenID Connect Core section 3.1.3.7).

The signature is checked by joserfc, which is imported only when there is one to check.
"""

import base64
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tool_agentd.errors import ConfigurationError, ProviderError, TemporarilyUnavailableError
from tool_agentd.model import HttpReply, HttpRequest, Instant
from tool_agentd.oauth.json_object import read_object
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.reply_clock import retry_after
from tool_agentd.oauth.wording import host_of, printable
from tool_agentd.secret import Secret

KEY_TYPES: Mapping[str, str] = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    "Ed25519": "OKP",
}
"""Algorithms that are accepted, with the type of their key. `none` proves nothing, and under HS*
whoever knows the public client id's secret (everybody: it has none) could sign. `EdDSA` is what
RFC 9864 has retired for `Ed25519`."""
SKEW = 60.0
"""Seconds by which the provider's clock and ours may differ (sessions.md, "Time")."""
_MAX_KEYS = 100
"""Keys of a set that are looked at; a rotation needs two, a large provider shows about ten."""
_MAX_TRIES = 8
"""Keys tried for a token that does not say which; each costs a signature check."""
_MAX_HEADER = 8_192
"""Bytes of a header: one may carry a certificate chain (x5c), which joserfc's 512 do not fit."""


class IdTokenError(ProviderError):
    """The ID token proves nothing: the login must not be believed."""


class UnknownKeyError(IdTokenError):
    """The key set does not have the token's key: fetch the set once more, then give up."""


@dataclass(frozen=True, slots=True)
class Jwks:
    """A provider's public keys (RFC 7517)."""

    keys: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid ID token says."""

    issuer: str
    subject: str
    expires_at: float
    """Wall time."""
    issued_at: float
    """Wall time."""
    values: Mapping[str, Any] = field(repr=False)
    """All claims, as they came."""


def jwks_request(metadata: Metadata) -> HttpRequest:
    """Return the request for the provider's keys; ConfigurationError where it has none."""
    if metadata.jwks_uri is None:
        raise ConfigurationError("the provider publishes no keys, so its ID tokens prove nothing")
    return HttpRequest("GET", metadata.jwks_uri, headers={"Accept": "application/json"})


def read_jwks(reply: HttpReply, metadata: Metadata) -> Jwks:
    """Read a key set; ProviderError or TemporarilyUnavailableError where there is none."""
    host = host_of(metadata.jwks_uri or "")
    if reply.status != 200:  # noqa: PLR2004 - a document is there or it is not
        later = reply.status == 429 or reply.status >= 500  # noqa: PLR2004 - RFC 6585, RFC 9110
        detail = f"{host} answered {reply.status} when asked for its keys"
        if later:
            raise TemporarilyUnavailableError(detail, retry_after=retry_after(reply))
        raise ProviderError(detail)
    found = read_object(reply.body)
    keys = found.get("keys") if found is not None else None
    if not isinstance(keys, list):
        raise ProviderError(f"{host} answered with no key set when asked for its keys")
    return Jwks(tuple(key for key in keys[:_MAX_KEYS] if isinstance(key, dict)))


def validate(  # noqa: PLR0913 - the inputs that OpenID Connect Core names, all of them
    id_token: Secret,
    *,
    metadata: Metadata,
    jwks: Jwks,
    client_id: str,
    nonce: Secret | None,
    now: Instant,
) -> Claims:
    """Return the claims of an ID token that this provider issued to us, for this login.

    `nonce` is the login's; None for a token that came with a refresh, where OpenID Connect Core
    section 12.2 asks for none. Raises UnknownKeyError where the key set may be out of date, and
    IdTokenError for everything else that is wrong.
    """
    header = _header(id_token)
    if header is None:
        raise IdTokenError("the ID token cannot be read")
    algorithm = header.get("alg")
    if algorithm not in KEY_TYPES or algorithm not in metadata.algorithms:
        named = printable(algorithm) if isinstance(algorithm, str) else "nothing readable"
        raise IdTokenError(f"the ID token is signed with {named}, which is not accepted")
    claims = read_object(_verified(id_token, algorithm, _candidates(header, algorithm, jwks)))
    if claims is None:
        raise IdTokenError("the ID token cannot be read")
    _check_parties(claims, metadata, client_id)
    issued, expires = _check_times(claims, now)
    if nonce is not None:
        said = claims.get("nonce")
        if not isinstance(said, str) or not _encodable(said) or Secret(said) != nonce:
            raise IdTokenError("the ID token belongs to another login: its nonce differs")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise IdTokenError("the ID token does not say whose it is")
    return Claims(str(claims["iss"]), subject, expires, issued, claims)


def _header(id_token: Secret) -> dict[str, Any] | None:
    """Return the header, which is believed only as far as the key set bears it out."""
    first = id_token.reveal().partition(".")[0]
    try:
        raw = base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return read_object(raw)


def _candidates(header: Mapping[str, Any], algorithm: str, jwks: Jwks) -> list[Mapping[str, Any]]:
    """Return the keys that may have signed; UnknownKeyError where there is none."""
    kid = header.get("kid")
    found = [
        key
        for key in jwks.keys
        if key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]
    if not found:
        named = f"'{printable(kid)}'" if isinstance(kid, str) else f"for {algorithm}"
        raise UnknownKeyError(f"the provider's key set has no key {named}")
    return found[:_MAX_TRIES]


def _verified(id_token: Secret, algorithm: str, candidates: Collection[Mapping[str, Any]]) -> bytes:
    """Return the payload that one of the keys has signed."""
    from joserfc.errors import JoseError  # noqa: PLC0415 - see the module's docstring
    from joserfc.jwk import JWKRegistry  # noqa: PLC0415 - as the line above
    from joserfc.jws import JWSRegistry, deserialize_compact  # noqa: PLC0415 - as above

    # Headers that nobody knows are to be ignored (RFC 7515 section 4); `crit` is still obeyed.
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = _MAX_HEADER
    for key in candidates:
        try:
            public = JWKRegistry.import_key(dict(key))
            signed = deserialize_compact(id_token.reveal(), public, [algorithm], registry)
        except (JoseError, ValueError, TypeError, KeyError):
            # Not this key, or no key at all: whose set it is has no bearing on the token.
            continue
        return signed.payload or b""
    raise IdTokenError("the ID token's signature is wrong")


def _check_parties(claims: Mapping[str, Any], metadata: Metadata, client_id: str) -> None:
    """Check `iss`, `aud` and `azp` (rules 2 to 5)."""
    if metadata.issuer is None or claims.get("iss") != metadata.issuer:
        raise IdTokenError("the ID token names another issuer")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise IdTokenError("the ID token was issued to another program")
    authorized = claims.get("azp")
    if authorized is None and len(audiences) > 1:
        raise IdTokenError("the ID token has several audiences and does not say which one asked")
    if authorized is not None and authorized != client_id:
        raise IdTokenError("the ID token was asked for by another program")


def _check_times(claims: Mapping[str, Any], now: Instant) -> tuple[float, float]:
    """Check `exp`, `iat` and `nbf` (rules 9 and 10); return when issued and when it expires."""
    issued, expires = _time(claims, "iat"), _time(claims, "exp")
    if issued is None or expires is None:
        raise IdTokenError("the ID token does not say from when to when it holds")
    if now.wall >= expires + SKEW:
        raise IdTokenError("the ID token has expired", hint="check this machine's clock")
    if max(issued, _time(claims, "nbf") or issued) > now.wall + SKEW:
        raise IdTokenError("the ID token is from the future", hint="check this machine's clock")
    return issued, expires


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
