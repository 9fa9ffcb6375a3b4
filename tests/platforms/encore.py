"""Encore: device flow, loopback login, auth keys, and refresh tokens that answer 422 when dead."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from .accounts import People, new_person
from .encore_sessions import CLIENT_ID, AuthKey, DeviceLogin, EncoreError, EncoreSessions, Loopback
from .interaction import Interaction, Interactions, Question
from .neuralrepo import LOOPBACK
from .pages import Button, Field, form, page, paragraph, refusal
from .world import Desk

PRODUCT = "Encore"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
Sent: TypeAlias = dict[str, str]
Call: TypeAlias = Callable[[Sent], dict[str, object]]


class Encore:
    """The whole platform."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.people = People()
        edith = self.people.add(
            new_person(id_prefix="usr_", email="edith@example.com", name="Edith Example")
        )
        self._state = state = EncoreSessions(desk)
        kinds = {
            "auth_key": AuthKey(reusable=True, ephemeral=False),
            "ephemeral_auth_key": AuthKey(reusable=True, ephemeral=True),
            "one_time_auth_key": AuthKey(reusable=False, ephemeral=False),
            "one_time_ephemeral_auth_key": AuthKey(reusable=False, ephemeral=True),
            "spare_auth_key": AuthKey(reusable=True, ephemeral=False),
        }
        self._account = {"email": edith.email, "password": edith.password}
        for name, key in kinds.items():
            self._account[name] = state.add_key(key)
        self._account["app_slug"] = state.app_slug
        self._pages = Interactions(desk, PRODUCT, self.people)
        self.routes = [
            web.post("/oauth/device-auth", self._form("device", self._device_auth)),
            web.post("/oauth/token", self._form("token", self._device_token)),
            web.post("/login/oauth:create-session", self._json("device", self._create_session)),
            web.post("/login/oauth:exchange-token", self._json("token", self._exchange)),
            web.post("/login/auth-key", self._json("token", self._auth_key)),
            web.post("/login/oauth:refresh-token", self._form("token", self._refresh)),
            web.get("/user/apps", self._apps),
            web.get("/activate", lambda r: desk.around("authorize", r, self._activate)),
            web.get("/login/authorize", lambda r: desk.around("authorize", r, self._loopback)),
            *self._pages.routes(),
        ]

    @property
    def account(self) -> dict[str, str]:
        """The account that the platform started with, and the keys of its app."""
        return self._account

    def living(self) -> dict[str, int]:
        """Sessions and keys that could still be used."""
        return self._state.living()

    def revoke_key(self, key: str) -> bool:
        """Delete an auth key: whatever its type, every machine that used it is cut off."""
        return self._state.delete_key(key)

    def end_sessions(self, reason: str) -> int:
        """End every session; how many lived."""
        return self._state.end_all(reason)

    # --- the two forms of a call ------------------------------------------------------------

    def _form(self, point: str, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """An OAuth call: form in, plain JSON out, errors in the envelope."""

        async def read(request: web.Request) -> Sent:
            sent = await request.post()
            return {name: value for name, value in sent.items() if isinstance(value, str)}

        return self._call(point, call, read, envelope=False)

    def _json(self, point: str, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A platform call: JSON in, `{ok, data}` out."""

        async def read(request: web.Request) -> Sent:
            try:
                sent = await request.json()
            except ValueError:
                sent = None
            if not isinstance(sent, dict) or not all(isinstance(v, str) for v in sent.values()):
                raise EncoreError(400, "bad_request", "send a JSON object of texts")
            return sent

        return self._call(point, call, read, envelope=True)

    def _call(
        self,
        point: str,
        call: Call,
        read: Callable[[web.Request], Awaitable[Sent]],
        *,
        envelope: bool,
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                data = call(await read(request))
            except EncoreError as error:
                return _refused(error)
            body = {"ok": True, "data": data} if envelope else data
            return web.json_response(body, headers={"Cache-Control": "no-store"})

        async def counted(request: web.Request) -> web.Response:
            self._desk.count("token_requests" if point == "token" else "api_requests")
            grant = ""
            if not envelope:
                grant = str((await request.post()).get("grant_type", ""))
            return await self._desk.around(point, request, answer, grant=grant)

        return counted

    # --- device flow ------------------------------------------------------------------------

    def _device_auth(self, sent: Sent) -> dict[str, object]:
        """RFC 8628 section 3.2; bound to the verifier's challenge."""
        if sent.get("client_id") != CLIENT_ID:
            raise EncoreError(400, "invalid_client", "unknown client_id")
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", sent.get("code_challenge", "")):
            raise EncoreError(400, "invalid_request", "code_challenge must be S256")
        code, login = self._state.new_device_login(sent["code_challenge"])
        return {
            "device_code": code,
            "user_code": login.user_code,
            "verification_uri": f"{self._desk.url}/activate?{urlencode({'code': login.user_code})}",
            "expires_in": int(login.expires_at - self._desk.now()),
            "interval": int(self._desk.faults.number("device_interval")),
        }

    def _device_token(self, sent: Sent) -> dict[str, object]:
        if sent.get("grant_type") != DEVICE_GRANT:
            raise EncoreError(400, "unsupported_grant_type", DEVICE_GRANT)
        session = self._state.poll(sent.get("device_code", ""), sent.get("code_verifier", ""))
        return {**self._state.new_token(session), **session.shown()}

    async def _activate(self, request: web.Request) -> web.Response:
        """The page that a pairing code leads to; without one it asks for it."""
        self._desk.count("authorize_requests")
        code = request.query.get("code", "").strip().upper()
        login = self._state.by_user_code(code)
        if login is None:
            asking = form(
                "/activate",
                method="get",
                hidden={},
                fields=(Field("code", "Pairing code", hint="As the command line shows it."),),
                buttons=(Button("Continue"),),
                error="This code is unknown, used or expired." if code else "",
            )
            return page(PRODUCT, "Connect a device", asking, status=422 if code else 200)
        waiting: DeviceLogin = login

        async def conclude(visit: Interaction, allowed: bool) -> web.Response:  # noqa: FBT001 - the consent that the page sent
            if not allowed or visit.person is None:
                waiting.refused = True
                return page(PRODUCT, "Device refused", paragraph("Nothing was shared."))
            waiting.session = self._state.new_session(visit.person.email)
            return page(PRODUCT, "Device connected", paragraph("Go back to the command line."))

        details = (f"pairing code {code}: compare it with the command line",)
        return self._pages.begin(
            request, Question("Allow the Encore CLI to use your account?", details), conclude
        )

    # --- loopback login ---------------------------------------------------------------------

    def _create_session(self, sent: Sent) -> dict[str, object]:
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", sent.get("challenge", "")):
            raise EncoreError(400, "bad_request", "challenge must be S256")
        if not sent.get("state"):
            raise EncoreError(400, "bad_request", "state is missing")
        redirect = sent.get("redirect_url", "")
        parts = urlsplit(redirect)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or parts.path != "/oauth":
            raise EncoreError(400, "bad_request", "redirect_url must be a loopback /oauth")
        made = Loopback(sent["challenge"], sent["state"], redirect)
        session_id = self._state.add_loopback(made)
        return {"auth_url": f"{self._desk.url}/login/authorize?{urlencode({'id': session_id})}"}

    async def _loopback(self, request: web.Request) -> web.Response:
        self._desk.count("authorize_requests")
        asked = self._state.loopback(request.query.get("id", ""))
        if asked is None:
            return refusal(PRODUCT, "This login has expired", "Start it again.", status=400)

        async def conclude(visit: Interaction, allowed: bool) -> web.Response:  # noqa: FBT001 - the consent that the page sent
            answer = {"state": asked.state}
            if allowed and visit.person:
                answer["code"] = self._state.new_code(asked, visit.person.email)
            else:
                answer["error"] = "access_denied"
            location = f"{asked.redirect_url}?{urlencode(answer)}"
            return web.Response(status=302, headers={"Location": location})

        return self._pages.begin(
            request, Question("Allow the Encore CLI to use your account?"), conclude
        )

    def _exchange(self, sent: Sent) -> dict[str, object]:
        """`challenge` is the verifier here: that is what the platform calls it."""
        session = self._state.redeem(sent.get("code", ""), sent.get("challenge", ""))
        return {"token": self._state.new_token(session), **session.shown()}

    # --- auth keys and refresh --------------------------------------------------------------

    def _auth_key(self, sent: Sent) -> dict[str, object]:
        session = self._state.use_key(sent.get("auth_key", ""))
        return {"token": self._state.new_token(session), **session.shown()}

    def _refresh(self, sent: Sent) -> dict[str, object]:
        """RFC 6749 section 6, except for the 422."""
        if sent.get("grant_type") != "refresh_token":
            raise EncoreError(400, "unsupported_grant_type", "refresh_token")
        return self._state.refresh(sent.get("refresh_token", ""))

    # --- the API ----------------------------------------------------------------------------

    async def _apps(self, request: web.Request) -> web.Response:
        """The apps that a token can see: the cheapest way to ask whether it is good."""
        self._desk.count("identity_requests")

        async def answer(request: web.Request) -> web.Response:
            scheme, _, value = request.headers.get("Authorization", "").partition(" ")
            try:
                session = self._state.bearer(value if scheme.lower() == "bearer" else "")
            except EncoreError as error:
                self._desk.count("refusals")
                return _refused(error)
            app = {"eid": "app_1", "id": "1", "slug": self._state.app_slug, "name": "Example"}
            return web.json_response({"ok": True, "data": [app], "actor": session.actor})

        return await self._desk.around("identity", request, answer)


def _refused(error: EncoreError) -> web.Response:
    body = {"ok": False, "error": {"code": error.code, "detail": error.detail}, "data": None}
    return web.Response(status=error.status, text=json.dumps(body), content_type="application/json")
