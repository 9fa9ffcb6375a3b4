"""The OS keychain as seen from outside the agent: which items there are, and taking them away.

`python -m tests.demo.keychain` lists the demo's items without their secrets, where secret-tool is
not installed.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.demo.errors import DemoError

SERVICE = "tool-agent-demo"
"""What the demo's items are filed under; the agent itself uses `tool-agent`."""

SECURITY = "/usr/bin/security"
"""macOS's command for its keychain (security(1))."""

MOST = 100
"""Items that are looked for one by one; the demo stores a handful."""


def items() -> list[str] | None:
    """Return the demo's items, each in a line; None where the keychain cannot be listed."""
    if sys.platform == "darwin":
        done = _security("find-generic-password")
        return [done.stdout.strip()] if done.returncode == 0 else []
    try:
        import secretstorage  # noqa: PLC0415 - it comes with keyring on Linux, and only there
    except ImportError:
        return None
    try:
        with closing(secretstorage.dbus_init()) as bus:
            found = secretstorage.search_items(bus, {"service": SERVICE})
            return [item.get_label() for item in found]
    except (secretstorage.SecretStorageException, OSError, KeyError):
        return None


def secrets_held() -> list[str]:
    """Return the secrets of the demo's items, for the demo to look for where they must not be."""
    if sys.platform == "darwin":
        done = _security("find-generic-password", "-w")
        return done.stdout.split() if done.returncode == 0 else []
    import secretstorage  # noqa: PLC0415 - as above

    with closing(secretstorage.dbus_init()) as bus:
        found = secretstorage.search_items(bus, {"service": SERVICE})
        return [item.get_secret().decode() for item in found]


def sweep() -> None:
    """Remove every item of the demo's."""
    if sys.platform == "darwin":
        for _ in range(MOST):
            if _security("delete-generic-password").returncode != 0:
                break
        return
    if not items():
        return
    import secretstorage  # noqa: PLC0415 - as above

    try:
        with closing(secretstorage.dbus_init()) as bus:
            for item in secretstorage.search_items(bus, {"service": SERVICE}):
                item.delete()
    except (secretstorage.SecretStorageException, OSError) as error:
        raise DemoError(f"the keychain's items {SERVICE} are still there: {error}") from None


@contextmanager
def reserved() -> Iterator[bool]:
    """Hold the name SERVICE for this demo; False where another demo of this user has it."""
    path = Path(tempfile.gettempdir()) / f"{SERVICE}-{os.getuid()}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        # One who waited for nothing may hold a file that its owner has just removed.
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            yield False
            return
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _security(word: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SECURITY, word, "-s", SERVICE, *more],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


if __name__ == "__main__":
    print("\n".join(items() or []))
