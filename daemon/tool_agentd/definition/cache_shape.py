"""What is written of something that was fetched: the `shape` of a cache, filled. Pure."""

from collections.abc import Mapping
from typing import Any

from tool_agentd.definition import select
from tool_agentd.definition.delivery import CacheSpec
from tool_agentd.definition.placeholder import PLACEHOLDER
from tool_agentd.definition.transforms import transformed

KEYS = frozenset({"path", "text", "with", "each", "of", "transform", "only", "when", "otherwise"})
"""A table with one of these as `path`, `text` or `each` is a value; any other is an object."""
MAKERS = frozenset({"path", "text", "each"})
"""Exactly one of them is in a value that is a table."""


def shaped(spec: CacheSpec, found: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return what is written of the fetched object, as a tree of objects, lists and scalars.

    Values that are empty or not there are left out.
    """
    tree = _object(spec.shape, found, spec.constants) if spec.shape else found
    if spec.under is None:
        return tree
    if isinstance(spec.under, str):
        under = _text(spec.under, {}, found, spec.constants)
    else:
        under = _value(spec.under, found, spec.constants)
    return {str(under): tree} if under else tree


def _object(shape: Mapping[str, Any], found: Any, constants: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401 - a JSON value
    made = {key: _value(value, found, constants) for key, value in shape.items()}
    return {key: value for key, value in made.items() if not _empty(value)}


def _value(spec: Any, found: Any, constants: Mapping[str, str]) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(spec, str):
        return select.path(found, spec)
    if not isinstance(spec, dict):
        return spec
    if not MAKERS.intersection(spec):
        return _object(spec, found, constants)
    value = None
    if all(select.text_of(select.path(found, path)) == be for path, be in _when(spec)):
        value = _made(spec, found, constants)
    if _empty(value) and "otherwise" in spec:
        return _value(spec["otherwise"], found, constants)
    return value


def _when(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(spec.get("when", {}).items())


def _made(spec: Mapping[str, Any], found: Any, constants: Mapping[str, str]) -> Any:  # noqa: ANN401 - a JSON value
    value: Any
    if "text" in spec:
        value = _text(spec["text"], spec.get("with", {}), found, constants)
    elif "path" in spec:
        value = select.path(found, spec["path"])
    else:
        value = _list(spec, select.path(found, spec["each"]), constants)
    if "transform" in spec and value is not None:
        value = transformed(spec["transform"], value)
    if "only" in spec and isinstance(value, list):
        value = [item for item in value if item in spec["only"]]
    return value


def _list(spec: Mapping[str, Any], items: Any, constants: Mapping[str, str]) -> list[Any] | None:  # noqa: ANN401 - a JSON value
    if not isinstance(items, list):
        return None
    if "of" not in spec:
        return items
    made = [_value(spec["of"], item, constants) for item in items]
    return [item for item in made if not _empty(item)]


def _text(
    text: str,
    more: Mapping[str, Any],
    found: Any,  # noqa: ANN401 - a JSON value
    constants: Mapping[str, str],
) -> str | None:
    """Fill a text; None as soon as one of its placeholders has no value."""
    values: dict[str, str] = {}
    for name in PLACEHOLDER.findall(text):
        if name in more:
            value = _value(more[name], found, constants)
        elif name in constants:
            value = constants[name]
        else:
            value = select.path(found, name)
        values[name] = select.text_of(value)
        if not values[name]:
            return None
    return PLACEHOLDER.sub(lambda one: values[one[1]], text)


def _empty(value: Any) -> bool:  # noqa: ANN401 - a JSON value
    return value is None or value in ("", [], {})
