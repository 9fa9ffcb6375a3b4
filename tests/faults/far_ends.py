"""The far ends of a sweep, and the agent as a program drives it: over its socket alone."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tests.platforms.person import Visit, VisitError
from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.idp import Idp
from tests.real.platforms import Platforms
from tests.real.unix_http import Reply
from tests.stories import practice, test_idp

CUT = (EOFError, OSError, VisitError)
"""What a client, or the person's browser, sees of an agent that dies under its request."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a provider has counted."""

    requests: int
    refreshes: int
    replays: int

    def __sub__(self, before: "Seen") -> "Seen":
        """Return what was added since `before`."""
        return Seen(
            self.requests - before.requests,
            self.refreshes - before.refreshes,
            self.replays - before.replays,
        )


class FarEnd(Protocol):
    """A provider with a person at its pages."""

    tool: str
    life: int
    """Seconds that its access tokens live: as a min_ttl it makes every request a refresh."""

    def define(self, home: Home) -> None:
        """Put its definition into a home."""
        ...

    def sign_in(self, url: str) -> None:
        """Go through its pages, and back to the agent."""
        ...

    def seen(self) -> Seen:
        """Return its counters."""
        ...

    def takes(self, access_token: str) -> bool:
        """Tell whether an access token is good."""
        ...


class PracticePlatform:
    """CRE of the practice platforms: it rotates without grace, and a replay ends the family."""

    tool = "workflows"
    life = 3600

    def __init__(self, platforms: Platforms) -> None:
        self._platforms = platforms

    def define(self, home: Home) -> None:
        """Put its definition into a home."""
        home.environ.update(self._platforms.env)
        home.define(self.tool, practice.workflows(self._platforms.urls["cre"]))

    def sign_in(self, url: str) -> None:
        """Go through its pages, and back to the agent."""
        Visit({}).run(url)

    def seen(self) -> Seen:
        """Return its counters."""
        found = self._platforms.counters()
        return Seen(found["token_requests"], found["refreshes"], found["replays"])

    def takes(self, access_token: str) -> bool:
        """Tell whether an access token is good."""
        return self._platforms.userinfo(access_token) == http.client.OK


class OpenIdProvider:
    """Node's oidc-provider."""

    tool = "idp"
    life = 600

    def __init__(self, idp: Idp) -> None:
        self._idp = idp

    def define(self, home: Home) -> None:
        """Put its definition into a home."""
        home.define(self.tool, test_idp.definition(self._idp))

    def sign_in(self, url: str) -> None:
        """Go through its pages, and back to the agent."""
        self._idp.person().visit(url)

    def seen(self) -> Seen:
        """Return its counters."""
        found = self._idp.counters()
        return Seen(found.token_requests, found.refreshes, found.replays)

    def takes(self, access_token: str) -> bool:
        """Tell whether an access token is good."""
        headers = {"Authorization": f"Bearer {access_token}"}
        request = urllib.request.Request(f"{self._idp.issuer}/me", headers=headers)  # noqa: S310 - our own provider
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - our own provider
                return bool(reply.status == http.client.OK)
        except urllib.error.HTTPError:
            return False


class Driver:
    """A client of an agent that lives for a whole sweep."""

    def __init__(self, agent: Agent, far: FarEnd) -> None:
        self.agent = agent
        self.far = far

    def token(self, **query: object) -> Reply:
        """Ask for the tool's token."""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return self.agent.http("GET", f"/v1/tools/{self.far.tool}/token?{words}")

    def log_in(self, **order: object) -> bool:
        """Log in from start to end; tell whether the agent says that it is done.

        Raises:
            EOFError: the agent went away (or OSError).
        """
        view = self._sent("POST", f"/v1/tools/{self.far.tool}/logins", order)
        place = f"/v1/logins/{view['id']}"
        while not view["url"] and view["error"] is None:
            view = self._sent("GET", f"{place}?wait=5&since={view['state']}")
        if view["url"]:
            self.far.sign_in(view["url"])
        while view["state"] not in {"done", "failed", "cancelled"}:
            view = self._sent("GET", f"{place}?wait=5&since={view['state']}")
        return bool(view["state"] == "done")

    def try_log_in(self) -> None:
        """Log in, however that ends."""
        with suppress(AssertionError, VisitError):
            self.log_in()

    def log_out(self) -> None:
        """Drop what is there; the provider is not told, and no one minds where nothing is."""
        self.agent.http("DELETE", f"/v1/tools/{self.far.tool}/accounts/default?forget=1")

    def _sent(
        self, method: str, target: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {} if raw is None else {"Content-Type": "application/json"}
        reply = self.agent.http(method, target, headers=headers, body=raw)
        assert reply.status < http.client.BAD_REQUEST, reply
        found: dict[str, Any] = reply.json
        return found
