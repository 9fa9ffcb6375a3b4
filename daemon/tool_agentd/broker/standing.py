"""Standing: the approvals that last for a terminal session, and the refusals that last a moment.

Everything here is pure: frozen mappings, and functions with the time as an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tool_agentd.model import AccountKey, Instant

IDLE = 600.0
"""Seconds without a request after which a terminal session is asked about again: 1Password's rule,
long enough for a build, short enough for a desk that was left."""
LONGEST = 12 * 3600.0
"""Seconds after which it is asked about again whatever happens: a working day, 1Password's rule."""
REFUSED = 15.0
"""Seconds in which a "no" answers for the person: a loop cannot ask them again and again, and who
has said no by mistake does not wait long."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who is approved: a terminal session by its leader, or else one process."""

    pid: int
    began: str
    """Tells it from others of its number, which comes again."""
    session: bool
    """Whether it is a terminal session."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What an approval is about."""

    asker: Asker
    tool: str
    key: AccountKey


@dataclass(frozen=True, slots=True)
class Approval:
    """When the person said yes for a session, and when it was last made use of."""

    since: Instant
    used: Instant


Standing = Mapping[Slot, Approval]

NONE: Standing = MappingProxyType({})


def ends(approval: Approval) -> Instant:
    """Return when an approval ends if it is not used: each clock for itself."""
    idle, longest = approval.used.plus(IDLE), approval.since.plus(LONGEST)
    return Instant(min(idle.wall, longest.wall), min(idle.boot, longest.boot))


def lasts(approval: Approval, now: Instant) -> bool:
    """Tell whether an approval still holds; a clock that was put back ends it as well."""
    return now.until(ends(approval)) > 0 and approval.used.boot <= now.boot


def approved(standing: Standing, slot: Slot, now: Instant) -> Approval | None:
    """Return the approval that holds; None where the person has to be asked."""
    found = standing.get(slot)
    return found if found is not None and lasts(found, now) else None


def said_yes(standing: Standing, slot: Slot, now: Instant) -> Standing:
    """Return what stands once the person has said yes for a session; what is over goes."""
    lasting = {each: one for each, one in standing.items() if lasts(one, now)}
    return MappingProxyType({**lasting, slot: Approval(now, now)})


def used(standing: Standing, slot: Slot, now: Instant) -> Standing:
    """Return what stands once an approval was made use of."""
    found = standing[slot]
    return MappingProxyType({**standing, slot: Approval(found.since, now)})


Refusals = Mapping[tuple[object, ...], Instant]
"""When a refusal ends, by whom and what it is about."""


def refused(refusals: Refusals, about: tuple[object, ...], now: Instant) -> float | None:
    """Return for how many seconds yet a "no" holds; None where it does not."""
    left = now.until(refusals[about]) if about in refusals else 0.0
    return min(left, REFUSED) if left > 0 else None


def said_no(refusals: Refusals, about: tuple[object, ...], now: Instant) -> Refusals:
    """Return the refusals once the person has said no; what is over goes."""
    lasting = {each: end for each, end in refusals.items() if now.until(end) > 0}
    return MappingProxyType({**lasting, about: now.plus(REFUSED)})
