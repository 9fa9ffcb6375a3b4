"""`/_/`: what the tests and the demo ask and tell the platforms. Served at every origin alike."""

from collections.abc import Callable

from aiohttp import web

from .accounts import one_time_password
from .faults import UnknownFaultError
from .pages import page
from .site import Site
from .world import World


class Control:
    """The routes for one origin; `site` is the platform that is served there."""

    def __init__(self, world: World, site: Site, sites: dict[str, Site]) -> None:
        self._world = world
        self._site = site
        self._sites = sites

    def routes(self) -> list[web.RouteDef]:
        """All of `/_/`."""
        return [
            web.get("/", self._front),
            web.get("/_/counters", self._counters),
            web.get("/_/faults", self._show_faults),
            web.post("/_/faults", self._set_faults),
            web.post("/_/reset", self._reset),
            web.get("/_/mail", self._mail),
            web.post("/_/clock", self._clock),
            web.get("/_/grants", self._grants),
            web.get("/_/secrets", self._secrets),
            web.get("/_/person", self._person),
            web.post("/_/keys/revoke", self._revoke_key),
            web.post("/_/sessions/end", self._end_sessions),
            web.post("/_/signing-key", self._signing_key),
        ]

    async def _front(self, _request: web.Request) -> web.Response:
        """For a person who opens the bare address."""
        links = {
            "/_/person": "the account of this platform, with its one-time password now",
            "/_/counters": "what has happened so far",
            "/_/mail": "the mail box",
            "/_/faults": "the switches",
        }
        rows = "".join(f'<li><a href="{path}">{text}</a></li>' for path, text in links.items())
        return page("Practice platforms", "Nothing here is real", f"<ul>{rows}</ul>")

    async def _counters(self, _request: web.Request) -> web.Response:
        return web.json_response(self._world.counters.report())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({name: f.report() for name, f in self._world.faults.items()})

    async def _set_faults(self, request: web.Request) -> web.Response:
        """Merge; with `"platform": "cre"` only there."""
        changes = await _object(request)
        only = changes.pop("platform", None)
        if only is not None and only not in self._world.faults:
            return _complain(f"no such platform: {only}")
        try:
            for name, faults in self._world.faults.items():
                if only in (None, name):
                    faults.merge(changes)
        except UnknownFaultError as error:
            return _complain(str(error))
        return await self._show_faults(request)

    async def _reset(self, request: web.Request) -> web.Response:
        """Clear the faults; with `{"counters": true}` the counters too."""
        asked = await _object(request)
        for faults in self._world.faults.values():
            faults.clear()
        if asked.get("counters"):
            self._world.counters.clear()
        return web.json_response({"reset": True})

    async def _mail(self, request: web.Request) -> web.Response:
        return web.json_response(self._world.mail.report(request.query.get("to")))

    async def _clock(self, request: web.Request) -> web.Response:
        advance = (await _object(request)).get("advance", 0)
        if not isinstance(advance, int | float):
            return _complain("advance must be a number of seconds")
        self._world.clock.advance(advance)
        return web.json_response({"now": self._world.clock.now()})

    async def _grants(self, _request: web.Request) -> web.Response:
        return web.json_response({name: site.living() for name, site in self._sites.items()})

    async def _secrets(self, _request: web.Request) -> web.Response:
        """Every code and refresh token that was handed out, dead ones too: for a scan for leaks."""
        told: list[str] = []
        for site in self._sites.values():
            secrets: Callable[[], list[str]] | None = getattr(site, "secrets", None)
            if secrets:
                told += secrets()
        return web.json_response(told, headers={"Cache-Control": "no-store"})

    async def _person(self, _request: web.Request) -> web.Response:
        """What the person of this origin remembers, and what her authenticator app shows now."""
        known = dict(self._site.account)
        if secret := known.get("otp_secret"):
            known["otp"] = one_time_password(secret, self._world.clock.now())
        return web.json_response(known, headers={"Cache-Control": "no-store"})

    async def _revoke_key(self, request: web.Request) -> web.Response:
        """`{"key": ...}`: delete an API or auth key of any platform, as its owner would."""
        key = str((await _object(request)).get("key", ""))
        revoked = [name for name, site in self._sites.items() if site.revoke_key(key)]
        return web.json_response({"revoked": revoked}, status=200 if revoked else 404)

    async def _end_sessions(self, request: web.Request) -> web.Response:
        """`{"platform": ..., "reason": ...}`: end its sessions, as an administrator would."""
        asked = await _object(request)
        reason = str(asked.get("reason", "an administrator ended it"))
        only = asked.get("platform")
        return web.json_response(
            {n: s.end_sessions(reason) for n, s in self._sites.items() if only in (None, n)}
        )

    async def _signing_key(self, _request: web.Request) -> web.Response:
        """CRE signs with a new key from now on."""
        for site in self._sites.values():
            rotate: Callable[[], None] | None = getattr(site, "rotate_signing_key", None)
            if rotate:
                rotate()
        return web.json_response({"rotated": True})


async def _object(request: web.Request) -> dict[str, object]:
    """The body as a JSON object; no body is an empty one."""
    if not await request.read():
        return {}
    try:
        sent = await request.json()
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise web.HTTPBadRequest(text="send a JSON object")
    return sent


def _complain(text: str) -> web.Response:
    return web.json_response({"error": text}, status=400)
