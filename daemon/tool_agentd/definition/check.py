"""What types cannot say about a definition: names, references, addresses, placeholders.

Every check yields its findings, so that `tool check` can show all of them at once. Nothing here
knows the environment: addresses are checked with the defaults of `[vars]`, and once more with
their overrides when the definition is resolved. Each noun has a module of its own, `check_*`.
"""

from collections.abc import Iterator

import msgspec

from tool_agentd.definition import (
    address,
    check_cache,
    check_credentials,
    check_delivery,
    check_face,
    check_flows,
    check_request,
    check_steps,
    check_text,
    placeholder,
)
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.errors import Finding, joined, listed, shown
from tool_agentd.definition.flows import LoopbackSecret, OAuthCode
from tool_agentd.definition.vocabulary import Logout, Refresh, SessionLimits, ToolDefinition

LEAST_LIMIT = 1.0
"""Seconds. A session that ends at once serves nobody."""


def findings(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in a definition whose types are right."""
    seen: set[str] = set()
    for finding in _all(definition):
        seen.add(finding.key)
        yield finding
    for finding in _addresses(definition):
        # A placeholder that is unknown, or a secret, has its own finding.
        if finding.key not in seen:
            yield finding


def _all(definition: ToolDefinition) -> Iterator[Finding]:
    yield from _head(definition)
    yield from _variables(definition)
    yield from check_credentials.credentials(definition)
    yield from check_flows.logins(definition)
    yield from check_credentials.obtainable(definition)
    yield from _provider(definition)
    yield from _refresh(definition)
    yield from _logout(definition)
    yield from limits("session", definition.session.idle, definition.session.absolute)
    yield from check_credentials.identities(definition)
    yield from check_credentials.env(definition)
    yield from _errors(definition)
    yield from check_cache.caches(definition)
    yield from check_delivery.files(definition)
    yield from check_face.actions(definition)
    yield from check_face.api_keys(definition)
    yield from check_face.output(definition)
    yield from check_face.face(definition)
    for key, request in address.requests(definition):
        yield from check_request.form_of_request(key, request)


def shared(definition: ToolDefinition, provider: ToolDefinition) -> Iterator[Finding]:
    """Yield what only the logins of its provider can say about a definition that shares them."""
    whole = msgspec.structs.replace(definition, provider=None, login=provider.login)
    yield from check_credentials.credentials(whole)
    yield from check_credentials.identities(whole)
    yield from check_delivery.files(whole)
    yield from check_face.actions(whole)
    yield from check_face.output(whole)
    yield from check_face.face(whole)


def _head(definition: ToolDefinition) -> Iterator[Finding]:
    if not check_text.NAME.fullmatch(definition.name):
        yield Finding("name", shown(definition.name), check_text.NAME_WORDS)
    if definition.provider is not None and not check_text.NAME.fullmatch(definition.provider):
        yield Finding("provider", shown(definition.provider), "the name of another definition")
    yield from check_text.printable("title", definition.title)
    if not definition.title.strip():
        yield Finding("title", shown(definition.title), "the tool's name as a person knows it")
    yield from check_text.printable("facts", definition.facts, lines=True)
    for index, origin in enumerate(definition.origins):
        key = f"origins[{index}]"
        try:
            exact = address.origin_of(origin)
        except address.AddressError as error:
            yield Finding(key, f"{error} ({shown(origin)})", f"{address.ALLOWED}, host only")
        else:
            if exact != origin:
                yield Finding(key, shown(origin), f'the origin alone: "{exact}"')


def _variables(definition: ToolDefinition) -> Iterator[Finding]:
    taken = _other_names(definition)
    for name, var in definition.vars.items():
        key = joined("vars", name)
        if not placeholder.NAME.fullmatch(name):
            yield Finding(key, shown(name), check_text.VALUE_WORDS)
        elif name in taken:
            yield Finding(key, f'"{name}", which means something else here', "another name")
        if var.env is not None:
            yield from check_text.variable(f"{key}.env", var.env)
        if "{" in var.default or "}" in var.default or not var.default.isprintable():
            yield Finding(f"{key}.default", shown(var.default), "plain text without { and }")


def _other_names(definition: ToolDefinition) -> frozenset[str]:
    """Return the names that `[vars]` would hide: they are filled first, and everywhere."""
    names = set(placeholder.SECRETS) | _names_of_steps(definition) | _names_of_the_face(definition)
    for identity in definition.identity.values():
        names |= set(identity.fields)
    if definition.file:
        names |= check_delivery.GIVEN_TO_FILES | {"config"}
    for cache in definition.cache.values():
        names |= set(cache.constants)
    return frozenset(names)


def _names_of_steps(definition: ToolDefinition) -> set[str]:
    steps = [step for _, step in address.steps(definition)]
    made = check_steps.produced(steps)
    names = {*made.plain, *made.secret, *(check_flows.GIVEN_TO_STEPS if steps else ())}
    for login in definition.login.values():
        names |= check_flows.kept_by(login)
        if isinstance(login, OAuthCode) and login.begin is not None:
            names |= check_flows.GIVEN_TO_BEGIN | check_flows.GIVEN_TO_REDEEM
        if isinstance(login, LoopbackSecret):
            names |= check_flows.GIVEN_TO_OPEN
    return names


def _names_of_the_face(definition: ToolDefinition) -> set[str]:
    names = set[str]()
    if definition.api_keys.issue is not None:
        names |= check_face.OF_AN_ISSUE
    if definition.api_keys.revoke is not None:
        names |= check_face.OF_A_REVOKE
    if definition.face is not None:
        names |= check_face.OF_MESSAGES if definition.face.messages else set()
        for word in definition.face.word:
            names |= check_face.OUTCOMES[word.do] if word.text else set()
    return names


def _provider(definition: ToolDefinition) -> Iterator[Finding]:
    if definition.provider is None:
        return
    if definition.provider == definition.name:
        allowed = "the name of another definition, or no provider at all"
        yield Finding("provider", f"{shown(definition.provider)}, this definition", allowed)
    for key, there in (
        ("login", bool(definition.login)),
        ("refresh", definition.refresh != Refresh()),
        ("logout", definition.logout != Logout()),
        ("session", definition.session != SessionLimits()),
    ):
        if there:
            allowed = f"no [{key}]: logins belong to the provider, {shown(definition.provider)}"
            yield Finding(key, "a table beside `provider`", allowed)


def _refresh(definition: ToolDefinition) -> Iterator[Finding]:
    refresh = definition.refresh
    values = Values(frozenset(definition.vars))
    yield from check_text.sent("refresh.token", refresh.token, values)
    yield from check_text.sent("refresh.client_id", refresh.client_id, values)
    yield from check_text.statuses("refresh.fatal_status", refresh.fatal_status)
    yield from check_text.length("refresh.rotation_grace", refresh.rotation_grace)


def _logout(definition: ToolDefinition) -> Iterator[Finding]:
    values = Values(frozenset(definition.vars)).plus(secret=placeholder.SECRETS)
    for index, request in enumerate(definition.logout.revoke):
        yield from check_request.filled(f"logout.revoke[{index}]", request, values)


def limits(key: str, idle: str | None, absolute: str | None) -> Iterator[Finding]:
    """Yield every mistake in a session's limits, of a definition or of config.toml."""
    for name, text in (("idle", idle), ("absolute", absolute)):
        if text is not None:
            yield from check_text.length(f"{key}.{name}", text, least=LEAST_LIMIT)


def _errors(definition: ToolDefinition) -> Iterator[Finding]:
    for part in ("code", "text", "reason"):
        for index, path in enumerate(getattr(definition.errors, part)):
            yield from check_text.dotted(f"errors.{part}[{index}]", path)


def _addresses(definition: ToolDefinition) -> Iterator[Finding]:
    defaults = {name: var.default for name, var in definition.vars.items()}
    for key, template in address.addresses(definition):
        if address.whole(template) is not None and key.endswith(".open"):
            continue  # the platform's own address, which is looked at when it is there
        text = placeholder.substitute(template, defaults)
        if placeholder.names(address.head(text)):
            allowed = "values after the host only: https://host/path/{value}"
            yield Finding(key, f"a value in the host's name ({shown(text)})", allowed)
            continue
        try:
            origin = address.origin_of(placeholder.PLACEHOLDER.sub("x", text))
        except address.AddressError as error:
            yield Finding(key, f"{error} ({shown(text)})", address.ALLOWED)
            continue
        if origin not in definition.origins:
            allowed = f"an origin that `origins` lists: {listed(definition.origins) or 'none'}"
            advice = f'add "{origin}" to origins, if secrets of this tool may go there'
            yield Finding(key, shown(origin), allowed, advice=advice)
