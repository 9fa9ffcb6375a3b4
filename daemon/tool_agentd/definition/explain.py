"""What a definition will do, in words: for `tool show`, and for `tool check` of a good file."""

from collections.abc import Iterator, Sequence

from tool_agentd.definition import address
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.vocabulary import CredentialSpec, Login, OAuthCode, ToolDefinition

_FLOWS = {
    "oauth_code": "the browser, with an authorization code and PKCE",
    "paste": "a secret that is pasted or piped in, verified before it is stored",
}


def explain(definition: ToolDefinition, sharing: Sequence[str] = ()) -> str:
    """Return the text of `tool show`, without a final line break.

    Args:
        definition: resolved or not; a resolved one shows the addresses that are in force.
        sharing: names of the other tools that use the same logins.
    """
    return "\n".join(_lines(definition, sharing))


def _lines(definition: ToolDefinition, sharing: Sequence[str]) -> Iterator[str]:
    yield f"{definition.name}: {definition.title}"
    if definition.facts:
        yield f"facts: {' '.join(definition.facts.split())}"
    if definition.provider is not None:
        yield f"logins: shared with {definition.provider}, whose login it uses"
    others = [name for name in sharing if name not in {definition.name, definition.provider}]
    if others:
        yield f"shares its logins with: {', '.join(sorted(others))}"
    yield "secrets go only to:"
    yield from (f"  {origin}" for origin in definition.origins)
    yield "credentials, the first that is there counting:"
    for spec in definition.credential:
        yield from _credential(spec)
    for method, login in definition.login.items():
        yield f"login --method {method}: {_login(login)}"
    yield from _end(definition)
    yield from _variables(definition)


def _credential(spec: CredentialSpec) -> Iterator[str]:
    places = [f"the person's variable {' or '.join(spec.variables)}"] if spec.variables else []
    if spec.source == "session":
        places.append("access tokens of a login")
    if spec.storable:
        places.append("the store")
    yield f"  {spec.id}: from {', or '.join(places)}"
    yield from (f"    header {name}: {value}" for name, value in spec.headers.items())
    if spec.scope or spec.audience:
        asked = [f"scope {spec.scope}"] if spec.scope else []
        asked += [f"audience {spec.audience}"] if spec.audience else []
        yield f"    asks for {', '.join(asked)}"
    if spec.pattern:
        yield f"    must look like {spec.shape or spec.pattern}"
    if spec.expiry.jwt_claim:
        yield f"    ends when its claim {spec.expiry.jwt_claim} says"


def _login(login: Login) -> str:
    flow = "oauth_code" if isinstance(login, OAuthCode) else "paste"
    text = login.title or _FLOWS[flow]
    if not isinstance(login, OAuthCode):
        return text
    port = login.loopback.port or "any free port"
    back = f"comes back to {login.loopback.host}, {port}, {login.loopback.path}"
    asked = f"; asks for scope {login.scope}" if login.scope else ""
    return f"{text}; {back}; waits {login.timeout}{asked}"


def _end(definition: ToolDefinition) -> Iterator[str]:
    if definition.refresh.fatal_status:
        statuses = ", ".join(str(status) for status in definition.refresh.fatal_status)
        yield f"a refresh that is answered {statuses} ends the session"
    for request in definition.logout.revoke:
        yield f"logout: {request.method} {request.url}"
    for key, request in address.requests(definition):
        if key.startswith("identity."):
            yield f"whoami ({key.split('.')[1]}): {request.method} {request.url}"


def _variables(definition: ToolDefinition) -> Iterator[str]:
    for name, id_ in definition.env.items():
        yield f"env sets {name} to: {id_}"
    for variable in person_variables(definition):
        side = "wins over" if variable.before_session else "comes after"
        yield f"{variable.name}, set by the person, {side} what the agent holds"
    for name, var in definition.vars.items():
        if var.env is not None:
            yield f"{var.env}, set when the agent starts, overrides {name} ({var.default})"
