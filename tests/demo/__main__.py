"""`python -m tests.demo [--keep]`: play the demo; 0 if every step showed what it says."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import FrameType
from typing import NoReturn
from urllib.error import URLError

from tests.demo.errors import DemoError
from tests.demo.keychain import SERVICE
from tests.demo.place import BIN, PROGRAMS, ROOT, Place
from tests.demo.readme import Played, rewritten
from tests.demo.screen import WIDTH, Screen
from tests.demo.shell import Shell
from tests.demo.stage import Stage
from tests.demo.story import play

README = ROOT / "README.md"

OVERRIDING = (
    "CRE_API_KEY",
    "ENCORE_AUTH_KEY",
    "LIBRETTO_API_KEY",
    "NEURALREPO_API_KEY",
    "REPORTS_TOKEN",
    "TOOL_AGENT_ACCOUNT",
)
"""Variables of the person's that would win over the demo's logins in their own terminal."""


def begin(place: Place, screen: Screen) -> None:
    """Start the platform, choose where secrets rest, and say both."""
    place.start_platform()
    reason = place.choose_store()
    screen.plain(
        "tool-agent, end to end. The platform is a real server on this machine, the home is"
    )
    screen.plain("temporary, and nothing of yours is touched. Long lines are cut, with three dots.")
    screen.plain()
    screen.plain(f"platform  {place.url}")
    screen.plain(f"home      {place.home}")
    if reason:
        screen.plain("secrets   in a sealed vault, because there is no keychain to use:")
        for line in textwrap.wrap(reason, WIDTH - 10):
            screen.plain(f"          {line}")
    else:
        screen.plain(f"secrets   in your OS keychain, as items of {SERVICE}, erased at the end")


def keep(place: Place, screen: Screen) -> None:
    """Say what the person can do now, and wait for Ctrl-C."""
    accounts = place.platform["accounts"]
    account, grace = accounts["cre"], accounts["libretto"]
    screen.plain("\nYour turn. It all runs on until Ctrl-C. In another terminal:\n")
    screen.plain(f"  export PATH={BIN}:{PROGRAMS}:$PATH")
    screen.plain(f"  export TOOL_AGENT_SOCK={place.socket} PLATFORM={place.url}")
    if mine := [name for name in OVERRIDING if os.environ.get(name)]:
        screen.plain(f"  unset {' '.join(mine)}")
    screen.plain("  tool-agent login cre          # opens your browser\n")
    screen.plain(f"    e-mail             {account['email']}")
    screen.plain(f"    password           {account['password']}")
    screen.plain("    one-time password  type: platform otp\n")
    screen.plain("  tool-agent whoami cre")
    screen.plain("  workflows; tool-agent exec reports -- reports")
    screen.plain("  tool-agent login nrepo             # opens your browser\n")
    screen.plain(f"    e-mail             {accounts['nrepo']['email']}")
    screen.plain(f"    password           {accounts['nrepo']['password']}\n")
    screen.plain("  tool-agent login libretto          # opens your browser\n")
    screen.plain(f"    e-mail             {grace['email']}")
    screen.plain(f"    password           {grace['password']}\n")
    screen.plain("  tool-agent as encore auth login    # opens your browser\n")
    screen.plain(f"    e-mail             {accounts['encore']['email']}")
    screen.plain(f"    password           {accounts['encore']['password']}")
    screen.plain("\nAfterwards: unset TOOL_AGENT_SOCK PLATFORM")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()
    screen.plain()


def demo(place: Place, screen: Screen, *, keeps: bool) -> None:
    """Play it in `place`."""
    began = time.monotonic()
    begin(place, screen)
    with Shell(place.environ(), ROOT) as shell:
        play(Stage(place, screen, shell))
    screen.plain(f"\nEvery step showed what it says, in {time.monotonic() - began:.0f} s.")
    if keeps:
        place.run("tool-agent", "start")
        keep(place, screen)


def clear_away(place: Place, screen: Screen) -> int:
    """Take everything away, whatever happened; 1 if something stays."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave half of it behind
    try:
        place.close()
        left = place.left()
    except (DemoError, OSError, subprocess.SubprocessError) as error:
        left = [str(error)]
    if left:
        screen.plain(f"demo: this is left: {'; '.join(left)}")
        return 1
    erased = ", the keychain has no item of the demo's" if place.store == "keychain" else ""
    screen.plain(f"Agent and platform have ended, the home is removed{erased}.")
    return 0


def main() -> int:
    """Parse the options and play the demo."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running, for your browser")
    parser.add_argument("--readme", action="store_true", help="put the output into README.md")
    parser.add_argument("--json", action="store_true", help="end with the steps as JSON, for tests")
    options = parser.parse_args()
    if not (BIN / "tool-agent").exists():
        sys.stderr.write(f"demo: there is no tool-agent in {BIN}: run 'make demo'\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ended)
    place, screen = Place(), Screen()
    status, finished = 1, False
    try:
        demo(place, screen, keeps=options.keep)
        status = 0
    except KeyboardInterrupt:
        screen.plain("\nInterrupted.")
        status = 130
    except (DemoError, URLError, OSError, subprocess.SubprocessError, ValueError) as error:
        screen.plain(f"\ndemo: failed: {error}")
    finally:
        finished = clear_away(place, screen) == 0
    played = Played(place.store, tuple(screen.sections))
    if options.readme and status == 0:
        README.write_text(rewritten(README.read_text(encoding="utf-8"), played), encoding="utf-8")
    if options.json:
        print(played.json())
    return status or (0 if finished else 1)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
