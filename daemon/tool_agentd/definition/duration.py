"""Durations as a definition writes them: `500s`, `10m`, `1h`."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ALLOWED = "a number with a unit: 500ms, 500s, 10m, 1h, 30d"
LONGEST = 10 * 366 * 86400.0
"""Ten years in seconds: longer than any credential lives, short enough for every clock."""


def words(seconds: float) -> str:
    """Return a duration as a sentence says it: `1 h`, `2 h 30 min`, `45 s`, `3 days`."""
    whole = max(0, round(seconds))
    if whole < 90:  # noqa: PLR2004 - below that seconds say more than "1 min"
        return f"{whole} s"
    minutes = round(whole / 60)
    days, rest = divmod(minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    if days > 1:
        return f"{days} days"
    hours += 24 * days
    parts = (f"{hours} h" if hours else "", f"{left} min" if left else "")
    return " ".join(part for part in parts if part)


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
