"""What a client gets: an access token, or another credential with where it belongs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tool_agentd.model.instant import Instant
from tool_agentd.secret import Secret


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Which access token of a grant: its scopes and its audience. Empty means as granted."""

    scopes: tuple[str, ...] = ()
    audience: str = ""

    @classmethod
    def of(cls, scope: str | None, audience: str | None) -> "TokenKey":
        """Normalise a space-separated scope, whose order means nothing (RFC 6749 section 3.3)."""
        if not scope and not audience:
            return _AS_GRANTED
        return cls(tuple(sorted(set((scope or "").split()))), audience or "")


_AS_GRANTED = TokenKey()
"""What nearly every request asks for."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A short-lived token; it rests nowhere but in memory."""

    value: Secret
    obtained: Instant
    """When its request was *sent*: the life is counted from there."""
    expires: Instant
    scopes: tuple[str, ...] = ()
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750

    @property
    def lifetime(self) -> float:
        """Its whole life in seconds."""
        return self.obtained.until(self.expires)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client gets: one secret with the header and the variables that it belongs in."""

    value: Secret
    id: str
    """The credential's id in the tool definition."""
    token_type: str
    account: str
    expires_at: float | None = None
    """Wall time; None for what does not expire by itself."""
    headers: Mapping[str, Secret] = field(default_factory=dict)
    env: Mapping[str, Secret] = field(default_factory=dict)
    others: Mapping[str, Secret] = field(default_factory=dict)
    """The person's variables that only count together, this secret's own among them, by name."""
