"""The agent's lock, as the store keeps it."""

from dataclasses import dataclass, field


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
