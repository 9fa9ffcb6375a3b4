"""TokenAsk: a request for a credential of a tool, as the broker understands it."""

import msgspec

from tool_agentd.model import AuditLine


class TokenAsk(msgspec.Struct, frozen=True):
    """A request for a credential of a tool."""

    tool: str
    account: str | None = None
    min_ttl: float | None = None
    """Seconds that the caller insists on."""
    scope: str | None = None
    audience: str | None = None
    unset: str | None = None
    """Variables that the client has found unset, by commas; None: it does not look at any."""
    handed: bool = True
    """Whether the client gets the credential; else the agent uses it for the client."""
    lines: list[AuditLine] | None = None
    """Where the line for the witness goes. None: to the witness at once. Whoever gives a list tells
    the witness once the credential leaves; or not at all, where it was told already."""
