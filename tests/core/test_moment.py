"""Moments as platforms write them."""

from typing import Any

import pytest

from tool_agentd.definition.moment import wall_time


@pytest.mark.parametrize(
    ("value", "wall"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
        ("2026-01-01T00:00:00.5+02:00", 1_767_218_400.5),
        ("2026-01-01 00:00:00", 1_767_225_600.0),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600.123456),
        (1_767_225_600, 1_767_225_600.0),
        ("1767225600", 1_767_225_600.0),
        (1_767_225_600_000, 1_767_225_600.0),
        ("0001-01-01T00:00:00Z", None),
        (0, None),
        (-5, None),
        (float("inf"), None),
        (10**400, None),
        ("soon", None),
        ("9" * 100, None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_wall_time(value: Any, wall: float | None) -> None:  # noqa: ANN401 - any JSON value
    """RFC 3339 and Unix time in seconds or milliseconds; everything else is none."""
    assert wall_time(value) == wall
