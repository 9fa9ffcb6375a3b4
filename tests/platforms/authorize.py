"""CRE's authorization endpoint (RFC 6749 section 4.1.1): check every parameter, then the pages."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from .clients import CLIENTS, Client
from .grants import Asked, GrantError, Grants
from .interaction import Interaction, Interactions, Question
from .pages import refusal
from .world import Desk

PRODUCT = "CRE"
_S256 = re.compile(r"[A-Za-z0-9_-]{43}")
"""base64url of a SHA-256 digest, without padding (RFC 7636 section 4.2)."""
NO_ORGANIZATION = "user does not belong to any organization"

SCOPE_MEANING = {
    "openid": "know who you are",
    "profile": "see your name",
    "email": "see your e-mail address",
    "offline_access": "stay signed in until you log out",
    "workflows:read": "read your workflows",
    "workflows:deploy": "deploy workflows",
    "reports:read": "read your reports",
}


def once(values: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Parameters as a dict (RFC 6749 section 3.1: none may occur twice).

    Raises:
        GrantError: `invalid_request`.
    """
    found: dict[str, str] = {}
    for name, value in values:
        if name in found or not isinstance(value, str):
            raise GrantError("invalid_request", f"the parameter {name} must occur once, as text")
        found[name] = value
    return found


class Authorize:
    """GET /authorize."""

    def __init__(self, desk: Desk, issuer: str, pages: Interactions, grants: Grants) -> None:
        self._desk = desk
        self._issuer = issuer
        self._pages = pages
        self._grants = grants

    async def handle(self, request: web.Request) -> web.Response:
        """Show the pages, or refuse: on a page of our own while the redirect is not trusted."""
        self._desk.count("authorize_requests")
        try:
            asked = once(request.query.items())
        except GrantError as error:
            return refusal(PRODUCT, "Invalid request", error.description, status=400)
        client = CLIENTS.get(asked.get("client_id", ""))
        if client is None:
            return refusal(PRODUCT, "Unknown application", "The client_id is unknown.", status=400)
        redirect_uri = asked.get("redirect_uri", "")
        if not client.redirects_to(redirect_uri):
            return refusal(
                PRODUCT, "Callback mismatch", "The redirect_uri is not registered.", status=400
            )
        state = asked.get("state", "")
        try:
            checked = self._check(client, asked)
            return await self._begin(request, client, checked, asked)
        except GrantError as error:
            return self._back(
                redirect_uri, state, error=error.error, error_description=error.description
            )

    def _check(self, client: Client, asked: Mapping[str, str]) -> Asked:
        if not asked.get("state"):
            raise GrantError("invalid_request", "state is missing")
        if asked.get("response_type") != "code":
            raise GrantError("unsupported_response_type", "response_type must be code")
        if asked.get("code_challenge_method") != "S256":
            raise GrantError("invalid_request", "code_challenge_method must be S256")
        if not _S256.fullmatch(asked.get("code_challenge", "")):
            raise GrantError("invalid_request", "code_challenge must be 43 base64url characters")
        scope = tuple(dict.fromkeys(asked.get("scope", "").split()))
        unknown = [name for name in scope if name not in client.scopes]
        if unknown:
            raise GrantError("invalid_scope", f"not allowed: {' '.join(unknown)}")
        audience = asked.get("audience") or asked.get("resource") or client.audiences[0]
        if audience not in client.audiences:
            raise GrantError("invalid_target", f"not registered for this client: {audience}")
        return Asked(
            client_id=client.id,
            redirect_uri=asked["redirect_uri"],
            challenge=asked["code_challenge"],
            nonce=asked.get("nonce", ""),
            scope=scope,
            audience=audience,
        )

    async def _begin(
        self, request: web.Request, client: Client, checked: Asked, asked: Mapping[str, str]
    ) -> web.Response:
        prompt = asked.get("prompt", "")
        if prompt == "none":
            error = "consent_required" if self._pages.session(request) else "login_required"
            raise GrantError(error, "this login needs its person")

        async def conclude(visit: Interaction, allowed: bool) -> web.Response:  # noqa: FBT001 - the consent that the page sent
            return self._conclude(visit, checked, asked["state"], allowed=allowed)

        question = Question(
            f"Allow {client.name} to use your account?",
            tuple(SCOPE_MEANING[name] for name in checked.scope),
        )
        return self._pages.begin(
            request,
            question,
            conclude,
            hint=asked.get("login_hint", ""),
            again=prompt == "login",
        )

    def _conclude(
        self, visit: Interaction, checked: Asked, state: str, *, allowed: bool
    ) -> web.Response:
        if not allowed or visit.person is None:
            return self._back(
                checked.redirect_uri,
                state,
                error="access_denied",
                error_description="User did not authorize the request",
            )
        if self._desk.faults.countdown("no_organization"):
            return self._back(
                checked.redirect_uri,
                state,
                error="access_denied",
                error_description=NO_ORGANIZATION,
            )
        code = self._grants.new_code(checked, visit.person, visit.authenticated_at)
        return self._back(checked.redirect_uri, state, code=code)

    def _back(self, redirect_uri: str, state: str, **answer: str) -> web.Response:
        """The redirect to the client, with state and issuer (RFC 9207), errors included."""
        fields: dict[str, object] = {**answer, "state": state, "iss": self._issuer}
        changes = self._desk.faults.fields("callback_fields")
        if changes and self._desk.faults.countdown("callback_times"):
            fields |= changes
        query = urlencode({k: str(v) for k, v in fields.items() if v not in (None, "")})
        joint = "&" if urlsplit(redirect_uri).query else "?"
        return web.Response(
            status=302,
            headers={
                "Location": f"{redirect_uri}{joint}{query}",
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )
