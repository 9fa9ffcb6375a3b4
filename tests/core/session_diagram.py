"""The session's state diagram, drawn from its transition table into docs/sessions.md.

`python -m tests.core.session_diagram` writes it anew; a test compares.
"""

import re
from pathlib import Path

from tool_agentd.session import TRANSITIONS, SignedOut

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sessions.md"
BLOCK = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)


def diagram() -> str:
    """Return the block: one arrow for each pair of states, with every event that leads there."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in TRANSITIONS.items():
        for one in sorted(after, key=lambda kind: kind.__name__):
            arrows.setdefault((state.__name__, one.__name__), []).append(event.__name__)
    lines = [
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {SignedOut.__name__}",
        *(
            f"    {before} --> {after}: {', '.join(events)}"
            for (before, after), events in arrows.items()
        ),
        "```",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(diagram(), PAGE.read_text(encoding="utf-8"), count=1))
