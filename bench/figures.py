"""Figures: percentiles, the spread of ratios over rounds, and whether a goal is met. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MEDIAN = 50.0
TAIL = 99.0


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample that `share` percent of the samples do not exceed (nearest rank).

    It is always one of the samples, never something between two of them. Raises ValueError where
    there are no samples, or `share` is not above 0 and at most 100.
    """
    if not samples:
        raise ValueError("no samples")
    if not 0 < share <= 100:
        raise ValueError(f"{share} is no percentage above 0")
    rank = math.ceil(len(samples) * share / 100)
    return sorted(samples)[rank - 1]


def middle(samples: Sequence[float]) -> float:
    """Return the median; of an even number of samples the lower of the two in the middle."""
    return percentile(samples, MEDIAN)


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the greatest of several values."""

    least: float
    median: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread. Raises ValueError where there are no values."""
        return cls(min(values), middle(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of ours / theirs, round by round.

    The two stand in the same order: what was measured one after the other is divided, so that a
    machine that slows down for both changes nothing. Raises ValueError where the numbers of
    rounds differ, or where there are none.
    """
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


class Verdict(StrEnum):
    """What became of a goal."""

    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Goal:
    """The most that a value may be."""

    most: float
    unit: str = ""

    def verdict(self, value: float) -> Verdict:
        """Judge a value."""
        return Verdict.MET if value <= self.most else Verdict.MISSED

    def __str__(self) -> str:
        """Return `<= 1.5`."""
        return f"<= {self.most:g}{self.unit}"


class Rounds:
    """The samples of one subject, kept apart by round."""

    def __init__(self) -> None:
        """Start empty."""
        self._rounds: list[list[float]] = []

    def add(self, samples: Sequence[float]) -> None:
        """Add one round. Raises ValueError where it has no samples."""
        if not samples:
            raise ValueError("a round without samples")
        self._rounds.append(list(samples))

    @property
    def medians(self) -> list[float]:
        """The median of each round, in order."""
        return [middle(samples) for samples in self._rounds]

    def over_all(self, share: float = MEDIAN) -> float:
        """Return a percentile over the samples of every round."""
        return percentile([sample for samples in self._rounds for sample in samples], share)


def switches_per_second(before: int, after: int, seconds: float) -> float:
    """Return how often a process woke up each second, from two counts of its voluntary switches.

    Raises ValueError where no time has passed, or the count went down because a thread ended.
    """
    if seconds <= 0:
        raise ValueError("no time has passed")
    if after < before:
        raise ValueError("a thread ended between the two counts")
    return (after - before) / seconds


SCALES = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s"))
"""Below this many seconds, times this, in this unit."""
DIGITS = 3


def duration(seconds: float) -> str:
    """Return a duration with three digits: `82.1 µs`, `7.90 ms`, `1.20 s`."""
    for below, factor, unit in SCALES:
        if seconds < below:
            value = seconds * factor
            whole = len(str(int(value)))
            return f"{value:.{max(0, DIGITS - whole)}f} {unit}"
    raise ValueError(f"{seconds} is no duration")


def ratio(value: float) -> str:
    """Return a ratio with two decimals: `1.04`."""
    return f"{value:.2f}"
