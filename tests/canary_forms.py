"""The forms in which a secret can turn up, as bytes to search for."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

HALVED_FROM = 32
"""Bytes from which on a secret is searched by its halves: one of them survives where a log line is
cut short or a page of a database ends in the middle."""


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes to search for, the name of their secret, and the form they have it in."""

    secret: str
    form: str
    data: bytes

    def __repr__(self) -> str:
        return f"Needle({self.secret!r}, {self.form!r})"


def needles(name: str, secret: bytes) -> list[Needle]:
    """Return every form of `secret`; of forms that are the same bytes only the first."""
    middle = len(secret) // 2
    while (
        middle < len(secret) and secret[middle] & 0xC0 == 0x80
    ):  # never inside a character of UTF-8
        middle += 1
    pieces = [secret[:middle], secret[middle:]] if len(secret) >= HALVED_FROM else [secret]
    seen: dict[bytes, Needle] = {}
    for piece in pieces:
        for form, data in _forms(piece):
            seen.setdefault(data, Needle(name, form, data))
    return list(seen.values())


def _forms(piece: bytes) -> Iterator[tuple[str, bytes]]:
    yield "raw", piece
    yield "reversed", piece[::-1]
    for before in range(3):
        for kind, encode in (("", base64.b64encode), (" url-safe", base64.urlsafe_b64encode)):
            yield f"base64{kind} after {before} bytes", _base64(piece, before, encode)
    for encoded in (
        quote_from_bytes(piece, safe=""),
        quote_from_bytes(piece, safe="/"),
        quote_from_bytes(piece, safe=" ").replace(" ", "+"),
    ):
        yield "url-encoded", encoded.encode()
        yield "url-encoded", _lower_percent(encoded).encode()
    yield "url-encoded throughout", "".join(f"%{byte:02X}" for byte in piece).encode()
    yield "url-encoded throughout", "".join(f"%{byte:02x}" for byte in piece).encode()
    yield "hexadecimal", piece.hex().encode()
    yield "hexadecimal", piece.hex().upper().encode()
    text = piece.decode(errors="surrogateescape")
    yield "escaped for JSON", json.dumps(text)[1:-1].encode()
    yield "escaped for JSON", _bytes(json.dumps(text, ensure_ascii=False)[1:-1])
    # What repr does to an apostrophe depends on the quotes in the rest of the text.
    for quotes in ("", "\"'"):
        yield "escaped by repr", repr(quotes.encode() + piece)[2 + _shown(quotes) : -1].encode()
        yield "escaped by repr", _bytes(repr(quotes + text)[1 + _shown(quotes) : -1])


def _shown(quotes: str) -> int:
    return len(repr(quotes)) - 2


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _base64(piece: bytes, before: int, encode: Callable[[bytes], bytes]) -> bytes:
    """Return the characters that depend on `piece` alone when `before` bytes (mod 3) precede it.

    Base64 (RFC 4648 section 4) turns 3 bytes into 4 characters of 6 bits each, so character n
    holds the bits from 6n on: those at either end may share their bits with a neighbour.
    """
    first = -(-before * 8 // 6)
    end = (before + len(piece)) * 8 // 6
    return encode(bytes(before) + piece)[first:end]


def _lower_percent(text: str) -> str:
    """Return `text` with the digits of its percent escapes in lower case."""
    head, *rest = text.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)
