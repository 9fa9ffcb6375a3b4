"""How much is measured: the whole run takes two and a half minutes, the quick one about 40 s."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of rounds and repetitions, and times in seconds."""

    rounds: int
    """In each, every subject has its turn; a ratio is taken inside a round."""
    exchanges: int
    """Exchanges of one subject in one round, for each kind of connection."""
    load_rounds: int
    load_seconds: float
    process_rounds: int
    process_runs: int
    """Runs of one command in one round."""
    start_rounds: int
    idle_rounds: int
    idle_seconds: float
    """How long an idle agent is watched."""
    accounts: int


FULL = Plan(
    rounds=20,
    exchanges=300,
    load_rounds=3,
    load_seconds=0.5,
    process_rounds=20,
    process_runs=5,
    start_rounds=10,
    idle_rounds=3,
    idle_seconds=10.0,
    accounts=10_000,
)

QUICK = Plan(
    rounds=5,
    exchanges=150,
    load_rounds=1,
    load_seconds=0.2,
    process_rounds=5,
    process_runs=3,
    start_rounds=3,
    idle_rounds=1,
    idle_seconds=3.0,
    accounts=1_000,
)

BATCH_LIMIT = 0.5
"""Seconds that one batch of exchanges may last; ten times what it should."""
