"""Text that refuses to print, pickle, copy into JSON or compare in variable time by accident."""

import hmac
from typing import NoReturn, final


@final
class Secret:
    """A secret text. `reveal` is the only way to the value, so every use of it can be searched for.

    Equality takes the same time wherever two values differ; there is no hash, so a secret cannot
    become a dictionary's key.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`."""
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, for the moment in which it is used."""
        return self._value

    def __repr__(self) -> str:
        """Return stars, as many as say nothing about the length."""
        return "****"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        """Return stars, whatever the format."""
        return "****"

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
