"""Logins that are lists of steps (`exchange`, `password`, `poll`), and what their values bring."""

import asyncio
import logging
from dataclasses import replace

from tool_agentd.broker.identities import CredentialRefusedError
from tool_agentd.broker.login import Login, LoginState
from tool_agentd.broker.login_flows import Obtained, Parts, Taker, origins_of
from tool_agentd.broker.procedure import Walk
from tool_agentd.broker.values import Values
from tool_agentd.definition import credentials, duration, select
from tool_agentd.definition.flows import Procedure
from tool_agentd.definition.moment import wall_time
from tool_agentd.definition.steps import Obtain
from tool_agentd.definition.template import fill
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.errors import AgentError, InvalidRequestError, ProviderError
from tool_agentd.model import AccessToken, Grant, GrantKind, Identity, Instant
from tool_agentd.oauth.token import DEFAULT_LIFE
from tool_agentd.secret import Secret

log = logging.getLogger(__name__)

SIGNED_IN = "signed_in"
"""The value that says whether the account has a session, as steps may ask in `when`."""


async def by_steps(  # noqa: PLR0913 - what a login has at its hands
    parts: Parts,
    login: Login,
    provider: ToolDefinition,
    method: Procedure,
    taker: Taker,
    *,
    signed_in: bool,
) -> None:
    """Go through the steps and take the session that they bring.

    Raises what `Walk.run` raises, and ProviderError where the steps bring nothing.
    """
    values = Values({SIGNED_IN: "true" if signed_in else "false"})
    walk = Walk(
        parts.http,
        parts.clock,
        provider,
        login,
        allowed=origins_of(provider),
        preset=login.preset,
    )
    try:
        for step in method.step:
            await walk.run(step, values)
    except (AgentError, asyncio.CancelledError):
        if brings(method.obtain, values):  # the platform has made a session that nobody will use
            left = obtained(
                parts, login, provider, login.view.method, method.obtain, values, walk.sent
            )
            await taker.see_through(_abandoned(taker, left))
        raise
    login.update(state=LoginState.WORKING, prompts=(), url=None, user_code=None)

    async def finish() -> str:
        brought = obtained(
            parts, login, provider, login.view.method, method.obtain, values, walk.sent
        )
        try:
            named = await identified(parts, provider, brought)
        except AgentError:
            await taker.abandon(brought)
            raise
        return await taker.take(named)

    await taker.see_through(finish())


async def _abandoned(taker: Taker, left: Obtained) -> str:
    await taker.abandon(left)
    return ""


def brings(obtain: Obtain, values: Values) -> bool:
    """Tell whether the values hold what makes a session."""
    names = (obtain.secret, obtain.access_token, obtain.refresh_token)
    return any(values.secret(name) is not None for name in names)


def obtained(  # noqa: PLR0913 - the parts of a grant, each from another place
    parts: Parts,
    login: Login,
    provider: ToolDefinition,
    method: str,
    obtain: Obtain,
    values: Values,
    sent: Instant,
) -> Obtained:
    """Return what the values of some steps bring: a grant that the store does not have yet.

    `method` is the name of the login method whose session it is, also where an action brings it.
    `sent` is when the request was sent whose answer brought them: lives are counted from there.
    Raises ProviderError where they bring nothing that can be used.
    """
    spec = credentials.spec_of(provider, provider.login[method].credential)
    secret = values.secret(obtain.secret)
    refresh = values.secret(obtain.refresh_token)
    access = values.secret(obtain.access_token)
    for one in (secret, refresh, access):
        _usable(provider, one)
    if secret is None and access is None and refresh is None:
        message = f"{provider.title} answered without the session that this login is to bring"
        raise ProviderError(message)
    grant = Grant(
        key=login.view.key,
        kind=_kind(spec, secret),
        method=method,
        credential=spec.id,
        origins=origins_of(provider),
        obtained_at=parts.clock.now().wall,
        identity=Identity(values.text(obtain.name or ""), values.text(obtain.subject or "")),
        kept=tuple((name, values.text(name)) for name in obtain.keep if not values.empty(name)),
    )
    if secret is not None:
        ends_at = _end(obtain, values, sent)
        if ends_at is not None:
            because = f"the session that {provider.title} gave has reached its end"
            grant = replace(grant, ends_at=ends_at, ends_because=because)
        return Obtained(grant, secret, None, verified=False)
    token = _access_token(spec, obtain, values, access, sent)
    if refresh is not None:
        return Obtained(grant, refresh, token)
    return Obtained(grant, None, token)  # whoever takes it sees that nothing lasts of it


def _kind(spec: CredentialSpec, secret: Secret | None) -> GrantKind:
    if secret is None:
        return GrantKind.REFRESH_TOKEN
    return GrantKind.API_KEY if spec.storable else GrantKind.SESSION


def _usable(provider: ToolDefinition, secret: Secret | None) -> None:
    if secret is None:
        return
    try:
        fill("{secret}", {"secret": secret})
    except InvalidRequestError:
        message = f"{provider.title} answered with a session that no header can carry"
        raise ProviderError(message) from None


def _end(obtain: Obtain, values: Values, sent: Instant) -> float | None:
    """Return the wall time at which what was obtained ends, where the platform says."""
    if obtain.expires_at is not None:
        at = wall_time(values.typed(obtain.expires_at))
        if at is not None:
            return at
    if obtain.expires_in is not None:
        try:
            return sent.wall + max(0.0, float(values.text(obtain.expires_in)))
        except ValueError:
            return None
    return None


def _access_token(
    spec: CredentialSpec, obtain: Obtain, values: Values, access: Secret | None, sent: Instant
) -> AccessToken | None:
    if access is None:
        return None
    end = _end(obtain, values, sent)
    if end is None and spec.expiry.jwt_claim is not None:
        end = select.claim_time(select.claims(access), spec.expiry.jwt_claim)
    if end is not None:
        life = max(0.0, end - sent.wall)
    elif spec.expiry.default is not None:
        life = duration.seconds(spec.expiry.default)
    else:
        life = DEFAULT_LIFE
    return AccessToken(access, sent, sent.plus(life))


async def identified(parts: Parts, provider: ToolDefinition, brought: Obtained) -> Obtained:
    """Ask the platform whose session this is, where its definition says how.

    A session just given stands without the answer: a name is missing. Raises CredentialRefusedError
    where the platform does not take what it gave.
    """
    grant, token = brought.grant, brought.token
    value = token.value if token is not None else brought.secret
    if grant.credential not in provider.identity or value is None:
        return replace(brought, verified=True)
    if token is None and grant.kind is GrantKind.REFRESH_TOKEN:
        return brought  # a refresh token is shown to nobody but the token endpoint
    spec = credentials.spec_of(provider, grant.credential)
    try:
        credential = credentials.credential(
            spec,
            provider,
            value,
            account=grant.key.label,
            expires_at=token.expires.wall if token is not None else None,
        )
        who = await parts.identities.ask(
            provider, spec, credential, grant.origins, grant.method, grant.kept
        )
    except CredentialRefusedError:
        raise
    except AgentError as error:
        log.warning("%s: the platform did not say who this is: %s", grant.key, error.detail)
        return replace(brought, verified=True)
    known = grant.identity
    identity = Identity(who.identity.name or known.name, who.identity.subject or known.subject)
    return replace(brought, grant=replace(grant, identity=identity), verified=True)
