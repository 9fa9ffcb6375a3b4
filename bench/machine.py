"""The machine, in a few lines: figures without it mean nothing."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def description() -> list[str]:
    """Return what the figures depend on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("tool-agent", "aiohttp"))
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    system = f"{platform.system()} {platform.release()}"
    return [
        f"{_processor()}, {os.cpu_count()} cores{_virtual()}; {system}; load before the run {load}",
        f"{python}; {libraries}; uvloop {_version('uvloop')}",
    ]


def package_version(package: str) -> str:
    """Return the version of a Debian package; empty where there is no dpkg or no such package."""
    query = shutil.which("dpkg-query")
    if query is None:
        return ""
    done = subprocess.run(
        [query, "--show", "--showformat=${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _cpuinfo(field: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == field:
            return value.strip()
    return ""


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _virtual() -> str:
    return ", virtual" if "hypervisor" in _cpuinfo("flags").split() else ""
