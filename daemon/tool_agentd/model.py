"""The frozen nouns (docs/nouns.md): values that every room above passes around.

Times are seconds. `wall` is the Unix time, `boot` a clock that never jumps and counts sleep; an
`Instant` carries both, because a token is expired when either says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec

from tool_agentd.secret import Secret


class Instant(msgspec.Struct, frozen=True, gc=False):
    """A moment on both clocks, in seconds. A Struct, because every request makes one."""

    wall: float
    boot: float

    def plus(self, seconds: float) -> "Instant":
        """Return the moment `seconds` later."""
        return Instant(self.wall + seconds, self.boot + seconds)

    def until(self, later: "Instant") -> float:
        """Return the seconds left until `later`: the lesser of what the two clocks say."""
        return min(later.wall - self.wall, later.boot - self.boot)


@dataclass(frozen=True, slots=True)
class Requester:
    """For whom a command of ours asks: the process that started it, and where that one runs."""

    pid: int
    executable: str
    """Empty where it cannot be told."""
    session: int = 0
    """The leader of its terminal session; 0 for none."""
    session_started: int = 0
    """In clock ticks since boot: a session's number alone comes again (proc_pid_stat(5))."""
    terminal: str = ""
    """`pts/3`; empty without one."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a scoped socket serves, and to whom: access tokens of one tool, and nothing else."""

    socket: str
    """Its name, as `tool-agent socket list` has it."""
    tool: str
    account: str
    scope: str = ""
    """The most that may be asked for; empty: what the login has."""
    ends: Instant | None = None
    """None: until it is revoked."""
    foreign: bool = False
    """Whether peers in other namespaces are served too."""


class ScopedSocket(msgspec.Struct, frozen=True):
    """A second socket of the agent's, as its person has made it, and as it is recorded."""

    name: str
    agent: str
    """The path of the agent's own socket: another agent leaves it alone."""
    path: str
    tool: str
    account: str
    scope: str
    created_at: float
    """Wall time."""
    ends_at: float | None
    """Wall time; None: until it is revoked."""
    uid: int | None
    """Who is admitted; None: the agent's own user."""
    foreign: bool
    own_folder: bool
    """Whether its folder was made for it, and goes with it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of the socket, as it was when it connected."""

    uid: int
    gid: int
    pid: int
    executable: str = ""
    """A label and no proof; empty where it cannot be read or its file is gone."""
    requester: Requester | None = None
    """Whom it asks for, where it is a command of ours."""
    foreign: tuple[str, ...] = ()
    """The kinds of namespace in which it is not where the agent is: `user`, `pid`, `mount`; or
    `unknown`, where that cannot be told."""
    rights: Rights | None = None
    """Of the scoped socket that it came by; None: the agent's own, and everything."""


NOBODY = Peer(uid=-1, gid=-1, pid=-1)
"""Who asks where no process does: the agent itself. -1 is no user's number (chown(2))."""


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


@dataclass(frozen=True, slots=True)
class Verifier:
    """Recognises the passphrase of a lock (scrypt, RFC 7914), and does not hold it."""

    salt: bytes = field(repr=False)
    cost: int
    """scrypt's N."""
    check: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredLock:
    """What the store keeps of the agent's lock."""

    verifier: Verifier
    locked: bool
    keep: bool
    """Whether the verifier stays beyond the unlock, for a lock that nobody types."""
    failures: int = 0
    """Wrong passphrases in a row."""


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


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a provider. Secret leaves are revealed by the adapter that sends it."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    form: Mapping[str, str | Secret] | None = None
    json: Any = None
    """Any JSON value; leaves may be Secret. None sends no JSON body."""

    def with_headers(self, headers: Mapping[str, str | Secret]) -> "HttpRequest":
        """Return it with these headers besides, its own winning."""
        own = {name.lower() for name in self.headers}
        added = {name: text for name, text in headers.items() if name.lower() not in own}
        return replace(self, headers={**added, **self.headers})


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A provider's whole answer, its body capped. The body may hold secrets and is not printed."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of repeated ones the first."""
    body: bytes = field(repr=False)
    sent: Instant
    """When the request was sent."""
    received: Instant
    cookies: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    """What Set-Cookie set, by name."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows after a login came back."""

    title: str
    text: str
    ok: bool
    goes_on: str = ""
    """An address that the browser goes to after a few seconds; the login then still waits."""
