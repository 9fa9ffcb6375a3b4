"""docs/sessions.md: its diagram is the transition table, and its events are the journal's."""

import re

from tests.core.session_diagram import BLOCK, PAGE, diagram
from tool_agentd import ports
from tool_agentd.broker import attempts, backoff, renewal
from tool_agentd.model import JournalEvent
from tool_agentd.session import TRANSITIONS

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_diagram_is_the_transition_table() -> None:
    """Drawn anew it is the same: run `python -m tests.core.session_diagram` after a change."""
    assert BLOCK.findall(TEXT) == [diagram()]


def test_the_diagram_has_every_transition() -> None:
    """No pair of state and event is left out, so the comparison above can fail."""
    drawn = {
        (found[1], event)
        for found in re.finditer(r"(\w+) --> \w+: (.*)", diagram())
        for event in found[2].split(", ")
    }
    assert drawn == {(state.__name__, event.__name__) for state, event in TRANSITIONS}


def test_every_event_of_the_journal_is_explained() -> None:
    """The table has each event once, and no other."""
    explained = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(explained) == sorted(event.value for event in JournalEvent)


def test_the_numbers_are_the_codes() -> None:
    """Bounds that the page names are those in force."""
    for number in (
        f"newest {ports.JOURNAL_LENGTH} entries",
        f"{backoff.FIRST:.0f} s to {backoff.LONGEST / 60:.0f} min",
        f"{renewal.FLIGHT_DEADLINE:.0f} s",
    ):
        assert number in TEXT, number
    assert attempts.INTERRUPTIONS == 2, "the page says: once more, and then never again"
