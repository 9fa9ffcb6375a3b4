"""Moments as platforms write them: RFC 3339 (ISO 8601), or Unix time in seconds."""

import math
from datetime import UTC, datetime
from typing import Any

MILLISECONDS = 1e11
"""A larger number counts milliseconds: seconds reach it in the year 5138."""
LATEST = 4e12
"""No Unix time in either unit is later: the year 2096 in milliseconds."""
LONGEST = 64
"""Characters: twice the longest form of RFC 3339 that is in use."""


def wall_time(value: Any) -> float | None:  # noqa: ANN401 - a JSON value
    """Return a moment in Unix seconds; None where the value is none. Without a zone it is UTC.

    A moment before 1970 is none either: the zero of a date type means that there is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > LONGEST:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return _number(text)
        return _number((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    return _number(value)


def _number(value: float | str) -> float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or not 0 < number <= LATEST:
        return None
    return number / 1000 if number > MILLISECONDS else number
