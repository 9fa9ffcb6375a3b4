"""The authorization request and its callback: RFC 6749, 7636, 9207, and what an attacker sends."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.definition.flows import OAuthCode
from tool_agentd.errors import AgentError, CancelledError, InvalidRequestError, ProviderError
from tool_agentd.model import Instant
from tool_agentd.oauth.code import PendingCode, begin, challenge, exchange, read_callback
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.secret import Secret

ISSUER = "https://id.example.com"
REDIRECT = "http://127.0.0.1:49152/callback"
NOW = Instant(1_000_000.0, 500.0)
METADATA = Metadata(
    authorization_endpoint=f"{ISSUER}/authorize?tenant=a",
    token_endpoint=f"{ISSUER}/token",
    issuer=ISSUER,
    iss_supported=True,
)
LOGIN = OAuthCode(
    client_id="cli",
    issuer=ISSUER,
    audience="https://api.example.com/",
    parameters={"prompt": "consent", "state": "fixed", "code_challenge_method": "plain"},
)


class Entropy:
    """Bytes that count up, so that every request gets others."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, size: int) -> bytes:
        """Return `size` bytes."""
        self.asked.append(size)
        return bytes([len(self.asked)]) * size


def pending(scope: str = "openid read", **changes: object) -> PendingCode:
    """Begin a login."""
    made = begin(LOGIN, METADATA, redirect_uri=REDIRECT, scope=scope, entropy=Entropy(), now=NOW)
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of one test each


def callback(login: PendingCode, **changes: str | None) -> str:
    """Return a good callback's path and query, with changes; None leaves a parameter out."""
    query: dict[str, str | None] = {
        "code": "the-code",
        "state": login.state.reveal(),
        "iss": ISSUER,
    }
    query |= changes
    return "/callback?" + urlencode({k: v for k, v in query.items() if v is not None})


def test_the_challenge_is_rfc_7636s_own() -> None:
    """Appendix B of RFC 7636."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_request_has_what_guards_the_login() -> None:
    """S256, state, nonce and audience are in it; the definition's parameters replace none."""
    login = pending()
    query = parse_qs(urlsplit(login.url).query)
    assert login.nonce is not None
    assert query == {
        "tenant": ["a"],
        "prompt": ["consent"],
        "scope": ["openid read"],
        "audience": ["https://api.example.com/"],
        "nonce": [login.nonce.reveal()],
        "response_type": ["code"],
        "client_id": ["cli"],
        "redirect_uri": [REDIRECT],
        "state": [login.state.reveal()],
        "code_challenge": [challenge(login.verifier)],
        "code_challenge_method": ["S256"],
    }
    assert login.began == NOW


def test_state_verifier_and_nonce_are_long_and_differ() -> None:
    """Each has 256 bits of its own; a verifier has at least 43 characters (RFC 7636)."""
    login = pending()
    assert login.nonce is not None
    values = {s.reveal() for s in (login.state, login.verifier, login.nonce)}
    assert len(values) == 3
    assert {len(value) for value in values} == {43}


def test_no_nonce_without_an_id_token() -> None:
    """Without the scope openid there is no ID token to carry one."""
    login = pending(scope="read")
    assert login.nonce is None
    assert "nonce=" not in login.url


def test_the_audience_may_have_another_name() -> None:
    """RFC 8707 calls it `resource`."""
    other = {"audience": "https://other.example.com", "audience_parameter": "resource"}
    login = begin(
        msgspec.structs.replace(LOGIN, **other),
        METADATA,
        redirect_uri=REDIRECT,
        scope="",
        entropy=Entropy(),
        now=NOW,
    )
    query = parse_qs(urlsplit(login.url).query)
    assert query["resource"] == ["https://other.example.com"]
    assert "audience" not in query
    assert "scope" not in query


def test_a_pending_login_prints_no_secret() -> None:
    """Neither state, verifier and nonce nor the address, which holds two of them."""
    login = pending()
    assert login.nonce is not None
    for secret in (login.state, login.verifier, login.nonce):
        assert secret.reveal() not in repr(login)


@pytest.mark.parametrize("whole", [True, False])
def test_a_good_callback_brings_the_code(*, whole: bool) -> None:
    """As a path and query, and as the address that a person pastes, blanks and all."""
    login = pending()
    target = callback(login)
    if whole:
        target = f"  http://127.0.0.1:49152{target}#_=_\n"
    assert read_callback(login, target).reveal() == "the-code"


def test_the_exchange_carries_code_verifier_and_redirect() -> None:
    """RFC 6749 section 4.1.3 with RFC 7636 section 4.5."""
    login = pending()
    request = exchange(login, LOGIN, METADATA, Secret("the-code"))
    assert (request.method, request.url) == ("POST", f"{ISSUER}/token")
    assert request.form == {
        "grant_type": "authorization_code",
        "code": Secret("the-code"),
        "redirect_uri": REDIRECT,
        "client_id": "cli",
        "code_verifier": login.verifier,
    }
    assert "the-code" not in repr(request)


ATTACKS: dict[str, tuple[dict[str, str | None], str]] = {
    "no state": ({"state": None}, "its state is missing"),
    "empty state": ({"state": ""}, "its state is another"),
    "wrong state": ({"state": "x" * 43}, "its state is another"),
    "wrong state and an error": ({"state": "x", "error": "boo"}, "its state is another"),
    "no issuer": ({"iss": None}, "names no issuer"),
    "another issuer": ({"iss": "https://evil.example"}, "names the issuer 'https://evil.example'"),
    "issuer with a slash": ({"iss": ISSUER + "/"}, "names the issuer"),
    "another issuer's error": ({"iss": "https://e.example", "error": "x"}, "names the issuer"),
    "no code": ({"code": None}, "no authorization code"),
    "empty code": ({"code": ""}, "no authorization code"),
    "code with a line break": ({"code": "a\r\nb"}, "no authorization code"),
    "a provider's error": (
        {"code": None, "error": "server_error", "error_description": "a\x1b[31m\nb"},
        r"server_error \(a \[31m b\)",
    ),
    "an error beside a code": ({"error": "invalid_scope"}, "invalid_scope"),
    "an empty error": ({"error": ""}, "an error without a name"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_bad_callback_is_refused(name: str) -> None:
    """Each is a ProviderError that says what is wrong, and no code comes out."""
    changes, message = ATTACKS[name]
    login = pending()
    with pytest.raises(ProviderError, match=message):
        read_callback(login, callback(login, **changes))


def test_a_refusal_by_the_person_is_a_cancellation() -> None:
    """access_denied has an exit status of its own; the description is kept short."""
    login = pending()
    target = callback(login, error="access_denied", error_description="x" * 5000)
    with pytest.raises(CancelledError, match="access_denied") as refused:
        read_callback(login, target)
    assert len(refused.value.detail) < 300


def test_an_unauthenticated_error_is_not_repeated() -> None:
    """Text of a callback with another state is an attacker's: it is not shown."""
    login = pending()
    with pytest.raises(ProviderError) as refused:
        read_callback(login, callback(login, state="x", error="call-0900", error_description="now"))
    assert "0900" not in refused.value.detail


def test_an_error_does_not_repeat_the_state() -> None:
    """A provider that quotes our request back does not get it into a log."""
    login = pending()
    with pytest.raises(ProviderError) as refused:
        read_callback(login, callback(login, error="x", error_description=login.state.reveal()))
    assert login.state.reveal() not in refused.value.detail
    assert "****" in refused.value.detail


@pytest.mark.parametrize(
    "twice", ["code=other", "state=other", "error=x", "iss=x", "other=1&other=2"]
)
def test_a_parameter_given_twice_is_refused(twice: str) -> None:
    """RFC 6749 section 3.1: request and response parameters must not be repeated."""
    login = pending()
    target = callback(login, error="x" if twice == "error=x" else None)
    with pytest.raises(ProviderError, match="twice"):
        read_callback(login, f"{target}&{twice}")


def test_the_issuer_is_optional_where_it_is_not_advertised() -> None:
    """RFC 9207 section 2.4; one that is there has to be right all the same."""
    login = pending(iss_supported=False)
    assert read_callback(login, callback(login, iss=None)).reveal() == "the-code"
    with pytest.raises(ProviderError, match="names the issuer"):
        read_callback(login, callback(login, iss="https://evil.example"))


@pytest.mark.parametrize(
    "target",
    [
        "",
        "hello",
        "/callback",
        "/other?code=a&state=b",
        "//127.0.0.1:49152/callback?code=a",
        "https://127.0.0.1:49152/callback?code=a",
        "http://127.0.0.1:49153/callback?code=a",
        "http://evil.example/callback?code=a",
        "http://[/callback?code=a",
        "/callback?code=\udc80",
        "/callback?code=" + "a" * 20_000,
    ],
)
def test_what_is_no_callback_of_this_login_may_be_tried_again(target: str) -> None:
    """A slip while pasting is an InvalidRequestError, so that the login can go on waiting."""
    with pytest.raises(InvalidRequestError):
        read_callback(pending(), target)


@given(st.text(max_size=400), st.sampled_from(["", "/callback?", REDIRECT + "?"]))
def test_any_callback_gives_a_code_or_an_error_of_ours(text: str, start: str) -> None:
    """Whatever the bytes: never another exception, and never a code without the state."""
    with pytest.raises(AgentError):
        read_callback(pending(), start + text)


@given(st.binary(max_size=100))
def test_any_percent_encoded_bytes_give_an_error_of_ours(data: bytes) -> None:
    """Bytes that are no UTF-8 are refused like others."""
    login = pending()
    quoted = "".join(f"%{byte:02x}" for byte in data)
    target = callback(login, code=None) + f"&error={quoted}&error_description={quoted}"
    with pytest.raises(AgentError):
        read_callback(login, target)
