"""The device flow's pure part (RFC 8628): requests, answers, and the pace of polling."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.definition.flows import Device
from tool_agentd.definition.table import Errors
from tool_agentd.errors import (
    AgentError,
    CancelledError,
    ConfigurationError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, HttpRequest, Instant
from tool_agentd.oauth import device
from tool_agentd.oauth.code import challenge
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.token import Ambiguous, Busy, Transient
from tool_agentd.secret import Secret

NOW = Instant(1.0, 1.0)
METADATA = Metadata(
    token_endpoint="https://id.example/token",  # noqa: S106 - an address
    device_endpoint="https://id.example/device",
)
LOGIN = Device(client_id="cli")
GOOD = {
    "device_code": "the-device-code",
    "user_code": "BCDF-GHJK",
    "verification_uri": "https://id.example/activate",
    "expires_in": 600,
}
REQUEST = HttpRequest("POST", "https://id.example/device", form={"client_id": "cli"})


def reply(body: Any, status: int = 200) -> HttpReply:  # noqa: ANN401 - bytes or JSON
    """Return a reply."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpReply(status, {}, data, NOW, NOW)


def read(body: Any, status: int = 200) -> device.PendingDevice:  # noqa: ANN401 - bytes or JSON
    """Read an authorization."""
    return device.read_authorization(
        reply(body, status), request=REQUEST, scopes=(), verifier=None, errors=Errors()
    )


def poll(body: Any, status: int, login: Device = LOGIN) -> device.Poll:  # noqa: ANN401 - any JSON value
    """Read a poll."""
    errors = Errors(code=("error.code",), text=("error.detail",))
    return device.read_poll(
        reply(body, status), Ambiguous("no"), request=REQUEST, login=login, errors=errors
    )


def test_the_requests_carry_what_the_rfc_asks_for() -> None:
    """Sections 3.1 and 3.4; with PKCE the challenge goes first and the verifier with each poll."""
    login = Device(client_id="cli", pkce="S256", audience="api", audience_parameter="resource")
    verifier = Secret("v" * 43)
    asked = device.authorization_request(login, METADATA, scopes=("a", "b"), verifier=verifier)
    assert asked.url == "https://id.example/device"
    assert asked.form == {
        "client_id": "cli",
        "scope": "a b",
        "resource": "api",
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    pending = device.read_authorization(
        reply(GOOD), request=asked, scopes=("a", "b"), verifier=verifier, errors=Errors()
    )
    polled = device.poll_request(pending, login, METADATA)
    assert polled.url == "https://id.example/token"
    assert polled.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": Secret("the-device-code"),
        "client_id": "cli",
        "code_verifier": verifier,
    }


def test_without_pkce_and_scopes_nothing_more_is_sent() -> None:
    """Most providers of this flow know neither."""
    assert device.verifier_for(LOGIN, bytes) is None
    asked = device.authorization_request(LOGIN, METADATA, scopes=(), verifier=None)
    assert asked.form == {"client_id": "cli"}
    polled = device.poll_request(read(GOOD), LOGIN, METADATA)
    assert "code_verifier" not in (polled.form or {})


def test_the_address_with_the_code_in_it_is_preferred() -> None:
    """Section 3.3.1; the code is shown all the same, to be compared."""
    complete = read({**GOOD, "verification_uri_complete": "https://id.example/activate?c=BCDF"})
    assert complete.url == "https://id.example/activate?c=BCDF"
    assert complete.user_code == "BCDF-GHJK"
    assert read(GOOD).url == "https://id.example/activate"


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [(None, 5.0), (1, 1.0), ("7", 7.0), (0, 1.0), (-3, 5.0), (1e9, 60.0), (True, 5.0)],
)
def test_the_interval_is_five_seconds_unless_the_provider_says(
    interval: object, seconds: float
) -> None:
    """A wrong one neither hammers the provider nor sleeps for ever."""
    assert read({**GOOD, "interval": interval}).interval == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"device_code": None},
        {"user_code": ""},
        {"verification_uri": None},
        {"verification_uri": "file:///etc/passwd"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://id.example/activate"},
    ],
)
def test_an_answer_that_cannot_be_used_is_refused(change: dict[str, object]) -> None:
    """A browser is sent to a page of the web and to nothing else."""
    with pytest.raises(ProviderError):
        read({**GOOD, **change})


def test_a_refused_authorization_says_why() -> None:
    """What can be tried again is told apart from what cannot."""
    with pytest.raises(TemporarilyUnavailableError):
        read(b"", 503)
    with pytest.raises(ConfigurationError, match="unknown client"):
        read({"error": "invalid_client", "error_description": "unknown client"}, 401)
    with pytest.raises(ProviderError, match="invalid_scope"):
        read({"error": "invalid_scope"}, 400)


def test_the_codes_of_a_poll() -> None:
    """RFC 8628 section 3.5, and a platform's own codes at its own paths."""
    assert poll({"error": "authorization_pending"}, 400) == device.Waits()
    assert poll({"error": "slow_down"}, 400) == device.SlowDown()
    own = Device(client_id="c", pending=("auth_pending",), slow_down=("rate_limited",))
    assert poll({"ok": False, "error": {"code": "auth_pending"}}, 400, own) == device.Waits()
    assert poll({"ok": False, "error": {"code": "rate_limited"}}, 429, own) == device.SlowDown()
    # A standard code is none where the platform has its own.
    assert isinstance(poll({"error": "slow_down"}, 400, own), device.Ended)


def test_the_ends_of_a_poll() -> None:
    """The person said no, nobody came, or the provider knows nothing of it."""
    declined = poll({"error": {"code": "access_denied", "detail": "no thanks"}}, 403)
    assert isinstance(declined, device.Ended)
    assert isinstance(declined.error, CancelledError)
    assert "no thanks" in declined.error.detail
    late = poll({"error": "expired_token"}, 400)
    assert isinstance(late, device.Ended)
    assert "expired" in late.error.detail
    other = poll({"error": "invalid_grant"}, 400)
    assert isinstance(other, device.Ended)
    assert isinstance(other.error, ProviderError)


@pytest.mark.parametrize("failure", [Transient("down"), Busy("busy")])
def test_a_provider_that_cannot_answer_is_asked_again(failure: Transient | Busy) -> None:
    """Section 3.5: a timeout is no answer."""
    with pytest.raises(TemporarilyUnavailableError):
        device.read_poll(reply(b"", 502), failure, request=REQUEST, login=LOGIN, errors=Errors())


def test_the_pace() -> None:
    """`slow_down` adds five seconds for good; failures double the wait until an answer comes."""
    pace = device.Pace(5.0)
    assert pace.slower().slower().wait == 15.0
    assert pace.slower().answered().wait == 10.0
    failed = pace.failed().failed()
    assert failed.wait == 20.0
    assert failed.failed().failed().failed().wait == 60.0
    assert failed.answered().wait == 5.0
    assert failed.slower().wait == 10.0


@given(st.binary(max_size=100), st.integers(100, 599))
def test_any_bytes_give_an_error_of_ours(body: bytes, status: int) -> None:
    """Whatever a server answers."""
    with pytest.raises(AgentError):
        read(body, status)
