"""Providers: where their endpoints are, discovered once and remembered for a while."""

from collections.abc import Collection

from tool_agentd.errors import ProviderError
from tool_agentd.model import Instant
from tool_agentd.oauth import id_token
from tool_agentd.oauth.metadata import (
    Metadata,
    NoMetadataError,
    discovery_requests,
    endpoints_of,
    parse_metadata,
)
from tool_agentd.oauth.registration import Registration
from tool_agentd.ports import Clock, Http

METADATA_LIFE = 3600.0
"""Seconds that discovered endpoints are believed: providers move rarely, and a refused token
endpoint is discovered anew with the next hour."""


class Providers:
    """Endpoints and signing keys by issuer."""

    def __init__(self, http: Http, clock: Clock) -> None:
        """Start with nothing discovered."""
        self._http = http
        self._clock = clock
        self._known: dict[str, tuple[Metadata, Instant]] = {}

    async def metadata(self, registration: Registration, allowed: Collection[str]) -> Metadata:
        """Return the endpoints of a login: from its definition, or discovered from its issuer.

        Raises ProviderError where no discovery document makes sense, and
        TemporarilyUnavailableError where none can be had.
        """
        issuer = registration.issuer
        if issuer is None:
            return endpoints_of(registration)
        now = self._clock.now()
        known = self._known.get(issuer)
        if known is not None and now.until(known[1]) > 0:
            return known[0]
        metadata = await self._discover(issuer, allowed)
        self._known[issuer] = (metadata, now.plus(METADATA_LIFE))
        return metadata

    async def _discover(self, issuer: str, allowed: Collection[str]) -> Metadata:
        problem: ProviderError | None = None
        for request in discovery_requests(issuer):
            try:
                reply = await self._http.send(request, allowed=allowed)
                return parse_metadata(reply, issuer)
            except NoMetadataError as error:
                problem = problem or error
        raise problem or ProviderError(f"{issuer} has no discovery document")

    async def signing_keys(self, metadata: Metadata, allowed: Collection[str]) -> id_token.Jwks:
        """Fetch the issuer's JWK set (RFC 7517 section 5)."""
        reply = await self._http.send(id_token.jwks_request(metadata), allowed=allowed)
        return id_token.read_jwks(reply, metadata)
