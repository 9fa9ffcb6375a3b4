"""The table of faults: each test of a fault adds to its line, and a run ends with the whole.

`--faults-table FILE` also writes the lines of this run into the table of a Markdown file, between
its two marks; lines of faults that were not tried stay as they are. What a fault has measured
besides its figures stands below the table.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

PROPERTY = "fault"
"""Name of the property that carries a line from the test to the end of the run: a report's
properties come back from other processes as well."""

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

HEADS = (
    "fault",
    "runs",
    "went on",
    "asked for a login",
    "accounts lost",
    "tokens replayed",
    "replayed again",
)


@dataclass(slots=True)
class Line:
    """What became of one fault."""

    fault: str
    runs: int = 0
    went_on: int = 0
    """Accounts that worked afterwards."""
    asked: int = 0
    """Accounts for which a login was asked for, once and with a true reason."""
    lost: int = 0
    """Accounts that were gone, or that were said to be without a true reason."""
    replayed: int = 0
    """Refresh tokens that the provider saw once more after it had rotated them."""
    again: int = 0
    """Those that it saw more than once more."""
    note: str = ""
    """What was measured besides; it stands below the table."""

    def add(self, other: "Line") -> None:
        """Add the figures of another test of the same fault."""
        for field in fields(self)[1:-1]:
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        self.note = other.note or self.note

    def cells(self) -> list[str]:
        """Return the line's text, cell by cell."""
        return [str(value) for value in asdict(self).values()][: len(HEADS)]


@pytest.fixture
def line(request: pytest.FixtureRequest) -> Iterable[Line]:
    """The test's line; the test names the fault and counts, also where it fails in the end."""
    made = Line("")
    yield made
    if made.fault:
        request.node.user_properties.append((PROPERTY, json.dumps(asdict(made))))


class Table:
    """Collects the lines of a run."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lines: dict[str, Line] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's line."""
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == PROPERTY:
                line = Line(**json.loads(str(value)))
                self._lines.setdefault(line.fault, Line(line.fault)).add(line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, and write it where it was asked for."""
        if not self._lines:
            return
        lines = [line for _, line in sorted(self._lines.items())]
        terminalreporter.section("faults")
        for text in aligned([line.cells() for line in lines]):
            terminalreporter.write_line(text)
        for text in noted({line.fault: line.note for line in lines if line.note}):
            terminalreporter.write_line(text)
        if self._file is not None:
            written(self._file, lines)
            terminalreporter.write_line(f"written into {self._file}")


def aligned(rows: list[list[str]]) -> list[str]:
    """Return a table of Markdown; numbers stand to the right."""
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]

    def text(cells: Iterable[str]) -> str:
        first, *rest = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *rest])} |"

    rule = [
        "-" * width if not number else "-" * (width - 1) + ":"
        for number, width in enumerate(widths)
    ]
    return [text(HEADS), f"| {' | '.join(rule)} |", *map(text, rows)]


def noted(notes: Mapping[str, str]) -> list[str]:
    """Return what stands below a table, with a blank line before it."""
    return ["", *(f"- **{fault}**: {note}" for fault, note in sorted(notes.items()))] * bool(notes)


def written(file: Path, lines: Iterable[Line]) -> None:
    """Replace these lines in a file's table, with their notes, and leave its other lines."""
    before, _, rest = file.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    known, notes = {}, dict(re.findall(r"(?m)^- \*\*(.+)\*\*: (.+)$", table))
    for one in table.splitlines()[1:]:
        cells = [cell.strip() for cell in one.strip("| ").split(" | ")]
        if len(cells) == len(HEADS) and cells[1].isdecimal():
            known[cells[0]] = cells
    for line in lines:
        known[line.fault] = line.cells()
        if line.note:
            notes[line.fault] = line.note
    texts = [*aligned([cells for _, cells in sorted(known.items())]), *noted(notes)]
    file.write_text("\n".join([before + BEGIN, *texts, END]) + after)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--faults-table", metavar="FILE", help="write the table of faults into FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the lines where the reports arrive."""
    file = config.getoption("--faults-table")
    config.pluginmanager.register(Table(Path(file) if file else None), "table of faults")
