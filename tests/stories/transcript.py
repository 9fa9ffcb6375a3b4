"""The transcripts: the tools' own documentation pages, typed at a shell with a platform behind.

`python -m tests.stories.transcript` follows each of them and writes what came back into it; read
the difference, as nothing is checked then. What stands in them beside the pages' own commands asks
the platform what happened (tests/demo/bin/platform).
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.canary import Canary
from tests.demo.shell import Shell
from tests.platforms.far import running
from tests.real.home import Home, new_home
from tests.real.platforms import Platforms
from tests.stories.page import (
    PLACEHOLDERS,
    ROOT,
    Desk,
    abbreviated,
    blocks,
    rewritten,
    settled,
)

FOLDER = Path(__file__).parent / "transcripts"

TOOLS = Path(__file__).parent / "tools"
"""The real programs' stand-ins, which read what the agent delivers to them."""

ASKING = ROOT / "tests" / "demo" / "bin"
"""Where `platform` is."""

KNOWN = MappingProxyType(
    {
        "<api-key>": r"libretto_[A-Za-z0-9_-]{43}|nrp_[0-9a-f]{64}",
        "<id>": r"key_[0-9a-f]{16}",
        "<invitation>": r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])",
        "<organization>": r"org_[0-9a-f]{16,20}",
        "<user>": r"(?:user|usr)_[0-9a-f]{20,24}",
        "<app>": r"example-[0-9a-f]{4}(?![0-9a-f])",
        "<moment>": r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z",
        "<time>": r"20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}",
        "<minutes>": r"(?:60|59)(?= min)",
        "<pairing-code>": r"[A-Z]{4}-[A-Z]{4}",
        "<request>": r"(?<=cliLoginId=)[0-9a-f]{24}",
        "<session>": r"(?<=authorize\?id=)[A-Za-z0-9_-]{32}",
        "<random>": PLACEHOLDERS["<random>"],
        "<tenant>": r"(?<=tenant_id: ')[0-9]{1,6}",
        "<port>": r"(?<=127\.0\.0\.1%3A)[1-9][0-9]{3,4}",
        "<host>": r"(?<![/0-9])127\.0\.0\.1:[1-9][0-9]{3,4}",
        "<shims>": r"~/\.local/share/tool-agent/shims",
    }
)
"""What differs from run to run, and how it looks."""


@contextmanager
def seated(home: Home, platforms: Platforms, tool: str) -> Iterator[Desk]:
    """Sit down at bash with the four tools on PATH and the account of one of them in variables."""
    project = home.path / "home" / "project"
    (project / "node_modules" / ".bin").mkdir(parents=True)
    path = os.pathsep.join([str(TOOLS), str(ASKING), home.environ["PATH"]])
    environ = settled(home) | {
        "PATH": path,
        "PLATFORM": platforms.urls[tool],
        # npx finds what is in the project, and is to look nowhere else.
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_OFFLINE": "true",
        "NPM_CONFIG_LOGLEVEL": "error",
    }
    # The person is quicker than the platform here, so that nobody asks twice and waits meanwhile.
    platforms.faults(platform="libretto", login_delay_after=0.4, device_delay=0.4)
    with Shell(environ, project, "bash") as shell:
        for name, value in platforms.accounts[tool].items():
            shell.assign(name.upper(), value)
        yield Desk(home, shell, platforms.urls[tool])


def replay(name: str, desk: Desk, canary: Canary) -> None:
    """Follow a transcript; what comes back is what it shows, and no secret that it does not."""
    for block in blocks(FOLDER / name):
        for one in block.typed():
            said = desk.run(one.command)
            assert one.matches(said, KNOWN), (one.command, one.shown, abbreviated(said, KNOWN))
            for key in re.findall(KNOWN["<api-key>"], said):
                canary.watch(key, "an API key that was issued")
            if "<api-key>" not in one.shown:
                canary.text(one.command, said)


def rewrite(name: str, tool: str) -> None:
    """Follow a transcript at new platforms and write what came back into it."""
    with running() as far, new_home() as home:
        platforms = Platforms(far)
        home.environ.update({**platforms.env, "BROWSER": platforms.browser()})
        with seated(home, platforms, tool) as desk:
            page = FOLDER / name
            text = rewritten(page.read_text(encoding="utf-8"), desk, KNOWN)
            page.write_text(text, encoding="utf-8")


PAGES = {
    "cre-authentication.md": "cre",
    "cre-managing-authentication.md": "cre",
    "libretto-authentication.md": "libretto",
    "neuralrepo-authentication.md": "nrepo",
    "encore-auth-keys.md": "encore",
}
"""Each transcript, and whose account its person has."""


def main(names: list[str]) -> None:
    """Rewrite the named transcripts; all of them without a name."""
    for name in names or PAGES:
        rewrite(name, PAGES[name])


if __name__ == "__main__":
    main(sys.argv[1:])
