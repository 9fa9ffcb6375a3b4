"""Checks of what is sent: the form of requests, their headers, their placeholders."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from tool_agentd.definition import check_text, placeholder
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.errors import Finding, joined, listed, shown
from tool_agentd.definition.table import METHODS, Request

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110 section 5.6.2)."""
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade"})
"""Headers that decide where a request goes or ends; the HTTP library sets them."""


def headers(key: str, table: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with a table of headers, placeholders aside."""
    for name, value in table.items():
        place = joined(key, name)
        if not _TOKEN.fullmatch(name):
            yield Finding(place, shown(name), "a header's name (RFC 9110)")
        elif name.lower() in _FRAMING:
            yield Finding(place, shown(name), "headers that do not steer the connection")
        if not value.isprintable():
            yield Finding(place, "a control character", "printable text")


def form_of_request(key: str, request: Request) -> Iterator[Finding]:
    """Yield what is wrong with the form of a request: its method, its bodies, its headers."""
    given = [method for method in METHODS if getattr(request, method) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "no address"
        yield Finding(key, found, f"exactly one of {listed(METHODS)}")
    bodies = [body for body in ("form", "json") if getattr(request, body) is not None]
    if len(bodies) > 1:
        yield Finding(key, "form and json", "one body")
    if bodies and given == ["get"]:
        yield Finding(f"{key}.{bodies[0]}", "the body of a get", "a body with post or put only")
    yield from headers(f"{key}.headers", request.headers)
    yield from _json(f"{key}.json", request.json)


def _json(key: str, value: Any) -> Iterator[Finding]:  # noqa: ANN401 - a TOML value
    match value:
        case dict():
            for name, item in value.items():
                yield from _json(joined(key, name), item)
        case list():
            for index, item in enumerate(value):
                yield from _json(f"{key}[{index}]", item)
        case datetime() | date() | time():
            yield Finding(key, "a date or time", "a value that JSON has: put it in quotes")
        case float() if not math.isfinite(value):
            yield Finding(key, shown(value), "a number that JSON has")
        case _:
            return


def filled(key: str, request: Request, values: Values) -> Iterator[Finding]:
    """Yield the placeholders of a request that nothing fills, and secrets in its address."""
    for method in METHODS:
        text = getattr(request, method)
        if text is not None:
            yield from check_text.sent(f"{key}.{method}", text, values)
            yield from address_of(f"{key}.{method}", text, values)
    for part in ("headers", "form"):
        for place, text in placeholder.texts(getattr(request, part), f"{key}.{part}"):
            yield from check_text.sent(place, text, values)
    for place, text in placeholder.texts(request.json, f"{key}.json"):
        yield from check_text.sent(place, text, values, braces=True)


def address_of(key: str, text: str, values: Values) -> Iterator[Finding]:
    """Yield a secret in an address that the agent asks: addresses end in logs."""
    if any(name in values.secret for name in placeholder.names(text)):
        allowed = "secrets in headers, form or json only: addresses end in logs"
        yield Finding(key, f"a secret in an address ({shown(text)})", allowed)
