"""A process that delivers files, or puts them back, and dies at a step of it.

Run as `python -m tests.contract.tool_files_child WHAT STEP PLACE`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.contract.tool_files_places import NEW, lease, tool_files


def dying(step: str) -> Callable[[str], None]:
    """Return a failpoint that kills this process at `step`, as kill -9 does."""

    def failpoint(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


async def main(what: str, step: str, place: Path) -> None:
    """Deliver, and with `end` put back again."""
    files = tool_files(place, dying(step))
    written = await files.write(lease(), [(str(place / "home/.acme/a.json"), NEW)])
    if what == "end":
        await files.end(written)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
