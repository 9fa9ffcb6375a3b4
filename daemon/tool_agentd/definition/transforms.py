"""Transforms: what a definition may do to a value by name. Few, pure, and never a language."""

import re
from collections.abc import Callable
from typing import Any

ELLIPSIS_MIN = 10
"""Characters up to which a text is short enough as it is."""
ELLIPSIS_HEAD = 6
ELLIPSIS_TAIL = 4
"""`0x1234...abcd`: as people compare addresses, by their ends."""


def _kebab(value: str) -> str:
    return re.sub(r"[_\s]+", "-", value.strip().lower())


def _ellipsis(value: str) -> str:
    if len(value) <= ELLIPSIS_MIN:
        return value
    return f"{value[:ELLIPSIS_HEAD]}...{value[-ELLIPSIS_TAIL:]}"


def _integer(value: str) -> int | None:
    text = value.strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else None


TRANSFORMS: dict[str, tuple[Callable[[str], Any], str]] = {
    "ellipsis": (_ellipsis, "a long text by its ends: `0x1234...abcd`"),
    "integer": (_integer, 'a number where a text says one (`"16015286601757825753"`)'),
    "kebab": (_kebab, "`OWNER_KEY_SIGNING` becomes `owner-key-signing`"),
    "lower": (str.lower, "in lower case"),
    "upper": (str.upper, "in upper case"),
}
"""Name -> what it does to a text, and that in words, for the documentation."""


def transformed(name: str, value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return what a transform makes of a value; numbers count as texts, and lists by their items.

    None where it can make nothing of it.
    """
    match value:
        case list():
            found = [transformed(name, item) for item in value]
            return [item for item in found if item is not None]
        case bool() | None | dict():
            return None
        case _:
            return TRANSFORMS[name][0](str(value))
