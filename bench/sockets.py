"""Requests over the socket: one, many at once, and one among many accounts."""

from collections.abc import Callable

from bench.exchange import Target, kept_connection, new_connections
from bench.figures import TAIL, Goal, Rounds, duration, middle, ratios
from bench.load import requests_per_second
from bench.plan import BATCH_LIMIT, Plan
from bench.subjects import Subjects
from bench.table import Row, Section

OURS, BARE = "tool-agent", "bare aiohttp handler"
BARE_GOAL = Goal(1.5)
GROWTH_GOAL = Goal(1.2)
CROWD = 8
"""Client processes at once."""
WARM_UP = 200
"""Exchanges before the first that counts: buffers, caches and branch predictors fill."""

Batch = Callable[[Target, int, float], list[float]]
KINDS: dict[str, Batch] = {"new": new_connections, "kept": kept_connection}


def measure(subjects: Subjects, plan: Plan, say: Callable[[str], None]) -> list[Section]:
    """Return the sections of one request, of many at once, and of many accounts."""
    say("one request over the socket")
    many = f"tool-agent, {subjects.accounts:,} accounts"
    targets = {OURS: subjects.one.token, BARE: subjects.bare, many: subjects.many.token}
    targets |= {peer.name: peer.target for peer in subjects.peers}
    closing = {peer.name for peer in subjects.peers if not peer.keeps}
    found = {
        kind: _alternate(
            {name: t for name, t in targets.items() if kind == "new" or name not in closing},
            batch,
            plan,
        )
        for kind, batch in KINDS.items()
    }
    closes = tuple(f"{name} closes after each answer" for name in sorted(closing))
    sections = [
        _section("One request, a new connection each", found["new"], leave_out=many),
        _section("One request on a kept connection", found["kept"], leave_out=many, notes=closes),
    ]
    del targets[many]
    say("requests per second")
    sections += [_rates(targets, closing, plan, kind) for kind in KINDS]
    return [*sections, _growth(found, many)]


def _alternate(targets: dict[str, Target], batch: Batch, plan: Plan) -> dict[str, Rounds]:
    """Measure each target in each round; every second round backwards."""
    found = {name: Rounds() for name in targets}
    for target in targets.values():
        batch(target, WARM_UP, BATCH_LIMIT)
    for number in range(plan.rounds):
        order = list(targets)
        for name in order if number % 2 else reversed(order):
            found[name].add(batch(targets[name], plan.exchanges, BATCH_LIMIT))
    return found


def _section(
    title: str, found: dict[str, Rounds], *, leave_out: str, notes: tuple[str, ...] = ()
) -> Section:
    ours = found[OURS].medians
    rows = []
    for name, rounds in found.items():
        if name == leave_out:
            continue
        cells = (duration(rounds.over_all()), duration(rounds.over_all(TAIL)))
        spread = None if name == OURS else ratios(ours, rounds.medians)
        rows.append(Row(name, cells, spread, BARE_GOAL if name == BARE else None))
    return Section(title, ("p50", "p99"), rows, notes)


def _rates(targets: dict[str, Target], closing: set[str], plan: Plan, kind: str) -> Section:
    kept = kind == "kept"
    taking_part = {n: t for n, t in targets.items() if not (kept and n in closing)}
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(plan.load_rounds):
        for clients in (1, CROWD):
            for name, target in taking_part.items():
                rate = requests_per_second(
                    target, clients=clients, seconds=plan.load_seconds, kept=kept
                )
                rates.setdefault((name, clients), []).append(rate)
    rows = []
    for name in taking_part:
        cells = tuple(f"{middle(rates[name, clients]):,.0f}" for clients in (1, CROWD))
        spread = ratios(rates[OURS, CROWD], rates[name, CROWD]) if name != OURS else None
        rows.append(Row(name, cells, spread))
    how = "kept connections" if kept else "a new connection each"
    return Section(
        f"Requests per second, {how} (more is better)",
        ("1 client", f"{CROWD} clients"),
        rows,
        ratio=f"ours / it with {CROWD}",
    )


def _growth(found: dict[str, dict[str, Rounds]], many: str) -> Section:
    rows = []
    for kind, title in (("new", "a new connection"), ("kept", "a kept one")):
        few, lots = found[kind][OURS], found[kind][many]
        cells = (duration(few.over_all()), duration(lots.over_all()))
        rows.append(Row(title, cells, ratios(lots.medians, few.medians), GROWTH_GOAL))
    columns = ("p50 with 1", "p50 with more")
    return Section(many.replace(OURS + ", ", "Growth: "), columns, rows, ratio="more / 1")
