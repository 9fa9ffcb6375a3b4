"""CRE's API: GraphQL for a session or an API key, userinfo, and a resource to try tokens on."""

import secrets
from collections.abc import Callable

from aiohttp import web

from .accounts import Person
from .faults import Handler
from .grants import Family
from .graphql import QueryError, parse, select
from .world import Desk

Verify = Callable[[str], tuple[Family, dict[str, object]] | None]

ETHEREUM_SEPOLIA = "16015286601757825753"
"""A chain selector is larger than a double can hold: it travels as text."""


class CreApi:
    """The routes behind a token."""

    def __init__(self, desk: Desk, verify: Verify, api_keys: dict[str, Person]) -> None:
        self._desk = desk
        self._verify = verify
        self._api_keys = api_keys
        self._organization_id = f"org_{secrets.token_hex(8)}"
        self._tenant_id = str(secrets.randbelow(10**6))

    def routes(self) -> list[web.RouteDef]:
        """GraphQL, userinfo, and `/whoami-token`."""
        return [
            web.post("/graphql", lambda r: self._counted(r, self._graphql)),
            web.get("/userinfo", lambda r: self._counted(r, self._userinfo)),
            web.post("/userinfo", lambda r: self._counted(r, self._userinfo)),
            web.get("/whoami-token", self._whoami_token),
        ]

    async def _counted(self, request: web.Request, handle: Handler) -> web.Response:
        self._desk.count("identity_requests")
        return await self._desk.around("identity", request, handle)

    def _bearer(self, request: web.Request) -> tuple[Family, dict[str, object]] | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        return self._verify(value.strip()) if scheme.lower() == "bearer" else None

    def _key_owner(self, request: web.Request) -> Person | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        return self._api_keys.get(value.strip()) if scheme.lower() == "apikey" else None

    def _refuse(self, body: object) -> web.Response:
        self._desk.count("refusals")
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750 section 3
        return web.json_response(body, status=401, headers=challenge)

    # --- GraphQL ----------------------------------------------------------------------------

    async def _graphql(self, request: web.Request) -> web.Response:
        bearer = self._bearer(request)
        person = bearer[0].person if bearer else self._key_owner(request)
        if person is None:
            return self._refuse(_problem("unauthorized", "UNAUTHENTICATED"))
        try:
            sent = await request.json()
            document = sent["query"]
            data = select(self._data(person), parse(str(document)), "Query")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            said = str(error) if isinstance(error, QueryError) else 'send {"query": "..."}'
            return web.json_response(_problem(said, "GRAPHQL_VALIDATION_FAILED"), status=400)
        return web.json_response({"data": data})

    def _data(self, person: Person) -> dict[str, object]:
        """Everything that can be asked. Both kinds of credential may ask for all of it."""
        registry = {"chainSelector": ETHEREUM_SEPOLIA, "address": "0x" + "c0ffee" * 6 + "abcd"}
        return {
            "getAccountDetails": {
                "emailAddress": person.email,
                "userId": person.id,
                "displayName": person.name,
            },
            "getOrganization": {
                "displayName": "Example Organization",
                "organizationId": self._organization_id,
            },
            "getTenantConfig": {
                "tenantId": self._tenant_id,
                "defaultDonFamily": "zone-a",
                "vaultGatewayUrl": f"{self._desk.url}/vault",
                "capabilitiesRegistry": registry,
                "registries": [
                    {
                        "id": "ethereum-testnet-sepolia",
                        "label": "Sepolia",
                        "type": "ON_CHAIN",
                        "chainSelector": ETHEREUM_SEPOLIA,
                        "address": "0x1234567890abcdef1234567890abcdef1234abcd",
                        "secretsAuthFlows": ["OWNER_KEY_SIGNING", "BROWSER"],
                    },
                    {
                        "id": "private",
                        "label": "Private registry",
                        "type": "OFF_CHAIN",
                        "chainSelector": None,
                        "address": None,
                        "secretsAuthFlows": ["BROWSER"],
                    },
                ],
                "forwarders": [registry],
            },
        }

    # --- OpenID and the practice resource ---------------------------------------------------

    async def _userinfo(self, request: web.Request) -> web.Response:
        """OIDC Core section 5.3."""
        bearer = self._bearer(request)
        if bearer is None or "openid" not in str(bearer[1]["scope"]).split():
            return self._refuse({"error": "invalid_token"})
        family, claims = bearer
        scope = str(claims["scope"]).split()
        profile: dict[str, object] = {"sub": family.person.id}
        if "profile" in scope:
            profile["name"] = family.person.name
        if "email" in scope:
            profile |= {"email": family.person.email, "email_verified": True}
        return web.json_response(profile)

    async def _whoami_token(self, request: web.Request) -> web.Response:
        """Says what a valid access token is good for; 401 for any other."""
        self._desk.count("api_requests")
        bearer = self._bearer(request)
        if bearer is None:
            return self._refuse({"error": "invalid_token"})
        claims = bearer[1]
        kept = ("sub", "scope", "aud", "client_id", "exp")
        return web.json_response({name: claims[name] for name in kept})


def _problem(message: str, code: str) -> dict[str, object]:
    return {"data": None, "errors": [{"message": message, "extensions": {"code": code}}]}
