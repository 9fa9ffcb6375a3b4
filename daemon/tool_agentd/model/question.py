"""What the person is asked before a credential is handed out, and what they may say."""

from dataclasses import dataclass
from enum import StrEnum


class Consent(StrEnum):
    """What the person says to a question."""

    ONCE = "once"
    SESSION = "session"
    """Yes, and for whatever else the same terminal session asks of the account."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a credential may be handed out. Every text is fit to be shown, and bounded."""

    tool: str
    title: str
    account: str
    scope: str
    """Empty: what the login has."""
    audience: str
    program: str
    """Who asks: a path in quotes, or words where it cannot be told."""
    where: str
    """Its process and its terminal, in words."""
    through: str
    """The command of ours by which it asks; empty where it asks by itself."""
    rule: str
    session: bool
    """Whether "for this session" may be answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the person says, and by what they said it."""

    consent: Consent
    by: str
    """In words, for the audit trail: a process and its terminal, a program, a dialog."""
