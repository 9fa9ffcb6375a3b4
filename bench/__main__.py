"""`python -m bench [--quick]`: measure, print the table, and say which goals are met."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import commands, machine, resting, sockets, table
from bench.exchange import ServerError
from bench.plan import FULL, QUICK, Plan
from bench.subjects import running


def main() -> int:
    """Run it. The exit status says only whether there is a table, never how fast anything is."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: 40 s, not 150")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    began = time.monotonic()
    head = machine.description()
    try:
        sections, notes = _measure(plan)
    except ServerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print("\n".join([*head, *notes]), end="\n\n")
    print(table.text(sections))
    print("Goals")
    for line in table.verdicts(sections):
        print(f"  {line}")
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


def _measure(plan: Plan) -> tuple[list[table.Section], list[str]]:
    with (
        # Short, because a socket's path must fit 104 bytes.
        tempfile.TemporaryDirectory(prefix="ta-bench-") as folder,
        running(Path(folder), plan, _say) as subjects,
    ):
        sections = sockets.measure(subjects, plan, _say)
        sections.append(commands.measure(subjects, plan, _say))
        sections += resting.starts(subjects, plan, _say)
        sections += resting.resting(subjects, plan, _say)
        notes = [f"{peer.name} {peer.version}: {peer.what}" for peer in subjects.peers]
        notes += subjects.absent
        notes.append(f"a token has {subjects.token_size - 1} bytes")
    _say("")
    return sections, notes


def _say(what: str) -> None:
    """Tell a person who watches what goes on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
