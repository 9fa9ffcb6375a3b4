"""Discovery: where a provider's endpoints are, and whose word for it counts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, Instant
from tool_agentd.oauth.metadata import (
    Metadata,
    NoMetadataError,
    discovery_requests,
    endpoints_of,
    parse_metadata,
)
from tool_agentd.oauth.registration import Registration

ISSUER = "https://id.example.com/tenant"
NOW = Instant(1.0, 1.0)
GOOD = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
}


def reply(body: Any, status: int = 200) -> HttpReply:  # noqa: ANN401 - bytes or JSON
    """Return a reply."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpReply(status, {}, data, NOW, NOW)


@pytest.mark.parametrize(
    ("issuer", "addresses"),
    [
        (
            "https://id.example.com",
            (
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://id.example.com/tenant/",
            (
                "https://id.example.com/tenant/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/tenant",
            ),
        ),
    ],
)
def test_both_documents_are_asked_for_in_turn(issuer: str, addresses: tuple[str, str]) -> None:
    """OpenID Connect appends to the issuer's path, RFC 8414 section 3.1 inserts before it."""
    requests = discovery_requests(issuer)
    assert tuple(request.url for request in requests) == addresses
    assert {request.method for request in requests} == {"GET"}


@pytest.mark.parametrize(
    "issuer", ["", "id.example.com", "http://id.example.com", "https://a/?b=c", "https://a/#b"]
)
def test_an_issuer_that_is_no_address_is_the_definitions_fault(issuer: str) -> None:
    """Only https, or http on this machine, without query and fragment."""
    with pytest.raises(ConfigurationError):
        discovery_requests(issuer)


def test_a_document_is_read() -> None:
    """The endpoints that are there, and what the provider says of itself."""
    full = GOOD | {
        "revocation_endpoint": f"{ISSUER}/revoke",
        "userinfo_endpoint": f"{ISSUER}/me",
        "jwks_uri": "http://127.0.0.1:8000/jwks",
        "authorization_response_iss_parameter_supported": True,
        "id_token_signing_alg_values_supported": ["ES256", 5],
    }
    assert parse_metadata(reply(full), ISSUER) == Metadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        revocation_endpoint=f"{ISSUER}/revoke",
        userinfo_endpoint=f"{ISSUER}/me",
        jwks_uri="http://127.0.0.1:8000/jwks",
        iss_supported=True,
        algorithms=("ES256",),
    )
    bare = parse_metadata(reply(GOOD), ISSUER)
    assert (bare.iss_supported, bare.algorithms, bare.jwks_uri) == (False, ("RS256",), None)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": ISSUER + "/"},
        {"issuer": ISSUER.upper()},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"authorization_endpoint": 5},
        {"token_endpoint": "http://id.example.com/token"},
        {"token_endpoint": "/token"},
        {"token_endpoint": "https://id.example.com@evil.example/token"},
        {"token_endpoint": "https://id.example.com/token#x"},
        {"revocation_endpoint": "ftp://id.example.com"},
        {"jwks_uri": "javascript:alert(1)"},
    ],
)
def test_a_document_that_is_not_this_issuers_is_refused(change: dict[str, Any]) -> None:
    """The issuer matches character for character, and every endpoint may be sent a secret."""
    with pytest.raises(ProviderError) as refused:
        parse_metadata(reply(GOOD | change), ISSUER)
    assert not isinstance(refused.value, NoMetadataError)


@pytest.mark.parametrize(("body", "status"), [(b"", 404), (b"<html>", 200), (b"[]", 200)])
def test_no_document_here_means_ask_the_next(body: bytes, status: int) -> None:
    """A NoMetadataError leads on to the other address."""
    with pytest.raises(NoMetadataError):
        parse_metadata(reply(body, status), ISSUER)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_is_down_is_asked_again_later(status: int) -> None:
    """Nothing is wrong with the definition then."""
    with pytest.raises(TemporarilyUnavailableError):
        parse_metadata(reply(b"", status), ISSUER)


def test_a_definition_may_name_its_endpoints() -> None:
    """Then there is no issuer, and each one has to be there when it is needed."""
    both = Registration("c", authorize="https://a.example/a", token="https://a.example/t")  # noqa: S106 - an address
    found = endpoints_of(both)
    assert found == Metadata("https://a.example/a", "https://a.example/t")
    assert found.issuer is None
    assert found.required("token") == "https://a.example/t"
    half = endpoints_of(Registration("c", authorize="https://a.example/a"))
    with pytest.raises(ConfigurationError, match="token"):
        half.required("token")
    with pytest.raises(ConfigurationError, match="authorize"):
        endpoints_of(Registration("c", authorize="http://a.example/"))


@given(st.binary(max_size=100), st.integers(100, 599))
def test_any_bytes_give_an_error_of_ours(body: bytes, status: int) -> None:
    """Whatever a server answers."""
    with pytest.raises(AgentError):
        parse_metadata(reply(body, status), ISSUER)
