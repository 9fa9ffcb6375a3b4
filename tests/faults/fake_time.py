"""libfaketime: the agent's clocks, set and paced by a test."""

from pathlib import Path

from tests.real.presence import absent, requires

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def libfaketime() -> dict[str, str]:
    """Return what brings it into a process that starts with this in its environment."""
    requires("faketime")
    found = [str(file) for pattern in LIBRARIES for file in Path("/").glob(pattern[1:])]
    if not found:
        absent("libfaketime is absent (Debian package libfaketime)")
    return {"LD_PRELOAD": found[0], "NO_FAKE_STAT": "1"}
