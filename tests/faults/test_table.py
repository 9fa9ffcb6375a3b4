"""The table of faults: figures are added up, and lines that were not tried stay."""

from pathlib import Path

from tests.faults.table import BEGIN, END, Line, aligned, written


def test_lines_of_this_run_replace_their_own(tmp_path: Path) -> None:
    """A second run writes its own lines anew, and leaves the others and the text around them."""
    file = tmp_path / "page.md"
    file.write_text(f"before\n\n{BEGIN}\n{END}\n\nafter\n")
    written(file, [Line("a fault", 1, 1, note="9 ms: fast"), Line("b fault", 2, 2, note="old")])
    written(file, [Line("b fault", 30, 29, 1, note="new")])
    written(file, [Line("b fault", 30, 29, 1)])
    table = aligned([Line("a fault", 1, 1).cells(), Line("b fault", 30, 29, 1).cells()])
    notes = ["", "- **a fault**: 9 ms: fast", "- **b fault**: new"]
    assert file.read_text() == "\n".join(["before\n", BEGIN, *table, *notes, END, "", "after\n"])


def test_figures_are_added_up() -> None:
    """Tests of one fault share its line."""
    line = Line("a fault", 1, 1)
    line.add(Line("a fault", 2, 1, asked=1, replayed=1))
    assert line == Line("a fault", 3, 2, 1, 0, 1, 0)
