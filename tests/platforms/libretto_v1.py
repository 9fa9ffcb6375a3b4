"""Libretto Cloud's own calls below `/v1`: each way wrapped in `{"json": ...}`."""

import secrets
from collections.abc import Callable
from typing import TypeAlias

from aiohttp import web

from .libretto_ledger import CallError, CliLogin, Ledger, Organization, Session
from .world import Desk

Sent: TypeAlias = dict[str, object]
Procedure: TypeAlias = Callable[[Sent], Session | Sent]


class LibrettoV1:
    """The procedures."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def routes(self) -> list[web.RouteDef]:
        """All procedures are POSTs."""
        return [
            self._route("login", "signupAndCreateOrg", self._signup),
            self._route("login", "acceptInviteAndSignup", self._accept_and_signup),
            self._route("login", "requestPasswordReset", self._reset),
            self._route("device", "cliLoginCreate", self._create),
            self._route("device", "cliLoginPoll", self._poll),
            web.post("/v1/workflows/list", self._workflows),
        ]

    def _route(self, point: str, name: str, procedure: Procedure) -> web.RouteDef:
        async def answer(request: web.Request) -> web.Response:
            return await self._wrapped(request, procedure)

        async def counted(request: web.Request) -> web.Response:
            self._desk.count("api_requests")
            return await self._desk.around(point, request, answer)

        return web.post(f"/v1/auth/{name}", counted)

    async def _wrapped(self, request: web.Request, procedure: Procedure) -> web.Response:
        try:
            self._check_origin(request)
            result = procedure(await self._unwrap(request))
        except CallError as error:
            body = {
                "defined": True,
                "code": error.code,
                "status": error.status,
                "message": error.message,
                "data": error.data,
            }
            return web.json_response({"json": body}, status=error.status)
        if not isinstance(result, Session):
            return web.json_response({"json": result})
        response = web.json_response({"json": self._signed_up(result)})
        for cookie in self._ledger.cookies(result):
            response.headers.add("Set-Cookie", cookie)
        return response

    def _check_origin(self, request: web.Request) -> None:
        if request.headers.get("Origin") != self._desk.url:
            self._desk.count("origin_refusals")
            raise CallError(403, "FORBIDDEN", "Invalid origin")

    @staticmethod
    async def _unwrap(request: web.Request) -> Sent:
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        inner = sent.get("json") if isinstance(sent, dict) else None
        if not isinstance(inner, dict):
            raise CallError(400, "BAD_REQUEST", 'The body must be {"json": {...}}.')
        return inner

    # --- accounts ---------------------------------------------------------------------------

    def _signup(self, sent: Sent) -> Session:
        """The slug is checked first, so that nothing is left behind when it is taken."""
        name = _text(sent, "organizationName")
        slug = _text(sent, "organizationSlug")
        alert = _text(sent, "debugNotificationEmail")
        self._ledger.check_slug(slug)
        person = self._ledger.new_person(
            email=_text(sent, "email"), password=_text(sent, "password"), name=_text(sent, "name")
        )
        self._ledger.new_organization(name=name, slug=slug, alert=alert, owner=person)
        return self._ledger.new_session(person)

    def _accept_and_signup(self, sent: Sent) -> Session:
        found = self._ledger.pending(_text(sent, "invitationId"))
        if found.organization.slug != _text(sent, "tenantSlug"):
            raise CallError(400, "BAD_REQUEST", "Organization slug doesn't match this invitation.")
        person = self._ledger.new_person(
            email=found.email, password=_text(sent, "password"), name=_text(sent, "name")
        )
        found.status = "accepted"
        found.organization.members[person.id] = found.role
        return self._ledger.new_session(person)

    def _signed_up(self, session: Session) -> Sent:
        person = session.person
        organization: Organization | None = self._ledger.organization_of(person)
        return {
            "userId": person.id,
            "email": person.email,
            "organizationId": organization.id if organization else None,
            "organizationSlug": organization.slug if organization else None,
            "sessionToken": session.token,
            "setCookie": self._ledger.cookies(session),
            "emailVerified": person.email_verified,
        }

    def _reset(self, sent: Sent) -> Sent:
        person = self._ledger.people.find(_text(sent, "email"))
        if person is None:
            return {"status": "not_found"}
        self._ledger.send_reset(person)
        return {"status": "sent"}

    # --- the browser login ------------------------------------------------------------------

    def _create(self, _sent: Sent) -> Sent:
        ttl = self._desk.faults.number("device_ttl")
        made = CliLogin(secrets.token_hex(12), secrets.token_urlsafe(32), self._desk.now() + ttl)
        self._ledger.cli_logins[made.id] = made
        return {
            "requestId": made.id,
            "secret": made.secret,
            "expiresAt": self._desk.iso(made.expires_at),
        }

    def _poll(self, sent: Sent) -> Sent:
        found = self._ledger.cli_login(_text(sent, "requestId"), _text(sent, "secret"))
        if found is None:
            raise CallError(404, "NOT_FOUND", "CLI login request not found")
        if found.refused or found.expires_at < self._desk.now():
            return {"status": "expired"}
        if found.session is None:
            self._desk.count("device_polls")
            return {"status": "pending"}
        session, found.refused = found.session, True  # the cookie is handed over once
        return {
            "status": "approved",
            "cookieHeader": "; ".join(
                cookie.partition(";")[0] for cookie in self._ledger.cookies(session)
            ),
            "userId": session.person.id,
            "email": session.person.email,
            "emailVerified": session.person.email_verified,
            "sessionExpiresAt": self._desk.iso(session.expires_at),
        }

    # --- a call that takes only the key -----------------------------------------------------

    async def _workflows(self, request: web.Request) -> web.Response:
        """Stands for the operations that refuse a session."""
        self._desk.count("api_requests")
        if self._ledger.key_of(request) is None:
            self._desk.count("refusals")
            error = {"code": "UNAUTHORIZED", "message": "This operation needs an API key."}
            return web.json_response({"json": error}, status=401)
        return web.json_response({"json": {"workflows": []}})


def _text(sent: Sent, name: str) -> str:
    value = sent.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CallError(400, "BAD_REQUEST", f"{name} is required.")
    return value
