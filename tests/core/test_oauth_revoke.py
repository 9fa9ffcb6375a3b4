"""Revocation: which requests end which token, and whether it is dead (RFC 7009)."""

import json
from typing import Any

import pytest

from tool_agentd.definition.table import Request
from tool_agentd.definition.vocabulary import Logout
from tool_agentd.model import HttpReply, Instant
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.revoke import (
    RevocationRefused,
    Revoked,
    StillAlive,
    read_revocation,
    revocations,
    session_revocations,
)
from tool_agentd.secret import Secret

NOW = Instant(1.0, 1.0)
BARE = Metadata("https://a.example/a", "https://a.example/t")
METADATA = Metadata(
    "https://a.example/a", "https://a.example/t", revocation_endpoint="https://a.example/revoke"
)
REFRESH, FIRST, SECOND = Secret("refresh"), Secret("first"), Secret("second")


def test_the_refresh_token_is_revoked_first() -> None:
    """An interruption then leaves only tokens that end by themselves."""
    made = revocations(METADATA, "cli", refresh_token=REFRESH, access_tokens=[FIRST, SECOND])
    assert [revocation.kind for revocation in made] == [
        "refresh_token",
        "access_token",
        "access_token",
    ]
    assert made[0].request.url == "https://a.example/revoke"
    assert made[0].request.form == {
        "token": REFRESH,
        "token_type_hint": "refresh_token",
        "client_id": "cli",
    }
    assert [r.request.form["token"] for r in made[1:] if r.request.form] == [FIRST, SECOND]


def test_without_an_endpoint_there_is_nothing_to_ask() -> None:
    """Neither discovered nor defined."""
    assert revocations(BARE, "cli", refresh_token=REFRESH) == []
    assert revocations(METADATA, "cli", refresh_token=None) == []


def test_the_definitions_own_requests_come_before_the_discovered_endpoint() -> None:
    """Filled once per token that they are about, the refresh token's first whatever the order."""
    logout = Logout(
        revoke=[
            Request(post="https://a.example/x", form={"token": "{access_token}"}),
            Request(
                delete="https://a.example/y",
                headers={"Authorization": "Bearer {access_token}"},
                json={"t": "{refresh_token}"},
            ),
        ]
    )
    made = revocations(
        METADATA, "cli", refresh_token=REFRESH, access_tokens=[FIRST, SECOND], logout=logout
    )
    assert [(r.kind, r.request.method) for r in made] == [
        ("refresh_token", "DELETE"),
        ("access_token", "POST"),
        ("access_token", "POST"),
    ]
    assert made[0].request.json == {"t": REFRESH}
    assert made[0].request.headers == {"Authorization": Secret("Bearer first")}
    assert [r.request.form for r in made[1:]] == [{"token": FIRST}, {"token": SECOND}]
    without = revocations(METADATA, "cli", refresh_token=REFRESH, logout=logout)
    assert without == []


def test_a_platform_session_is_ended_by_the_definitions_own_requests() -> None:
    """`{secret}` is the session; a request that needs a refresh token is about another login."""
    logout = Logout(
        revoke=[
            Request(post="https://a.example/out", headers={"Cookie": "{secret}"}),
            Request(post="https://a.example/x", form={"token": "{refresh_token}"}),
        ]
    )
    [made] = session_revocations(Secret("sid=1"), logout)
    assert made.kind == "session"
    assert made.request.headers == {"Cookie": Secret("sid=1")}
    assert session_revocations(Secret("sid=1"), Logout()) == []


def test_a_request_that_names_no_token_is_sent_once() -> None:
    """Such a route ends the session of whoever calls it."""
    logout = Logout(revoke=[Request(post="https://a.example/sign-out")])
    made = revocations(METADATA, "cli", refresh_token=REFRESH, access_tokens=[FIRST], logout=logout)
    assert [r.request.url for r in made] == ["https://a.example/sign-out"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", Revoked),
        (204, b"", Revoked),
        (200, b"<html>", Revoked),
        (400, {"error": "invalid_token"}, Revoked),
        (400, {"error": "unsupported_token_type"}, RevocationRefused),
        (401, {"error": "invalid_client"}, RevocationRefused),
        (404, b"", RevocationRefused),
        (302, b"", StillAlive),
        (408, b"", StillAlive),
        (429, b"", StillAlive),
        (500, b"", StillAlive),
        (503, {"error": "temporarily_unavailable"}, StillAlive),
    ],
)
def test_every_answer_has_a_meaning(status: int, body: Any, kind: type) -> None:  # noqa: ANN401 - bytes or JSON
    """200 for an unknown token is success; 503 means still alive (sections 2.2, 2.2.1)."""
    [made] = revocations(METADATA, "cli", refresh_token=REFRESH)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = HttpReply(status, {"retry-after": "30"}, data, NOW, NOW)
    outcome = read_revocation(reply, request=made.request)
    assert type(outcome) is kind
    if isinstance(outcome, StillAlive):
        assert outcome.retry_after == 30
    if not isinstance(outcome, Revoked):
        assert outcome.reason.startswith("a.example")
