"""The disk below gnome-keyring alone: a file system of its own that is full, or writes that fail.

Its event loop wakes itself by `write` as well, so that call cannot simply be let fail.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.real.keychain import Keychain
from tests.real.presence import requires
from tests.real.waiting import until

SIZE = "64k"
"""Of the file system: room for a keyring of a few logins, and soon filled."""

IN_ITS_OWN = 'mount -t tmpfs -o size="$0",mode=700 keyrings "$1" && shift && exec "$@"'
"""For a shell in a mount namespace of its own: what is mounted there ends with the daemon."""

BROKEN_WRITES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* While $BROKEN_DISK is there, a write to a regular file fails, and is counted in it. */
ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    struct stat at;
    int seen, kept = errno;
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (fstat(fd, &at) == 0 && S_ISREG(at.st_mode)
        && (seen = open(getenv("BROKEN_DISK"), O_WRONLY | O_APPEND | O_CLOEXEC)) >= 0) {
        real(seen, ".", 1);
        close(seen);
        errno = EIO;
        return -1;
    }
    errno = kept;
    return real(fd, data, size);
}
"""


class KeychainDisk:
    """What can be made to fail, and was made good again."""

    def __init__(self, keychain: Keychain, mark: Path) -> None:
        self._keychain = keychain
        self._mark = mark

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on it: what is written in whole pages or not at all."""
        # Through /proc: the file system is there in the daemon's own namespace only.
        there = Path(f"/proc/{self._keychain.pid}/root{self._keychain.files}")
        rest = there / "rest"

        def filled() -> bool:
            """Fill what is left; what the daemon has just let go of may be free a moment later."""
            with rest.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)
            return os.statvfs(there).f_bavail == 0

        until(filled, "no room is left")
        yield
        assert os.statvfs(there).f_bavail == 0, "it was full to the end"
        rest.unlink()

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Let every write to a file fail; one at least does."""
        self._mark.touch(mode=0o600)
        try:
            yield
            assert self._mark.stat().st_size, "no call has failed"
        finally:
            self._mark.unlink()


@contextmanager
def keychain_disk(keychain: Keychain) -> Iterator[KeychainDisk]:
    """Start the keychain anew, over a disk whose faults can be chosen."""
    requires("root", "gcc", "unshare")
    with tempfile.TemporaryDirectory(prefix="ta-disk-") as name:
        place = Path(name)
        source, library, mark = place / "broken.c", place / "broken.so", place / "broken"
        source.write_text(BROKEN_WRITES)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True
        )
        keychain.kill()
        keychain.start(
            prefix=[
                *("unshare", "--mount", "--propagation=private"),
                *("sh", "-c", IN_ITS_OWN, SIZE, str(keychain.files)),
            ],
            environ={"LD_PRELOAD": str(library), "BROKEN_DISK": str(mark)},
        )
        yield KeychainDisk(keychain, mark)
