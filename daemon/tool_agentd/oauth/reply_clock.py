"""What a reply's headers say about time: Retry-After and Date."""

from datetime import UTC

from tool_agentd.model import HttpReply

MAX_RETRY_AFTER = 900.0
"""Seconds: three times the longest backoff. A longer wait, or a wrong date, would lock out a login
that may work again at once."""


def retry_after(reply: HttpReply) -> float | None:
    """Return the seconds that the provider asks us to wait, from now (RFC 9110 section 10.2.3).

    Both forms, seconds and a date, capped at 15 minutes; None where it does not say readably. A
    date counts from the provider's own Date, so that a wrong clock here does not matter.
    """
    said = reply.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        # float(), not int(): thousands of digits are then infinite, not an error.
        return min(float(said), MAX_RETRY_AFTER)
    at = _wall(said)
    if at is None:
        return None
    return min(max(at - provider_wall(reply), 0.0), MAX_RETRY_AFTER)


def provider_wall(reply: HttpReply) -> float:
    """Return the provider's wall clock at this reply; ours at its sending where it has no Date."""
    at = _wall(reply.headers.get("date", ""))
    return reply.sent.wall if at is None else at


def clock_skew(reply: HttpReply) -> float | None:
    """Return the seconds by which the provider's clock is ahead of ours, give or take a second.

    None without a Date header. The request may have reached the provider at any time between
    `sent` and `received`, so only what lies outside of these counts.
    """
    at = _wall(reply.headers.get("date", ""))
    if at is None:
        return None
    if at < reply.sent.wall:
        return at - reply.sent.wall
    return max(at - reply.received.wall, 0.0)


def _wall(date: str) -> float | None:
    """Return the Unix time of an HTTP date."""
    if not date or len(date) > 64:  # noqa: PLR2004 - twice the longest of the three forms
        return None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - it imports socket and random

    try:
        found = parsedate_to_datetime(date)
        if found.tzinfo is None:  # "-0000": the date is in UTC, its origin unknown
            found = found.replace(tzinfo=UTC)
        return found.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
