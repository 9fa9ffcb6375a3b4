"""Templates filled at the moment of use: headers, forms and bodies with their secrets."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from tool_agentd.definition import placeholder
from tool_agentd.definition.table import Request
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import HttpRequest
from tool_agentd.secret import Secret

BREAKING = ("\r", "\n", "\0")
"""Characters that would end a header line and let a value write the next one."""
DOTS = (".", "..")
"""Path segments that mean another place."""


def fill(template: str, values: Mapping[str, str | Secret]) -> str | Secret:
    """Return the template with every placeholder filled; a Secret as soon as one value is.

    Raises:
        InvalidRequestError: a placeholder has no value, or a value contains CR, LF or NUL. The
            text names the placeholder and never shows a value.
    """
    text = ""
    secret = False
    pieces, last = _pieces(template)
    for literal, name in pieces:
        value = values.get(name)
        if value is None:
            raise InvalidRequestError(f"there is no value for {{{name}}}")
        if isinstance(value, Secret):
            secret = True
            value = value.reveal()
        for sign in BREAKING:
            if sign in value:
                raise InvalidRequestError(f"the value of {{{name}}} contains a line break or NUL")
        text += literal + value
    text += last
    return Secret(text) if secret else text


@lru_cache(maxsize=256)  # templates come from definitions: every header of some fifty tools
def _pieces(template: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return each text before a placeholder with that placeholder's name, and the rest."""
    pieces, end = [], 0
    for found in placeholder.PLACEHOLDER.finditer(template):
        pieces.append((template[end : found.start()], found[1]))
        end = found.end()
    return tuple(pieces), template[end:]


def fill_headers(
    headers: Mapping[str, str], values: Mapping[str, str | Secret]
) -> dict[str, str | Secret]:
    """Return a table of headers, filled."""
    return {name: fill(value, values) for name, value in headers.items()}


def placeholders_of(request: Request) -> frozenset[str]:
    """Return the names that `fill_request` needs a value for."""
    trees = (request.url, request.headers, request.form, request.json)
    return frozenset(
        name
        for tree in trees
        for _, text in placeholder.texts(tree, "")
        for name in placeholder.names(text)
    )


def fill_request(request: Request, values: Mapping[str, str | Secret]) -> HttpRequest:
    """Return the request, ready to be sent; values in its address are percent-encoded.

    Raises:
        InvalidRequestError: as `fill`; also for a secret in the address, which logs would keep.
    """
    return HttpRequest(
        method=request.method,
        url=_address(request.url, values),
        headers=fill_headers(request.headers, values),
        form=None if request.form is None else fill_headers(request.form, values),
        json=_tree(request.json, values),
    )


def _address(template: str, values: Mapping[str, str | Secret]) -> str:
    quoted: dict[str, str | Secret] = {}
    for name in placeholder.names(template):
        value = values.get(name)
        if isinstance(value, Secret):
            raise InvalidRequestError(f"{{{name}}} is a secret and does not belong in an address")
        if value in DOTS:
            # They survive the encoding and would name another resource (RFC 3986 section 5.2.4).
            raise InvalidRequestError(f"{{{name}}} cannot be {value!r} in an address")
        if value is not None:
            quoted[name] = quote(value, safe="")
    text = fill(template, quoted)
    assert isinstance(text, str)  # noqa: S101 - no value above is a Secret
    return text


def _tree(tree: Any, values: Mapping[str, str | Secret]) -> Any:  # noqa: ANN401 - a JSON value
    match tree:
        case str():
            return fill(tree, values)
        case dict():
            return {key: _tree(value, values) for key, value in tree.items()}
        case list() | tuple():
            return [_tree(value, values) for value in tree]
        case _:
            return tree
