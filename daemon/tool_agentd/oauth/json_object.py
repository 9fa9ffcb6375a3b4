"""A provider's JSON object, read without trust.

`json.loads` alone raises RecursionError at some 1,100 levels, lets the last of two equal keys win
and stumbles over integers of 5,000 digits (security.md, "Measured facts").
"""

import json
import math
from typing import Any

_MAX_DIGITS = 40
"""More than any honest integer has, fewer than Python takes long to convert."""


class _TwiceError(ValueError):
    """A key stands twice in one object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _integer(digits: str) -> int | float:
    if len(digits) <= _MAX_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _whole(tree: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value without halves of surrogate pairs, which no text that leaves us may have."""
    match tree:
        case str():
            return tree.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(one) for one in tree]
        case dict():
            return {_whole(name): _whole(value) for name, value in tree.items()}
        case _:
            return tree


def read_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `body` is; None where it is anything else.

    UTF-8 only (RFC 8259 section 8.1). A key given twice makes the whole object unreadable, because
    two readers could disagree about it. NaN and infinite numbers pass, as floats: the reader of a
    number has to bear them anyway, and one odd number must not cost a refresh token that stands
    beside it. Half a surrogate pair, which JSON can escape and UTF-8 cannot hold, becomes U+FFFD.
    """
    try:
        found = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_int=_integer)
        if b"\\ud" in body.lower():
            found = _whole(found)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def text_at(found: dict[str, Any] | None, name: str) -> str | None:
    """Return the text under `name`; None where there is none, it is empty, or not text."""
    value = found.get(name) if found is not None else None
    return value if isinstance(value, str) and value else None
