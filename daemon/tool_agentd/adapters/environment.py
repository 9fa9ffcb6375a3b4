"""The agent's own environment: what would steer the process is gone before the agent begins.

The command begins again by `python -I` at once (bin/tool-agentd), and here without the variables:
the loader and the interpreter have obeyed them by the time that any code of ours runs.
"""

import os
import sys
from collections.abc import Mapping

STEERING = {
    # The interpreter. -I ignores them; whatever we start should not obey them either.
    "PYTHON*": "other modules, other warnings, a debugger, a keyring backend",
    "__PYVENV_LAUNCHER__": "macOS: another interpreter's prefix",
    # The loader: ld.so(8), dyld(1).
    "LD_*": "other libraries, and files that the loader writes",
    "DYLD_*": "the same on macOS",
    # glibc: what it takes from a setuid program too (sysdeps/generic/unsecvars.h), but for TMPDIR
    # and TZDIR, below.
    "GLIBC_TUNABLES": "the allocator and the loader",
    "MALLOC_*": "the allocator: one makes it write files",
    "GCONV_PATH": "libraries that convert text",
    "GETCONF_DIR": "programs that getconf runs",
    "HOSTALIASES": "other hosts for the names that we look up",
    "LOCALDOMAIN": "the same",
    "LOCPATH": "other locales",
    "NIS_PATH": "the same as HOSTALIASES",
    "NLSPATH": "other messages",
    "RESOLV_HOST_CONF": "the same as HOSTALIASES",
    "RES_OPTIONS": "how names are looked up",
    # OpenSSL, and Python's ssl.
    "OPENSSL_*": "a configuration, engines and providers: libraries that see every key",
    "SSLKEYLOGFILE": "a file that gets the keys of every connection",
    # Where secrets go. The backends are pinned besides (adapters/store/keychain.py).
    "KEYRING_PROPERTY_*": "another place in the keychain",
    "KEYCHAIN_PATH": "another keychain on macOS",
    "SQLITE_TMPDIR": "another folder for the database's temporary files",
}
"""What is taken away, each with what it would do. A `*` at the end stands for any rest.

What stays is the person's to say: SSL_CERT_FILE and SSL_CERT_DIR (a private CA), proxies, the
session's bus, HOME and XDG_*, LANG, TZ, TMPDIR, CREDENTIALS_DIRECTORY.
"""

DEBUGGABLE = "--debuggable"
"""The option of `tool-agentd run` that leaves the environment in force, for development only."""

BEGUN = "tool_agentd_begun"
"""The interpreter's `-X` option that says that this was done: a Python which is a wrapper that sets
one of the variables would begin again for ever."""

_NAMES = frozenset(name for name in STEERING if not name.endswith("*"))
_PREFIXES = tuple(name[:-1] for name in STEERING if name.endswith("*"))


def cleaned(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what steers the process."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _NAMES and not name.startswith(_PREFIXES)
    }


def begin_clean() -> None:
    """Begin again, isolated and with a clean environment, unless this is so already.

    With DEBUGGABLE among the arguments both stay as they are.
    """
    clean = sys.flags.isolated and len(cleaned(os.environ)) == len(os.environ)
    if not (clean or _begun() or DEBUGGABLE in sys.argv):
        begin_again(cleaned(os.environ))


def begin_again(environ: Mapping[str, str]) -> None:
    """Put this very command line in this process's place, isolated, with another environment.

    `-I` keeps the current directory, the command's own folder and the user's site-packages from
    being imported from. Neither pip nor uv writes it into a command's first line as it should be.
    """
    words = sys.orig_argv[1:]
    if not (_begun() or DEBUGGABLE in sys.argv):
        words = ["-I", "-X", BEGUN, *words]
    os.execve(sys.executable, [sys.executable, *words], environ)  # noqa: S606 - ourselves again


def _begun() -> bool:
    return BEGUN in sys._xoptions  # noqa: SLF001 - documented under this name
