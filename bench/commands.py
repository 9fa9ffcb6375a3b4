"""Whole processes: what a prompt or a hook waits for."""

import sys
from collections.abc import Callable
from pathlib import Path

from bench.agents import TOOL
from bench.figures import Goal, Rounds, duration, ratios
from bench.plan import Plan
from bench.processes import program, whole
from bench.subjects import Subjects
from bench.table import Row, Section

PASS_GOAL = Goal(1.5)
UPPER = 90.0
"""The higher percentile shown: of a hundred runs the 99th would be one run."""


def measure(subjects: Subjects, plan: Plan, say: Callable[[str], None]) -> Section:
    """Return the section of commands, run in turn."""
    say("whole processes")
    ours, nothing = f"tool-agent token {TOOL}", "python -c pass"
    argv = {
        ours: [program("tool-agent"), "token", TOOL],
        nothing: [sys.executable, "-c", "pass"],
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
    }
    environ = dict(subjects.one.environ)
    for peer in subjects.peers:
        argv[f"{Path(peer.command[0]).name} {' '.join(peer.command[1:])}"] = peer.command
        environ |= peer.environ
    found = {name: Rounds() for name in argv}
    for words in argv.values():
        whole(words, environ)  # once without counting: the page cache, and Python's own cache files
    for _ in range(plan.process_rounds):
        taken: dict[str, list[float]] = {name: [] for name in argv}
        for _ in range(plan.process_runs):
            for name, words in argv.items():
                taken[name].append(whole(words, environ))
        for name, samples in taken.items():
            found[name].add(samples)
    rows = [
        Row(
            name,
            (duration(rounds.over_all()), duration(rounds.over_all(UPPER))),
            None if name == ours else ratios(found[ours].medians, rounds.medians),
            PASS_GOAL if name == nothing else None,
        )
        for name, rounds in found.items()
    ]
    return Section("A whole process, from its start to its end", ("p50", "p90"), rows)
