"""Revocation (RFC 7009): the request for a token, and whether it is dead afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tool_agentd.definition.table import Request
from tool_agentd.definition.template import fill_request, placeholders_of
from tool_agentd.definition.vocabulary import Logout
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.oauth.json_object import read_object, text_at
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.reply_clock import retry_after
from tool_agentd.oauth.wording import complaint
from tool_agentd.secret import Secret

TokenKind = Literal["refresh_token", "access_token", "session"]

_GONE = frozenset({"invalid_token", "invalid_grant"})
"""Errors with which some providers answer, against section 2.2, for a token that they no longer
know. Such a token is as dead as we want it."""
_LATER = frozenset({408, 425, 429})
"""Statuses below 500 that ask to come again (RFC 9110 section 15.5.9, RFC 8470, RFC 6585)."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One request, and the kind of token that it ends."""

    kind: TokenKind
    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Revoked:
    """The provider no longer accepts the token."""


@dataclass(frozen=True, slots=True)
class StillAlive:
    """Nothing is known yet: ask again, after `retry_after` seconds where the provider says so."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class RevocationRefused:
    """The provider will not revoke it; asking again changes nothing."""

    reason: str


RevocationOutcome = Revoked | StillAlive | RevocationRefused


def revocations(
    metadata: Metadata,
    client_id: str,
    *,
    refresh_token: Secret | None,
    access_tokens: Sequence[Secret] = (),
    logout: Logout | None = None,
) -> list[Revocation]:
    """Return the requests that end these tokens: the refresh token's first.

    In this order an interruption leaves access tokens, which end by themselves. The definition's
    own requests (`logout.revoke`) come before the discovered endpoint; one that names no token is
    sent once. Empty where the provider offers neither.
    """
    tokens: list[tuple[TokenKind, Secret]] = [("access_token", token) for token in access_tokens]
    if refresh_token is not None:
        tokens.insert(0, ("refresh_token", refresh_token))
    if logout is not None and logout.revoke:
        return _by_definition(logout.revoke, tokens)
    endpoint = metadata.revocation_endpoint
    if endpoint is None:
        return []
    return [Revocation(kind, _standard(endpoint, client_id, kind, token)) for kind, token in tokens]


def session_revocations(session: Secret, logout: Logout) -> list[Revocation]:
    """Return the definition's requests that end a platform session (a cookie).

    Such a session is `{secret}`; what needs a refresh token is about another kind of login.
    """
    values: dict[str, str | Secret] = {"secret": session, "access_token": session}
    return [
        Revocation("session", fill_request(template, values))
        for template in logout.revoke
        if placeholders_of(template) <= values.keys()
    ]


def _standard(endpoint: str, client_id: str, kind: TokenKind, token: Secret) -> HttpRequest:
    return HttpRequest(
        "POST",
        endpoint,
        headers={"Accept": "application/json"},
        form={"token": token, "token_type_hint": kind, "client_id": client_id},
    )


def _by_definition(
    templates: Sequence[Request], tokens: Sequence[tuple[TokenKind, Secret]]
) -> list[Revocation]:
    """Fill each template once for every token that it is about."""
    made: list[Revocation] = []
    for template in templates:
        names = placeholders_of(template)
        about: TokenKind = "access_token"
        if "refresh_token" in names or not names & {"access_token", "secret"}:
            about = "refresh_token"
        for kind, token in tokens:
            if kind == about:
                # A template about the refresh token may also need an access token, to be let in.
                values: dict[str, str | Secret] = {**dict(reversed(tokens)), kind: token}
                if "access_token" in values:
                    values["secret"] = values["access_token"]
                if names <= values.keys():
                    made.append(Revocation(kind, fill_request(template, values)))
    return sorted(made, key=lambda revocation: revocation.kind != "refresh_token")


def read_revocation(reply: HttpReply, *, request: HttpRequest) -> RevocationOutcome:
    """Read the answer (sections 2.2 and 2.2.1): a 200 for an unknown token is success too."""
    if 200 <= reply.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
        return Revoked()
    reason = complaint(request, reply)
    if text_at(read_object(reply.body), "error") in _GONE:
        return Revoked()
    # A redirect is not followed, and a captive portal answers with one: nothing is known.
    if 400 <= reply.status < 500 and reply.status not in _LATER:  # noqa: PLR2004 - RFC 9110
        return RevocationRefused(reason)
    return StillAlive(reason, retry_after(reply))
