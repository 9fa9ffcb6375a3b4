"""What a token reply becomes, whichever flow of OAuth brought it: a grant with a name."""

import logging
from dataclasses import dataclass, replace

from tool_agentd.broker.login import Login
from tool_agentd.broker.login_flows import Obtained, Parts, Taker, origins_of
from tool_agentd.definition import credentials, select
from tool_agentd.definition.flows import OAuthMethod
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, ConfigurationError, ProviderError
from tool_agentd.model import Grant, GrantKind, HttpReply, HttpRequest, Identity
from tool_agentd.oauth import id_token, token
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.registration import registration_of
from tool_agentd.secret import Secret

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A login whose last step is a token endpoint's reply."""

    parts: Parts
    login: Login
    provider: ToolDefinition
    method: OAuthMethod
    taker: Taker

    async def metadata(self) -> Metadata:
        """Return the endpoints. Raises ConfigurationError, or what a discovery raises."""
        registration = registration_of(self.provider, self.login.view.method)
        if registration is None:  # the person changed the definition this very moment
            message = f"{self.provider.name} has no login {self.login.view.method!r} any more"
            raise ConfigurationError(message)
        return await self.parts.providers.metadata(registration, origins_of(self.provider))

    def read(
        self, request: HttpRequest, reply: HttpReply, scopes: tuple[str, ...]
    ) -> token.TokenOutcome:
        """Read the token endpoint's reply; `scopes` are those asked for."""
        spec = credentials.spec_of(self.provider, self.method.credential)
        return token.read_token(
            reply,
            request=request,
            asked=scopes,
            expiry=spec.expiry,
            errors=self.provider.errors,
        )

    async def take(
        self, metadata: Metadata, granted: token.Granted, reply: HttpReply, nonce: Secret | None
    ) -> str:
        """Name the grant and hand it over. One that proves to be wrong is revoked.

        Raises ProviderError for an ID token that does not hold, and what the taker raises.
        """
        grant = Grant(
            key=self.login.view.key,
            kind=GrantKind.REFRESH_TOKEN,
            method=self.login.view.method,
            credential=self.method.credential,
            origins=origins_of(self.provider),
            obtained_at=self.parts.clock.now().wall,
            scopes=granted.access_token.scopes,
            kept=token.kept(reply, self.method.keep),
        )
        obtained = Obtained(grant, granted.refresh_token, granted.access_token)
        try:
            identity = await self._validated(metadata, granted, nonce)
            identity = await self._named(obtained, identity)
        except AgentError:
            await self.taker.abandon(obtained)
            raise
        named = replace(obtained, grant=replace(grant, identity=identity))
        return await self.taker.take(self._lasting(named))

    def _lasting(self, obtained: Obtained) -> Obtained:
        """Make a platform session of an access token that has no end and nothing to renew it."""
        spec = credentials.spec_of(self.provider, self.method.credential)
        if not spec.expiry.never or obtained.secret is not None or obtained.token is None:
            return obtained
        grant = replace(obtained.grant, kind=GrantKind.SESSION)
        return Obtained(grant, obtained.token.value, None)

    async def _validated(
        self, metadata: Metadata, granted: token.Granted, nonce: Secret | None
    ) -> Identity:
        """Validate the ID token where one is due (OIDC Core 3.1.3.7), fetching keys at most twice.

        A definition that names its endpoints itself has no issuer, and no ID token to rely on.
        """
        if self.method.issuer is None:
            return Identity()
        if granted.id_token is None:
            if "openid" in self.method.scope.split():
                message = f"{metadata.issuer} sent no ID token"
                raise ProviderError(message)
            return Identity()
        try:
            claims = await self._claims(metadata, granted.id_token, nonce)
        except id_token.UnknownKeyError:  # the keys may have been replaced since they were fetched
            claims = await self._claims(metadata, granted.id_token, nonce)
        names = (claims.values.get(name) for name in ("email", "preferred_username", "name"))
        name = next((select.text_of(name) for name in names if name), claims.subject)
        return Identity(name, claims.subject)

    async def _claims(
        self, metadata: Metadata, token_: Secret, nonce: Secret | None
    ) -> id_token.Claims:
        keys = await self.parts.providers.signing_keys(metadata, origins_of(self.provider))
        return id_token.validate(
            token_,
            metadata=metadata,
            jwks=keys,
            client_id=self.method.client_id,
            nonce=nonce,
            now=self.parts.clock.now(),
        )

    async def _named(self, obtained: Obtained, known: Identity) -> Identity:
        """Ask the platform who this is. A login stands without the answer: a name is missing."""
        grant, access = obtained.grant, obtained.token
        spec = credentials.spec_of(self.provider, grant.credential)
        if access is None or spec.id not in self.provider.identity:
            return known
        credential = credentials.credential(
            spec,
            self.provider,
            access.value,
            account=grant.key.label,
            expires_at=access.expires.wall,
            token_type=access.token_type,
        )
        try:
            who = await self.parts.identities.ask(
                self.provider, spec, credential, grant.origins, grant.method, grant.kept
            )
        except AgentError as error:
            log.warning("%s: the platform did not say who this is: %s", grant.key, error.detail)
            return known
        return Identity(who.identity.name or known.name, who.identity.subject or known.subject)
