"""Durations as a definition writes them: `500s`, `10m`, `1h`."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ALLOWED = "a number with a unit: 500ms, 500s, 10m, 1h, 30d"
LONGEST = 10 * 366 * 86400.0
"""Ten years in seconds: longer than any credential lives, short enough for every clock."""


def seconds(text: str) -> float:
    """Return a duration in seconds; ValueError where the text is none."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    digits = number.replace(".", "", 1)
    if (
        unit not in UNITS
        or not (digits.isascii() and digits.isdigit())
        or "." in (number[0], number[-1])
    ):
        raise ValueError(f"not a duration; allowed: {ALLOWED}")
    value = float(number) * UNITS[unit]
    if value > LONGEST:
        raise ValueError(f"longer than ten years; allowed: {ALLOWED}")
    return value
