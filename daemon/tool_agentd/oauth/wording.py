"""What a provider said, made fit to be shown: printable, short, without our secrets in it."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from tool_agentd.definition import select
from tool_agentd.definition.table import Errors
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.oauth.json_object import read_object, text_at
from tool_agentd.secret import Secret

_PIECE = 12
"""Characters of a secret that nobody's message has by chance."""
_URL_SAFE = str.maketrans("+/", "-_")

_LIMIT = 200
"""Characters of a provider's text that are shown: two lines of a terminal."""


def printable(text: str, hide: Iterable[Secret] = ()) -> str:
    """Return `text` on one line, its control characters gone, at most 200 characters long.

    Whatever of `hide` a provider quotes back, as it is or percent-encoded, becomes stars.
    """
    for secret in hide:
        if value := secret.reveal():
            text = text.replace(value, "****")
            text = text.replace(quote(value, safe="", errors="replace"), "****")
            if _quotes(text, value):
                text = "a text that quotes a secret"
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LIMIT else line[: _LIMIT - 3] + "..."


def _quotes(text: str, value: str) -> bool:
    """Tell whether a text has a piece of a secret in it, broken into lines or in base64 or not."""
    squeezed = "".join(text.split())
    forms = [value, value[::-1]]
    raw = value.encode(errors="surrogateescape")
    forms += [base64.b64encode(raw[start:]).decode() for start in range(3)]
    forms += [form.translate(_URL_SAFE) for form in forms[2:]]
    return any(
        form[start : start + _PIECE] in squeezed
        for form in forms
        for start in range(max(1, len(form) - _PIECE + 1))
        if len(form) >= _PIECE
    )


def host_of(url: str) -> str:
    """Return the host, with the port where the address has one: all of it that may be shown."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "the provider"
    if not host:
        return "the provider"
    host = printable(f"[{host}]" if ":" in host else host)
    return f"{host}:{port}" if port else host


def secrets_of(request: HttpRequest) -> tuple[Secret, ...]:
    """Return every secret leaf of a request, so that an answer can be cleared of them."""
    return tuple(_leaves([dict(request.headers), dict(request.form or {}), request.json]))


def _leaves(value: Any) -> Iterator[Secret]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)


def error_of(found: dict[str, Any] | None, errors: Errors | None = None) -> str | None:
    """Return a reply's error code: `error` (RFC 6749 section 5.2), or where the definition says."""
    return text_at(found, "error") or _first(found, errors.code if errors else ())


def _first(found: dict[str, Any] | None, paths: Iterable[str]) -> str | None:
    texts = (select.path(found, path) for path in paths)
    return next((text for text in texts if isinstance(text, str) and text), None)


def reason_of(request: HttpRequest, reply: HttpReply, errors: Errors) -> str:
    """Return what a reply that is no success says of itself, in one phrase; empty for nothing."""
    found = read_object(reply.body)
    said = _first(found, errors.text) or error_of(found, errors)
    return printable(said, secrets_of(request)) if said is not None else ""


def complaint(request: HttpRequest, reply: HttpReply, errors: Errors | None = None) -> str:
    """Return one phrase on why a reply is no success: host, and the error or the status."""
    host, hide = host_of(request.url), secrets_of(request)
    found = read_object(reply.body)
    error = error_of(found, errors)
    description = text_at(found, "error_description")
    description = description or _first(found, errors.text if errors else ())
    if error is not None:
        more = f" ({printable(description, hide)})" if description is not None else ""
        return f"{host}: {printable(error, hide)}{more}"
    if description is not None:
        return f"{host} answered {reply.status} ({printable(description, hide)})"
    return f"{host} answered {reply.status} without saying why"
