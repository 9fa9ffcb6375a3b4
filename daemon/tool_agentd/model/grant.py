"""What lasts of a login: the account, its grant, and what the grant may still be used for."""

from dataclasses import dataclass
from enum import StrEnum

from tool_agentd.secret import Secret


@dataclass(frozen=True, slots=True, order=True)
class AccountKey:
    """One identity at a provider: the provider's name and the account's label."""

    provider: str
    label: str

    def __str__(self) -> str:
        """Return `provider/label`, as keychain items and messages name it."""
        return f"{self.provider}/{self.label}"


DEFAULT_ACCOUNT = "default"
"""The label of a provider's only account, until the person names another."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says the account is; empty where it does not say."""

    name: str = ""
    """What the person recognises: an email address or a display name."""
    subject: str = ""
    """The provider's own stable identifier (`sub`)."""


class GrantKind(StrEnum):
    """What the secret of a grant is."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a kind's name
    API_KEY = "api_key"
    SESSION = "session"
    """A platform session (a cookie): served as it is, not renewed, ended by its platform."""


class Standing(StrEnum):
    """What a stored grant may still be used for."""

    CURRENT = "current"
    REVOKE_ONLY = "revoke_only"
    """Logged out; kept only until the provider has confirmed its revocation."""
    ENDED = "ended"
    """A tombstone: the secret is erased, the reason is kept for whoever asks."""


@dataclass(frozen=True, slots=True)
class End:
    """Why and when (wall time) a session ended without its person."""

    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What lasts of a login, without its secret, which rests in a box.

    `generation` counts the secrets of one account: each rotation, and each new login, is the next.
    """

    key: AccountKey
    kind: GrantKind
    method: str
    """The login method that obtained it, as the definition names it: `browser`, `api-key`."""
    credential: str
    """The id of the credential in the tool definition that it serves: `session`, `key`."""
    origins: tuple[str, ...]
    """Where this secret may be sent; fixed when it was issued."""
    obtained_at: float
    """Wall time of the login (not of the last rotation)."""
    scopes: tuple[str, ...] = ()
    identity: Identity = Identity()
    ends_at: float | None = None
    """Wall time at which the session ends whatever happens."""
    ends_because: str = ""
    """What the person is told then; empty where they set that end themselves (`--lifetime`)."""
    ephemeral: bool = False
    """Nothing of it rests in the store, and nothing is left of it when it ends."""
    confirm: bool = False
    """The person is asked each time before a credential of it is handed out (ssh-add's -c)."""
    kept: tuple[tuple[str, str], ...] = ()
    """Plain values of the login that its definition keeps, by name: for whoami and for files."""
    generation: int = 0
    """0 until the store has written it; below 0 where only memory has it (ephemeral logins)."""
    standing: Standing = Standing.CURRENT
    ended: End | None = None
    """Set on a tombstone."""

    @property
    def renewable(self) -> bool:
        """Whether a new access token can be had with its secret.

        An OAuth login without a refresh token has none: it is never written (generation 0).
        """
        return self.kind is GrantKind.REFRESH_TOKEN and self.generation != 0


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant together with its secret, freshly taken from the box."""

    grant: Grant
    secret: Secret
