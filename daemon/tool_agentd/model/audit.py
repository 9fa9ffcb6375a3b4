"""What is written of everyone who asks: one line of the audit trail."""

from enum import StrEnum

import msgspec

from tool_agentd.model.peer import Peer


class AuditEvent(StrEnum):
    """What the audit trail tells. One line each (promise 25)."""

    GRANT = "grant"
    """A credential was handed out."""
    USE = "use"
    """The agent used one for the peer, at the tool's platform, and handed none out."""
    DENIAL = "denial"
    """The peer got nothing: policy, the lock, a socket's rights, or the person said no."""
    APPROVAL = "approval"
    """The person said yes; `detail` says for how long."""
    GONE = "gone"
    """The peer had ended, or was another program, when its answer was ready."""
    LOGIN = "login"
    LOGOUT = "logout"
    REFRESH = "refresh"
    """A refresh token was presented; `outcome` says what came of it."""
    END = "end"
    """A session ended, and nobody asked for that."""
    REVOCATION = "revocation"
    LOCK = "lock"
    UNLOCK = "unlock"
    SOCKET = "socket"
    """A scoped socket was made or taken away."""
    AGENT = "agent"
    """The agent started or stopped."""


class AuditLine(msgspec.Struct, frozen=True, gc=False):
    """One line of the audit trail. No secret is in it. A Struct, because every token makes one."""

    at: float
    """Wall time."""
    event: AuditEvent
    outcome: str
    """`ok`, or what came of it in one word: `denied`, `refused`, `failed` ..."""
    peer: Peer
    """NOBODY: the agent itself."""
    tool: str = ""
    """The tool asked for; or the provider, where the event is about its account."""
    account: str = ""
    """The label."""
    scope: str = ""
    audience: str = ""
    detail: str = ""
    """The rule or the reason, in words."""
    fingerprint: str = ""
    """Of the secret that it is about, where one is to be told from another."""
    provider: str = ""
    """Whose account it is, where it is about one."""


PLAIN_EVENTS = frozenset({AuditEvent.GRANT, AuditEvent.USE, AuditEvent.GONE, AuditEvent.AGENT})
"""What no answer waits for: these lines are written within 100 ms. Every other line is written
before the answer that it is about."""
