"""The clocks of far ends: how far each is from this machine's, by the Date of its last answer.

Nothing is decided by it but what `status` says: a token's life is counted by this machine's clocks
from the moment it was asked for, and a provider's own times by the Date beside them.
"""

from collections.abc import Collection, Mapping

from tool_agentd.definition.address import origin_of
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.oauth.reply_clock import clock_skew
from tool_agentd.ports import Http

SHOWN = 60.0
"""Seconds from which on a difference is worth telling: no more than the margin of a token that is
served without a word about its life."""


class FarClocks:
    """`ports.Http` over another, which looks at each answer's Date."""

    def __init__(self, http: Http) -> None:
        """Nothing is known yet."""
        self._http = http
        self._skews: dict[str, float] = {}

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Send it; see `ports.Http`."""
        reply = await self._http.send(request, allowed=allowed, deadline=deadline)
        skew = clock_skew(reply)
        if skew is not None:
            self._skews[origin_of(request.url)] = skew
        return reply

    @property
    def skews(self) -> Mapping[str, float]:
        """The seconds by which a far end's clock is ahead, by origin, where they matter."""
        return {origin: skew for origin, skew in self._skews.items() if abs(skew) > SHOWN}
