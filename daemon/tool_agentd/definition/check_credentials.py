"""Checks of credentials: where they come from, what they look like, how the tool says who it is."""

from collections.abc import Iterator

from tool_agentd.definition import check_flows, check_request, check_text, placeholder
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.flows import OAuthMethod
from tool_agentd.definition.select import answers_itself
from tool_agentd.definition.vocabulary import (
    CredentialSpec,
    EnvSource,
    Field,
    IdentitySpec,
    ToolDefinition,
)

OF_A_CREDENTIAL = frozenset({"secret", "access_token"})
PAIR_LEAST = 2
"""One variable alone is no pair: it belongs in `env`."""


def credentials(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[[credential]]`."""
    if not definition.credential:
        yield Finding("credential", "none", "at least one [[credential]] table")
    seen: set[str] = set()
    for index, spec in enumerate(definition.credential):
        key = f"credential[{index}]"
        if not check_text.NAME.fullmatch(spec.id):
            yield Finding(f"{key}.id", shown(spec.id), check_text.NAME_WORDS)
        if spec.id in seen:
            yield Finding(f"{key}.id", f"{shown(spec.id)} a second time", "an id of its own")
        seen.add(spec.id)
        if isinstance(spec.source, EnvSource):
            yield from _source(f"{key}.source", spec.source, definition)
        yield from _credential(key, spec, definition)


def values_of(definition: ToolDefinition, id_: str) -> Values:
    """Return what the requests that a credential signs may use: it, its pair, `[vars]`."""
    pair = [name for spec in definition.credential if spec.id == id_ for name in spec.pair]
    return Values(frozenset(definition.vars)).plus(secret=[*OF_A_CREDENTIAL, *pair])


def kept_with(definition: ToolDefinition, id_: str) -> frozenset[str] | None:
    """Return what logins of a credential keep with their grants.

    None where the logins are another definition's, so that this one cannot know.
    """
    if definition.provider is not None:
        return None
    logins = [login for login in definition.login.values() if login.credential == id_]
    read = [file.read for file in definition.file.values() if file.credential == id_]
    return frozenset[str]().union(
        *(check_flows.kept_by(login) for login in logins), *(one.keep for one in read)
    )


def _source(key: str, source: EnvSource, definition: ToolDefinition) -> Iterator[Finding]:
    if not (source.env or source.all_of):
        yield Finding(f"{key}.env", "an empty array", "at least one variable's name, or all_of")
    if source.env and source.all_of:
        yield Finding(key, "env and all_of", "exactly one of them")
    yield from _each_once(f"{key}.env", source.env)
    yield from _each_once(f"{key}.all_of", source.all_of)
    yield from _pair(key, source)
    if source.dotenv is not None:
        yield from check_text.variable(f"{key}.dotenv", source.dotenv)
    if source.login is not None:
        yield from _taken_by_login(key, source, definition)


def _each_once(key: str, names: list[str]) -> Iterator[Finding]:
    for index, name in enumerate(names):
        yield from check_text.variable(f"{key}[{index}]", name)
        if name in names[:index]:
            yield Finding(f"{key}[{index}]", f"{shown(name)} a second time", "each variable once")


def _pair(key: str, source: EnvSource) -> Iterator[Finding]:
    for index, name in enumerate(source.all_of):
        if not placeholder.PLACEHOLDER.fullmatch(f"{{{name}}}"):
            allowed = "a variable's name in capitals, so that {NAME} can stand in a header"
            yield Finding(f"{key}.all_of[{index}]", shown(name), allowed)
    if source.all_of and len(source.all_of) < PAIR_LEAST:
        yield Finding(f"{key}.all_of", "one variable", "two or more; one alone belongs in env")
    if source.all_of and source.stored:
        yield Finding(f"{key}.stored", "stored beside all_of", "a single secret in the store")


def _taken_by_login(key: str, source: EnvSource, definition: ToolDefinition) -> Iterator[Finding]:
    """Check a variable that a login takes, and that is no credential by itself."""
    for part in ("stored", "all_of"):
        if getattr(source, part):
            yield Finding(f"{key}.{part}", f"{part} beside login", "env and login alone")
    if definition.provider is not None:
        return
    takers = [
        method
        for method, login in definition.login.items()
        if any(ask.secret for step in check_flows.steps_of(login) for ask in step.ask)
    ]
    what = "a login method whose steps ask for a secret"
    yield from check_text.reference(f"{key}.login", source.login or "", takers, what)


def _credential(key: str, spec: CredentialSpec, definition: ToolDefinition) -> Iterator[Finding]:
    values = values_of(definition, spec.id)
    yield from check_request.headers(f"{key}.headers", spec.headers)
    for place, text in placeholder.texts(spec.headers, f"{key}.headers"):
        yield from check_text.sent(place, text, values)
    used = {name for text in spec.headers.values() for name in placeholder.names(text)}
    for index, name in enumerate(spec.pair[:-1]):
        if spec.headers and name not in used:
            allowed = f"a variable that a header uses: {{{name}}}"
            yield Finding(f"{key}.source.all_of[{index}]", shown(name), allowed)
    yield from check_text.shape(key, spec.pattern, spec.shape)
    yield from check_flows.scope(f"{key}.scope", spec.scope)
    for part in ("scope", "audience"):
        plain = Values(frozenset(definition.vars))
        yield from check_text.sent(f"{key}.{part}", getattr(spec, part), plain)
    if spec.expiry.field is not None:
        yield from check_text.dotted(f"{key}.expiry.field", spec.expiry.field)
    if spec.expiry.never:
        for part in ("jwt_claim", "field", "default"):
            if getattr(spec.expiry, part) is not None:
                found = f"{part} beside never = true"
                yield Finding(f"{key}.expiry.{part}", found, "never alone, or without it")
    if spec.expiry.default is not None:
        yield from check_text.length(f"{key}.expiry.default", spec.expiry.default, least=1.0)


def obtainable(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield each credential that no login obtains and no variable holds: it is never there."""
    if definition.provider is not None:
        return
    obtained = {login.credential for login in definition.login.values()}
    for index, spec in enumerate(definition.credential):
        if (spec.source == "session" or spec.storable) and spec.id not in obtained:
            found = f"{shown(spec.id)}, which no login obtains"
            allowed = f"a [login.<method>] with credential = {shown(spec.id)}"
            yield Finding(f"credential[{index}].id", found, allowed)


def identities(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[identity]`."""
    ids = [spec.id for spec in definition.credential]
    discovers = definition.provider is not None or any(
        isinstance(login, OAuthMethod) and login.issuer for login in definition.login.values()
    )
    for id_, spec in definition.identity.items():
        key = joined("identity", id_)
        if id_ not in ids:
            allowed = f"the id of a credential: {listed(ids)}"
            yield Finding(key, shown(id_), allowed, nearest(id_, ids))
        if spec.request is not None:
            values = values_of(definition, id_)
            yield from check_request.filled(f"{key}.request", spec.request, values)
        elif not discovers and not answers_itself(spec):
            allowed = "a request; without one the userinfo endpoint of a login's issuer is asked"
            yield Finding(f"{key}.request", "nothing", allowed)
        yield from _identity(key, spec, definition, kept_with(definition, id_))


def _identity(
    key: str, spec: IdentitySpec, definition: ToolDefinition, kept: frozenset[str] | None
) -> Iterator[Finding]:
    for name, field in spec.fields.items():
        place = joined(f"{key}.fields", name)
        if not placeholder.NAME.fullmatch(name):
            yield Finding(place, shown(name), check_text.VALUE_WORDS)
        yield from _field(place, Field(path=field) if isinstance(field, str) else field, kept)
    defaults = IdentitySpec()
    for role in ("name", "subject"):
        value = getattr(spec, role)
        if spec.fields and value not in spec.fields and value != getattr(defaults, role):
            allowed = f"one of the fields: {listed(spec.fields)}"
            yield Finding(f"{key}.{role}", shown(value), allowed, nearest(value, spec.fields))
    if spec.text == []:
        yield Finding(f"{key}.text", "an empty array", "a text, or several")
    values = Values(frozenset(definition.vars)).plus(spec.fields)
    for place, text in placeholder.texts(spec.text, f"{key}.text"):
        yield from check_text.printed(place, text, values, lines=True)
    yield from check_text.statuses(f"{key}.refused_status", spec.refused_status)
    yield from check_text.printed(f"{key}.refused_hint", spec.refused_hint, Values())


def _field(key: str, field: Field, kept: frozenset[str] | None) -> Iterator[Finding]:
    parts = ("path", "claim", "claim_suffix", "kept")
    sources = [part for part in parts if getattr(field, part)]
    if len(sources) != 1:
        found = " and ".join(sources) or "nothing"
        yield Finding(key, found, f"exactly one of {', '.join(parts)}")
    if field.path:
        yield from check_text.dotted(key, field.path)
    if field.kept and kept is not None:
        what = "a value that a login of this credential keeps"
        yield from check_text.reference(f"{key}.kept", field.kept, sorted(kept), what)
    choice = (field.equals, field.then, field.otherwise)
    if any(part is not None for part in choice) and None in choice:
        yield Finding(key, "only a part of a comparison", "equals, then and otherwise together")
    for part in ("then", "otherwise"):
        yield from check_text.printable(f"{key}.{part}", getattr(field, part) or "")


def env(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[env]`."""
    ids = [spec.id for spec in definition.credential]
    for name, id_ in definition.env.items():
        key = joined("env", name)
        yield from check_text.variable(key, name)
        yield from check_text.reference(key, id_, ids, "the id of a credential")
        if any(spec.id == id_ and _answers(spec) for spec in definition.credential):
            found = f"{shown(id_)}, which only answers a login"
            yield Finding(key, found, "a credential that the agent can hand out")


def _answers(spec: CredentialSpec) -> bool:
    return isinstance(spec.source, EnvSource) and spec.source.login is not None
