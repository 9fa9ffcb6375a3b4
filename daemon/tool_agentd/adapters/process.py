"""The agent's own process: what must hold before the first secret is read."""

import ctypes
import os
import resource
import sys

PR_SET_DUMPABLE = 4
"""prctl(2). 0 blocks ptrace, /proc/PID/mem, environ, maps, fd and pidfd_getfd for the same user."""
PT_DENY_ATTACH = 31
"""macOS, sys/ptrace.h: no debugger attaches."""
DESCRIPTORS = 8192
"""The soft limit that we raise to: 500 idle and 200 slow clients, and everyone else. Each takes
two: its socket, and the descriptor of its process (peers_linux.py)."""


def descriptors() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


class HardeningError(OSError):
    """The kernel refused; the agent must not go on to read secrets."""


def harden(*, debuggable: bool = False) -> None:
    """Make the process unreadable to others of the same user, without core files.

    `debuggable` leaves ptrace and core files as they were, for development only. Raises
    HardeningError.
    """
    os.umask(0o077)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if debuggable:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        done = libc.ptrace(PT_DENY_ATTACH, 0, 0, 0) == 0
    else:
        done = libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    if not done:
        raise HardeningError(ctypes.get_errno(), "the kernel leaves this process readable")
