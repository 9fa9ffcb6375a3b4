"""The frozen nouns (docs/nouns.md): values that every room above passes around."""

from tool_agentd.model.audit import PLAIN_EVENTS, AuditEvent, AuditLine
from tool_agentd.model.credential import AccessToken, Credential, TokenKey
from tool_agentd.model.grant import (
    DEFAULT_ACCOUNT,
    AccountKey,
    End,
    Grant,
    GrantKind,
    HeldGrant,
    Identity,
    Standing,
)
from tool_agentd.model.instant import Instant
from tool_agentd.model.journal import AGENT_ITSELF, JournalEntry, JournalEvent
from tool_agentd.model.lock import StoredLock, Verifier
from tool_agentd.model.peer import NOBODY, Peer, Requester, Rights, ScopedSocket
from tool_agentd.model.question import Consent, Question, Reply
from tool_agentd.model.web import HttpReply, HttpRequest, Page

__all__ = [
    "AGENT_ITSELF",
    "DEFAULT_ACCOUNT",
    "NOBODY",
    "PLAIN_EVENTS",
    "AccessToken",
    "AccountKey",
    "AuditEvent",
    "AuditLine",
    "Consent",
    "Credential",
    "End",
    "Grant",
    "GrantKind",
    "HeldGrant",
    "HttpReply",
    "HttpRequest",
    "Identity",
    "Instant",
    "JournalEntry",
    "JournalEvent",
    "Page",
    "Peer",
    "Question",
    "Reply",
    "Requester",
    "Rights",
    "ScopedSocket",
    "Standing",
    "StoredLock",
    "TokenKey",
    "Verifier",
]
