"""Selection: which credential of a tool an account can give, and which token that means."""

from collections.abc import Mapping

from tool_agentd.definition import credentials
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.model import Credential, Grant, GrantKind, TokenKey
from tool_agentd.oauth.registration import registration_of
from tool_agentd.secret import Secret

Own = tuple[str, Secret] | tuple[str, Secret, Mapping[str, Secret]]
"""A variable of the person's with its value, sent for one request; and, where it only counts
together with others, all of them by name."""


def wanted(
    catalogue: Catalogue,
    tool: ToolDefinition,
    grant: Grant | None,
    scope: str | None,
    audience: str | None,
) -> tuple[CredentialSpec, TokenKey]:
    """Return the credential that the account's grant can give the tool, and the token it means.

    What the request names comes before what the definition names. Raises ConfigurationError where
    the tool takes no credential of the grant's kind, and InvalidRequestError where a key is asked
    for scopes.
    """
    spec = spec_for(tool, grant)
    if grant is not None and grant.kind is not GrantKind.REFRESH_TOKEN:
        if scope or audience:
            what = "key" if grant.kind is GrantKind.API_KEY else "session of its platform"
            message = f"{tool.name} is signed in with a {what}, which has no scopes to choose"
            raise InvalidRequestError(message, hint="leave --scope and --audience out")
        return spec, TokenKey()
    scope, audience = scope or spec.scope, audience or spec.audience
    login = registration_of(catalogue.provider(tool), grant.method) if grant is not None else None
    if grant is not None and login is not None:
        if audience == login.audience:
            audience = None  # what the login asked for is what comes without asking
        if not scope and grant.generation and set(grant.scopes) - set(login.scope.split()):
            # The login includes what other tools need; this one does not. A grant that nothing
            # lasts of (generation 0) cannot be narrowed: its only token is what there is.
            scope = login.scope
    return spec, TokenKey.of(scope, audience)


def spec_for(tool: ToolDefinition, grant: Grant | None) -> CredentialSpec:
    """Return the credential of `tool` that a grant can give.

    Raises ConfigurationError where the tool takes no credential of the grant's kind.
    """
    if grant is None:
        return tool.credential[0]
    for spec in tool.credential:
        if spec.id == grant.credential and (spec.source == "session" or spec.storable):
            return spec
    message = f"{tool.name} takes no {grant.credential!r}, with which {grant.key} is signed in"
    raise ConfigurationError(message, hint=f"run 'tool-agent tool show {tool.name}'")


def own_spec(tool: ToolDefinition, variable: str) -> CredentialSpec:
    """Return the credential that a variable of the person's holds. Raises InvalidRequestError."""
    for spec in tool.credential:
        if variable in spec.variables or variable in spec.pair:
            return spec
    message = f"{tool.name} does not read {variable[:64]!r}"
    raise InvalidRequestError(message, hint=f"run 'tool-agent tool show {tool.name}'")


def own_credential(tool: ToolDefinition, own: Own) -> Credential:
    """Return the credential that the person's own variable holds, checked before it is sent.

    Raises InvalidRequestError: it has another shape, it lacks the variables that it only counts
    with, or it is none, because a login takes it.
    """
    variable, value = own[:2]
    spec = own_spec(tool, variable)
    if spec.taken_by is not None:
        message = f"{variable} is no credential: the login by {spec.taken_by} takes it"
        hint = f"run 'tool-agent login {tool.name} --method {spec.taken_by}'"
        raise InvalidRequestError(message, hint=hint)
    others: Mapping[str, Secret] = {}
    if spec.pair:
        given = {**(own[2] if len(own) > 2 else {}), variable: value}  # noqa: PLR2004 - has others
        others = {name: given[name] for name in spec.pair if name in given and given[name].reveal()}
        missing = [name for name in spec.pair if name not in others]
        if missing:
            message = f"{variable} counts only together with {' and '.join(missing)}"
            raise InvalidRequestError(message, hint=f"set {' and '.join(missing)} as well")
        value = others[spec.pair[-1]]
    credentials.check_pattern(spec, value)
    return credentials.credential(
        spec, tool, value, account="", expires_at=None, token_type="", others=others
    )
