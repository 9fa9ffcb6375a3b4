"""As much GraphQL as CRE's three queries need: fields, aliases, nesting; no fragments.

An answer holds exactly the fields that were asked for, and asking for one that does not exist is an
error, as at any GraphQL server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOKEN = re.compile(
    r'[\s,]+|#[^\n]*|("(?:[^"\\]|\\.)*"|\.\.\.|[_A-Za-z]\w*|-?[\d.]+|[{}():$!\[\]=@|&])'
)


class QueryError(ValueError):
    """The document is not one that this server understands."""


@dataclass(frozen=True)
class Selection:
    """One field that was asked for, under the name the answer gives it."""

    alias: str
    name: str
    inner: tuple["Selection", ...]


def parse(document: str) -> tuple[Selection, ...]:
    """The selections of a query.

    Raises:
        QueryError: for anything but one query.
    """
    tokens = _tokens(document)
    if tokens[:1] == ["query"]:
        tokens = _after_header(tokens[1:])
    selections, rest = _selections(tokens)
    if rest:
        raise QueryError(f"unexpected {rest[0]!r} after the query")
    return selections


def select(data: Mapping[str, object], selections: tuple[Selection, ...], of: str) -> object:
    """The part of `data` that was asked for.

    Args:
        data: an object with every field it has.
        selections: what was asked.
        of: the object's type, for the error.

    Raises:
        QueryError: a field that does not exist, or an object asked for without its fields.
    """
    return {one.alias: _value(data, one, of) for one in selections}


def _value(data: Mapping[str, object], one: Selection, of: str) -> object:
    if one.name not in data:
        raise QueryError(f'Cannot query field "{one.name}" on type "{of}".')
    value = data[one.name]
    items = value if isinstance(value, list) else [value]
    nested = [item for item in items if isinstance(item, dict)]
    if bool(one.inner) != bool(nested) and items:
        raise QueryError(f'Field "{one.name}" has the wrong selection of subfields.')
    if not nested:
        return value
    chosen = [select(item, one.inner, one.name) for item in nested]
    return chosen if isinstance(value, list) else chosen[0]


def _tokens(document: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(document):
        match = _TOKEN.match(document, place)
        if match is None:
            raise QueryError(f"Syntax Error: unexpected character {document[place]!r}.")
        if match[1]:
            found.append(match[1])
        place = match.end()
    return found


def _after_header(tokens: list[str]) -> list[str]:
    """Past the query's name and its variables."""
    try:
        return tokens[tokens.index("{") :]
    except ValueError:
        raise QueryError("Syntax Error: expected {.") from None


def _selections(tokens: list[str]) -> tuple[tuple[Selection, ...], list[str]]:
    if tokens[:1] != ["{"]:
        raise QueryError("Syntax Error: expected {.")
    rest = tokens[1:]
    found: list[Selection] = []
    while rest and rest[0] != "}":
        one, rest = _selection(rest)
        found.append(one)
    if not rest or not found:
        raise QueryError("Syntax Error: expected a field and }.")
    return tuple(found), rest[1:]


def _selection(tokens: list[str]) -> tuple[Selection, list[str]]:
    alias = name = tokens[0]
    if not re.fullmatch(r"[_A-Za-z]\w*", name):
        raise QueryError(f"Syntax Error: expected a field, found {name!r}.")
    rest = tokens[1:]
    if rest[:1] == [":"]:
        name, rest = rest[1], rest[2:]
    if rest[:1] == ["("]:
        raise QueryError(f'Field "{name}" takes no arguments.')
    inner: tuple[Selection, ...] = ()
    if rest[:1] == ["{"]:
        inner, rest = _selections(rest)
    return Selection(alias, name, inner), rest
