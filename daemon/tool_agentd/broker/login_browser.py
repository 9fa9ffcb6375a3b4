"""The login by browser: authorization code with PKCE, from the address to the grant."""

import asyncio
import logging
from dataclasses import dataclass, replace

from tool_agentd.broker.login import Login, LoginState, Prompt
from tool_agentd.broker.login_flows import Obtained, Parts, Taker, origins_of, scopes_of
from tool_agentd.definition import credentials, select
from tool_agentd.definition.vocabulary import OAuthCode, ToolDefinition
from tool_agentd.errors import AgentError, InvalidRequestError, ProviderError
from tool_agentd.model import Grant, GrantKind, Identity, Page
from tool_agentd.oauth import code, id_token, token
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.secret import Secret

REDIRECT_PROMPT = "redirect_url"

EXCHANGE_DEADLINE = 60.0
"""Seconds for the exchange of a code, which works once: the person waits before the browser."""

log = logging.getLogger(__name__)

Arrivals = asyncio.Queue[tuple[str, asyncio.Future[Page]]]
"""Callbacks, each with the page that its browser waits for."""


@dataclass(frozen=True, slots=True)
class BrowserLogin:
    """One login by browser, with all that its steps need."""

    parts: Parts
    login: Login
    provider: ToolDefinition
    sharing: tuple[ToolDefinition, ...]
    method: OAuthCode
    taker: Taker

    async def run(self) -> None:
        """Go from the authorization request to the stored grant.

        Raises CancelledError when the person refuses at the provider, ProviderError for a callback
        that is wrong, ConflictError when the fixed port is taken.
        """
        metadata = await self.parts.providers.metadata(self.method, origins_of(self.provider))
        arrivals: Arrivals = asyncio.Queue()

        async def answer(target: str) -> Page:
            page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
            arrivals.put_nowait((target, page))
            return await page

        loopback = self.method.loopback
        listener = await self.parts.loopback.listen(
            loopback.host, loopback.port, loopback.path, answer
        )
        page: asyncio.Future[Page] | None = None
        title = self.provider.title
        try:
            pending = self._begin(metadata, listener.redirect_uri)
            target, page = await self._arrival(pending, arrivals)
            self.login.update(state=LoginState.WORKING, prompts=())
            authorization = code.read_callback(pending, target)
            # Once the code is posted there may be a grant: cancelling no longer stops it half-way.
            # If the login was cancelled meanwhile, the taker finds that out and revokes.
            text = await self.taker.see_through(self._redeem(metadata, pending, authorization))
            if page is not None:
                page.set_result(Page(f"Signed in to {title}", text, ok=True))
        except AgentError as error:
            if page is not None and not page.done():
                page.set_result(Page(f"Not signed in to {title}", error.detail, ok=False))
            raise
        finally:
            if page is None:
                await listener.close()
            elif not page.done():
                page.set_result(Page("Not signed in", "The login was cancelled.", ok=False))

    def _begin(self, metadata: Metadata, redirect_uri: str) -> code.PendingCode:
        pending = code.begin(
            self.method,
            metadata,
            redirect_uri=redirect_uri,
            scope=" ".join(scopes_of(self.method, self.sharing)),
            entropy=self.parts.entropy,
            now=self.parts.clock.now(),
        )
        self.login.update(
            state=LoginState.AWAITING_BROWSER,
            url=pending.url,
            prompts=(Prompt(REDIRECT_PROMPT, "Paste the address the browser ended at: "),),
        )
        return pending

    async def _arrival(
        self, pending: code.PendingCode, arrivals: Arrivals
    ) -> tuple[str, asyncio.Future[Page] | None]:
        """Wait for the browser to come back, or for the address that the person pastes.

        Return the address and the page that the browser waits for, None where it was pasted. A
        pasted text that is no callback of this login at all is a slip, and may be pasted again.
        """
        while True:
            browser = asyncio.ensure_future(arrivals.get())
            pasted = asyncio.ensure_future(self.login.answers())
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
                self.login.update(notice=slip, notices=self.login.view.notices + 1)
                continue
            except AgentError:
                pass  # the caller reads it again and ends the login with it
            return text, None

    async def _redeem(
        self, metadata: Metadata, pending: code.PendingCode, authorization: Secret
    ) -> str:
        granted = await self._exchange(metadata, pending, authorization)
        grant = Grant(
            key=self.login.view.key,
            kind=GrantKind.REFRESH_TOKEN,
            method=self.login.view.method,
            credential=self.method.credential,
            origins=origins_of(self.provider),
            obtained_at=self.parts.clock.now().wall,
            scopes=granted.access_token.scopes,
        )
        obtained = Obtained(grant, granted.refresh_token, granted.access_token)
        try:
            identity = await self._validated(metadata, pending, granted)
            identity = await self._named(obtained, identity)
        except AgentError:
            await self.taker.abandon(obtained)
            raise
        return await self.taker.take(replace(obtained, grant=replace(grant, identity=identity)))

    async def _exchange(
        self, metadata: Metadata, pending: code.PendingCode, authorization: Secret
    ) -> token.Granted:
        spec = credentials.spec_of(self.provider, self.method.credential)
        request = code.exchange(pending, self.method, metadata, authorization)
        reply = await self.parts.http.send(
            request, allowed=origins_of(self.provider), deadline=EXCHANGE_DEADLINE
        )
        outcome = token.read_token(reply, request=request, asked=pending.scopes, expiry=spec.expiry)
        if not isinstance(outcome, token.Granted):
            raise token.failure_error(outcome)
        return outcome

    async def _validated(
        self, metadata: Metadata, pending: code.PendingCode, granted: token.Granted
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
            claims = await self._claims(metadata, pending, granted.id_token)
        except id_token.UnknownKeyError:  # the keys may have been replaced since they were fetched
            claims = await self._claims(metadata, pending, granted.id_token)
        names = (claims.values.get(name) for name in ("email", "preferred_username", "name"))
        name = next((select.text_of(name) for name in names if name), claims.subject)
        return Identity(name, claims.subject)

    async def _claims(
        self, metadata: Metadata, pending: code.PendingCode, token_: Secret
    ) -> id_token.Claims:
        keys = await self.parts.providers.signing_keys(metadata, origins_of(self.provider))
        return id_token.validate(
            token_,
            metadata=metadata,
            jwks=keys,
            client_id=self.method.client_id,
            nonce=pending.nonce,
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
                self.provider, spec, credential, grant.origins, grant.method
            )
        except AgentError as error:
            log.warning("%s: the platform did not say who this is: %s", grant.key, error.detail)
            return known
        return Identity(who.identity.name or known.name, who.identity.subject or known.subject)
