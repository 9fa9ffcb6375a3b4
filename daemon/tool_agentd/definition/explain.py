"""What a definition will do, in words: for `tool show`, and for `tool check` of a good file."""

from collections.abc import Iterator, Sequence

from tool_agentd.definition import explain_delivery, explain_face, explain_logins
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.vocabulary import (
    CredentialSpec,
    EnvSource,
    Expiry,
    IdentitySpec,
    ToolDefinition,
)


def explain(definition: ToolDefinition, sharing: Sequence[str] = ()) -> str:
    """Return the text of `tool show`, without a final line break.

    Args:
        definition: resolved or not; a resolved one shows the addresses that are in force.
        sharing: names of the other tools that use the same logins.
    """
    return "\n".join(_lines(definition, sharing))


def _lines(definition: ToolDefinition, sharing: Sequence[str]) -> Iterator[str]:
    yield f"{definition.name}: {definition.title}"
    facts = " ".join(definition.facts.split())
    yield f"facts: {facts or 'the definition does not say where they come from'}"
    if definition.provider is not None:
        yield f"logins: shared with {definition.provider}, whose login it uses"
    others = [name for name in sharing if name not in {definition.name, definition.provider}]
    if others:
        yield f"shares its logins with: {', '.join(sorted(others))}"
    yield "secrets go only to:"
    shared = definition.provider is not None
    nowhere = f"what {definition.provider} lists" if shared else "nowhere: it sends none"
    yield from (f"  {origin}" for origin in definition.origins or [nowhere])
    yield "credentials, the first that is there counting:"
    for spec in definition.credential:
        yield from _credential(spec)
    yield from explain_logins.logins(definition)
    yield from _end(definition)
    yield from _identities(definition)
    yield from _variables(definition)
    yield from explain_delivery.files(definition)
    yield from explain_delivery.caches(definition)
    yield from explain_face.actions(definition)
    yield from explain_face.api_keys(definition)
    yield from explain_face.output(definition)
    yield from explain_face.face(definition)


def _credential(spec: CredentialSpec) -> Iterator[str]:
    yield f"  {spec.id}: from {', or '.join(_places(spec))}"
    if isinstance(spec.source, EnvSource):
        if spec.source.login:
            yield f"    signs in by login --method {spec.source.login}, where there is no session"
        if spec.source.dotenv:
            yield f"    also from a project's .env, unless {spec.source.dotenv} is set"
    yield from (f"    header {name}: {value}" for name, value in spec.headers.items())
    if spec.scope or spec.audience:
        asked = [f"scope {spec.scope}"] if spec.scope else []
        asked += [f"audience {spec.audience}"] if spec.audience else []
        yield f"    asks for {', '.join(asked)}"
    if spec.pattern:
        yield f"    must look like {spec.shape or spec.pattern}"
    yield from _expiry(spec.expiry)


def _places(spec: CredentialSpec) -> list[str]:
    places = [f"the person's variable {' or '.join(spec.variables)}"] if spec.variables else []
    places += [f"the variables {' and '.join(spec.pair)} together"] if spec.pair else []
    places += ["the session of a login"] if spec.source == "session" else []
    return [*places, "the store"] if spec.storable else places


def _expiry(expiry: Expiry) -> Iterator[str]:
    if expiry.jwt_claim:
        yield f"    ends when its claim {expiry.jwt_claim} says"
    if expiry.field:
        yield f"    ends when {expiry.field} of the answer says"
    if expiry.default:
        yield f"    ends after {expiry.default} where nothing says when"


def _end(definition: ToolDefinition) -> Iterator[str]:
    if definition.refresh.token is not None:
        yield f"renewed at {definition.refresh.token}"
    if definition.refresh.fatal_status:
        statuses = ", ".join(str(status) for status in definition.refresh.fatal_status)
        yield f"a refresh that is answered {statuses} ends the session"
    if definition.session.idle is not None:
        yield f"a session ends when it was not used for {definition.session.idle}"
    if definition.session.absolute is not None:
        yield f"a session ends {definition.session.absolute} after its login"
    for request in definition.logout.revoke:
        yield f"logout: {request.method} {request.url}"


def _identities(definition: ToolDefinition) -> Iterator[str]:
    for id_, spec in definition.identity.items():
        if spec.request is not None:
            yield f"whoami ({id_}): {spec.request.method} {spec.request.url}"
        else:
            yield f"whoami ({id_}): {_unasked(spec)}"


def _unasked(spec: IdentitySpec) -> str:
    from_login = all(not isinstance(one, str) and one.kept for one in spec.fields.values())
    if spec.fields and from_login:
        return "what the login has kept; nobody is asked"
    return "the userinfo endpoint of the issuer"


def _variables(definition: ToolDefinition) -> Iterator[str]:
    for name, id_ in definition.env.items():
        yield f"env sets {name} to: {id_}"
    pairs = {name: spec.pair for spec in definition.credential for name in spec.pair}
    for variable in person_variables(definition):
        pair = pairs.get(variable.name, (variable.name,))
        if variable.name != pair[0]:
            continue  # said with the first of them
        over = variable.before_session
        if len(pair) == 1:
            side = "wins over" if over else "comes after"
            yield f"{variable.name}, set by the person, {side} what the agent holds"
        else:
            side = "win over" if over else "come after"
            yield f"{' and '.join(pair)}, set together, {side} what the agent holds"
    for name, var in definition.vars.items():
        if var.env is not None:
            yield f"{var.env}, set when the agent starts, overrides {name} ({var.default})"
