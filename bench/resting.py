"""The agent's start, and what it costs while it rests: memory and wake-ups."""

import contextlib
import math
import sys
import time
from collections.abc import Callable

from bench import exchange
from bench.agents import Agent, Importer, imported
from bench.figures import Goal, Rounds, duration, middle, ratios, switches_per_second
from bench.plan import Plan
from bench.processes import kernel_tells, resident, switches, whole
from bench.subjects import Subjects
from bench.table import Row, Section

START_GOAL = Goal(3.0)
RSS_GOAL = Goal(1.25)
WAKE_GOAL = Goal(1.0, "/s")
"""One a second for the watched folder; the window lies between two ticks of 30 s."""
SETTLE = 2.0
"""Seconds after the start until nothing of it goes on any more; far less than the 30 s tick."""
REQUESTS = 500
"""Requests after which an agent counts as used."""
STATUS_ROUNDS = 5
MEBIBYTE = 1024 * 1024


def starts(subjects: Subjects, plan: Plan, say: Callable[[str], None]) -> list[Section]:
    """Return the sections of the start; the agents do not run before and after."""
    say("starts")
    one, many = subjects.one, subjects.many
    one.stop()
    many.stop()
    imports = [sys.executable, "-c", "import aiohttp"]
    importing = Rounds()
    found = {agent: (Rounds(), Rounds()) for agent in (one, many)}
    whole(imports, one.environ)
    for _ in range(plan.start_rounds):
        importing.add([whole(imports, one.environ)])
        for agent, (answers, tokens) in found.items():
            began = time.perf_counter()
            answers.add([agent.start()])
            exchange.once(agent.token)
            tokens.add([time.perf_counter() - began])
            agent.stop()
    answers = found[one][0]
    titles = ("until the socket answers", "until the first token (a refresh)")
    return [
        Section(
            "Start until the socket answers",
            ("p50",),
            [
                Row("tool-agentd run, 1 account", (duration(answers.over_all()),)),
                Row(
                    "python -c 'import aiohttp'",
                    (duration(importing.over_all()),),
                    ratios(answers.medians, importing.medians),
                    START_GOAL,
                ),
            ],
        ),
        Section(
            f"Growth of the start and of the status: {subjects.accounts:,} accounts",
            ("p50 with 1", "p50 with more"),
            [
                *(
                    _growth(title, few, more)
                    for title, few, more in zip(titles, found[one], found[many], strict=True)
                ),
                _growth("GET /v1/agent, which lists them", *(_status(a) for a in (one, many))),
            ],
            ratio="more / 1",
        ),
    ]


def _growth(title: str, few: Rounds, more: Rounds) -> Row:
    cells = (duration(few.over_all()), duration(more.over_all()))
    return Row(title, cells, ratios(more.medians, few.medians))


def _status(agent: Agent) -> Rounds:
    """Measure how long the status takes; an agent that never answers counts as long as we wait."""
    found = Rounds()
    agent.start()
    exchange.once(agent.token)
    for _ in range(STATUS_ROUNDS):
        began = time.perf_counter()
        with contextlib.suppress(exchange.TooSlowError):
            exchange.once(agent.status)
        found.add([time.perf_counter() - began])
        if found.over_all() >= exchange.PATIENCE:
            found = Rounds()
            for _ in range(STATUS_ROUNDS):
                found.add([exchange.PATIENCE])
            break
    agent.stop()
    return found


def resting(subjects: Subjects, plan: Plan, say: Callable[[str], None]) -> list[Section]:
    """Return the sections of memory and wake-ups."""
    if not kernel_tells():
        return [Section("Idle memory and wake-ups", (), [], ("not measured: there is no /proc",))]
    say("memory and wake-ups of an idle agent")
    one = subjects.one
    fresh, used, woken = Rounds(), Rounds(), math.nan
    for number in range(plan.idle_rounds):
        one.start()
        time.sleep(SETTLE)
        if number == 0:
            woken = _woken(one, plan.idle_seconds)
        fresh.add([resident(one.pid)])
        for _ in range(REQUESTS):
            exchange.once(one.token)
        used.add([resident(one.pid)])
        one.stop()
    after_start, after_use = _libraries(one)
    rows = []
    for title, ours, modules in (
        ("started, 1 account stored", fresh, after_start),
        (f"{REQUESTS} requests later", used, after_use),
    ):
        theirs = [_resident_of(modules, one) for _ in range(plan.idle_rounds)]
        cells = (_mebibytes(ours.over_all()), _mebibytes(middle(theirs)), str(len(modules)))
        rows.append(Row(title, cells, ratios(ours.medians, theirs), RSS_GOAL))
    return [
        Section(
            "Idle memory (RSS)",
            ("tool-agentd", "its libraries", "modules"),
            rows,
            (
                "its libraries: a process that has imported every module, of the standard library",
                "and of others, that the agent had imported by then, and none of the agent's own",
            ),
            ratio="ours / libraries",
        ),
        Section(
            "Idle wake-ups",
            ("a second",),
            [Row("all threads", (f"{woken:.2f}",), None, WAKE_GOAL, woken)],
            (
                f"voluntary context switches in {plan.idle_seconds:.0f} s between two 30 s ticks,",
                "with a folder of definitions that is watched",
            ),
        ),
    ]


def _woken(agent: Agent, seconds: float) -> float:
    start, before = time.perf_counter(), switches(agent.pid)
    time.sleep(seconds)
    after = switches(agent.pid)
    return switches_per_second(before, after, time.perf_counter() - start)


def _libraries(agent: Agent) -> tuple[list[str], list[str]]:
    """Return the modules that the agent has imported once it rests, and after a request."""
    interpreter = (sys.executable, "-X", "importtime")
    traced = Agent(agent.home, agent.platform, interpreter=interpreter)
    traced.log.unlink(missing_ok=True)
    traced.start()
    time.sleep(SETTLE)
    after_start = imported(traced.log)
    exchange.once(traced.token)
    after_use = imported(traced.log)
    traced.stop()
    return after_start, after_use


def _resident_of(modules: list[str], agent: Agent) -> float:
    importer = Importer(modules, agent.environ)
    try:
        return resident(importer.pid)
    finally:
        importer.stop()


def _mebibytes(value: float) -> str:
    return f"{value / MEBIBYTE:.1f} MiB"
