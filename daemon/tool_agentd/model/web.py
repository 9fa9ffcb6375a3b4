"""What goes to a provider and comes back, and what the person's browser shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tool_agentd.model.instant import Instant
from tool_agentd.secret import Secret


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a provider. Secret leaves are revealed by the adapter that sends it."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    form: Mapping[str, str | Secret] | None = None
    json: Any = None
    """Any JSON value; leaves may be Secret. None sends no JSON body."""

    def with_headers(self, headers: Mapping[str, str | Secret]) -> "HttpRequest":
        """Return it with these headers besides, its own winning."""
        own = {name.lower() for name in self.headers}
        added = {name: text for name, text in headers.items() if name.lower() not in own}
        return replace(self, headers={**added, **self.headers})


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A provider's whole answer, its body capped. The body may hold secrets and is not printed."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of repeated ones the first."""
    body: bytes = field(repr=False)
    sent: Instant
    """When the request was sent."""
    received: Instant
    cookies: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    """What Set-Cookie set, by name."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser shows after a login came back."""

    title: str
    text: str
    ok: bool
    goes_on: str = ""
    """An address that the browser goes to after a few seconds; the login then still waits."""
