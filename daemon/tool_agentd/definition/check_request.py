"""Checks of what is sent: the form of requests, their headers, and every placeholder."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

import msgspec

from tool_agentd.definition import address, placeholder
from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.vocabulary import METHODS, Request, ToolDefinition

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110 section 5.6.2)."""
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade"})
"""Headers that decide where a request goes or ends; the HTTP library sets them."""

OF_A_CREDENTIAL = frozenset({"secret", "access_token"})
OF_A_LOGOUT = placeholder.SECRETS


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


def placeholders(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every placeholder that nothing fills, and every brace that is none."""
    variables = set(definition.vars)
    for index, spec in enumerate(definition.credential):
        key = f"credential[{index}]"
        for place, text in placeholder.texts(spec.headers, f"{key}.headers"):
            yield from _known(place, text, variables | OF_A_CREDENTIAL)
        for part in ("scope", "audience"):
            yield from _known(f"{key}.{part}", getattr(spec, part) or "", variables)
    for method, login in definition.login.items():
        tree = msgspec.to_builtins(login)
        for name in ("flow", "prompt", "title"):
            tree.pop(name, None)
        for place, text in placeholder.texts(tree, f"login.{method}"):
            yield from _known(place, text, variables)
    yield from _known("refresh.token", definition.refresh.token or "", variables)
    for key, request in address.requests(definition):
        known = variables | (OF_A_LOGOUT if key.startswith("logout") else OF_A_CREDENTIAL)
        yield from _request(key, request, known)
    for id_, identity in definition.identity.items():
        yield from _known(
            f"identity.{id_}.text", identity.text or "", variables | {*identity.fields}
        )


def _request(key: str, request: Request, known: Collection[str]) -> Iterator[Finding]:
    for method in METHODS:
        yield from _known(f"{key}.{method}", getattr(request, method) or "", known)
    for part in ("headers", "form"):
        for place, text in placeholder.texts(getattr(request, part), f"{key}.{part}"):
            yield from _known(place, text, known)
    for place, text in placeholder.texts(request.json, f"{key}.json"):
        yield from _known(place, text, known, braces=True)


def _known(
    key: str, text: str, known: Collection[str], *, braces: bool = False
) -> Iterator[Finding]:
    """Yield the placeholders of a text that are not known; with `braces` others are just text."""
    for name in placeholder.names(text):
        if name not in known:
            allowed = listed(f"{{{word}}}" for word in known) or "none here"
            yield Finding(key, f"the placeholder {{{name}}}", allowed, nearest(name, known))
    if not braces and placeholder.stray(text):
        allowed = listed(f"{{{word}}}" for word in known) or "none here"
        yield Finding(key, f"a brace that belongs to no placeholder ({shown(text)})", allowed)
