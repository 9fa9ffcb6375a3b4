"""The exact place where a TOML file departs from the vocabulary.

msgspec converts at full speed and says *that* something is wrong; for a table with free keys it
names the place only as `[...]`. This walk says where, what, and what would do. It runs only once
something is wrong.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.vocabulary import ToolDefinition


def mistakes(document: dict[str, Any]) -> tuple[Finding, ...]:
    """Return every place where the document is not what `vocabulary` says."""
    return tuple(_walk(document, inspect.type_info(ToolDefinition), ""))


def _walk(value: Any, type_: inspect.Type, path: str) -> Iterator[Finding]:  # noqa: ANN401 - a TOML value
    match type_:
        case inspect.AnyType():
            return
        case inspect.UnionType():
            yield from _union(value, type_, path)
        case inspect.StructType():
            yield from _table(value, type_, path)
        case inspect.DictType() if isinstance(value, dict):
            for key, item in value.items():
                yield from _walk(item, type_.value_type, joined(path, key))
        case inspect.ListType() | inspect.VarTupleType() if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _walk(item, type_.item_type, f"{path}[{index}]")
        case _ if not _fits(value, type_):
            choices = type_.values if isinstance(type_, inspect.LiteralType) else ()
            known = [choice for choice in choices if isinstance(choice, str)]
            guess = nearest(value, known) if isinstance(value, str) else ""
            yield Finding(path, shown(value), _words(type_), guess)


def _table(value: Any, type_: inspect.StructType, path: str) -> Iterator[Finding]:  # noqa: ANN401 - a TOML value
    if not isinstance(value, dict):
        yield Finding(path, shown(value), "a table")
        return
    fields = {field.encode_name: field for field in type_.fields}
    known = {*fields, *([type_.tag_field] if type_.tag_field else [])}
    for key in value:
        if key not in known:
            guess = nearest(key, known)
            yield Finding(joined(path, key), "an unknown key", listed(known), guess)
    for name, field in fields.items():
        if name in value:
            yield from _walk(value[name], field.type, joined(path, name))
        elif field.required:
            yield Finding(joined(path, name), "nothing", f"{_words(field.type)} (required)")


def _union(value: Any, type_: inspect.UnionType, path: str) -> Iterator[Finding]:  # noqa: ANN401 - a TOML value
    tables = [member for member in type_.types if isinstance(member, inspect.StructType)]
    if isinstance(value, dict) and tables:
        tag_field = tables[0].tag_field
        if tag_field is None:
            yield from _table(value, tables[0], path)
            return
        by_tag = {str(table.tag): table for table in tables}
        allowed = ", ".join(f'"{tag}"' for tag in sorted(by_tag))
        tag = value.get(tag_field)
        if isinstance(tag, str) and tag in by_tag:
            yield from _table(value, by_tag[tag], path)
        else:
            guess = nearest(tag, by_tag) if isinstance(tag, str) else ""
            yield Finding(joined(path, tag_field), shown(tag), allowed, guess)
        return
    for member in type_.types:
        table = isinstance(value, dict) and isinstance(member, inspect.DictType)
        array = isinstance(value, list) and isinstance(member, inspect.ListType)
        if table or array or isinstance(member, inspect.AnyType):
            yield from _walk(value, member, path)
            return
    if not any(_fits(value, member) for member in type_.types):
        literals = [
            choice
            for member in type_.types
            if isinstance(member, inspect.LiteralType)
            for choice in member.values
            if isinstance(choice, str)
        ]
        guess = nearest(value, literals) if isinstance(value, str) else ""
        yield Finding(path, shown(value), _words(type_), guess)


def _fits(value: Any, type_: inspect.Type) -> bool:  # noqa: ANN401 - a TOML value
    match type_:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.LiteralType(values=values):
            return any(value == choice and type(value) is type(choice) for choice in values)
        case _:
            return False


def _words(type_: inspect.Type) -> str:
    match type_:
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.LiteralType(values=values):
            return ", ".join(shown(choice) for choice in values)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return "an array of tables" if isinstance(item, inspect.StructType) else "an array"
        case inspect.UnionType(types=types):
            members = [
                _words(member) for member in types if not isinstance(member, inspect.NoneType)
            ]
            return " or ".join(dict.fromkeys(members))
        case _:
            return "a table"
