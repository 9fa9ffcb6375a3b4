"""Selection: which credential of a tool an account can give, and which token that means."""

from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import CredentialSpec, OAuthCode, ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.model import Grant, GrantKind, TokenKey


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
            message = f"{tool.name} is signed in with a key, which has no scopes to choose"
            raise InvalidRequestError(message, hint="leave --scope and --audience out")
        return spec, TokenKey()
    scope, audience = scope or spec.scope, audience or spec.audience
    login = catalogue.provider(tool).login.get(grant.method) if grant is not None else None
    if grant is not None and isinstance(login, OAuthCode):
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
        if variable in spec.variables:
            return spec
    message = f"{tool.name} does not read {variable[:64]!r}"
    raise InvalidRequestError(message, hint=f"run 'tool-agent tool show {tool.name}'")
