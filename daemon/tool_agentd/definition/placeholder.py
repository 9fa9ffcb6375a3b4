"""`{name}` in a text of a definition: which there are, and the two moments of filling them.

`[vars]` are filled once, when the definition is resolved; secrets and fields at the moment of use.
A placeholder is a lower-case name between tight braces, so that `{ email }` in a GraphQL query is
none; or an upper-case one, which is a variable of the person (`all_of`). Outside JSON bodies every
other brace is an error, because it is a placeholder misspelt.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9_]*")
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*|[A-Z][A-Z0-9_]*)\}")

SECRETS = frozenset({"secret", "access_token", "refresh_token"})
"""Names that a definition cannot give to anything else."""


def names(text: str) -> list[str]:
    """Return the names of the placeholders in a text, in order."""
    return PLACEHOLDER.findall(text)


def stray(text: str) -> bool:
    """Tell whether there is a brace that belongs to no placeholder."""
    rest = PLACEHOLDER.sub("", text)
    return "{" in rest or "}" in rest


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders that `values` has and leave the others."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def substitute_tree(tree: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401 - a TOML value
    """Fill the placeholders in every text of a TOML value; keys stay as they are."""
    match tree:
        case str():
            return substitute(tree, values)
        case dict():
            return {key: substitute_tree(value, values) for key, value in tree.items()}
        case list() | tuple():
            return [substitute_tree(value, values) for value in tree]
        case _:
            return tree


def texts(tree: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - a TOML value
    """Yield every text of a TOML value with its dotted key."""
    match tree:
        case str():
            yield path, tree
        case dict():
            for key, value in tree.items():
                yield from texts(value, f"{path}.{key}")
        case list() | tuple():
            for index, value in enumerate(tree):
                yield from texts(value, f"{path}[{index}]")
        case _:
            return
