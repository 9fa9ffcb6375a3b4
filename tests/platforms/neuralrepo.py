"""NeuralRepo: API keys only. A browser login is a page that sends a new key to the loopback."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from .accounts import People, Person, new_person
from .interaction import Interaction, Interactions, Question
from .pages import refusal
from .world import Desk

PRODUCT = "NeuralRepo"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LABEL_LENGTH = 100


@dataclass
class Key:
    """An API key: `nrp_` and 64 hexadecimal digits."""

    id: str
    secret: str
    label: str
    owner: Person
    created_at: str
    last_used_at: str | None = None

    def shown(self) -> dict[str, str | None]:
        """What a list of keys says: never the key itself."""
        return {
            "id": self.id,
            "label": self.label,
            "created_at": self.created_at,
            "last_used_at": self.last_used_at,
        }


KeyHandler = Callable[[web.Request, Key], Awaitable[web.Response]]


def _error(error: object, status: int) -> web.Response:
    """`{error: string | field map}`, the platform's only form."""
    return web.json_response({"error": error}, status=status)


class NeuralRepo:
    """The whole platform, API below `/api/v1`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.people = People()
        alice = new_person(id_prefix="usr_", email="alice@example.com", name="Alice Example")
        self.people.add(alice)
        self._keys: dict[str, Key] = {}
        first = self._new_key(alice, "dashboard")
        self._account = {"email": alice.email, "password": alice.password, "api_key": first.secret}
        self._pages = Interactions(desk, PRODUCT, self.people)
        api = "/api/v1"
        self.routes = [
            web.get("/auth/cli", lambda r: desk.around("authorize", r, self._browser_login)),
            web.get(f"{api}/user/me", lambda r: self._with_key(r, "identity", self._me)),
            web.get(f"{api}/user/api-keys", lambda r: self._with_key(r, "keys", self._list)),
            web.post(f"{api}/user/api-keys", lambda r: self._with_key(r, "keys", self._create)),
            web.delete(
                f"{api}/user/api-keys/{{id}}", lambda r: self._with_key(r, "keys", self._delete)
            ),
            *self._pages.routes(),
        ]

    @property
    def account(self) -> dict[str, str]:
        """The account that the platform started with."""
        return self._account

    def living(self) -> dict[str, int]:
        """Keys that could still be used."""
        return {"api_keys": len(self._keys)}

    def revoke_key(self, key: str) -> bool:
        """Delete a key, as its owner would on the dashboard; whether there was one."""
        return self._keys.pop(key, None) is not None

    def end_sessions(self, reason: str) -> int:
        """There are none here: everything is a key."""
        return 0

    def _new_key(self, owner: Person, label: str) -> Key:
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            secret=f"nrp_{secrets.token_hex(32)}",
            label=label,
            owner=owner,
            created_at=self._desk.iso(),
        )
        self._keys[key.secret] = key
        return key

    # --- the browser login ------------------------------------------------------------------

    async def _browser_login(self, request: web.Request) -> web.Response:
        self._desk.count("authorize_requests")
        callback = request.query.get("callback", "")
        try:
            parts = urlsplit(callback)
            good = parts.scheme == "http" and parts.hostname in LOOPBACK and bool(parts.port)
        except ValueError:
            good = False
        if not good:
            return refusal(
                PRODUCT,
                "Invalid callback",
                "The callback must be an address on this machine, with a port.",
                status=400,
            )

        async def conclude(visit: Interaction, allowed: bool) -> web.Response:  # noqa: FBT001 - the consent that the page sent
            if not allowed or visit.person is None:
                return _redirect(callback, {"error": "access_denied"})
            self._desk.count("logins")
            self._desk.count("keys_created")
            return _redirect(callback, {"api_key": self._new_key(visit.person, "CLI").secret})

        question = Question(
            "Allow the NeuralRepo CLI to use your account?",
            ("read and write your ideas", "stay signed in until you revoke its key"),
        )
        return self._pages.begin(request, question, conclude)

    # --- the API ----------------------------------------------------------------------------

    async def _with_key(self, request: web.Request, point: str, handle: KeyHandler) -> web.Response:
        """Only `X-API-Key` opens the API; a bearer token or a cookie does not."""
        self._desk.count("identity_requests" if point == "identity" else "api_requests")

        async def answer(request: web.Request) -> web.Response:
            key = self._keys.get(request.headers.get("X-API-Key", ""))
            if key is None:
                self._desk.count("refusals")
                missing = "X-API-Key" not in request.headers
                return _error("Authentication required" if missing else "Invalid API key", 401)
            key.last_used_at = self._desk.iso()
            return await handle(request, key)

        return await self._desk.around(point, request, answer)

    async def _me(self, _request: web.Request, key: Key) -> web.Response:
        owner = key.owner
        return web.json_response(
            {"id": owner.id, "email": owner.email, "display_name": owner.name, "plan": "free"}
        )

    async def _list(self, _request: web.Request, key: Key) -> web.Response:
        mine = [one.shown() for one in self._keys.values() if one.owner is key.owner]
        return web.json_response({"api_keys": mine})

    async def _create(self, request: web.Request, key: Key) -> web.Response:
        try:
            sent = await request.json()
        except ValueError:
            return _error("Invalid JSON", 400)
        label = sent.get("label") if isinstance(sent, dict) else None
        if not isinstance(label, str) or not label.strip():
            return _error({"label": ["Required"]}, 400)
        if len(label) > LABEL_LENGTH:
            return _error({"label": [f"At most {LABEL_LENGTH} characters"]}, 400)
        self._desk.count("keys_created")
        created = self._new_key(key.owner, label.strip())
        return web.json_response({**created.shown(), "key": created.secret}, status=201)

    async def _delete(self, request: web.Request, key: Key) -> web.Response:
        wanted = request.match_info["id"]
        found = next(
            (k for k in self._keys.values() if k.id == wanted and k.owner is key.owner), None
        )
        if found is None:
            return _error("API key not found", 404)
        del self._keys[found.secret]
        self._desk.count("keys_revoked")
        return web.json_response({"success": True})


def _redirect(callback: str, answer: dict[str, str]) -> web.Response:
    joint = "&" if urlsplit(callback).query else "?"
    return web.Response(
        status=302,
        headers={
            "Location": f"{callback}{joint}{urlencode(answer)}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        },
    )
