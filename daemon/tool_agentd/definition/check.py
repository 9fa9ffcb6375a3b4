"""What types cannot say about a definition: names, references, addresses, placeholders.

Every check yields its findings, so that `tool check` can show all of them at once. Nothing here
knows the environment: addresses are checked with the defaults of `[vars]`, and once more with
their overrides when the definition is resolved.
"""

import re
from collections.abc import Iterator

from tool_agentd.definition import address, duration, pattern, placeholder
from tool_agentd.definition.check_request import form_of_request, headers, placeholders
from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.vocabulary import (
    CredentialSpec,
    Field,
    IdentitySpec,
    Logout,
    OAuthCode,
    Paste,
    Refresh,
    ToolDefinition,
)

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NAME_WORDS = "a lower-case letter, then lower-case letters, digits and '-'; at most 63"
_FIELD_WORDS = "a lower-case letter, then lower-case letters, digits and '_'"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CALLBACK = re.compile(r"/[A-Za-z0-9._~/-]*")
_DOTTED = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
"""RFC 6749 section 3.3, with our placeholders."""

PORT_MAX = 65535
ERROR_STATUSES = range(400, 600)
LONGEST_TIMEOUT_S = 3600.0
"""Nobody comes back to a login page after an hour, and the listener should not wait longer."""

OURS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "response_type",
        "state",
    }
)
"""Parameters of the authorization request that the agent sets itself."""

_TAKEN = re.compile(
    r"(TOOL_AGENT_|LD_|DYLD_).*|PATH|HOME|IFS|SHELL|ENV|BASH_ENV|PYTHON\w*|NODE_\w+"
)
"""Variables whose change would alter what a shell or a program runs, not who it is."""


def findings(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in a definition whose types are right."""
    yield from _head(definition)
    yield from _variables(definition)
    yield from _credentials(definition)
    yield from _logins(definition)
    yield from _obtainable(definition)
    yield from _provider(definition)
    yield from _refresh(definition.refresh)
    yield from _identities(definition)
    yield from _env(definition)
    yield from _addresses(definition)
    for key, request in address.requests(definition):
        yield from form_of_request(key, request)
    yield from placeholders(definition)


def _head(definition: ToolDefinition) -> Iterator[Finding]:
    if not _NAME.fullmatch(definition.name):
        yield Finding("name", shown(definition.name), _NAME_WORDS)
    if definition.provider is not None and not _NAME.fullmatch(definition.provider):
        yield Finding("provider", shown(definition.provider), "the name of another definition")
    yield from _printed("title", definition.title)
    if not definition.title.strip():
        yield Finding("title", shown(definition.title), "the tool's name as a person knows it")
    yield from _printed("facts", definition.facts, lines=True)
    for index, origin in enumerate(definition.origins):
        key = f"origins[{index}]"
        try:
            exact = address.origin_of(origin)
        except address.AddressError as error:
            yield Finding(key, f"{error} ({shown(origin)})", f"{address.ALLOWED}, host only")
        else:
            if exact != origin:
                yield Finding(key, shown(origin), f'the origin alone: "{exact}"')


def _printed(key: str, text: str, *, lines: bool = False) -> Iterator[Finding]:
    """Find control characters in a text that reaches a terminal."""
    plain = text.replace("\n", "").replace("\t", "") if lines else text
    if not all(sign.isprintable() for sign in plain):
        yield Finding(key, "a control character", "printable text")


def _variables(definition: ToolDefinition) -> Iterator[Finding]:
    fields = {name for spec in definition.identity.values() for name in spec.fields}
    for name, var in definition.vars.items():
        key = joined("vars", name)
        if not placeholder.NAME.fullmatch(name):
            yield Finding(key, shown(name), _FIELD_WORDS)
        elif name in placeholder.SECRETS or name in fields:
            yield Finding(key, f'"{name}", which means something else here', "another name")
        if var.env is not None:
            yield from _variable_name(f"{key}.env", var.env)
        if "{" in var.default or "}" in var.default or not var.default.isprintable():
            yield Finding(f"{key}.default", shown(var.default), "plain text without { and }")


def _variable_name(key: str, name: str) -> Iterator[Finding]:
    if not _VARIABLE.fullmatch(name):
        yield Finding(key, shown(name), "a variable's name: letters, digits and '_'")
    elif _TAKEN.fullmatch(name):
        yield Finding(key, shown(name), "a variable that changes nothing but the tool's login")


def _credentials(definition: ToolDefinition) -> Iterator[Finding]:
    if not definition.credential:
        yield Finding("credential", "none", "at least one [[credential]] table")
    seen: set[str] = set()
    for index, spec in enumerate(definition.credential):
        key = f"credential[{index}]"
        if not _NAME.fullmatch(spec.id):
            yield Finding(f"{key}.id", shown(spec.id), _NAME_WORDS)
        if spec.id in seen:
            yield Finding(f"{key}.id", f"{shown(spec.id)} a second time", "an id of its own")
        seen.add(spec.id)
        yield from _credential(key, spec)
        yield from headers(f"{key}.headers", spec.headers)


def _credential(key: str, spec: CredentialSpec) -> Iterator[Finding]:
    if not isinstance(spec.source, str):
        if not spec.source.env:
            yield Finding(f"{key}.source.env", "an empty array", "at least one variable's name")
        for index, name in enumerate(spec.source.env):
            yield from _variable_name(f"{key}.source.env[{index}]", name)
    if spec.pattern is not None:
        wrong = pattern.problem(spec.pattern)
        if wrong is not None:
            yield Finding(f"{key}.pattern", f"{wrong} ({shown(spec.pattern)})", pattern.ALLOWED)
    if spec.shape is not None:
        yield from _printed(f"{key}.shape", spec.shape)
        if spec.pattern is None:
            yield Finding(f"{key}.shape", shown(spec.shape), "a shape only beside a pattern")
    yield from _scope(f"{key}.scope", spec.scope or "")
    if spec.expiry.default is not None:
        yield from _duration(f"{key}.expiry.default", spec.expiry.default, least=1.0)


def _obtainable(definition: ToolDefinition) -> Iterator[Finding]:
    """A credential that no login obtains and no variable holds would never be there."""
    if definition.provider is not None:
        return
    obtained = {login.credential for login in definition.login.values()}
    for index, spec in enumerate(definition.credential):
        if (spec.source == "session" or spec.storable) and spec.id not in obtained:
            found = f"{shown(spec.id)}, which no login obtains"
            allowed = f"a [login.<method>] with credential = {shown(spec.id)}"
            yield Finding(f"credential[{index}].id", found, allowed)


def _scope(key: str, scope: str) -> Iterator[Finding]:
    if scope and not _SCOPE.fullmatch(scope):
        yield Finding(key, shown(scope), "words separated by single blanks")


def _duration(
    key: str, text: str, *, least: float = 0.0, most: float = duration.LONGEST
) -> Iterator[Finding]:
    try:
        value = duration.seconds(text)
    except ValueError:
        yield Finding(key, shown(text), duration.ALLOWED)
    else:
        if not least <= value <= most:
            yield Finding(key, shown(text), f"{least:g}s to {most:g}s")


def _logins(definition: ToolDefinition) -> Iterator[Finding]:
    for method, login in definition.login.items():
        key = joined("login", method)
        if not _NAME.fullmatch(method):
            yield Finding(key, shown(method), _NAME_WORDS)
        yield from _printed(f"{key}.title", login.title or "")
        if isinstance(login, OAuthCode):
            wanted = [spec.id for spec in definition.credential if spec.source == "session"]
            words = 'the id of a credential with source = "session"'
            yield from _oauth_code(key, login)
        else:
            wanted = [spec.id for spec in definition.credential if spec.storable]
            words = (
                'the id of a credential with source = "stored" or { env = [...], stored = true }'
            )
            yield from _paste(key, login)
        if login.credential not in wanted:
            allowed = f"{words}: {listed(wanted)}" if wanted else f"{words}; there is none"
            guess = nearest(login.credential, wanted)
            yield Finding(f"{key}.credential", shown(login.credential), allowed, guess)


def _oauth_code(key: str, login: OAuthCode) -> Iterator[Finding]:
    if login.issuer is None:
        for part in ("authorize", "token"):
            if getattr(login, part) is None:
                yield Finding(f"{key}.{part}", "nothing", "issuer, or both authorize and token")
    elif "?" in login.issuer or "#" in login.issuer:
        # RFC 8414 section 2: the metadata's address is made from it.
        yield Finding(f"{key}.issuer", shown(login.issuer), "an address without ? and #")
    if not login.client_id:
        yield Finding(f"{key}.client_id", shown(login.client_id), "the public client id")
    if not 0 <= login.loopback.port <= PORT_MAX:
        allowed = f"0 (any free port) to {PORT_MAX}"
        yield Finding(f"{key}.loopback.port", shown(login.loopback.port), allowed)
    if not _CALLBACK.fullmatch(login.loopback.path):
        allowed = "a path that begins with / and has no query"
        yield Finding(f"{key}.loopback.path", shown(login.loopback.path), allowed)
    yield from _scope(f"{key}.scope", login.scope)
    yield from _duration(f"{key}.timeout", login.timeout, least=1.0, most=LONGEST_TIMEOUT_S)
    for name in login.parameters:
        if name in OURS:
            allowed = "parameters that the agent does not set itself"
            yield Finding(joined(f"{key}.parameters", name), shown(name), allowed)


def _paste(key: str, login: Paste) -> Iterator[Finding]:
    yield from _printed(f"{key}.prompt", login.prompt)
    if not login.prompt.strip():
        yield Finding(f"{key}.prompt", shown(login.prompt), "what the person is asked for")


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
    ):
        if there:
            allowed = f"no [{key}]: logins belong to the provider, {shown(definition.provider)}"
            yield Finding(key, "a table beside `provider`", allowed)


def _refresh(refresh: Refresh) -> Iterator[Finding]:
    yield from _statuses("refresh.fatal_status", refresh.fatal_status)
    yield from _duration("refresh.rotation_grace", refresh.rotation_grace)


def _statuses(key: str, statuses: tuple[int, ...]) -> Iterator[Finding]:
    for index, status in enumerate(statuses):
        if status not in ERROR_STATUSES:
            yield Finding(f"{key}[{index}]", shown(status), "an HTTP status from 400 to 599")


def _identities(definition: ToolDefinition) -> Iterator[Finding]:
    ids = [spec.id for spec in definition.credential]
    discovers = definition.provider is not None or any(
        isinstance(login, OAuthCode) and login.issuer for login in definition.login.values()
    )
    for id_, spec in definition.identity.items():
        key = joined("identity", id_)
        if id_ not in ids:
            allowed = f"the id of a credential: {listed(ids)}"
            yield Finding(key, shown(id_), allowed, nearest(id_, ids))
        if spec.request is None and not discovers:
            allowed = "a request; without one the userinfo endpoint of a login's issuer is asked"
            yield Finding(f"{key}.request", "nothing", allowed)
        yield from _identity(key, spec)


def _identity(key: str, spec: IdentitySpec) -> Iterator[Finding]:
    for name, field in spec.fields.items():
        place = joined(f"{key}.fields", name)
        if not placeholder.NAME.fullmatch(name):
            yield Finding(place, shown(name), _FIELD_WORDS)
        yield from _field(place, Field(path=field) if isinstance(field, str) else field)
    defaults = IdentitySpec()
    for role in ("name", "subject"):
        value = getattr(spec, role)
        if spec.fields and value not in spec.fields and value != getattr(defaults, role):
            allowed = f"one of the fields: {listed(spec.fields)}"
            yield Finding(f"{key}.{role}", shown(value), allowed, nearest(value, spec.fields))
    yield from _printed(f"{key}.text", spec.text or "", lines=True)
    yield from _statuses(f"{key}.refused_status", spec.refused_status)


def _field(key: str, field: Field) -> Iterator[Finding]:
    sources = [part for part in ("path", "claim", "claim_suffix") if getattr(field, part)]
    if len(sources) != 1:
        found = " and ".join(sources) or "nothing"
        yield Finding(key, found, "exactly one of path, claim, claim_suffix")
    if field.path and not _DOTTED.fullmatch(field.path):
        yield Finding(key, shown(field.path), "names and list indices separated by single dots")
    choice = (field.equals, field.then, field.otherwise)
    if any(part is not None for part in choice) and None in choice:
        yield Finding(key, "only a part of a comparison", "equals, then and otherwise together")
    for part in ("then", "otherwise"):
        yield from _printed(f"{key}.{part}", getattr(field, part) or "")


def _env(definition: ToolDefinition) -> Iterator[Finding]:
    ids = [spec.id for spec in definition.credential]
    for name, id_ in definition.env.items():
        key = joined("env", name)
        yield from _variable_name(key, name)
        if id_ not in ids:
            allowed = f"the id of a credential: {listed(ids)}"
            yield Finding(key, shown(id_), allowed, nearest(id_, ids))


def _addresses(definition: ToolDefinition) -> Iterator[Finding]:
    defaults = {name: var.default for name, var in definition.vars.items()}
    for key, template in address.addresses(definition):
        if placeholder.SECRETS.intersection(placeholder.names(template)):
            allowed = "secrets in headers, form or json only: addresses end in logs"
            yield Finding(key, f"a secret in an address ({shown(template)})", allowed)
            continue
        if set(placeholder.names(template)) - set(defaults):
            continue  # an unknown placeholder, which has its own finding
        text = placeholder.substitute(template, defaults)
        try:
            origin = address.origin_of(text)
        except address.AddressError as error:
            yield Finding(key, f"{error} ({shown(text)})", address.ALLOWED)
            continue
        if origin not in definition.origins:
            allowed = f"an origin that `origins` lists: {listed(definition.origins) or 'none'}"
            advice = f'add "{origin}" to origins, if secrets of this tool may go there'
            yield Finding(key, shown(origin), allowed, advice=advice)
