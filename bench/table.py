"""The table: sections of rows, as text in aligned columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Goal, Spread, ratio


@dataclass(frozen=True, slots=True)
class Row:
    """One subject of a section."""

    name: str
    cells: tuple[str, ...]
    ratio: Spread | None = None
    """Ours divided by this row's, round by round."""
    goal: Goal | None = None
    judged: float | None = None
    """What the goal is about, where it is not the median ratio."""

    @property
    def verdict(self) -> str:
        """The goal with `met` or `missed`; empty where there is none."""
        value = self.judged
        if value is None and self.ratio is not None:
            value = self.ratio.median
        if self.goal is None or value is None:
            return ""
        return f"{self.goal} {self.goal.verdict(value)}"


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together, measured in turn."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    ratio: str = "ours / it"
    """What the ratio divides."""


def text(sections: Sequence[Section]) -> str:
    """Return the whole table."""
    return "\n".join(line for section in sections for line in _section(section)) + "\n"


def verdicts(sections: Sequence[Section]) -> list[str]:
    """Return a line for each goal, for the summary."""
    return [
        f"{row.verdict.rpartition(' ')[2]:<7} {section.title}: {row.name} {row.goal}"
        for section in sections
        for row in section.rows
        if row.verdict
    ]


def _section(section: Section) -> Iterator[str]:
    compared = any(row.ratio for row in section.rows)
    head = ["", *section.columns]
    if compared:
        head += [f"{section.ratio}: min", "median", "max"]
    judged = any(row.verdict for row in section.rows)
    if judged:
        head.append("goal")
    lines = [head]
    for row in section.rows:
        cells = [row.name, *row.cells]
        cells += [""] * (1 + len(section.columns) - len(cells))
        if compared:
            spread = row.ratio
            cells += (
                [ratio(spread.least), ratio(spread.median), ratio(spread.greatest)]
                if spread
                else ["", "", ""]
            )
        if judged:
            cells.append(row.verdict)
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    yield section.title
    for line in lines:
        name, *rest = line
        last = len(rest) if judged else len(rest) + 1
        aligned = [
            cell.rjust(width) if index < last else cell
            for index, (cell, width) in enumerate(zip(rest, widths[1:], strict=True), 1)
        ]
        yield ("  " + "  ".join([name.ljust(widths[0]), *aligned])).rstrip()
    for note in section.notes:
        yield f"    {note}"
    yield ""
