"""The login by browser: authorization code with PKCE, from the address to the grant."""

import asyncio
from dataclasses import dataclass, replace

from tool_agentd.broker.arrivals import Arrivals, WaitingPage, arrival, waiting_page
from tool_agentd.broker.login import LoginState
from tool_agentd.broker.login_flows import origins_of, scopes_of
from tool_agentd.broker.login_oauth import TokenLogin
from tool_agentd.broker.login_steps import identified, obtained
from tool_agentd.broker.procedure import Walk, address_of
from tool_agentd.broker.values import Values
from tool_agentd.definition.flows import OAuthCode, Retry
from tool_agentd.definition.steps import Step
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import AgentError, ConfigurationError
from tool_agentd.model import Page
from tool_agentd.oauth import code, token
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.secret import Secret

EXCHANGE_DEADLINE = 60.0
"""Seconds for the exchange of a code, which works once: the person waits before the browser."""

STRANGER = (
    "A callback that is not this login's was turned away: its state is missing or another. "
    "The login goes on."
)
"""What the person reads, once, whoever sent it: they may have used the page of an older login."""


@dataclass(frozen=True, slots=True)
class BrowserLogin(TokenLogin):
    """One login by browser, with all that its steps need."""

    method: OAuthCode
    sharing: tuple[ToolDefinition, ...]

    async def run(self) -> None:
        """Go from the authorization request to the stored grant.

        Raises CancelledError when the person refuses at the provider, ProviderError for a callback
        that is wrong, ConflictError when the fixed port is taken.
        """
        metadata = await self.metadata()
        arrivals = Arrivals()
        loopback = self.method.loopback
        listener = await self.parts.loopback.listen(
            loopback.host,
            loopback.port,
            loopback.path,
            arrivals.answer,
            belongs=arrivals.belongs,
        )
        tries = 0
        async with waiting_page(listener, self.provider.title) as page:
            pending = await self._begin(metadata, listener.redirect_uri)
            while True:
                target, page.future = await self._arrival(pending, arrivals)
                self.login.update(state=LoginState.WORKING, prompts=())
                try:
                    authorization = code.read_callback(pending, target)
                    break
                except AgentError as error:
                    retry = self._retry(code.description_of(pending, target), tries)
                    if retry is None:
                        raise
                    why = retry.say or error.detail
                tries += 1
                pending = await self._begin(metadata, listener.redirect_uri)
                self._wait_again(why, pending.url, page)
            # Once the code is posted there may be a grant: cancelling no longer stops it half-way.
            # If the login was cancelled meanwhile, the taker finds that out and revokes.
            text = await self.taker.see_through(self._redeem(metadata, pending, authorization))
            page.signed_in(text)

    async def _begin(self, metadata: Metadata, redirect_uri: str) -> code.PendingCode:
        """Make an authorization request; state and verifier are new each time."""
        pending = code.begin(
            self.method,
            metadata,
            redirect_uri=redirect_uri,
            scope=" ".join(scopes_of(self.method, self.sharing)),
            entropy=self.parts.entropy,
            now=self.parts.clock.now(),
        )
        if self.method.begin is not None:
            given: dict[str, str | Secret] = {
                "redirect_uri": redirect_uri,
                "state": pending.state,
                "challenge": code.challenge(pending.verifier),
            }
            values, _ = await self._walked(self.method.begin, given)
            address = address_of("{url}", values, origins_of(self.provider))
            pending = replace(pending, url=address)
        return pending

    async def _walked(self, step: Step, given: dict[str, str | Secret]) -> tuple[Values, Walk]:
        """Do a step of the definition's in the place of one of RFC 6749's."""
        values = Values(given)
        allowed = origins_of(self.provider)
        walk = Walk(self.parts.http, self.parts.clock, self.provider, self.login, allowed=allowed)
        await walk.run(step, values)
        return values, walk

    async def _arrival(
        self, pending: code.PendingCode, arrivals: Arrivals
    ) -> tuple[str, asyncio.Future[Page] | None]:
        def read(text: str) -> None:
            code.read_callback(pending, text)

        arrivals.belongs_if(lambda target: self._is_ours(pending, target))
        return await arrival(self.login, pending.url, arrivals, read)

    def _is_ours(self, pending: code.PendingCode, target: str) -> bool:
        """Tell whether a callback is this login's, and the person once if one was not."""
        ours = code.belongs(pending, target)
        if not ours and STRANGER not in self.login.view.said:
            self.login.update(said=(*self.login.view.said, STRANGER))
        return ours

    def _retry(self, description: str, tries: int) -> Retry | None:
        """Return the definition's word on an error at the callback after which to try again."""
        for retry in self.method.retry:
            if retry.when_error_contains.lower() in description.lower() and tries < retry.max:
                return retry
        return None

    def _wait_again(self, why: str, url: str, page: WaitingPage) -> None:
        """Send the browser to the fresh address, or say it to the person who pasted the old one."""
        said = f"{why} The browser tries again."
        if page.future is None:
            said = f"{why} Try again at:\n  {url}"
        page.goes_on(why, url)
        self.login.update(said=(*self.login.view.said, said))

    async def _redeem(
        self, metadata: Metadata, pending: code.PendingCode, authorization: Secret
    ) -> str:
        if self.method.redeem is not None:
            return await self._redeem_by_step(self.method.redeem, pending, authorization)
        request = code.exchange(pending, self.method, metadata, authorization)
        reply = await self.parts.http.send(
            request, allowed=origins_of(self.provider), deadline=EXCHANGE_DEADLINE
        )
        outcome = self.read(request, reply, pending.scopes)
        if not isinstance(outcome, token.Granted):
            raise token.failure_error(outcome)
        return await self.take(metadata, outcome, reply, pending.nonce)

    async def _redeem_by_step(
        self, step: Step, pending: code.PendingCode, authorization: Secret
    ) -> str:
        if self.method.obtain is None:
            message = f"the login {self.login.view.method!r} does not say what it obtains"
            raise ConfigurationError(message)
        given: dict[str, str | Secret] = {
            "code": authorization,
            "verifier": pending.verifier,
            "redirect_uri": pending.redirect_uri,
        }
        values, walk = await self._walked(step, given)
        brought = obtained(
            self.parts,
            self.login,
            self.provider,
            self.login.view.method,
            self.method.obtain,
            values,
            walk.sent,
        )
        try:
            named = await identified(self.parts, self.provider, brought)
        except AgentError:
            await self.taker.abandon(brought)
            raise
        return await self.taker.take(named)
