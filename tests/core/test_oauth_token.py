"""The token endpoint's answers: every row of the table "Refreshing", and odd bytes."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.definition.vocabulary import Expiry
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, HttpRequest, Instant, TokenKey
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.refresh import refresh_request
from tool_agentd.oauth.registration import Registration
from tool_agentd.oauth.reply_clock import MAX_RETRY_AFTER, clock_skew, retry_after
from tool_agentd.oauth.token import (
    DEFAULT_LIFE,
    MAX_LIFE,
    Ambiguous,
    BadRequest,
    Busy,
    Failure,
    Granted,
    Misconfigured,
    NotGrantedError,
    Refused,
    TokenOutcome,
    Transient,
    Unusable,
    failure_error,
    read_token,
)
from tool_agentd.secret import Secret

SENT = Instant(1_700_000_000.0, 5_000.0)
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # 1_700_000_000
OLD = "old-refresh-token"
REQUEST = HttpRequest(
    "POST",
    "https://id.example.com/token?tenant=a",
    form={"grant_type": "refresh_token", "refresh_token": Secret(OLD)},
)
GOOD = {"access_token": "at", "token_type": "Bearer", "expires_in": 600}


def reply(body: Any, status: int = 200, **headers: str) -> HttpReply:  # noqa: ANN401 - bytes or JSON
    """Return a reply that took two seconds."""
    return HttpReply(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        sent=SENT,
        received=SENT.plus(2),
    )


def read(
    body: Any,  # noqa: ANN401 - bytes or JSON
    status: int = 200,
    *,
    fatal: tuple[int, ...] = (),
    **headers: str,
) -> TokenOutcome:
    """Read one reply."""
    return read_token(
        reply(body, status, **headers),
        request=REQUEST,
        asked=("read",),
        fatal_status=fatal,
    )


def granted(body: Any, expiry: Expiry | None = None, **headers: str) -> Granted:  # noqa: ANN401 - a JSON value
    """Read a reply that must be good."""
    outcome = read_token(
        reply(body, 200, **headers), request=REQUEST, asked=("read",), expiry=expiry
    )
    assert isinstance(outcome, Granted), outcome
    return outcome


def jwt(**claims: object) -> str:
    """Return an unsigned JWT; an access token's signature is not ours to check."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in ({"alg": "x"}, claims)]
    return ".".join(part.rstrip(b"=").decode() for part in parts) + ".c2ln"


def test_a_success_is_a_token_counted_from_when_it_was_asked_for() -> None:
    """The life counts from `sent`, not from `received` (sessions.md, "Time")."""
    found = granted(GOOD | {"refresh_token": "new", "id_token": "a.b.c", "scope": "b a"})
    token = found.access_token
    assert (token.value, token.token_type, token.scopes) == (Secret("at"), "Bearer", ("a", "b"))
    assert (token.obtained, token.expires) == (SENT, SENT.plus(600))
    assert (found.refresh_token, found.id_token) == (Secret("new"), Secret("a.b.c"))


@pytest.mark.parametrize("refresh", [{}, {"refresh_token": ""}, {"refresh_token": None}])
def test_without_a_new_refresh_token_the_old_one_stays(refresh: dict[str, Any]) -> None:
    """RFC 6749 section 6; an empty one is none."""
    assert granted(GOOD | refresh).refresh_token is None


ROWS: dict[str, tuple[Any, int, type[Failure]]] = {
    "invalid_grant": ({"error": "invalid_grant"}, 400, Refused),
    "invalid_grant with 403": ({"error": "invalid_grant"}, 403, Refused),
    "invalid_grant with 500": ({"error": "invalid_grant"}, 500, Refused),
    "invalid_grant with 200": ({"error": "invalid_grant"}, 200, Refused),
    "invalid_client": ({"error": "invalid_client"}, 401, Misconfigured),
    "unauthorized_client": ({"error": "unauthorized_client"}, 400, Misconfigured),
    "unsupported_grant_type": ({"error": "unsupported_grant_type"}, 400, Misconfigured),
    "invalid_scope": ({"error": "invalid_scope"}, 400, BadRequest),
    "invalid_target": ({"error": "invalid_target"}, 400, BadRequest),
    "429": (b"", 429, Busy),
    "503": (b"<html>", 503, Busy),
    "temporarily_unavailable": ({"error": "temporarily_unavailable"}, 400, Busy),
    "slow_down": ({"error": "slow_down"}, 400, Busy),
    "500": (b"", 500, Transient),
    "502 with a page": (b"<html>", 502, Transient),
    "server_error": ({"error": "server_error"}, 400, Transient),
    "HTML with 200": (b"<html>sign in to the wifi</html>", 200, Transient),
    "empty with 200": (b"", 200, Transient),
    "a list with 200": ([GOOD], 200, Transient),
    "a redirect": (b"", 302, Transient),
    "404": (b"not found", 404, Transient),
    "empty 400": (b"", 400, Ambiguous),
    "empty 401": (b"", 401, Ambiguous),
    "403 with a page": (b"<html>", 403, Ambiguous),
    "400 with another's error": ({"error": {"message": "no"}}, 400, Ambiguous),
    "400 with an unknown error": ({"error": "mfa_required"}, 400, Ambiguous),
    "invalid_request": ({"error": "invalid_request"}, 400, Ambiguous),
    "200 with an unknown error": ({"error": "bad_refresh_token"}, 200, Ambiguous),
    "200 without a token": ({"ok": True}, 200, Unusable),
    "a number for a token": (GOOD | {"access_token": 5}, 200, Unusable),
    "a token with a line break": (GOOD | {"access_token": "a\r\nX: y"}, 200, Unusable),
    "a token and an error": (GOOD | {"error": "invalid_grant"}, 200, Unusable),
    "DPoP": (GOOD | {"token_type": "DPoP"}, 200, Unusable),
    "a type that is no text": (GOOD | {"token_type": 1}, 200, Unusable),
    "a key twice": (b'{"access_token":"a","access_token":"b"}', 200, Transient),
    "1,100 levels": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 200, Transient),
    "no UTF-8": (b'{"access_token":"\xff"}', 200, Transient),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_other_answer_has_one_meaning(name: str) -> None:
    """The table of sessions.md; only a readable refusal is one, and each says why."""
    body, status, kind = ROWS[name]
    outcome = read(body, status)
    assert type(outcome) is kind
    assert outcome.reason.startswith("id.example.com")
    assert "tenant" not in outcome.reason


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 422, Refused),
        ({"error": "something_else"}, 401, Refused),
        ({"error": "invalid_client"}, 401, Misconfigured),
        ({"error": "temporarily_unavailable"}, 401, Busy),
        (b"", 400, Ambiguous),
        (b"<html>wifi login</html>", 401, Ambiguous),
    ],
)
def test_a_definition_names_further_fatal_statuses(
    body: Any,  # noqa: ANN401 - bytes or JSON
    status: int,
    kind: type,
) -> None:
    """They count where no known `error` says otherwise."""
    assert type(read(body, status, fatal=(401, 422))) is kind


def test_a_success_that_is_of_no_use_keeps_its_refresh_token() -> None:
    """It has replaced the old one already: dropped, it would take the login with it."""
    for broken in ({"token_type": "DPoP"}, {"access_token": None}, {"error": "x"}):
        outcome = read(GOOD | {"refresh_token": "new"} | broken)
        assert isinstance(outcome, Unusable)
        assert outcome.refresh_token == Secret("new")


def test_the_reason_is_readable_and_holds_no_secret() -> None:
    """Control characters go, length is capped, our own token is starred if it is quoted back."""
    said = f"\x1b[2J{OLD} is\nunknown " + "x" * 500
    outcome = read({"error": "invalid_grant", "error_description": said}, 400)
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("id.example.com: invalid_grant ([2J**** is unknown xxx")
    assert len(outcome.reason) < 300
    assert outcome.reason.isprintable()


@pytest.mark.parametrize(
    "form",
    [
        OLD[:-1],
        OLD[: len(OLD) // 2] + "\n" + OLD[len(OLD) // 2 :],
        OLD[::-1],
        base64.b64encode(OLD.encode()).decode(),
        base64.urlsafe_b64encode(b"x" + OLD.encode()).decode(),
    ],
    ids=["cut", "broken", "reversed", "base64", "base64 of more"],
)
def test_a_piece_of_a_secret_hides_the_whole_text(form: str) -> None:
    """A provider that quotes nearly all of a token, in whatever dress, is not quoted."""
    outcome = read({"error": "invalid_grant", "error_description": f"no: {form}"}, 400)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "id.example.com: invalid_grant (a text that quotes a secret)"


@pytest.mark.parametrize("said", ["a+b/c= is unknown", "code=a%2Bb%2Fc%3D is unknown"])
def test_a_secret_is_starred_in_either_spelling(said: str) -> None:
    """As it is, and percent-encoded as it was posted."""
    request = HttpRequest("POST", REQUEST.url, headers={"X": Secret("a+b/c=")})
    body = {"error": "invalid_grant", "error_description": said}
    outcome = read_token(reply(body, 400), request=request)
    assert isinstance(outcome, Refused)
    assert outcome.reason.endswith("**** is unknown)")


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer"])
def test_the_token_type_has_no_case(kind: str) -> None:
    """RFC 6749 section 5.1: compared without case."""
    found = granted(GOOD | {"token_type": kind}).access_token
    assert found.token_type == "Bearer"  # noqa: S105 - a type's name


@pytest.mark.parametrize(
    ("said", "life"),
    [
        (b"600", 600.0),
        (b'"600"', 600.0),
        (b"12.5", 12.5),
        (b"0", 0.0),
        (b"-5", 0.0),
        (b"1e300", MAX_LIFE),
        (b"9" * 30, MAX_LIFE),
        (b"9" * 6000, DEFAULT_LIFE),
        (b"1e400", DEFAULT_LIFE),
        (b"NaN", DEFAULT_LIFE),
        (b"Infinity", DEFAULT_LIFE),
        (b'"NaN"', DEFAULT_LIFE),
        (b'"soon"', DEFAULT_LIFE),
        (b"null", DEFAULT_LIFE),
        (b"true", DEFAULT_LIFE),
        (b"[600]", DEFAULT_LIFE),
    ],
)
def test_a_life_is_clamped_or_refused(said: bytes, life: float) -> None:
    """Whatever stands for a number, the token has a finite life and the login goes on."""
    body = b'{"access_token":"at","token_type":"bearer","expires_in":' + said + b"}"
    found = granted(body).access_token
    assert found.lifetime == pytest.approx(life)
    assert found.expires == SENT.plus(life)


def test_a_life_that_is_not_said_is_the_definitions() -> None:
    """`expiry.default` stands in for a missing expires_in, not for one that is there."""
    bare = {"access_token": "at", "token_type": "Bearer"}
    assert granted(bare, Expiry(default="10m")).access_token.lifetime == 600
    assert granted(GOOD, Expiry(default="5m")).access_token.lifetime == 600
    assert granted(bare).access_token.lifetime == DEFAULT_LIFE


def test_the_definitions_claim_comes_first() -> None:
    """`expiry.jwt_claim` before expires_in, which counts where the token has no such claim."""
    expiry = Expiry(jwt_claim="exp")
    body = GOOD | {"access_token": jwt(exp=1_700_000_100)}
    assert granted(body, expiry).access_token.lifetime == 100
    assert granted(GOOD, expiry).access_token.lifetime == 600
    assert granted(GOOD | {"access_token": jwt(exp="soon")}, expiry).access_token.lifetime == 600
    assert granted(GOOD | {"access_token": jwt(exp=5)}, expiry).access_token.lifetime == 0


def test_a_claim_is_read_by_the_providers_clock() -> None:
    """A machine an hour behind neither serves a dead token nor refreshes without end."""
    body = GOOD | {"access_token": jwt(exp=1_700_003_700)}
    ahead = "Tue, 14 Nov 2023 23:13:20 GMT"
    found = granted(body, Expiry(jwt_claim="exp"), date=ahead)
    assert found.access_token.lifetime == 100


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("write read write", ("read", "write")),
        ("", ("read",)),
        (None, ("read",)),
        (7, ("read",)),
        (["b", "a"], ("a", "b")),
        ("a\x00b c", ("c",)),
    ],
)
def test_scopes_are_what_was_granted(said: object, scopes: tuple[str, ...]) -> None:
    """The reply may narrow them, or leave them unsaid."""
    assert granted(GOOD | {"scope": said}).access_token.scopes == scopes


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("\u0661", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2033 22:00:00 GMT", MAX_RETRY_AFTER),
        ("Tue, 14 Nov 99999 22:00:00 GMT", None),
        ("x" * 1000, None),
    ],
)
def test_retry_after_has_two_forms_and_a_cap(said: str, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3, and whatever else may stand there."""
    outcome = read(b"", 503, retry_after=said, date=DATE)
    assert isinstance(outcome, Busy)
    assert outcome.retry_after == seconds
    assert retry_after(reply(b"", 503, retry_after=said, date=DATE)) == seconds


def test_the_skew_is_what_the_round_trip_does_not_explain() -> None:
    """None without a Date, 0 within the round trip, else what lies outside of it."""
    assert clock_skew(reply(b"")) is None
    assert clock_skew(reply(b"", date=DATE)) == 0
    assert clock_skew(reply(b"", date="Tue, 14 Nov 2023 22:14:20 GMT")) == 58
    assert clock_skew(reply(b"", date="Tue, 14 Nov 2023 22:12:20 GMT")) == -60


def test_a_refresh_asks_for_a_scope_and_an_audience() -> None:
    """RFC 6749 section 6, at the definition's own address where it has one."""
    login = Registration("cli")
    metadata = Metadata("https://id.example.com/a", "https://id.example.com/token")
    bare = refresh_request(login, metadata, refresh_token=Secret(OLD), key=TokenKey())
    assert bare.url == metadata.token_endpoint
    assert bare.form == {
        "grant_type": "refresh_token",
        "refresh_token": Secret(OLD),
        "client_id": "cli",
    }
    full = refresh_request(
        Registration(
            "cli",
            audience_parameter="resource",
            refresh="https://id.example.com/other",
        ),
        metadata,
        refresh_token=Secret(OLD),
        key=TokenKey(("a", "b"), "https://api.example.com"),
    )
    assert full.url == "https://id.example.com/other"
    assert full.form is not None
    assert (full.form["scope"], full.form["resource"]) == ("a b", "https://api.example.com")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Refused("r"), ProviderError),
        (Ambiguous("r"), ProviderError),
        (Unusable("r"), ProviderError),
        (Misconfigured("r"), ConfigurationError),
        (BadRequest("r"), NotGrantedError),
        (Busy("r", 5.0), TemporarilyUnavailableError),
        (Transient("r"), TemporarilyUnavailableError),
    ],
)
def test_each_failure_is_an_error_for_whoever_waits(
    failure: Failure, error: type[AgentError]
) -> None:
    """With the reason as its detail, and the pause where the provider asks for one."""
    made = failure_error(failure)
    assert type(made) is error
    assert made.detail == "r"
    assert made.retry_after == (5.0 if isinstance(failure, Busy) else None)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ["access_token", "refresh_token", "token_type", "expires_in", "scope", "error", "id_token"]


@given(
    body=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(NAMES), JSON_VALUES).map(
        lambda found: json.dumps(found).encode()
    ),
    status=st.integers(100, 599),
    header=st.text(max_size=40),
)
def test_any_bytes_have_a_meaning(body: bytes, status: int, header: str) -> None:
    """Never an exception; a token has a finite life, and only known codes or statuses refuse."""
    outcome = read_token(
        reply(body, status, retry_after=header, date=header),
        request=REQUEST,
        expiry=Expiry(jwt_claim="exp"),
        fatal_status=(401,),
    )
    if isinstance(outcome, Granted):
        token = outcome.access_token
        assert math.isfinite(token.lifetime)
        assert 0 <= token.lifetime <= MAX_LIFE
        assert token.value.reveal().isprintable()
    elif isinstance(outcome, Refused):
        assert status == 401 or b"invalid_grant" in body
    else:
        assert outcome.reason.isprintable()
