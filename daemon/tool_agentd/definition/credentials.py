"""From a definition to what a client gets: the person's variables, headers, checked secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from tool_agentd.definition.pattern import SUBJECT_MAX
from tool_agentd.definition.template import fill, fill_headers, fill_request
from tool_agentd.definition.vocabulary import CredentialSpec, EnvSource, ToolDefinition
from tool_agentd.errors import InvalidRequestError, UnknownToolError
from tool_agentd.model import Credential, HttpRequest
from tool_agentd.secret import Secret

SECRET_MAX = 16 * 1024
"""Characters of a pasted secret; no server accepts a longer header, and no pattern sees more."""

_NONE: Mapping[str, Secret] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PersonVariable:
    """A variable in which the person may hold a credential of their own."""

    name: str
    credential: str
    """The id of the credential in the definition."""
    before_session: bool
    """Whether it wins over what the agent holds (Encore's does not)."""
    login: str | None = None
    """The login method that takes it; it is no credential then."""


def person_variables(definition: ToolDefinition) -> list[PersonVariable]:
    """Return the person's variables in the order in which they count."""
    held = [
        index
        for index, spec in enumerate(definition.credential)
        if spec.source in ("session", "stored")
    ]
    first = min(held, default=len(definition.credential))
    return [
        PersonVariable(name, spec.id, index < first and spec.taken_by is None, spec.taken_by)
        for index, spec in enumerate(definition.credential)
        for name in (*spec.variables, *spec.pair)
    ]


def tool_agent_env_header(definition: ToolDefinition) -> str:
    """Return the value of `wire.ENV_HEADER`: `CRE_API_KEY; before=session; header=...`.

    Alternatives of one credential share an entry, in order, and so do variables that only count
    together; entries are separated by commas. The headers are those of the credential, with `{}`
    for the secret, which only the client has.
    """
    entries: list[str] = []
    variables = person_variables(definition)
    for spec in definition.credential:
        mine = [variable for variable in variables if variable.credential == spec.id]
        if mine:
            side = "before" if mine[0].before_session else "after"
            names = "+".join(spec.pair) or " ".join(spec.variables)
            entry = f"{names}; {side}=session"
            if spec.taken_by is not None:
                entry += f"; login={quote(spec.taken_by, safe='')}"
            else:
                blanks = {name: f"{{{name}}}" for name in spec.pair}
                for name, template in spec.headers.items():
                    blank = fill(template, blanks | {"secret": "{}", "access_token": "{}"})
                    entry += f"; header={quote(f'{name}: {blank}', safe='')}"
            if isinstance(spec.source, EnvSource) and spec.source.dotenv is not None:
                entry += f"; dotenv={quote(spec.source.dotenv, safe='')}"
            entries.append(entry)
    return ", ".join(entries)


def spec_of(definition: ToolDefinition, id_: str) -> CredentialSpec:
    """Return the credential of this id.

    Raises:
        UnknownToolError: the definition has none, because it has changed since the grant.
    """
    for spec in definition.credential:
        if spec.id == id_:
            return spec
    raise UnknownToolError(
        f"the definition of {definition.name} no longer has a credential '{id_}'",
        hint=f"run 'tool-agent login {definition.name}'",
    )


def values_of(secret: Secret, others: Mapping[str, Secret] = _NONE) -> dict[str, str | Secret]:
    """Return what fills a credential's placeholders; `others` are the variables of a pair."""
    return {**others, "secret": secret, "access_token": secret}


def credential(  # noqa: PLR0913 - the parts of a Credential, each from another place
    spec: CredentialSpec,
    definition: ToolDefinition,
    secret: Secret,
    account: str,
    expires_at: float | None = None,
    token_type: str = "Bearer",  # noqa: S107 - RFC 6750's name, no secret
    others: Mapping[str, Secret] = _NONE,
) -> Credential:
    """Return what a client gets of this secret: its headers filled, its variables from `[env]`.

    `others` are the variables that only count together with it. Without `headers` in the definition
    the client gets none.

    Raises:
        InvalidRequestError: the secret cannot stand in a header.
    """
    filled = fill_headers(spec.headers, values_of(secret, others))
    return Credential(
        value=secret,
        id=spec.id,
        token_type=token_type,
        account=account,
        expires_at=expires_at,
        headers={name: _secret(value) for name, value in filled.items()},
        env={name: secret for name, id_ in definition.env.items() if id_ == spec.id},
        others=others,
    )


def identity_request(
    definition: ToolDefinition,
    spec: CredentialSpec,
    secret: Secret,
    others: Mapping[str, Secret] = _NONE,
    *,
    instead: bool = False,
) -> HttpRequest | None:
    """Return the request that asks the provider who this credential is, or the one `instead`.

    It carries the credential's headers, the request's own winning. None: the definition leaves it
    to the discovered userinfo endpoint, or says nothing about this credential.
    """
    identity = definition.identity.get(spec.id)
    stated = (identity.instead if instead else identity.request) if identity is not None else None
    if stated is None:
        return None
    values = values_of(secret, others)
    return fill_request(stated, values).with_headers(fill_headers(spec.headers, values))


def check_pattern(spec: CredentialSpec, secret: Secret) -> None:
    """Refuse a secret that cannot be this credential, before it leaves the machine.

    Raises:
        InvalidRequestError: naming the shape that is expected and never what was given.
    """
    text = secret.reveal()
    if not text:
        raise InvalidRequestError("no secret was given")
    if len(text) > SECRET_MAX:
        raise InvalidRequestError(f"the secret has more than {SECRET_MAX} characters")
    fill("{secret}", {"secret": secret})
    fits = len(text) <= SUBJECT_MAX and re.fullmatch(spec.pattern or "", text) is not None
    if spec.pattern is not None and not fits:
        shape = spec.shape or spec.pattern
        raise InvalidRequestError(
            f"this does not have the shape of the credential '{spec.id}': {shape}",
            hint="nothing was sent; check that the whole secret was copied, and nothing else",
        )


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)
