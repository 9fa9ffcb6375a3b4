"""Libretto Cloud: Better Auth below `/api/auth`, with the checks that hold for every call."""

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from .accounts import Person
from .libretto_ledger import INVITATION_TTL_S, MANAGERS, CallError, Invitation, Ledger
from .libretto_pages import LibrettoPages
from .libretto_v1 import LibrettoV1
from .world import Desk

Call: TypeAlias = Callable[[web.Request, dict[str, object]], Awaitable[web.Response]]
ROLES = ("member", "admin", "owner")
KEY_START = 14
"""How much of a key a list shows."""


class Libretto:
    """The whole platform."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger = ledger = Ledger(desk)
        grace = ledger.people.add(
            Person(
                id=f"user_{secrets.token_hex(10)}",
                email="grace@example.com",
                password=secrets.token_urlsafe(18),
                name="Grace Example",
            )
        )
        ledger.new_organization(
            name="Example Organization", slug="example-org", alert=grace.email, owner=grace
        )
        self._account = {
            "email": grace.email,
            "password": grace.password,
            "api_key": ledger.new_key(grace, "dashboard").secret,
            "organization_slug": "example-org",
        }
        auth = "/api/auth"
        self.routes = [
            web.post(f"{auth}/sign-in/email", self._plain("login", self._sign_in)),
            web.post(f"{auth}/sign-up/email", self._plain("login", self._sign_up)),
            web.post(f"{auth}/sign-out", self._plain("revoke", self._sign_out)),
            web.get(f"{auth}/get-session", self._plain("identity", self._get_session)),
            web.post(
                f"{auth}/send-verification-email", self._plain("login", self._send_verification)
            ),
            web.get(f"{auth}/organization/list", self._plain("api", self._organizations)),
            web.post(f"{auth}/organization/invite-member", self._plain("api", self._invite)),
            web.get(f"{auth}/organization/get-invitation", self._plain("api", self._invitation)),
            web.post(f"{auth}/organization/accept-invitation", self._plain("api", self._accept)),
            web.post(f"{auth}/api-key/create", self._plain("keys", self._create_key)),
            web.get(f"{auth}/api-key/list", self._plain("keys", self._list_keys)),
            web.post(f"{auth}/api-key/delete", self._plain("keys", self._delete_key)),
            *LibrettoV1(desk, ledger).routes(),
            *LibrettoPages(desk, ledger).routes(),
        ]

    @property
    def account(self) -> dict[str, str]:
        """The account that the platform started with."""
        return self._account

    def living(self) -> dict[str, int]:
        """Sessions and keys that could still be used."""
        now = self._desk.now()
        sessions = sum(one.expires_at > now for one in self._ledger.sessions.values())
        return {"sessions": sessions, "api_keys": len(self._ledger.keys)}

    def revoke_key(self, key: str) -> bool:
        """Delete an API key; whether there was one."""
        return self._ledger.keys.pop(key, None) is not None

    def end_sessions(self, reason: str) -> int:  # Better Auth never says why
        """End every session; how many lived."""
        lived = self.living()["sessions"]
        self._ledger.sessions.clear()
        return lived

    def _plain(self, point: str, handle: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A Better Auth route: Origin checked, plain JSON, errors as `{code, message}`."""

        async def answer(request: web.Request) -> web.Response:
            try:
                check_origin(self._desk, request)
                return await handle(request, await _body(request))
            except CallError as error:
                body: dict[str, object] = {"code": error.code, "message": error.message}
                if error.data is not None:
                    body["data"] = error.data
                return web.json_response(body, status=error.status)

        async def counted(request: web.Request) -> web.Response:
            counter = {"identity": "identity_requests", "revoke": "revoke_requests"}
            self._desk.count(counter.get(point, "api_requests"))
            return await self._desk.around(point, request, answer)

        return counted

    # --- sessions ---------------------------------------------------------------------------

    async def _sign_in(self, _request: web.Request, sent: dict[str, object]) -> web.Response:
        person = self._ledger.people.find(str(sent.get("email", "")))
        if person is None or not person.accepts_password(str(sent.get("password", ""))):
            self._desk.count("wrong_passwords")
            raise CallError(401, "INVALID_EMAIL_OR_PASSWORD", "Invalid email or password")
        return self._signed_in(person, {"redirect": False})

    async def _sign_up(self, _request: web.Request, sent: dict[str, object]) -> web.Response:
        """An account that belongs to no organization; the CLI has no command for it."""
        given = {name: str(sent.get(name, "")) for name in ("email", "password", "name")}
        return self._signed_in(self._ledger.new_person(**given), {})

    def _signed_in(self, person: Person, answer: dict[str, object]) -> web.Response:
        session = self._ledger.new_session(person)
        response = web.json_response({**answer, "token": session.token, "user": _user(person)})
        for cookie in self._ledger.cookies(session):
            response.headers.add("Set-Cookie", cookie)
        return response

    async def _sign_out(self, request: web.Request, _sent: dict[str, object]) -> web.Response:
        session = self._ledger.session_of(request)
        if session:
            del self._ledger.sessions[session.token]
            self._desk.count("revocations")
        return web.json_response({"success": True})

    async def _get_session(self, request: web.Request, _sent: dict[str, object]) -> web.Response:
        """`null` with status 200 where nobody is signed in."""
        if key := self._ledger.key_of(request):
            return web.json_response({"session": {"id": key.id}, "user": _user(key.person)})
        session = self._ledger.session_of(request)
        if session is None:
            self._desk.count("refusals")
            return web.json_response(None)
        shown = {
            "id": session.id,
            "userId": session.person.id,
            "expiresAt": self._desk.iso(session.expires_at),
        }
        return web.json_response({"session": shown, "user": _user(session.person)})

    async def _send_verification(
        self, _request: web.Request, sent: dict[str, object]
    ) -> web.Response:
        person = self._ledger.people.find(str(sent.get("email", "")))
        if person and person.email_verified:
            raise CallError(400, "EMAIL_ALREADY_VERIFIED", "Email is already verified")
        if person:
            self._ledger.send_verification(person)
        return web.json_response({"status": True})

    # --- organizations ----------------------------------------------------------------------

    async def _organizations(self, request: web.Request, _sent: dict[str, object]) -> web.Response:
        mine = self._ledger.organization_of(self._ledger.person_of(request))
        return web.json_response([mine.shown()] if mine else [])

    async def _invite(self, request: web.Request, sent: dict[str, object]) -> web.Response:
        inviter = self._ledger.person_of(request)
        email, role = str(sent.get("email", "")).strip(), sent.get("role")
        organization = self._ledger.organizations.get(str(sent.get("organizationId", "")))
        if organization is None or inviter.id not in organization.members:
            raise CallError(400, "ORGANIZATION_NOT_FOUND", "Organization not found")
        if organization.members[inviter.id] not in MANAGERS:
            raise CallError(
                403,
                "YOU_ARE_NOT_ALLOWED_TO_INVITE_USERS_TO_THIS_ORGANIZATION",
                "You are not allowed to invite users to this organization",
            )
        if "@" not in email or role not in ROLES:
            raise CallError(400, "VALIDATION_ERROR", "An email and a role are required")
        known = self._ledger.people.find(email)
        if known and known.id in organization.members:
            raise CallError(
                400,
                "USER_IS_ALREADY_A_MEMBER_OF_THIS_ORGANIZATION",
                "User is already a member of this organization",
            )
        made = Invitation(
            id=secrets.token_hex(16),
            email=email,
            role=str(role),
            organization=organization,
            inviter=inviter,
            expires_at=self._desk.now() + INVITATION_TTL_S,
        )
        self._ledger.invitations[made.id] = made
        self._desk.send_mail(
            email,
            f"Join {organization.name}",
            f"Invitation id: {made.id}\nOrganization slug: {organization.slug}",
        )
        return web.json_response(self._shown(made))

    def _shown(self, one: Invitation) -> dict[str, object]:
        return {
            "id": one.id,
            "email": one.email,
            "role": one.role,
            "status": one.status,
            "organizationId": one.organization.id,
            "inviterId": one.inviter.id,
            "expiresAt": self._desk.iso(one.expires_at),
        }

    def _for_recipient(self, request: web.Request, invitation_id: str) -> tuple[Invitation, Person]:
        person = self._ledger.person_of(request)
        found = self._ledger.pending(invitation_id)
        if found.email.lower() != person.email.lower():
            raise CallError(
                403,
                "YOU_ARE_NOT_THE_RECIPIENT_OF_THE_INVITATION",
                "You are not the recipient of the invitation",
            )
        return found, person

    async def _invitation(self, request: web.Request, _sent: dict[str, object]) -> web.Response:
        found, _ = self._for_recipient(request, request.query.get("id", ""))
        return web.json_response(
            {
                **self._shown(found),
                "organizationName": found.organization.name,
                "organizationSlug": found.organization.slug,
                "inviterEmail": found.inviter.email,
            }
        )

    async def _accept(self, request: web.Request, sent: dict[str, object]) -> web.Response:
        found, person = self._for_recipient(request, str(sent.get("invitationId", "")))
        if self._ledger.organization_of(person):
            raise CallError(
                400,
                "USER_ALREADY_IN_ORGANIZATION",
                "A user can only belong to one organization at a time",
            )
        found.status = "accepted"
        found.organization.members[person.id] = found.role
        member = {
            "organizationId": found.organization.id,
            "userId": person.id,
            "role": found.role,
        }
        return web.json_response({"invitation": self._shown(found), "member": member})

    # --- API keys ---------------------------------------------------------------------------

    async def _create_key(self, request: web.Request, sent: dict[str, object]) -> web.Response:
        person = self._ledger.person_of(request)
        name = sent.get("name")
        if not isinstance(name, str) or not name:
            raise CallError(400, "NAME_REQUIRED", "API Key name is required.")
        key = self._ledger.new_key(person, name)
        return web.json_response(
            {
                "id": key.id,
                "name": key.name,
                "start": key.secret[:KEY_START],
                "key": key.secret,
                "enabled": True,
                "createdAt": key.created_at,
            }
        )

    async def _list_keys(self, request: web.Request, _sent: dict[str, object]) -> web.Response:
        person = self._ledger.person_of(request)
        return web.json_response(
            [
                {
                    "id": key.id,
                    "name": key.name,
                    "start": key.secret[:KEY_START],
                    "enabled": True,
                    "createdAt": key.created_at,
                    "lastRequest": key.last_request,
                }
                for key in self._ledger.keys.values()
                if key.person is person
            ]
        )

    async def _delete_key(self, request: web.Request, sent: dict[str, object]) -> web.Response:
        person = self._ledger.person_of(request)
        for key in list(self._ledger.keys.values()):
            if key.id == sent.get("keyId") and key.person is person:
                del self._ledger.keys[key.secret]
                self._desk.count("keys_revoked")
                return web.json_response({"success": True})
        raise CallError(404, "KEY_NOT_FOUND", "API Key not found")


def check_origin(desk: Desk, request: web.Request) -> None:
    """Better Auth's CSRF check: without its own Origin a call is refused.

    Raises:
        CallError: MISSING_OR_NULL_ORIGIN or INVALID_ORIGIN.
    """
    origin = request.headers.get("Origin")
    if origin == desk.url:
        return
    desk.count("origin_refusals")
    if origin in (None, "null"):
        raise CallError(403, "MISSING_OR_NULL_ORIGIN", "Missing or null Origin")
    raise CallError(403, "INVALID_ORIGIN", "Invalid origin")


def _user(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "emailVerified": person.email_verified,
    }


async def _body(request: web.Request) -> dict[str, object]:
    if request.method == "GET" or not await request.read():
        return {}
    try:
        sent = await request.json()
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise CallError(400, "BAD_REQUEST", "Invalid JSON body")
    return sent
