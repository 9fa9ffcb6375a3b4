"""Limits: how long a session may rest unused, and how old it may become.

A limit is over when either clock says so. The wall clock is what a stored moment is written in; the
boot clock goes on where somebody sets that one back. When a session was used last is known in
memory to the request, and written down coarsely beside the login: see `SLACK`.
"""

import logging
from dataclasses import dataclass, replace

from tool_agentd.definition import duration
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.vocabulary import SessionLimits, ToolDefinition
from tool_agentd.errors import AgentError
from tool_agentd.model import AccountKey, Grant, Instant
from tool_agentd.ports import Clock, Store
from tool_agentd.session import end_of

SLACK = 0.05
"""The share of the idle limit by which the stored moment of the last use may be behind.

A write to disk for each token served would cost more than serving it. So it is written by the tick,
once it is that much behind, and when the agent ends in order: twenty writes at most in the time of
a limit. An agent that is killed thus ends a session up to a twentieth too early and never too late.
"""
SLACK_FLOOR = 60.0
"""Seconds; a limit of some minutes is not written down with every tick."""
USED = "@used"
"""The name under which the last use is kept beside a login; a cache's name has a tool in it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits in seconds; None: there is none."""

    idle: float | None = None
    absolute: float | None = None

    @classmethod
    def of(cls, limits: SessionLimits) -> "Rules":
        """Return what a definition says."""
        return cls(
            *(duration.seconds(one) if one else None for one in (limits.idle, limits.absolute))
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a login's time."""

    login: float
    """Which one: the moment of the login."""
    first: Instant
    """When this agent saw it first: what ties the wall clock's moments to the boot clock."""
    used: Instant
    saved: float | None = None
    """The last use as the store has it, on the wall clock."""
    over: str | None = None
    """Why it is over: once found, for good, whatever a renewal in the air still brings."""


def over(grant: Grant, seen: Seen, rules: Rules, now: Instant) -> str | None:
    """Return why a session is over; None where it is not. Pure."""
    if grant.ends_at is not None and now.until(_tied(seen, grant.ends_at)) <= 0:
        return end_of(grant)
    if rules.absolute is not None:
        end = _tied(seen, grant.obtained_at + rules.absolute)
        if now.until(end) <= 0:
            return f"its login is {duration.words(rules.absolute)} old, the most that is allowed"
    if rules.idle is not None and now.until(seen.used.plus(rules.idle)) <= 0:
        return f"it was not used for {duration.words(rules.idle)}"
    return None


def _tied(seen: Seen, wall: float) -> Instant:
    """Return a moment of the wall clock on both clocks."""
    return seen.first.plus(wall - seen.first.wall)


class Limits:
    """What is known of every session's time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Start with nothing seen."""
        self._store = store
        self._clock = clock
        self._seen: dict[AccountKey, Seen] = {}

    @staticmethod
    def rules(provider: ToolDefinition, grant: Grant | None) -> Rules | None:
        """Return the rules of a session; None where nothing limits it."""
        limits = provider.session
        if limits == SessionLimits() and (grant is None or grant.ends_at is None):
            return None
        return Rules.of(limits)

    def used(self, key: AccountKey) -> None:
        """Note that the session has just served somebody: no wait, no disk."""
        seen = self._seen.get(key)
        if seen is not None:
            self._seen[key] = replace(seen, used=self._clock.now())

    async def reason(self, grant: Grant, rules: Rules) -> str | None:
        """Return why the session is over; None where it is not.

        Raises StoreUnavailableError where the store does not say when it was used last.
        """
        seen = await self._met(grant)
        if seen.over is not None:
            return seen.over
        found = over(grant, seen, rules, self._clock.now())
        if found is not None and rules.idle is not None:
            # Another agent over the same store may have served it meanwhile.
            seen = await self._met(grant, again=True)
            found = over(grant, seen, rules, self._clock.now())
        self._seen[grant.key] = replace(seen, over=found)
        return found

    async def _met(self, grant: Grant, *, again: bool = False) -> Seen:
        seen = self._seen.get(grant.key)
        if seen is not None and seen.login == grant.obtained_at and not again:
            return seen
        kept = _moment((await self._store.caches(grant.key)).get(USED))
        now = self._clock.now()
        known = self._seen.get(grant.key)  # the store took its time
        if known is None or known.login != grant.obtained_at:
            known = Seen(grant.obtained_at, now, now if kept is None else _earlier(now, kept))
        elif kept is not None and kept > known.used.wall and kept != known.saved:
            known = replace(known, used=_earlier(now, kept))
        self._seen[grant.key] = known = replace(known, saved=kept)
        return known

    async def save(self, grant: Grant, rules: Rules, *, ending: bool = False) -> None:
        """Write down when the session was used last, if it is worth a write. Raises nothing."""
        seen = self._seen.get(grant.key)
        if rules.idle is None or seen is None or seen.login != grant.obtained_at:
            return
        behind = seen.used.wall - seen.saved if seen.saved is not None else rules.idle
        if behind <= (0 if ending else max(SLACK_FLOOR, SLACK * rules.idle)):
            return
        try:
            await self._store.keep_cache(grant, USED, repr(seen.used.wall))
        except AgentError as error:
            log.info("%s: its last use is not written down: %s", grant.key, error.detail)
            return
        current = self._seen.get(grant.key)
        if current is not None and current.login == seen.login:
            self._seen[grant.key] = replace(current, saved=seen.used.wall)

    def of(self, catalogue: Catalogue, grant: Grant) -> Rules | None:
        """Return the rules of a session by its provider's name; None also without a definition."""
        provider = catalogue.tools.get(grant.key.provider)
        if provider is None:
            return Rules() if grant.ends_at is not None else None
        return self.rules(provider, grant)


def _earlier(now: Instant, wall: float) -> Instant:
    """Return a moment of the past; one that lies ahead, by a clock set back, counts as now."""
    return now.plus(min(0.0, wall - now.wall))


def _moment(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
