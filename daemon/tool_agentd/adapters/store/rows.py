"""A row of grants.db: what is stored of a grant, and how damage to it is noticed.

Everything here is pure. A row carries a digest under the database's salt: it finds a flipped bit
or a hand-edited field, and takes nobody else's row with it.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace

import msgspec

from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import AccountKey, End, Grant, GrantKind, Identity, Standing
from tool_agentd.secret import Secret

KEYCHAIN = "keychain"
VAULT = "vault"
UNREADABLE = "unreadable"
"""The login method of a grant whose row is damaged: it can be listed and erased, nothing else."""

FINGERPRINT_BYTES = 8
"""Enough to tell two secrets of one account apart, too little to be worth a search backwards."""
DIGEST_BYTES = 16


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a Grant that are no column of their own, as JSON in `facts`."""

    kind: GrantKind
    method: str
    credential: str
    origins: tuple[str, ...]
    obtained_at: float
    scopes: tuple[str, ...] = ()
    name: str = ""
    subject: str = ""
    ends_at: float | None = None
    ends_because: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    confirm: bool = False
    ended_reason: str = ""
    ended_at: float = 0.0
    """Of a tombstone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table `grants`, as it is stored."""

    provider: str
    label: str
    generation: int
    standing: str
    box: str
    """`keychain` or `vault`: the kind under which it was written; empty for a tombstone."""
    place: str
    """Which keychain holds the item: `secret-service`, `kwallet`, `macos`; else empty."""
    facts: bytes
    fingerprint: bytes
    sealed: bytes | None = None
    """Only in a vault: nonce, ciphertext and tag."""
    digest: bytes = b""

    @property
    def key(self) -> AccountKey:
        """The account."""
        return AccountKey(self.provider, self.label)

    @property
    def name(self) -> str:
        """The name of its keychain item, and of the row in messages: `cre/default#3`."""
        return f"{self.provider}/{self.label}#{self.generation}"


def facts_of(grant: Grant) -> bytes:
    """Encode what `grant_of` needs to give the grant back."""
    return msgspec.json.encode(
        Facts(
            kind=grant.kind,
            method=grant.method,
            credential=grant.credential,
            origins=grant.origins,
            obtained_at=grant.obtained_at,
            scopes=grant.scopes,
            name=grant.identity.name,
            subject=grant.identity.subject,
            ends_at=grant.ends_at,
            ends_because=grant.ends_because,
            kept=grant.kept,
            confirm=grant.confirm,
            ended_reason=grant.ended.reason if grant.ended else "",
            ended_at=grant.ended.at if grant.ended else 0.0,
        )
    )


_decoder = msgspec.json.Decoder(Facts)


def grant_of(row: Row, salt: bytes) -> Grant | None:
    """Return the stored grant; None where the row is damaged."""
    if not hmac.compare_digest(row.digest, digest(row, salt)):
        return None
    try:
        facts = _decoder.decode(row.facts)
        standing = Standing(row.standing)
    except (msgspec.DecodeError, ValueError):
        return None
    return Grant(
        key=row.key,
        kind=facts.kind,
        method=facts.method,
        credential=facts.credential,
        origins=facts.origins,
        obtained_at=facts.obtained_at,
        scopes=facts.scopes,
        identity=Identity(facts.name, facts.subject),
        ends_at=facts.ends_at,
        ends_because=facts.ends_because,
        kept=facts.kept,
        confirm=facts.confirm,
        generation=row.generation,
        standing=standing,
        ended=End(facts.ended_reason, facts.ended_at) if standing is Standing.ENDED else None,
    )


def same_login(row: Row, grant: Grant) -> bool:
    """Tell whether the grant is the row's own, so that only the secret can be another: a rotation.

    A login has another moment at the least, and differs in its facts.
    """
    return row.standing == Standing.CURRENT and row.facts == facts_of(replace(grant, ended=None))


def tombstone_of(row: Row, grant: Grant, end: End, salt: bytes) -> Row:
    """Return the row without its secret: what was there, and why it ended."""
    ended = replace(grant, standing=Standing.ENDED, ended=end)
    tombstone = replace(
        row, standing=Standing.ENDED.value, box="", place="", facts=facts_of(ended), sealed=None
    )
    return signed(tombstone, salt)


def remnant_of(row: Row) -> Grant:
    """Return what can be said of a damaged row: enough to show and erase it, and no origin."""
    revoke_only = row.standing == Standing.REVOKE_ONLY
    return Grant(
        key=row.key,
        kind=GrantKind.API_KEY,
        method=UNREADABLE,
        credential="",
        origins=(),
        obtained_at=0.0,
        generation=row.generation,
        standing=Standing.REVOKE_ONLY if revoke_only else Standing.CURRENT,
    )


def signed(row: Row, salt: bytes) -> Row:
    """Return the row with its digest."""
    return replace(row, digest=digest(row, salt))


def digest(row: Row, salt: bytes) -> bytes:
    """HMAC-SHA256 over every other field, each preceded by its length."""
    mac = hmac.new(salt, b"tool-agent row 1", hashlib.sha256)
    for part in (
        row.provider.encode(errors="surrogateescape"),
        row.label.encode(errors="surrogateescape"),
        str(row.generation).encode(),
        row.standing.encode(errors="surrogateescape"),
        row.box.encode(errors="surrogateescape"),
        row.place.encode(errors="surrogateescape"),
        row.facts,
        row.fingerprint,
        row.sealed or b"",
    ):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()[:DIGEST_BYTES]


def fingerprint(secret: str, salt: bytes) -> bytes:
    """HMAC-SHA256 of a secret, cut short: it tells secrets apart and gives none away."""
    text = secret.encode(errors="surrogatepass")
    return hmac.new(salt, b"tool-agent secret 1" + text, hashlib.sha256).digest()[
        :FINGERPRINT_BYTES
    ]


def check_storable(grant: Grant, secret: Secret) -> None:
    """Refuse what some keychain would cut or refuse later; the message never shows the secret."""
    text = secret.reveal()
    try:
        text.encode()
    except UnicodeEncodeError:
        text = ""
    if not text or "\0" in text:  # CFString and D-Bus text end at a NUL
        raise InvalidRequestError(
            f"the secret for {grant.key} is empty or holds characters that no keychain can keep"
        )
