"""Sealing for the vault: AES-256-GCM rows under a data key that a key of the person's wraps.

Pure but for the random numbers. The header says how the wrapping key comes about and recognises a
wrong one as a whole, before any row is tried.
"""

import hashlib
import hmac
import secrets

import msgspec

from tool_agentd.adapters.store.rows import Row
from tool_agentd.adapters.store.trouble import LOGOUT_HINT, DamagedError

KEY_BYTES = 32
NONCE_BYTES = 12
"""96 bits, the only length GCM takes as it is (NIST SP 800-38D section 8.2.1)."""
CHECK_BYTES = 8

SCRYPT_N = 2**17
SCRYPT_R = 8
SCRYPT_P = 1
"""OWASP's first choice for scrypt: 128 MiB and about half a second for each guess."""
SCRYPT_N_RANGE = range(2**10, 2**20 + 1)
"""What a header may ask for: a damaged one must not ask for a terabyte."""


class VaultHeader(msgspec.Struct, frozen=True):
    """Where the wrapping key comes from, a check for it, and the data key under it."""

    source: str
    """`keychain`, `passphrase` or `credential`."""
    salt: bytes
    check: bytes
    wrapped: bytes
    place: str = ""
    item: str = ""
    """The keychain and the item that hold the key; empty for other sources."""
    n: int = 0
    """scrypt's cost, for a passphrase."""


_decoder = msgspec.json.Decoder(VaultHeader)


def encoded(header: VaultHeader) -> bytes:
    """Return the header as grants.db keeps it."""
    return msgspec.json.encode(header)


def decoded(stored: bytes) -> VaultHeader:
    """Read a header; DamagedError where it is not one."""
    try:
        header = _decoder.decode(stored)
    except (msgspec.DecodeError, ValueError):
        raise DamagedError("the vault's header in grants.db is damaged") from None
    if header.source == "passphrase" and header.n not in SCRYPT_N_RANGE:
        raise DamagedError("the vault's header in grants.db is damaged")
    return header


def from_passphrase(passphrase: str, salt: bytes, n: int) -> bytes:
    """Return the wrapping key for a passphrase: scrypt (RFC 7914)."""
    return hashlib.scrypt(
        passphrase.encode(errors="surrogateescape"),
        salt=salt,
        n=n,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=2 * 128 * SCRYPT_R * n,
        dklen=KEY_BYTES,
    )


def from_random(material: bytes, salt: bytes) -> bytes:
    """Return the wrapping key for random bytes: HKDF-SHA256 with one block (RFC 5869)."""
    extracted = hmac.digest(salt, material, "sha256")
    return hmac.digest(extracted, b"tool-agent vault key 1\x01", "sha256")


def wrap(header: VaultHeader, database: bytes, key: bytes, data_key: bytes) -> VaultHeader:
    """Return the header with the check for `key` and the data key wrapped by it."""
    wrapped = _locked(key, data_key, _bound(header, database))
    return msgspec.structs.replace(header, check=_check(key), wrapped=wrapped)


def unwrap(header: VaultHeader, database: bytes, key: bytes) -> bytes | None:
    """Return the data key; None where `key` is another one than that of this vault."""
    if not hmac.compare_digest(_check(key), header.check):
        return None
    data_key = _unlocked(key, header.wrapped, _bound(header, database))
    if data_key is None:
        raise DamagedError("the vault's header in grants.db is damaged")
    return data_key


def seal(row: Row, database: bytes, data_key: bytes, text: str) -> bytes:
    """Return a secret sealed for this row of this database, with its kind and origins."""
    return _locked(data_key, text.encode(), _place(row, database))


def unseal(row: Row, database: bytes, data_key: bytes) -> str:
    """Return a row's secret; DamagedError where it is not what was sealed there."""
    text = _unlocked(data_key, row.sealed or b"", _place(row, database))
    if text is None:
        raise DamagedError(
            f"the sealed secret of {row.name} in grants.db is damaged", hint=LOGOUT_HINT
        )
    return text.decode()


def _locked(key: bytes, text: bytes, place: bytes) -> bytes:
    """Encrypt under a fresh random nonce, which goes before the ciphertext."""
    # Here and below: this import takes longer than all others of the store together.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow import

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, place)


def _unlocked(key: bytes, sealed: bytes, place: bytes) -> bytes | None:
    """Decrypt what `_locked` made of the same key and place; None where it is anything else."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow import
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow import

    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, text, place)
    except (InvalidTag, ValueError):
        return None


def _place(row: Row, database: bytes) -> bytes:
    """What a sealed secret is bound to: `facts` holds the kind and where it may be sent."""
    return msgspec.json.encode(
        ["tool-agent sealed 1", database, row.provider, row.label, row.generation, row.facts]
    )


def _bound(header: VaultHeader, database: bytes) -> bytes:
    return msgspec.json.encode(
        [
            "tool-agent vault 1",
            database,
            header.source,
            header.salt,
            header.place,
            header.item,
            header.n,
        ]
    )


def _check(key: bytes) -> bytes:
    return hmac.digest(key, b"tool-agent vault check 1", "sha256")[:CHECK_BYTES]
