"""Text that refuses to print, pickle, copy into JSON or compare in variable time by accident.

What got into a text all the same is found again by `starred`, because the module knows which
secrets live. It knows them by weak references: it keeps no copy, and none longer than its owner.
"""

import hmac
import json
import re
from typing import NoReturn, final
from urllib.parse import quote, quote_plus
from weakref import WeakValueDictionary

STARS = "****"

LEAST = 8
"""Characters from which a secret is looked for in other texts: a shorter one stands in half of all
words, and no service issues one."""

_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
"""What looks the same in an address, in JSON and in Python's repr (RFC 3986: unreserved)."""


@final
class Secret:
    """A secret text. `reveal` is the only way to the value, so every use of it can be searched for.

    Equality takes the same time wherever two values differ; there is no hash, so a secret cannot
    become a dictionary's key.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        """Wrap `value`."""
        self._value = value
        if len(value) >= LEAST:
            _living[id(self)] = self

    def reveal(self) -> str:
        """Return the text itself, for the moment in which it is used."""
        return self._value

    def __repr__(self) -> str:
        """Return stars, as many as say nothing about the length."""
        return STARS

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        """Return stars, whatever the format."""
        return STARS

    def __bool__(self) -> bool:
        """Tell whether there is any text."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time; a Secret never equals a plain string."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # the documented way to have no hash

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or deep-copied."""
        message = "a Secret is not serialised"
        raise TypeError(message)


_living: WeakValueDictionary[int, Secret] = WeakValueDictionary()
"""By id, because a Secret has no hash."""


def starred(text: str) -> str:
    """Return a text with stars in place of every secret that lives now: as it is, or encoded."""
    found: set[str] = set()
    for reference in _living.valuerefs():  # a copy, made at once: other threads make secrets too
        secret = reference()
        if secret is not None and len(secret.reveal()) <= len(text):
            found.update(form for form in _forms(secret.reveal()) if form in text)
    for form in sorted(found, key=len, reverse=True):  # a token may begin with another
        text = text.replace(form, STARS)
    return text


def _forms(value: str) -> tuple[str, ...]:
    """Return a value as it may stand in a text: in an address, in JSON, in a repr."""
    if _PLAIN.fullmatch(value):
        return (value,)
    encoded = value.encode(errors="surrogateescape")
    escaped = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    return (
        value,
        quote(encoded, safe=""),
        quote(encoded),
        quote_plus(encoded),
        *escaped,
        repr(value)[1:-1],
    )
