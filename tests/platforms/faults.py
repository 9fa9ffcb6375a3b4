"""The switches: what a platform does wrong, or differently, when it is told to.

A **point** is a kind of request (`token`, `revoke`, `identity`, ...). Each point has the same
switches, named `<point>_<switch>`:

- `delay`: seconds to wait before the request is handled; the request of a client that has gone
  meanwhile is dropped unhandled.
- `delay_after`: seconds to wait after it was handled (a rotation has then happened) before the
  answer is sent.
- `status`: answer with this status, and `body`, without handling the request.
- `body`: the raw text to answer with; alone, with status 200.
- `headers`: headers for the answer, such as Retry-After; alone, added to the true answer.
- `fields`: merged into the true answer's JSON object; null removes a field.
- `drop`: `"before"` or `"after"` handling, the connection is cut without an answer.
- `grant`: the other switches of `token` hold only for this grant_type.
- `times`: after this many requests all switches of the point clear themselves.

SETTINGS lists the switches that belong to no point.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

POINTS = (
    "token",  # token endpoints: CRE's, and all of Encore's
    "revoke",  # revocation and sign-out
    "identity",  # GraphQL, userinfo, /user/me, get-session, /user/apps
    "authorize",  # the first page of a browser login
    "login",  # Libretto's sign-in and sign-up
    "device",  # the start and the polls of a device or browser login
    "keys",  # API key management
    "api",  # every other route of Libretto's API
    "discovery",
    "jwks",
)
SWITCHES = (
    "delay",
    "delay_after",
    "status",
    "body",
    "headers",
    "fields",
    "drop",
    "grant",
    "times",
)
SETTINGS: dict[str, object] = {
    "access_token_ttl": 3600,  # seconds; holds for tokens issued from now on
    "refresh_token_ttl": 2_592_000,  # seconds: 30 days
    "code_ttl": 60,  # seconds; RFC 6749 section 4.1.2 allows ten minutes
    "rotation": True,  # False: a refresh keeps its refresh token and returns none
    "callback_fields": {},  # merged into the redirect's query at CRE; null removes a field
    "callback_times": None,  # how many redirects callback_fields holds for; null: all
    "no_organization": 0,  # how many of CRE's next authorizations end with that error
    "organization_status": "FULL_ACCESS",  # the claim of CRE's access tokens
    "id_token_fields": {},  # merged into the claims of CRE's ID tokens; null removes a claim
    "cookie_ttl": 604_800,  # seconds a Libretto session lives: 7 days
    "device_interval": 1,  # seconds between two polls at Encore; a test need not wait for five
    "device_ttl": 600,  # seconds a device or browser login waits for its person
}

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


class UnknownFaultError(ValueError):
    """A name that no switch has, or a value of the wrong type."""


def _known(name: str) -> bool:
    point, _, switch = name.partition("_")
    return name in SETTINGS or (point in POINTS and switch in SWITCHES)


class Faults:
    """The switches that are set now."""

    def __init__(self, dropped: Callable[[], None]) -> None:
        self._set: dict[str, object] = {}
        self._dropped = dropped

    def merge(self, changes: dict[str, object]) -> None:
        """Set some switches and leave the rest.

        Raises:
            UnknownFaultError: for a name that does not exist; nothing is set then.
        """
        unknown = sorted(name for name in changes if not _known(name))
        if unknown:
            raise UnknownFaultError(f"no such fault: {', '.join(unknown)}")
        for name, value in changes.items():
            usual = SETTINGS.get(name)
            if type(usual) in (int, float) and type(value) not in (int, float):
                raise UnknownFaultError(f"{name} must be a number, not {value!r}")
        self._set.update(changes)

    def clear(self) -> None:
        """Back to how a healthy platform behaves."""
        self._set.clear()

    def report(self) -> dict[str, object]:
        """The settings with their values now, and the switches that are set."""
        return {**SETTINGS, **self._set}

    def value(self, name: str) -> object:
        """One setting of SETTINGS."""
        return self._set.get(name, SETTINGS[name])

    def number(self, name: str) -> float:
        """One setting that is a number; `merge` sees to that."""
        value = self.value(name)
        return value if isinstance(value, int | float) else 0

    def fields(self, name: str) -> dict[str, object]:
        """One setting that is a JSON object; anything else counts as empty."""
        value = self.value(name)
        return value if isinstance(value, dict) else {}

    def countdown(self, name: str) -> bool:
        """True as often as the setting says, counting down; null means always."""
        left = self.value(name)
        if left is None:
            return True
        if not isinstance(left, int) or left <= 0:
            return False
        self._set[name] = left - 1
        return True

    def _take(self, point: str, grant: str) -> dict[str, object]:
        """The switches of a point for one request, counted against `times`."""
        prefix = f"{point}_"
        found = {
            name.removeprefix(prefix): value
            for name, value in self._set.items()
            if name.startswith(prefix) and name.removeprefix(prefix) in SWITCHES
        }
        if found.get("grant", grant) != grant:
            return {}
        times = found.pop("times", None)
        if isinstance(times, int):
            self._set[f"{prefix}times"] = times - 1
            if times <= 1:
                for switch in SWITCHES:
                    self._set.pop(f"{prefix}{switch}", None)
        return found if times is None or (isinstance(times, int) and times > 0) else {}

    async def around(
        self, point: str, request: web.Request, handle: Handler, *, grant: str = ""
    ) -> web.Response:
        """Handle a request as the switches of its point say."""
        switches = self._take(point, grant)
        if not switches:
            return await handle(request)
        await asyncio.sleep(_seconds(switches.get("delay")))
        if _gone(request):
            self._dropped()
            # Nobody reads it: 499 is what nginx logs for a client that closed its request.
            return web.Response(status=499)
        if switches.get("drop") == "before":
            return _cut(request)
        if "status" in switches or "body" in switches:
            return _instead(switches)
        response = await handle(request)
        await asyncio.sleep(_seconds(switches.get("delay_after")))
        if switches.get("drop") == "after":
            return _cut(request)
        return _amended(response, switches)


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _cut(request: web.Request) -> web.Response:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response(status=499)


def _headers(switches: dict[str, object]) -> dict[str, str]:
    headers = switches.get("headers")
    if not isinstance(headers, dict):
        return {}
    return {str(name): str(value) for name, value in headers.items()}


def _instead(switches: dict[str, object]) -> web.Response:
    status = switches.get("status", 200)
    headers = _headers(switches)
    body = switches.get("body")
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    return web.Response(
        status=status if isinstance(status, int) else 500,
        body=str(body).encode() if body is not None else None,
        headers=headers,
    )


def _amended(response: web.Response, switches: dict[str, object]) -> web.Response:
    fields = switches.get("fields")
    if isinstance(fields, dict) and isinstance(response.body, bytes):
        answer = {**json.loads(response.body), **fields}
        response.body = json.dumps({k: v for k, v in answer.items() if v is not None}).encode()
    response.headers.update(_headers(switches))
    return response
