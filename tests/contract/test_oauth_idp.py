"""OAuth from end to end against a certified provider: node's oidc-provider, no canned reply."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from tests.real.idp import Idp
from tool_agentd.adapters.clock import SystemClock
from tool_agentd.adapters.loopback import LoopbackListeners
from tool_agentd.adapters.web import WebHttp
from tool_agentd.definition import select
from tool_agentd.definition.flows import OAuthCode
from tool_agentd.definition.vocabulary import Expiry
from tool_agentd.errors import CancelledError, ProviderError
from tool_agentd.model import HttpReply, HttpRequest, Page, TokenKey
from tool_agentd.oauth.code import PendingCode, begin, exchange, read_callback
from tool_agentd.oauth.id_token import (
    Claims,
    IdTokenError,
    Jwks,
    UnknownKeyError,
    jwks_request,
    read_jwks,
    validate,
)
from tool_agentd.oauth.metadata import Metadata, discovery_requests, parse_metadata
from tool_agentd.oauth.refresh import refresh_request
from tool_agentd.oauth.registration import Registration
from tool_agentd.oauth.reply_clock import clock_skew
from tool_agentd.oauth.revoke import Revoked, read_revocation, revocations
from tool_agentd.oauth.token import (
    BadRequest,
    Granted,
    Misconfigured,
    Refused,
    TokenOutcome,
    read_token,
)
from tool_agentd.secret import Secret

TIMEOUT = 60.0
SCOPE = "openid offline_access email read write"


@dataclass
class Client:
    """A client of the provider, made of the parts under test and nothing else."""

    idp: Idp
    web: WebHttp
    login: OAuthCode
    metadata: Metadata
    clock: SystemClock

    async def send(self, request: HttpRequest) -> HttpReply:
        """Send to the provider."""
        return await self.web.send(request, allowed=[self.idp.issuer])

    def begin(self, redirect_uri: str = "http://127.0.0.1:49152/callback") -> PendingCode:
        """Begin a login."""
        return begin(
            self.login,
            self.metadata,
            redirect_uri=redirect_uri,
            scope=self.login.scope,
            entropy=os.urandom,
            now=self.clock.now(),
        )

    async def callback(self, pending: PendingCode, *, consents: bool = True) -> str:
        """Go through the pages as a person; return the address at their end."""
        person = self.idp.person(consents=consents)
        return await asyncio.to_thread(person.authorize, pending.url)

    async def read(self, request: HttpRequest, expiry: Expiry | None = None) -> TokenOutcome:
        """Send a token request and read the answer."""
        reply = await self.send(request)
        return read_token(reply, request=request, asked=("asked",), expiry=expiry)

    async def sign_in(self) -> tuple[PendingCode, Granted]:
        """Log in through the pasted address."""
        pending = self.begin()
        code = read_callback(pending, await self.callback(pending))
        outcome = await self.read(exchange(pending, self.login, self.metadata, code))
        assert isinstance(outcome, Granted), outcome
        return pending, outcome

    async def refresh(self, refresh_token: Secret | None, **key: object) -> TokenOutcome:
        """Refresh, with the fields of a TokenKey."""
        assert refresh_token is not None
        wanted = replace(TokenKey(), **key)  # type: ignore[arg-type]  # its own fields
        request = refresh_request(
            Registration(self.login.client_id, audience_parameter="resource"),
            self.metadata,
            refresh_token=refresh_token,
            key=wanted,
        )
        return await self.read(request, Expiry(jwt_claim="exp"))

    async def keys(self) -> Jwks:
        """Fetch the provider's keys."""
        return read_jwks(await self.send(jwks_request(self.metadata)), self.metadata)

    def validate(self, token: Secret | None, keys: Jwks, nonce: Secret | None) -> Claims:
        """Validate an ID token."""
        assert token is not None
        return validate(
            token,
            metadata=self.metadata,
            jwks=keys,
            client_id=self.login.client_id,
            nonce=nonce,
            now=self.clock.now(),
        )


@asynccontextmanager
async def client(
    idp: Idp, client_id: str | None = None, scope: str = SCOPE
) -> AsyncIterator[Client]:
    """Discover the provider, and close what was opened at the end."""
    clock = SystemClock()
    web = WebHttp(clock)
    login = OAuthCode(
        client_id=client_id or idp.client_id,
        issuer=idp.issuer,
        scope=scope,
        parameters={"prompt": "consent"},
    )
    try:
        reply = await web.send(discovery_requests(idp.issuer)[0], allowed=[idp.issuer])
        yield Client(idp, web, login, parse_metadata(reply, idp.issuer), clock)
    finally:
        await web.close()


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story against a deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT):
            await story()

    asyncio.run(bounded())


def test_the_provider_is_discovered(idp: Idp) -> None:
    """Its own document, with everything that a login, a refresh and a logout need."""

    async def story() -> None:
        async with client(idp) as made:
            found = made.metadata
            assert found.issuer == idp.issuer
            assert found.iss_supported
            assert {"RS256", "ES256"} <= set(found.algorithms)
            for endpoint in (found.revocation_endpoint, found.userinfo_endpoint, found.jwks_uri):
                assert endpoint is not None
                assert endpoint.startswith(idp.issuer)

    run(story)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_login_refreshes_and_ends(idp: Idp, algorithm: str) -> None:
    """Code, ID token, userinfo, a rotating refresh, a validated second ID token, revocation."""

    async def story() -> None:
        name = idp.client_id if algorithm == "RS256" else idp.es256_client_id
        async with client(idp, name) as made:
            pending, first = await made.sign_in()
            assert first.access_token.scopes == tuple(sorted(SCOPE.split()))
            assert first.access_token.lifetime == pytest.approx(600)
            keys = await made.keys()
            claims = made.validate(first.id_token, keys, pending.nonce)
            assert (claims.subject, claims.issuer) == ("alice", idp.issuer)
            with pytest.raises(IdTokenError, match="nonce"):
                made.validate(first.id_token, keys, made.begin().nonce)
            with pytest.raises(UnknownKeyError):
                made.validate(first.id_token, Jwks(()), pending.nonce)

            assert made.metadata.userinfo_endpoint is not None
            bearer = Secret("Bearer " + first.access_token.value.reveal())
            who = await made.send(
                HttpRequest("GET", made.metadata.userinfo_endpoint, {"Authorization": bearer})
            )
            assert json.loads(who.body)["email"] == "alice@example.com"
            skew = clock_skew(who)
            assert skew is not None
            assert abs(skew) <= 1

            second = await made.refresh(first.refresh_token)
            assert isinstance(second, Granted)
            assert second.refresh_token is not None
            assert second.refresh_token != first.refresh_token
            assert second.access_token.value != first.access_token.value
            assert made.validate(second.id_token, keys, None).subject == "alice"

            for revocation in revocations(
                made.metadata,
                made.login.client_id,
                refresh_token=second.refresh_token,
                access_tokens=[second.access_token.value],
            ):
                reply = await made.send(revocation.request)
                assert read_revocation(reply, request=revocation.request) == Revoked()
            refused = await made.refresh(second.refresh_token)
            assert isinstance(refused, Refused)
            assert refused.reason.startswith(idp.issuer.removeprefix("http://") + ": invalid_grant")
            assert second.refresh_token.reveal() not in refused.reason

    run(story)
    seen = idp.counters()
    assert (seen.logins, seen.code_exchanges, seen.refreshes, seen.replays) == (1, 1, 1, 0)
    assert seen.accepted_refresh_tokens == 0


def test_the_browser_comes_back_to_the_listener(idp: Idp) -> None:
    """The same login through the loopback listener, as the system's browser would go."""

    async def story() -> None:
        async with client(idp) as made:
            targets: list[str] = []

            async def answer(target: str) -> Page:
                targets.append(target)
                return Page("Signed in", "alice", ok=True)

            listener = await LoopbackListeners().listen("localhost", 0, "/callback", answer)
            pending = made.begin(listener.redirect_uri)
            status = await asyncio.to_thread(idp.person().visit, pending.url)
            assert status == 303  # a browser goes on to the page; this person stays at its origin
            await listener.close()
            code = read_callback(pending, targets[0])
            outcome = await made.read(exchange(pending, made.login, made.metadata, code))
            assert isinstance(outcome, Granted)

    run(story)


def test_a_no_is_a_cancellation(idp: Idp) -> None:
    """The person does not consent: access_denied with state and issuer."""

    async def story() -> None:
        async with client(idp) as made:
            pending = made.begin()
            target = await made.callback(pending, consents=False)
            with pytest.raises(CancelledError, match="access_denied"):
                read_callback(pending, target)

    run(story)


def test_the_callback_of_another_login_is_refused(idp: Idp) -> None:
    """A real callback with a real code, for somebody else's state."""

    async def story() -> None:
        async with client(idp) as made:
            first, second = made.begin(), made.begin()
            target = await made.callback(first)
            with pytest.raises(ProviderError, match="another"):
                read_callback(second, target)

    run(story)


def test_a_code_works_once_and_only_with_its_verifier(idp: Idp) -> None:
    """The provider refuses both, and we read a refusal."""

    async def story() -> None:
        async with client(idp) as made:
            pending = made.begin()
            code = read_callback(pending, await made.callback(pending))
            stolen = replace(pending, verifier=made.begin().verifier)
            request = exchange(stolen, made.login, made.metadata, code)
            assert isinstance(await made.read(request), Refused)

            pending, _granted = await made.sign_in()
            again = exchange(pending, made.login, made.metadata, Secret("no-such-code"))
            assert isinstance(await made.read(again), Refused)

    run(story)


def test_narrower_scopes_come_from_one_grant(idp: Idp) -> None:
    """A scope of its own, a refusal of another, and the grant serves on."""

    async def story() -> None:
        async with client(idp) as made:
            _pending, granted = await made.sign_in()
            narrow = await made.refresh(granted.refresh_token, scopes=("openid", "read"))
            assert isinstance(narrow, Granted)
            assert narrow.access_token.scopes == ("openid", "read")
            wide = await made.refresh(narrow.refresh_token, scopes=("deploy",))
            assert isinstance(wide, BadRequest)
            assert "invalid_scope" in wide.reason
            still = await made.refresh(narrow.refresh_token)
            assert isinstance(still, Granted)
            # Last, because this provider has then used the refresh token up: it rotates before it
            # looks at the audience.
            other = await made.refresh(still.refresh_token, audience="https://other.example.com")
            assert isinstance(other, BadRequest)
            assert "invalid_target" in other.reason

    run(story)
    assert idp.counters().replays == 0


def test_an_audience_gets_a_token_of_its_own(idp: Idp) -> None:
    """Granted at login, asked for by refresh; the JWT's own claim says when it ends."""
    audience = "https://api.example.com/jwt"

    async def story() -> None:
        async with client(idp, scope="openid offline_access items:read") as made:
            parameters = made.login.parameters | {"resource": audience}
            made.login = OAuthCode(
                client_id=idp.client_id,
                issuer=idp.issuer,
                scope=made.login.scope,
                parameters=parameters,
            )
            _pending, granted = await made.sign_in()
            got = await made.refresh(
                granted.refresh_token, scopes=("items:read",), audience=audience
            )
            assert isinstance(got, Granted)
            claims = select.claims(got.access_token.value)
            assert (claims["aud"], claims["scope"]) == (audience, "items:read")
            assert got.access_token.expires.wall == pytest.approx(claims["exp"], abs=2)

    run(story)


def test_an_unknown_client_is_a_configuration(idp: Idp) -> None:
    """The grant is not to blame, and stays."""

    async def story() -> None:
        async with client(idp) as made:
            _pending, granted = await made.sign_in()
            made.login = OAuthCode(client_id="nobody", issuer=idp.issuer)
            assert isinstance(await made.refresh(granted.refresh_token), Misconfigured)
            made.login = OAuthCode(client_id=idp.client_id, issuer=idp.issuer)
            assert isinstance(await made.refresh(granted.refresh_token), Granted)

    run(story)
