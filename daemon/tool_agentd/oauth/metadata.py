"""Where a provider's endpoints are: from its metadata document, or from the definition.

OpenID Connect Discovery 1.0 and RFC 8414. The issuer in the document must be the one that was
asked for, character for character: otherwise one provider could speak for another.
"""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from tool_agentd.definition.address import ALLOWED, AddressError, origin_of
from tool_agentd.errors import ConfigurationError, ProviderError, TemporarilyUnavailableError
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.oauth.json_object import read_object, text_at
from tool_agentd.oauth.registration import Registration
from tool_agentd.oauth.reply_clock import retry_after
from tool_agentd.oauth.wording import host_of, printable

_MAX_ALGORITHMS = 32
"""Algorithm names kept; the whole registry has fewer for signatures."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The endpoints of one provider, however they became known."""

    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    issuer: str | None = None
    """None where the definition names the endpoints itself: no ID token is validated then."""
    device_endpoint: str | None = None
    """The device authorization endpoint (RFC 8628 section 4)."""
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    jwks_uri: str | None = None
    iss_supported: bool = False
    """Every authorization response carries `iss` (RFC 9207)."""
    algorithms: tuple[str, ...] = ("RS256",)
    """What ID tokens are signed with, as the provider says; RS256 where it does not (OpenID
    Connect Core section 3.1.3.7)."""

    def required(self, endpoint: Literal["authorization", "token", "device"]) -> str:
        """Return an endpoint without which this step cannot be. Raises ConfigurationError."""
        address: str | None = getattr(self, f"{endpoint}_endpoint")
        if address is None:
            raise ConfigurationError(
                f"the login has neither an issuer with, nor an address for, its {endpoint} endpoint"
            )
        return address


class NoMetadataError(ProviderError):
    """The provider has no metadata document at this address; the next one may have it."""


def discovery_requests(issuer: str) -> list[HttpRequest]:
    """Return the requests to try in turn: OpenID Connect Discovery 1.0 section 4, RFC 8414.

    Raises ConfigurationError for an issuer that is no address.
    """
    _check_endpoint(issuer, "issuer", ConfigurationError)
    parts = urlsplit(issuer)
    if parts.query:
        raise ConfigurationError(f"the issuer at {host_of(issuer)} has a query")
    path = parts.path.rstrip("/")
    appended = path + "/.well-known/openid-configuration"
    inserted = "/.well-known/oauth-authorization-server" + path
    return [
        HttpRequest(
            "GET",
            urlunsplit((parts.scheme, parts.netloc, at, "", "")),
            headers={"Accept": "application/json"},
        )
        for at in (appended, inserted)
    ]


def parse_metadata(reply: HttpReply, issuer: str) -> Metadata:
    """Read a metadata document.

    Raises NoMetadataError where there is none (ask at the next address),
    TemporarilyUnavailableError where the provider cannot answer now, and ProviderError for a
    document that is not this issuer's or makes no sense.
    """
    host = host_of(issuer)
    if reply.status == 429 or reply.status >= 500:  # noqa: PLR2004 - RFC 6585, RFC 9110
        raise TemporarilyUnavailableError(
            f"{host} answered {reply.status} when asked for its endpoints",
            retry_after=retry_after(reply),
        )
    if reply.status != 200:  # noqa: PLR2004 - RFC 8414 section 3.2 asks for exactly this
        raise NoMetadataError(f"{host} answered {reply.status} when asked for its endpoints")
    found = read_object(reply.body)
    if found is None:
        raise NoMetadataError(f"{host} answered with no JSON object when asked for its endpoints")
    said = found.get("issuer")
    if said != issuer:
        named = f"'{printable(said)}'" if isinstance(said, str) else "no issuer"
        raise ProviderError(
            f"the metadata at {host} names {named}, not '{printable(issuer)}'",
            hint="write the issuer in the definition exactly as its provider does, slash included",
        )
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_required(found, "authorization_endpoint", host),
        token_endpoint=_required(found, "token_endpoint", host),
        revocation_endpoint=_optional(found, "revocation_endpoint"),
        userinfo_endpoint=_optional(found, "userinfo_endpoint"),
        device_endpoint=_optional(found, "device_authorization_endpoint"),
        jwks_uri=_optional(found, "jwks_uri"),
        iss_supported=found.get("authorization_response_iss_parameter_supported") is True,
        algorithms=_algorithms(found.get("id_token_signing_alg_values_supported")),
    )


def endpoints_of(registration: Registration) -> Metadata:
    """Return the endpoints of a definition that names them itself.

    Raises ConfigurationError where one is no address.
    """
    for name in ("authorize", "token", "device"):
        address: str | None = getattr(registration, name)
        if address is not None:
            _check_endpoint(address, name, ConfigurationError)
    return Metadata(
        authorization_endpoint=registration.authorize,
        token_endpoint=registration.token,
        device_endpoint=registration.device,
    )


def _required(found: dict[str, Any], name: str, host: str) -> str:
    value = _optional(found, name)
    if value is None:
        raise ProviderError(f"the metadata at {host} has no {name}")
    return value


def _optional(found: dict[str, Any], name: str) -> str | None:
    value = text_at(found, name)
    if value is not None:
        _check_endpoint(value, name, ProviderError)
    return value


def _check_endpoint(
    url: str, name: str, error: type[ConfigurationError] | type[ProviderError]
) -> None:
    """Refuse what no secret may be sent to, and what has a fragment (RFC 6749 section 3.1)."""
    try:
        origin_of(url)
    except AddressError as wrong:
        raise error(f"the {name} is {wrong}; allowed: {ALLOWED}") from None
    if "#" in url:
        raise error(f"the {name} at {host_of(url)} has a fragment")


def _algorithms(said: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    if not isinstance(said, list):
        return ("RS256",)
    return tuple(name for name in said if isinstance(name, str))[:_MAX_ALGORITHMS]
