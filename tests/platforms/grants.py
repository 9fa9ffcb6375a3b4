"""CRE's grants: authorization codes, and families of refresh tokens that rotate without grace."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from .accounts import Person
from .world import Desk


class GrantError(Exception):
    """An error of RFC 6749 section 5.2, with its description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Asked:
    """What an authorization request asked for, once it has been checked."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    scope: tuple[str, ...]
    audience: str


@dataclass
class Family:
    """All tokens that come from one login. When it ends, they all do."""

    id: str
    client_id: str
    person: Person
    scope: tuple[str, ...]
    audience: str
    authenticated_at: float
    ended: str = ""
    """Why, or empty while it lives."""


@dataclass
class Code:
    """An authorization code: single use (RFC 6749 section 4.1.2)."""

    asked: Asked
    person: Person
    authenticated_at: float
    expires_at: float
    family: Family | None = None
    """Set once the code was used."""


@dataclass
class RefreshToken:
    """One refresh token of a family; `rotated` once it was exchanged for the next."""

    family: Family
    expires_at: float
    rotated: bool = False


@dataclass
class Grants:
    """Everything CRE has handed out."""

    desk: Desk
    codes: dict[str, Code] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    denied_ids: set[str] = field(default_factory=set)
    """The `jti` of access tokens that were revoked one by one."""

    def new_code(self, asked: Asked, person: Person, authenticated_at: float) -> str:
        """A code for a consent that was just given."""
        value = secrets.token_urlsafe(32)
        expires_at = self.desk.now() + self.desk.faults.number("code_ttl")
        self.codes[value] = Code(asked, person, authenticated_at, expires_at)
        return value

    def redeem(
        self, value: str, *, client_id: str, redirect_uri: str, verifier: str
    ) -> tuple[Family, Code]:
        """Exchange a code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).

        Raises:
            GrantError: `invalid_grant`, for every way in which it does not fit.
        """
        code = self.codes.get(value)
        if code is None:
            raise GrantError("invalid_grant", "unknown authorization code")
        if code.family is not None:
            self.desk.count("code_replays")
            self.end(code.family, "an authorization code was used twice")
            raise GrantError("invalid_grant", "the authorization code was already used")
        if code.expires_at < self.desk.now():
            raise GrantError("invalid_grant", "the authorization code has expired")
        if (client_id, redirect_uri) != (code.asked.client_id, code.asked.redirect_uri):
            raise GrantError("invalid_grant", "issued to another client or redirect_uri")
        if not secrets.compare_digest(_challenge(verifier), code.asked.challenge):
            raise GrantError("invalid_grant", "the code_verifier does not match")
        code.family = Family(
            id=secrets.token_hex(12),
            client_id=client_id,
            person=code.person,
            scope=code.asked.scope,
            audience=code.asked.audience,
            authenticated_at=code.authenticated_at,
        )
        self.families[code.family.id] = code.family
        return code.family, code

    def new_refresh_token(self, family: Family) -> str:
        """The next refresh token of a family."""
        value = f"rt_{secrets.token_urlsafe(36)}"
        expires_at = self.desk.now() + self.desk.faults.number("refresh_token_ttl")
        self.refresh_tokens[value] = RefreshToken(family, expires_at)
        return value

    def present(self, value: str, *, client_id: str) -> RefreshToken:
        """Check a refresh token that a client presents; it is not rotated yet.

        A token that was rotated before is a replay: it is counted, and ends the family
        (RFC 9700 section 4.14.2).

        Raises:
            GrantError: `invalid_grant`.
        """
        token = self.refresh_tokens.get(value)
        if token is None:
            raise GrantError("invalid_grant", "unknown refresh token")
        if token.family.client_id != client_id:
            raise GrantError("invalid_grant", "issued to another client")
        if token.rotated:
            self.desk.count("replays")
            self.end(token.family, "a refresh token was used twice")
            raise GrantError("invalid_grant", "the refresh token was already used")
        if token.family.ended:
            raise GrantError("invalid_grant", f"this session has ended: {token.family.ended}")
        if token.expires_at < self.desk.now():
            raise GrantError("invalid_grant", "the refresh token has expired")
        return token

    @staticmethod
    def end(family: Family, reason: str) -> None:
        """End a family; the first reason stays."""
        family.ended = family.ended or reason

    def living(self) -> dict[str, int]:
        """How many refresh tokens could still be used, and how many families live."""
        now = self.desk.now()
        tokens = sum(
            not token.rotated and not token.family.ended and token.expires_at >= now
            for token in self.refresh_tokens.values()
        )
        return {
            "refresh_tokens": tokens,
            "sessions": sum(not family.ended for family in self.families.values()),
        }


def _challenge(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
