"""The login by device code (RFC 8628): the person says yes on any machine, and the agent polls."""

from dataclasses import dataclass

from tool_agentd.broker.login import LoginState
from tool_agentd.broker.login_flows import origins_of, scopes_of
from tool_agentd.broker.login_oauth import TokenLogin
from tool_agentd.definition.flows import Device
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import TemporarilyUnavailableError
from tool_agentd.model import HttpReply
from tool_agentd.oauth import device, token
from tool_agentd.oauth.metadata import Metadata


@dataclass(frozen=True, slots=True)
class DeviceLogin(TokenLogin):
    """One login by device code."""

    method: Device
    sharing: tuple[ToolDefinition, ...]

    async def run(self) -> None:
        """Go from the code to the stored grant.

        Raises CancelledError when the person refuses or nobody enters the code in time, and
        ProviderError for answers that make no sense.
        """
        metadata = await self.metadata()
        pending = await self._begin(metadata)
        granted, reply = await self._polled(metadata, pending)
        self.login.update(state=LoginState.WORKING, url=None, user_code=None, awaits="")
        await self.taker.see_through(self.take(metadata, granted, reply, None))

    async def _begin(self, metadata: Metadata) -> device.PendingDevice:
        scopes = scopes_of(self.method, self.sharing)
        verifier = device.verifier_for(self.method, self.parts.entropy)
        request = device.authorization_request(
            self.method, metadata, scopes=scopes, verifier=verifier
        )
        reply = await self.parts.http.send(request, allowed=origins_of(self.provider))
        pending = device.read_authorization(
            reply,
            request=request,
            scopes=scopes,
            verifier=verifier,
            errors=self.provider.errors,
        )
        ends = self.login.view.expires_at
        if pending.lifetime is not None:
            ends = min(ends, self.parts.clock.now().wall + pending.lifetime)
        self.login.update(
            state=LoginState.AWAITING_BROWSER,
            url=pending.url,
            user_code=pending.user_code,
            expires_at=ends,
        )
        return pending

    async def _polled(
        self, metadata: Metadata, pending: device.PendingDevice
    ) -> tuple[token.Granted, HttpReply]:
        """Ask, at the provider's pace, until the person has answered."""
        request = device.poll_request(pending, self.method, metadata)
        began = self.parts.clock.now()
        pace = device.Pace(pending.interval)
        while True:
            await self.parts.clock.pause(pace.wait)
            if pending.lifetime is not None:
                left = self.parts.clock.now().until(began.plus(pending.lifetime))
                if left + pace.interval < 0:  # one more poll after the end: it may say why
                    raise device.expired()
            try:
                reply = await self.parts.http.send(request, allowed=origins_of(self.provider))
                outcome = self.read(request, reply, pending.scopes)
                if isinstance(outcome, token.Granted):
                    return outcome, reply
                answer = device.read_poll(
                    reply,
                    outcome,
                    request=request,
                    login=self.method,
                    errors=self.provider.errors,
                )
            except TemporarilyUnavailableError:
                pace = pace.failed()
                continue
            match answer:
                case device.Waits():
                    pace = pace.answered()
                case device.SlowDown():
                    pace = pace.slower()
                case device.Ended(error):
                    raise error
