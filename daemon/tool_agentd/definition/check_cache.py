"""Checks of caches: what is fetched with which credential, and the shape of what is written."""

from collections.abc import Iterator
from typing import Any

from tool_agentd.definition import check_request, check_text, placeholder
from tool_agentd.definition.cache_shape import KEYS, MAKERS
from tool_agentd.definition.check_credentials import OF_A_CREDENTIAL
from tool_agentd.definition.check_delivery import path
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.delivery import CacheSpec
from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.transforms import TRANSFORMS
from tool_agentd.definition.vocabulary import ToolDefinition

_BESIDE = {
    "path": {"transform", "only", "when", "otherwise"},
    "text": {"with", "transform", "when", "otherwise"},
    "each": {"of", "transform", "only", "when", "otherwise"},
}
"""What makes a value -> what may stand beside it."""


def caches(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[cache]`."""
    ids = [credential.id for credential in definition.credential]
    filed = {spec.credential for spec in definition.file.values() if spec.content}
    for name, spec in definition.cache.items():
        key = joined("cache", name)
        if not check_text.NAME.fullmatch(name):
            yield Finding(key, shown(name), check_text.NAME_WORDS)
        if not spec.credential:
            yield Finding(f"{key}.credential", "an empty array", "at least one credential's id")
        values = Values(frozenset(definition.vars)).plus(secret=OF_A_CREDENTIAL)
        for index, id_ in enumerate(spec.credential):
            what = "the id of a credential"
            yield from check_text.reference(f"{key}.credential[{index}]", id_, ids, what)
            elsewhere = spec.in_place and id_ in definition.env.values()
            if id_ in ids and id_ not in filed and not elsewhere:
                found = f"{shown(id_)}, beside which nothing is delivered"
                allowed = "a credential with a [file], or in [env] with in_place = true here"
                yield Finding(f"{key}.credential[{index}]", found, allowed)
        yield from check_request.filled(f"{key}.request", spec.request, values)
        yield from check_text.dotted(f"{key}.take", spec.take)
        yield from path(f"{key}.path", spec.path)
        yield from _constants(key, spec, definition)
        for part, tree in spec.shape.items():
            yield from _value(joined(f"{key}.shape", part), tree)


def _constants(key: str, spec: CacheSpec, definition: ToolDefinition) -> Iterator[Finding]:
    variables = Values(frozenset(definition.vars))
    for name, text in spec.constants.items():
        place = joined(f"{key}.constants", name)
        yield from check_text.value_name(place, name)
        yield from check_text.printed(place, text, variables)
    if isinstance(spec.under, str):
        yield from _text(f"{key}.under", spec.under)
    elif spec.under is not None:
        yield from _value(f"{key}.under", spec.under)


def _value(key: str, tree: Any) -> Iterator[Finding]:  # noqa: ANN401 - a TOML value
    """Check a value: a dotted path, a table that makes one, an object of values, or a scalar."""
    match tree:
        case str():
            yield from check_text.dotted(key, tree)
        case dict() if KEYS.intersection(tree):
            yield from _made(key, tree)
        case dict():
            for name, item in tree.items():
                yield from _value(joined(key, name), item)
        case bool() | int():
            return
        case _:
            yield Finding(key, shown(tree), "a dotted path, a table, a number, true or false")


def _made(key: str, tree: dict[str, Any]) -> Iterator[Finding]:
    makers = sorted(MAKERS.intersection(tree))
    if len(makers) != 1:
        found = " and ".join(makers) or "none of them"
        yield Finding(key, found, f"exactly one of {listed(MAKERS)}")
        return
    allowed = {makers[0], *_BESIDE[makers[0]]}
    for name in tree:
        if name not in allowed:
            words = f"beside {makers[0]}: {listed(_BESIDE[makers[0]])}"
            yield Finding(joined(key, name), "an unknown key", words, nearest(name, allowed))
    for part, kind, words in (
        ("path", str, "a text"),
        ("text", str, "a text"),
        ("each", str, "a text"),
        ("with", dict, "a table"),
        ("when", dict, "a table"),
        ("only", list, "an array"),
        ("transform", str, "a text"),
    ):
        if part in tree and not isinstance(tree[part], kind):
            yield Finding(f"{key}.{part}", shown(tree[part]), words)
            return
    yield from _parts(key, tree)


def _parts(key: str, tree: dict[str, Any]) -> Iterator[Finding]:
    for part in ("path", "each"):
        if part in tree:
            yield from check_text.dotted(f"{key}.{part}", tree[part])
    yield from _text(f"{key}.text", tree.get("text", ""))
    for name, item in tree.get("with", {}).items():
        yield from check_text.value_name(joined(f"{key}.with", name), name)
        yield from _value(joined(f"{key}.with", name), item)
    for name, text in tree.get("when", {}).items():
        yield from check_text.dotted(joined(f"{key}.when", name), name)
        if not isinstance(text, str):
            yield Finding(joined(f"{key}.when", name), shown(text), "a text")
    for part in ("of", "otherwise"):
        if part in tree:
            yield from _value(f"{key}.{part}", tree[part])
    if "transform" in tree:
        what = "a named transform"
        yield from check_text.reference(f"{key}.transform", tree["transform"], TRANSFORMS, what)


def _text(key: str, text: str) -> Iterator[Finding]:
    if placeholder.stray(text):
        found = f"a brace that belongs to no placeholder ({shown(text)})"
        yield Finding(key, found, "{name} of a value of the object, of `with`, or a constant")
