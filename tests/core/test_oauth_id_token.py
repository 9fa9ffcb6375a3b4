"""ID tokens that a test signs itself: OpenID Connect Core section 3.1.3.7, rule by rule."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from tool_agentd.errors import AgentError, ConfigurationError, ProviderError
from tool_agentd.errors import TemporarilyUnavailableError as Unavailable
from tool_agentd.model import HttpReply, Instant
from tool_agentd.oauth.id_token import (
    Claims,
    IdTokenError,
    Jwks,
    UnknownKeyError,
    jwks_request,
    read_jwks,
    validate,
)
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.secret import Secret

ISSUER = "https://id.example.com"
NOW = Instant(1_700_000_000.0, 10.0)
METADATA = Metadata(
    authorization_endpoint=f"{ISSUER}/a",
    token_endpoint=f"{ISSUER}/t",
    issuer=ISSUER,
    jwks_uri=f"{ISSUER}/jwks",
    algorithms=("RS256", "ES256", "PS256", "HS256", "none"),
)
NONCE = Secret("the-nonce")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "alice",
    "aud": "cli",
    "exp": NOW.wall + 300,
    "iat": NOW.wall - 5,
    "nonce": "the-nonce",
    "email": "alice@example.com",
}
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})


def public(*keys: Key) -> Jwks:
    """Return the keys as a provider publishes them."""
    return Jwks(tuple(key.as_dict(private=False) for key in keys))


KEYS = public(RSA, EC)


def signed(
    claims: Mapping[str, Any] | bytes,
    key: Key = RSA,
    header: Mapping[str, Any] | None = None,
) -> Secret:
    """Sign claims."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    head = {"alg": "RS256", "kid": "rsa"} if header is None else dict(header)
    registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
    return Secret(jws.serialize_compact(head, payload, key, registry=registry))


def check(
    token: Secret, jwks: Jwks = KEYS, nonce: Secret | None = NONCE, now: Instant = NOW
) -> Claims:
    """Validate a token for the client `cli`."""
    return validate(token, metadata=METADATA, jwks=jwks, client_id="cli", nonce=nonce, now=now)


@pytest.mark.parametrize(
    ("key", "header"),
    [
        (RSA, {"alg": "RS256", "kid": "rsa"}),
        (RSA, {"alg": "PS256", "kid": "rsa"}),
        (RSA, {"alg": "RS256"}),
        (EC, {"alg": "ES256", "kid": "ec", "typ": "JWT", "x-unknown": 1}),
    ],
)
def test_a_good_token_says_who_signed_in(key: Key, header: dict[str, Any]) -> None:
    """Each accepted algorithm, with and without a key's name."""
    found = check(signed(CLAIMS, key, header))
    assert (found.issuer, found.subject) == (ISSUER, "alice")
    assert (found.issued_at, found.expires_at) == (NOW.wall - 5, NOW.wall + 300)
    assert found.values["email"] == "alice@example.com"
    assert "alice@example.com" not in repr(found)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.example"}, "another issuer"),
    "an issuer with a slash": ({"iss": ISSUER + "/"}, "another issuer"),
    "another audience": ({"aud": "other"}, "another program"),
    "no audience": ({"aud": None}, "another program"),
    "an empty audience": ({"aud": []}, "another program"),
    "several audiences, no azp": ({"aud": ["cli", "other"]}, "several audiences"),
    "another azp": ({"azp": "other"}, "asked for by another"),
    "expired": ({"exp": NOW.wall - 61}, "has expired"),
    "no exp": ({"exp": None}, "from when to when"),
    "exp as text": ({"exp": "2030"}, "from when to when"),
    "exp as truth": ({"exp": True}, "from when to when"),
    "no iat": ({"iat": None}, "from when to when"),
    "from the future": ({"iat": NOW.wall + 61}, "from the future"),
    "not valid yet": ({"nbf": NOW.wall + 61}, "from the future"),
    "another nonce": ({"nonce": "x"}, "nonce differs"),
    "no nonce": ({"nonce": None}, "nonce differs"),
    "a nonce that is no text": ({"nonce": 1}, "nonce differs"),
    "a nonce that is no UTF-8": ({"nonce": "\ud800"}, "nonce differs"),
    "no subject": ({"sub": None}, "whose it is"),
    "an empty subject": ({"sub": ""}, "whose it is"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_claim_is_refused(name: str) -> None:
    """One wrong claim in a well signed token is enough."""
    change, message = BAD[name]
    with pytest.raises(IdTokenError, match=message):
        check(signed(CLAIMS | change))


def test_clocks_may_differ_by_a_minute() -> None:
    """Within 60 s nobody is locked out by a clock."""
    check(signed(CLAIMS | {"exp": NOW.wall - 59, "iat": NOW.wall + 59}))
    check(signed(CLAIMS | {"aud": ["cli", "other"], "azp": "cli"}))


def test_a_refreshed_token_needs_no_nonce() -> None:
    """OpenID Connect Core section 12.2."""
    claims = {name: value for name, value in CLAIMS.items() if name != "nonce"}
    assert check(signed(claims), nonce=None).subject == "alice"


def test_an_unsigned_token_is_refused() -> None:
    """`none` is not accepted even where the provider lists it."""
    parts = [{"alg": "none"}, CLAIMS]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode() for p in parts) + "."
    with pytest.raises(IdTokenError, match="signed with none"):
        check(Secret(text.replace("=", "")))


def test_a_token_signed_with_the_public_key_as_a_password_is_refused() -> None:
    """HS256 is not accepted even where the provider lists it."""
    key = OctKey.import_key("not a secret at all, long enough for HS256")
    with pytest.raises(IdTokenError, match="signed with HS256"):
        check(signed(CLAIMS, key, {"alg": "HS256"}))


def test_an_algorithm_that_the_provider_does_not_list_is_refused() -> None:
    """RS512 is on our list, not on this provider's."""
    with pytest.raises(IdTokenError, match="signed with RS512"):
        check(signed(CLAIMS, RSA, {"alg": "RS512", "kid": "rsa"}))


def test_an_unknown_key_is_told_apart_so_that_the_set_is_fetched_again() -> None:
    """After a rotation the same token is good with the new set."""
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2"})
    token = signed(CLAIMS, fresh, {"alg": "RS256", "kid": "rsa-2"})
    with pytest.raises(UnknownKeyError, match="rsa-2"):
        check(token)
    assert check(token, public(RSA, fresh)).subject == "alice"


@pytest.mark.parametrize(
    "change", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "EC"}, {"kid": "other"}]
)
def test_a_key_for_something_else_is_no_key(change: dict[str, str]) -> None:
    """Use, algorithm, type and name have to fit."""
    with pytest.raises(UnknownKeyError):
        check(signed(CLAIMS), Jwks((KEYS.keys[0] | change,)))  # type: ignore[operator]  # a dict


def test_a_forged_signature_is_refused() -> None:
    """Another key under the same name, a changed payload, and a key that is none."""
    forger = RSAKey.generate_key(2048, {"kid": "rsa"})
    with pytest.raises(IdTokenError, match="signature is wrong"):
        check(signed(CLAIMS, forger))
    head, _payload, signature = signed(CLAIMS).reveal().split(".")
    other = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"sub": "bob"}).encode()).decode()
    with pytest.raises(IdTokenError, match="signature is wrong"):
        check(Secret(f"{head}.{other.rstrip('=')}.{signature}"))
    with pytest.raises(IdTokenError, match="signature is wrong"):
        check(signed(CLAIMS), Jwks(({"kty": "RSA", "kid": "rsa", "n": "!", "e": 5},)))


def test_a_claim_given_twice_is_refused() -> None:
    """Two readers must not see two audiences in one token."""
    doubled = json.dumps(CLAIMS)[:-1] + ', "aud": "other"}'
    with pytest.raises(IdTokenError, match="cannot be read"):
        check(signed(doubled.encode()))


def test_an_unknown_critical_header_is_refused() -> None:
    """RFC 7515 section 4.1.11: what must be understood and is not, ends it."""
    assert RSA.private_key is not None
    for header, good in (({}, True), ({"crit": ["x"], "x": 1}, False)):
        parts = [{"alg": "RS256", "kid": "rsa", **header}, CLAIMS]
        encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
        signature = RSA.private_key.sign(b".".join(encoded), PKCS1v15(), SHA256())
        token = b".".join([*encoded, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
        if good:
            check(Secret(token))
        else:
            with pytest.raises(IdTokenError, match="signature is wrong"):
                check(Secret(token))


@settings(deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: f"{b!r}.{b.hex()}.x"))
def test_any_text_gives_an_error_of_ours(text: str) -> None:
    """A provider may send whatever it likes for an ID token."""
    with pytest.raises(IdTokenError):
        check(Secret(text))


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x5c"]),
        st.none()
        | st.integers()
        | st.text(max_size=5)
        | st.sampled_from(["RS256", "rsa", "ES256"]),
    )
)
def test_any_header_gives_an_error_of_ours(header: dict[str, Any]) -> None:
    """Odd types in the header reach no library unprepared."""
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    with pytest.raises(AgentError):
        check(Secret(f"{head}.e30.c2ln"))


def reply(body: bytes, status: int = 200) -> HttpReply:
    """Return a reply."""
    return HttpReply(status, {}, body, NOW, NOW)


def test_a_key_set_is_read() -> None:
    """Keys that are no objects are passed over; what is no set is an error."""
    assert jwks_request(METADATA).url == METADATA.jwks_uri
    assert read_jwks(reply(b'{"keys":[{"kty":"RSA"},5]}'), METADATA) == Jwks(({"kty": "RSA"},))
    for body, status, error in (
        (b"<html>", 200, ProviderError),
        (b'{"keys":5}', 200, ProviderError),
        (b"", 404, ProviderError),
        (b"", 503, Unavailable),
    ):
        with pytest.raises(error):
            read_jwks(reply(body, status), METADATA)
    with pytest.raises(ConfigurationError):
        jwks_request(Metadata("https://a.example/a", "https://a.example/t"))


def test_a_token_without_a_keys_name_tries_a_few_keys() -> None:
    """A provider that publishes thousands of keys does not get thousands of checks."""
    wrong = RSAKey.generate_key(2048).as_dict(private=False)
    right = RSA.as_dict(private=False)
    token = signed(CLAIMS, RSA, {"alg": "RS256"})
    assert check(token, Jwks((wrong,) * 7 + (right,))).subject == "alice"
    with pytest.raises(IdTokenError, match="signature is wrong"):
        check(token, Jwks((wrong,) * 8 + (right,)))
