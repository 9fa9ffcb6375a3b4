"""What a test needs of the machine, and what happens where it is absent."""

import os
import re
import shutil
import subprocess
from typing import NoReturn

import pytest

REQUIRE_REAL = "TOOL_AGENT_REQUIRE_REAL"
"""Set to 1 where every real part was installed (CI): there an absence is a failure, for a skipped
test proves nothing."""

OLDEST_NODE = 20
"""The oldest major version of node that the provider in tests/idp is run with."""

PACKAGES = {
    "bash": "bash",
    "csh": "tcsh",
    "dash": "dash",
    "dbus-daemon": "dbus",
    "dbus-run-session": "dbus",
    "faketime": "faketime",
    "fish": "fish",
    "git": "git",
    "gnome-keyring-daemon": "gnome-keyring",
    "node": "nodejs",
    "npm": "npm",
    "secret-tool": "libsecret-tools",
    "setpriv": "util-linux",
    "/usr/sbin/sshd": "openssh-server",
    "strace": "strace",
    "systemd-socket-activate": "systemd",
    "zsh": "zsh",
}
"""The Debian package of each command that tests ask for."""


def absent(reason: str) -> NoReturn:
    """Skip the test because of `reason`, or fail it where every real part has to be there."""
    if os.environ.get(REQUIRE_REAL) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_REAL}=1", pytrace=False)
    pytest.skip(reason)


def requires(*parts: str) -> None:
    """Go on only where every one of `parts` is there.

    A part is a command on PATH, the absolute path of one, or `root` (the right to act as others).
    """
    missing = [reason for reason in map(_missing, parts) if reason]
    if missing:
        absent("; ".join(missing))


def _missing(part: str) -> str | None:
    if part == "root":
        return None if os.geteuid() == 0 else "not root"
    found = shutil.which(part)
    if found is None:
        package = PACKAGES.get(part)
        return f"{part} is absent" + (f" (Debian package {package})" if package else "")
    if part == "node":
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        major = re.match(r"v(\d+)\.", version.stdout)
        if major is None or int(major[1]) < OLDEST_NODE:
            return f"node is {version.stdout.strip() or 'broken'}, {OLDEST_NODE} or later is needed"
    return None
