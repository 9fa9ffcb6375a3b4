"""What every login has in common, and the login by key: the person pastes it, the platform judges.

The login by browser has a room of its own, `login_browser`.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tool_agentd.broker.identities import Identities
from tool_agentd.broker.login import Login, LoginState, Prompt
from tool_agentd.broker.providers import Providers
from tool_agentd.definition import credentials
from tool_agentd.definition.flows import OAuthMethod, Paste
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.errors import InvalidRequestError
from tool_agentd.model import AccessToken, Grant, GrantKind
from tool_agentd.ports import Clock, Http, Loopback
from tool_agentd.secret import Secret

SECRET_PROMPT = "secret"  # noqa: S105 - a prompt's name
PASTES = 3
"""How often a key of the wrong shape may be pasted: as often as login(1) asks for a password."""


@dataclass(frozen=True, slots=True)
class Obtained:
    """What a login brought: a grant that the store does not have yet."""

    grant: Grant
    secret: Secret | None
    """None: the provider gave an access token and nothing that lasts."""
    token: AccessToken | None
    verified: bool = True
    """False where the definition has no way to try a pasted key."""


class Taker(Protocol):
    """Who takes what a login brought."""

    async def see_through(self, work: Coroutine[Any, Any, str]) -> str:
        """Do the last steps to their end, whoever stops waiting, and return what they return."""
        ...

    async def take(self, obtained: Obtained) -> str:
        """Store what was obtained and return what the person is told."""
        ...

    async def abandon(self, obtained: Obtained) -> None:
        """Revoke what was obtained and cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flows work with."""

    http: Http
    clock: Clock
    loopback: Loopback
    providers: Providers
    identities: Identities
    entropy: Callable[[int], bytes]


async def paste(
    parts: Parts, login: Login, provider: ToolDefinition, method: Paste, taker: Taker
) -> None:
    """A key from the person: its shape is checked here, its worth at the platform.

    A key of the wrong shape, which never leaves the machine, is asked for again a few times.

    Raises InvalidRequestError for the last of those, or the one that was given in advance, and
    ProviderError for a key that the platform refuses.
    """
    spec = credentials.spec_of(provider, method.credential)
    given = login.preset.pop(SECRET_PROMPT, None)
    if given is None:
        secret = await _pasted(login, provider, method, spec)
    else:
        secret = _shaped(provider, spec, given)
        login.update(state=LoginState.WORKING, prompts=())
    await taker.see_through(take_key(parts, login, provider, method.credential, secret, taker))


async def _pasted(
    login: Login, provider: ToolDefinition, method: Paste, spec: CredentialSpec
) -> Secret:
    """Ask for the key until it has its shape. Raises InvalidRequestError where it never has."""
    prompt = Prompt(SECRET_PROMPT, method.prompt, secret=True)
    for last in (*[False] * (PASTES - 1), True):
        login.update(state=LoginState.AWAITING_INPUT, prompts=(prompt,))
        given = (await login.answers())[SECRET_PROMPT]
        login.update(state=LoginState.WORKING, prompts=())
        try:
            secret = _shaped(provider, spec, given)
        except InvalidRequestError as error:
            if last:
                raise
            login.update(notice=error, notices=login.view.notices + 1)
        else:
            login.update(notice=None)
            return secret
    raise AssertionError(login.view.method)


def _shaped(provider: ToolDefinition, spec: CredentialSpec, given: Secret) -> Secret:
    """Return what was given as a key. Raises InvalidRequestError where it is none."""
    secret = Secret(given.reveal().strip())
    if not secret:
        message = f"no key was given for {provider.title}"
        raise InvalidRequestError(message, hint="pipe the key in, or paste it at the prompt")
    credentials.check_pattern(spec, secret)
    return secret


async def take_key(  # noqa: PLR0913 - what a login has at its hands
    parts: Parts,
    login: Login,
    provider: ToolDefinition,
    credential_id: str,
    secret: Secret,
    taker: Taker,
) -> str:
    """Check a key's shape here and its worth at the platform, then hand it over.

    Raises InvalidRequestError for a key of the wrong shape, which never leaves the machine, and
    ProviderError for one that the platform refuses.
    """
    spec = credentials.spec_of(provider, credential_id)
    credentials.check_pattern(spec, secret)
    grant = Grant(
        key=login.view.key,
        kind=GrantKind.API_KEY,
        method=login.view.method,
        credential=spec.id,
        origins=origins_of(provider),
        obtained_at=parts.clock.now().wall,
    )
    verified = provider.identity.get(spec.id) is not None
    if verified:
        credential = credentials.credential(
            spec, provider, secret, account=grant.key.label, expires_at=None, token_type=""
        )
        who = await parts.identities.ask(provider, spec, credential, grant.origins, grant.method)
        grant = replace(grant, identity=who.identity)
    return await taker.take(Obtained(grant, secret, None, verified))


def scopes_of(method: OAuthMethod, sharing: tuple[ToolDefinition, ...]) -> tuple[str, ...]:
    """Return what a login asks for: its own scopes and those of every tool that shares it."""
    wanted = dict.fromkeys(method.scope.split())
    for tool in sharing:
        for spec in tool.credential:
            if spec.source == "session":
                wanted.update(dict.fromkeys((spec.scope or "").split()))
    return tuple(wanted)


def origins_of(provider: ToolDefinition) -> tuple[str, ...]:
    """Return where a grant may be sent, for as long as it lives: what the provider lists today."""
    return tuple(sorted(provider.origins))
