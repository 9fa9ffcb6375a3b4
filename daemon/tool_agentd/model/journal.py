"""What is written of an account: the journal of what was attempted and what came of it."""

from dataclasses import dataclass
from enum import StrEnum

from tool_agentd.model.grant import AccountKey


class JournalEvent(StrEnum):
    """What the journal tells of an account. Nothing else is ever written there."""

    LOGIN = "login"
    LOGOUT = "logout"
    INTENT = "intent"
    """A refresh token is about to be presented; what comes of it follows."""
    REPLAYED = "replayed"
    """The same, once more, because the first time nobody lived to hear the answer."""
    ROTATED = "rotated"
    """The provider gave a new refresh token for the old one."""
    RENEWED = "renewed"
    """The provider gave an access token, and the refresh token stays as it is."""
    PERSISTED = "persisted"
    """The new refresh token is in the store."""
    ADOPTED = "adopted"
    """The new refresh token of an interrupted renewal was found in its box, and is used."""
    UNSAVED = "unsaved"
    """The new refresh token could not be stored, and is in memory only."""
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    """A no without a readable reason."""
    FAILED = "failed"
    """It came to nothing, and the provider may have seen the token: 5xx, a timeout, a reset."""
    UNSENT = "unsent"
    """It came to nothing, and surely nothing was presented: no connection was made."""
    ENDED = "ended"
    """The session is over, and nobody asked for that."""
    REVOKED = "revoked"
    LATE = "late"
    """A rotation that came after its session's end."""


AGENT_ITSELF = "agent"
"""Who asked, where nobody did: the agent renews, ends and revokes by itself too."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of an account's history. No secret is in it: fingerprints only."""

    at: float
    """Wall time."""
    key: AccountKey
    event: JournalEvent
    generation: int = 0
    fingerprint: str = ""
    """Of the refresh token, key or session that it is about; empty where it is about none."""
    attempt: int = 0
    """Of a presentation and its result: which one of this token's it is, from 1."""
    detail: str = ""
    by: str = AGENT_ITSELF
    here: bool = True
    """Whether its writer held the same lease file that this store has: set by the store."""
