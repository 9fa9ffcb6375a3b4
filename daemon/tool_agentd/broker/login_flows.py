"""How a login of each flow comes by a grant: the steps between the person and the provider."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tool_agentd.broker.background import Background
from tool_agentd.broker.identities import Identities
from tool_agentd.broker.login import Login, LoginState, Prompt
from tool_agentd.broker.providers import Providers
from tool_agentd.definition import credentials, select
from tool_agentd.definition.vocabulary import CredentialSpec, OAuthCode, Paste, ToolDefinition
from tool_agentd.errors import AgentError, InvalidRequestError, ProviderError
from tool_agentd.model import AccessToken, Grant, GrantKind, Identity, Page
from tool_agentd.oauth import code, id_token, token
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.ports import Clock, Http, Loopback
from tool_agentd.secret import Secret

REDIRECT_PROMPT = "redirect_url"
SECRET_PROMPT = "secret"  # noqa: S105 - a prompt's name

EXCHANGE_DEADLINE = 60.0
"""Seconds for the exchange of a code, which works once: the person waits before the browser."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Obtained:
    """What a login brought: a grant that the store does not have yet."""

    grant: Grant
    secret: Secret | None
    """None: the provider gave an access token and nothing that lasts."""
    token: AccessToken | None
    verified: bool = True
    """False where the definition has no way to try a pasted key."""


Conclude = Callable[[Obtained], Awaitable[str]]
"""Stores what was obtained and returns what the person is told."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flows work with."""

    http: Http
    clock: Clock
    loopback: Loopback
    providers: Providers
    identities: Identities
    background: Background
    entropy: Callable[[int], bytes]


async def oauth_code(  # noqa: PLR0913 - one login, with all that it needs
    parts: Parts,
    login: Login,
    provider: ToolDefinition,
    sharing: tuple[ToolDefinition, ...],
    method: OAuthCode,
    conclude: Conclude,
) -> None:
    """Authorization code with PKCE: the browser, or the pasted redirect address.

    Raises CancelledError when the person refuses at the provider, ProviderError for a callback
    that is wrong, ConflictError when the fixed port is taken.
    """
    origins = origins_of(provider)
    metadata = await parts.providers.metadata(method, origins)
    arrivals: asyncio.Queue[tuple[str, asyncio.Future[Page]]] = asyncio.Queue()

    async def answer(target: str) -> Page:
        page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        arrivals.put_nowait((target, page))
        return await page

    listener = await parts.loopback.listen(
        method.loopback.host, method.loopback.port, method.loopback.path, answer
    )
    page: asyncio.Future[Page] | None = None
    try:
        pending = code.begin(
            method,
            metadata,
            redirect_uri=listener.redirect_uri,
            scope=" ".join(scopes_of(method, sharing)),
            entropy=parts.entropy,
            now=parts.clock.now(),
        )
        login.update(
            state=LoginState.AWAITING_BROWSER,
            url=pending.url,
            prompts=(Prompt(REDIRECT_PROMPT, "Paste the address the browser ended at: "),),
        )
        target, page = await _arrival(login, pending, arrivals)
        login.update(state=LoginState.WORKING, prompts=())
        authorization = code.read_callback(pending, target)

        async def redeem() -> str:
            obtained = await _exchange(
                parts, login, provider, origins, method, metadata, pending, authorization
            )
            return await conclude(obtained)

        # Once the code is posted there may be a grant: cancelling no longer stops it half-way.
        # If the login was cancelled meanwhile, `conclude` finds that out and revokes.
        text = await asyncio.shield(parts.background.start(redeem()))
        if page is not None:
            page.set_result(Page(f"Signed in to {provider.title}", text, ok=True))
    except AgentError as error:
        if page is not None and not page.done():
            page.set_result(Page(f"Not signed in to {provider.title}", error.detail, ok=False))
        raise
    finally:
        if page is None:
            await listener.close()
        elif not page.done():
            page.set_result(Page("Not signed in", "The login was cancelled.", ok=False))


async def _arrival(
    login: Login,
    pending: code.PendingCode,
    arrivals: asyncio.Queue[tuple[str, asyncio.Future[Page]]],
) -> tuple[str, asyncio.Future[Page] | None]:
    """Wait for the browser to come back, or for the address that the person pastes.

    Return the address and the page that the browser waits for, None where it was pasted. A pasted
    text that is no callback of this login at all is a slip, and may be pasted again.
    """
    while True:
        browser = asyncio.ensure_future(arrivals.get())
        pasted = asyncio.ensure_future(login.answers())
        try:
            await asyncio.wait({browser, pasted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            browser.cancel()
            pasted.cancel()
        if browser.done():
            return browser.result()
        text = pasted.result()[REDIRECT_PROMPT].reveal().strip()
        try:
            code.read_callback(pending, text)
        except InvalidRequestError as slip:
            login.update(notice=slip)
            continue
        except AgentError:
            pass  # the caller reads it again and ends the login with it
        return text, None


async def _exchange(  # noqa: PLR0913 - one login, with all that it needs
    parts: Parts,
    login: Login,
    provider: ToolDefinition,
    origins: tuple[str, ...],
    method: OAuthCode,
    metadata: Metadata,
    pending: code.PendingCode,
    authorization: Secret,
) -> Obtained:
    spec = credentials.spec_of(provider, method.credential)
    request = code.exchange(pending, method, metadata, authorization)
    reply = await parts.http.send(request, allowed=origins, deadline=EXCHANGE_DEADLINE)
    outcome = token.read_token(reply, request=request, asked=pending.scopes, expiry=spec.expiry)
    if not isinstance(outcome, token.Granted):
        raise token.failure_error(outcome)
    grant = Grant(
        key=login.view.key,
        kind=GrantKind.REFRESH_TOKEN,
        method=login.view.method,
        credential=method.credential,
        origins=origins,
        obtained_at=parts.clock.now().wall,
        scopes=outcome.access_token.scopes,
    )
    identity = Identity()
    if method.issuer is not None:
        identity = await _validated(parts, method, metadata, pending, outcome, origins)
    if provider.identity.get(spec.id) is not None:
        identity = await _named(parts, provider, spec, grant, outcome.access_token, identity)
    return Obtained(replace(grant, identity=identity), outcome.refresh_token, outcome.access_token)


async def _validated(  # noqa: PLR0913 - one login, with all that it needs
    parts: Parts,
    method: OAuthCode,
    metadata: Metadata,
    pending: code.PendingCode,
    granted: token.Granted,
    origins: tuple[str, ...],
) -> Identity:
    """Validate the ID token where one is due (OIDC Core 3.1.3.7), fetching keys at most twice."""
    if granted.id_token is None:
        if "openid" in method.scope.split():
            message = f"{metadata.issuer} sent no ID token"
            raise ProviderError(message)
        return Identity()
    claims = None
    for last in (False, True):
        keys = await parts.providers.signing_keys(metadata, origins)
        try:
            claims = id_token.validate(
                granted.id_token,
                metadata=metadata,
                jwks=keys,
                client_id=method.client_id,
                nonce=pending.nonce,
                now=parts.clock.now(),
            )
            break
        except id_token.UnknownKeyError:
            if last:
                raise
    if claims is None:
        return Identity()
    names = (claims.values.get(name) for name in ("email", "preferred_username", "name"))
    name = next((select.text_of(name) for name in names if name), claims.subject)
    return Identity(name, claims.subject)


async def _named(  # noqa: PLR0913 - one login, with all that it needs
    parts: Parts,
    provider: ToolDefinition,
    spec: CredentialSpec,
    grant: Grant,
    access: AccessToken,
    known: Identity,
) -> Identity:
    """Ask the platform who this is. A login stands without the answer: only the name is missing."""
    credential = credentials.credential(
        spec,
        provider,
        access.value,
        account=grant.key.label,
        expires_at=access.expires.wall,
        token_type=access.token_type,
    )
    try:
        who = await parts.identities.ask(provider, spec, credential, grant.origins, grant.method)
    except AgentError as error:
        log.warning("%s: the platform did not say who this is: %s", grant.key, error.detail)
        return known
    return Identity(who.identity.name or known.name, who.identity.subject or known.subject)


async def paste(
    parts: Parts, login: Login, provider: ToolDefinition, method: Paste, conclude: Conclude
) -> None:
    """A key from the person: its shape is checked here, its worth at the platform.

    Raises InvalidRequestError for a key of the wrong shape, which never leaves the machine, and
    ProviderError for one that the platform refuses.
    """
    login.update(
        state=LoginState.AWAITING_INPUT,
        prompts=(Prompt(SECRET_PROMPT, method.prompt, secret=True),),
    )
    secret = Secret((await login.answers())[SECRET_PROMPT].reveal().strip())
    login.update(state=LoginState.WORKING, prompts=())
    spec = credentials.spec_of(provider, method.credential)
    if not secret:
        message = f"no key was given for {provider.title}"
        raise InvalidRequestError(message, hint="pipe the key in, or paste it at the prompt")
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
    await conclude(Obtained(grant, secret, None, verified))


def scopes_of(method: OAuthCode, sharing: tuple[ToolDefinition, ...]) -> tuple[str, ...]:
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
