"""CRE: an authorization server of Auth0's kind, with its token, revocation and OpenID routes."""

import secrets

from aiohttp import web

from .accounts import People, new_person
from .authorize import PRODUCT, Authorize, once
from .clients import CLIENTS, CRE_AUDIENCE, Client
from .cre_api import CreApi
from .grants import Family, GrantError, Grants
from .interaction import Interactions
from .signing import ALGORITHM, Signer
from .world import Desk

ORGANIZATION_CLAIM = f"{CRE_AUDIENCE}organization_status"
"""Auth0 wants custom claims under a namespace; tools read it by its suffix."""
ERROR_STATUS = {"invalid_client": 401}
"""RFC 6749 section 5.2: every other error is a 400."""


def _error(error: GrantError) -> web.Response:
    return web.json_response(
        {"error": error.error, "error_description": error.description},
        status=ERROR_STATUS.get(error.error, 400),
        headers={"Cache-Control": "no-store"},
    )


class Cre:
    """The whole platform. `account` holds what its person needs to know."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._signer = Signer()
        self.people = People()
        ada = new_person(
            id_prefix="auth0|", email="ada@example.com", name="Ada Example", second_factor=True
        )
        self.people.add(ada)
        self.api_keys = {f"cre_{secrets.token_urlsafe(32)}": ada}
        self.issuer = f"{desk.url}/"  # Auth0's issuers end in a slash
        self.grants = Grants(desk)
        pages = Interactions(desk, PRODUCT, self.people)
        authorize = Authorize(desk, self.issuer, pages, self.grants)
        self._api = CreApi(desk, self.bearer, self.api_keys)
        self.routes = [
            web.get("/.well-known/openid-configuration", self._discovery),
            web.get("/.well-known/oauth-authorization-server", self._discovery),
            web.get("/.well-known/jwks.json", self._jwks),
            web.get("/authorize", lambda r: desk.around("authorize", r, authorize.handle)),
            web.post("/oauth/token", self._token),
            web.post("/oauth/revoke", self._revoke),
            *pages.routes(),
            *self._api.routes(),
        ]

    @property
    def account(self) -> dict[str, str]:
        """The account that the platform started with."""
        person = self.people.first()
        return {
            "email": person.email,
            "password": person.password,
            "otp_secret": person.otp_secret,
            "api_key": next(iter(self.api_keys), ""),
        }

    def rotate_signing_key(self) -> None:
        """Sign with a new key from now on."""
        self._signer.rotate()

    def secrets(self) -> list[str]:
        """Every code and refresh token that was handed out."""
        return [*self.grants.codes, *self.grants.refresh_tokens]

    def revoke_key(self, key: str) -> bool:
        """Delete an API key; whether there was one."""
        return self.api_keys.pop(key, None) is not None

    def end_sessions(self, reason: str) -> int:
        """End every session, as an administrator would; how many lived."""
        living = [family for family in self.grants.families.values() if not family.ended]
        for family in living:
            self.grants.end(family, reason)
        return len(living)

    def living(self) -> dict[str, int]:
        """Refresh tokens and sessions that could still be used."""
        return {**self.grants.living(), "api_keys": len(self.api_keys)}

    # --- metadata ---------------------------------------------------------------------------

    async def _discovery(self, request: web.Request) -> web.Response:
        self._desk.count("discovery_requests")
        return await self._desk.around("discovery", request, self._metadata)

    async def _metadata(self, _request: web.Request) -> web.Response:
        """OpenID Connect Discovery 1.0 section 3; RFC 8414 section 2."""
        url = self._desk.url
        scopes = sorted({scope for client in CLIENTS.values() for scope in client.scopes})
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/oauth/token",
                "revocation_endpoint": f"{url}/oauth/revoke",
                "userinfo_endpoint": f"{url}/userinfo",
                "jwks_uri": f"{url}/.well-known/jwks.json",
                "scopes_supported": scopes,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["none"],
                "revocation_endpoint_auth_methods_supported": ["none"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "claims_supported": ["sub", "iss", "aud", "exp", "iat", "name", "email"],
            }
        )

    async def _jwks(self, request: web.Request) -> web.Response:
        self._desk.count("jwks_requests")

        async def answer(_request: web.Request) -> web.Response:
            return web.json_response(self._signer.jwks())

        return await self._desk.around("jwks", request, answer)

    # --- the token endpoint -----------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        self._desk.count("token_requests")
        grant = (await request.post()).get("grant_type", "")
        return await self._desk.around(
            "token", request, self._answer_token, grant=grant if isinstance(grant, str) else ""
        )

    async def _answer_token(self, request: web.Request) -> web.Response:
        try:
            answer = self._grant(*await self._form(request))
        except GrantError as error:
            return _error(error)
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    def _grant(self, asked: dict[str, str], client: Client) -> dict[str, object]:
        match asked.get("grant_type"):
            case "authorization_code":
                return self._exchange(asked, client)
            case "refresh_token":
                return self._refresh(asked, client)
            case None:
                raise GrantError("invalid_request", "grant_type is missing")
            case _:
                raise GrantError("unsupported_grant_type", "authorization_code, refresh_token")

    async def _form(self, request: web.Request) -> tuple[dict[str, str], Client]:
        """The parameters and the client, which is public: it names itself and has no secret."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise GrantError("invalid_request", "send application/x-www-form-urlencoded")
        asked = once((await request.post()).items())
        client = CLIENTS.get(asked.get("client_id", ""))
        if client is None:
            raise GrantError("invalid_client", "unknown client_id")
        if "client_secret" in asked or "Authorization" in request.headers:
            raise GrantError("invalid_client", "this client is public and has no secret")
        return asked, client

    def _exchange(self, asked: dict[str, str], client: Client) -> dict[str, object]:
        missing = [n for n in ("code", "redirect_uri", "code_verifier") if not asked.get(n)]
        if missing:
            raise GrantError("invalid_request", f"missing: {', '.join(missing)}")
        family, code = self.grants.redeem(
            asked["code"],
            client_id=client.id,
            redirect_uri=asked["redirect_uri"],
            verifier=asked["code_verifier"],
        )
        self._desk.count("code_exchanges")
        self._desk.count("logins")
        answer = self._tokens(family, family.scope, family.audience, nonce=code.asked.nonce)
        if "offline_access" in family.scope:
            answer["refresh_token"] = self.grants.new_refresh_token(family)
        return answer

    def _refresh(self, asked: dict[str, str], client: Client) -> dict[str, object]:
        if not asked.get("refresh_token"):
            raise GrantError("invalid_request", "missing: refresh_token")
        token = self.grants.present(asked["refresh_token"], client_id=client.id)
        family = token.family
        scope = tuple(dict.fromkeys(asked.get("scope", "").split())) or family.scope
        wider = [name for name in scope if name not in family.scope]
        if wider:  # RFC 6749 section 6: nothing that the person did not grant
            raise GrantError("invalid_scope", f"not granted at login: {' '.join(wider)}")
        audience = asked.get("audience") or asked.get("resource") or family.audience
        if audience not in client.audiences:
            raise GrantError("invalid_target", f"not registered for this client: {audience}")
        answer = self._tokens(family, scope, audience)
        if self._desk.faults.value("rotation"):
            token.rotated = True
            answer["refresh_token"] = self.grants.new_refresh_token(family)
        self._desk.count("refreshes")
        return answer

    def _tokens(
        self, family: Family, scope: tuple[str, ...], audience: str, nonce: str = ""
    ) -> dict[str, object]:
        now = int(self._desk.now())
        ttl = self._desk.faults.number("access_token_ttl")
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": family.person.id,
            "aud": audience,
            "iat": now,
            "exp": now + int(ttl),
            "jti": secrets.token_hex(12),
            "sid": family.id,
            "client_id": family.client_id,
            "scope": " ".join(scope),
            ORGANIZATION_CLAIM: self._desk.faults.value("organization_status"),
        }
        answer: dict[str, object] = {
            "access_token": self._signer.sign(claims, kind="at+jwt"),
            "token_type": "Bearer",
            "expires_in": int(ttl),
            "scope": " ".join(scope),
        }
        if "openid" in scope:
            answer["id_token"] = self._id_token(family, scope, now, nonce)
        return answer

    def _id_token(self, family: Family, scope: tuple[str, ...], now: int, nonce: str) -> str:
        """OIDC Core section 2; `nonce` only in the answer to the request that sent it."""
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": family.person.id,
            "aud": family.client_id,
            "iat": now,
            "exp": now + 3600,
            "auth_time": int(family.authenticated_at),
            "sid": family.id,
            **family_profile(family, scope),
        }
        if nonce:
            claims["nonce"] = nonce
        claims |= self._desk.faults.fields("id_token_fields")
        return self._signer.sign({k: v for k, v in claims.items() if v is not None}, kind="JWT")

    # --- the end of tokens ------------------------------------------------------------------

    async def _revoke(self, request: web.Request) -> web.Response:
        self._desk.count("revoke_requests")
        return await self._desk.around("revoke", request, self._answer_revoke)

    async def _answer_revoke(self, request: web.Request) -> web.Response:
        """RFC 7009: an unknown token is a success; another client's token is not."""
        try:
            asked, client = await self._form(request)
            if self._end(asked.get("token", ""), client):
                self._desk.count("revocations")
        except GrantError as error:
            return _error(error)
        return web.Response(status=200)

    def _end(self, value: str, client: Client) -> bool:
        """End what a token stands for: a whole family, or one access token. Whether it lived."""
        if not value:
            raise GrantError("invalid_request", "missing: token")
        token = self.grants.refresh_tokens.get(value)
        claims = {} if token else self._claims(value) or {}
        if token is None and not claims:
            return False
        family = token.family if token else self.grants.families[str(claims["sid"])]
        if family.client_id != client.id:
            raise GrantError("invalid_grant", "issued to another client")
        if family.ended or claims.get("jti") in self.grants.denied_ids:
            return False
        if token:
            self.grants.end(family, "it was logged out")
        else:
            self.grants.denied_ids.add(str(claims["jti"]))
        return True

    def _claims(self, value: str) -> dict[str, object] | None:
        """The claims of an access token that we signed, whatever its age."""
        verified = self._signer.verify(value)
        if verified is None or verified[0].get("typ") != "at+jwt":
            return None
        return verified[1] if verified[1].get("sid") in self.grants.families else None

    def bearer(self, value: str) -> tuple[Family, dict[str, object]] | None:
        """The session and claims of an access token, if it is good now."""
        claims = self._claims(value)
        if claims is None or claims["jti"] in self.grants.denied_ids:
            return None
        expires = claims["exp"]
        family = self.grants.families[str(claims["sid"])]
        if family.ended or not isinstance(expires, int) or expires <= self._desk.now():
            return None
        return family, claims


def family_profile(family: Family, scope: tuple[str, ...]) -> dict[str, object]:
    """The claims about the person that a scope opens (OIDC Core section 5.4)."""
    person = family.person
    claims: dict[str, object] = {}
    if "profile" in scope:
        claims["name"] = person.name
    if "email" in scope:
        claims |= {"email": person.email, "email_verified": person.email_verified}
    return claims
