"""The lock files: everything pinned with hashes, no addresses, both in step with pyproject.toml."""

import re

import pytest

from tests.house.tree import ROOT, pyproject

LOCKS = ["requirements.lock", "requirements-dev.lock"]
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)", re.MULTILINE)


def text(lock: str) -> str:
    """Return a lock file's text with each entry on one line."""
    return (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", "")


def pins(lock: str) -> dict[str, str]:
    """Return a lock file's packages with their versions."""
    return {found["name"]: found["version"] for found in PIN.finditer(text(lock))}


def named(requirements: list[str]) -> set[str]:
    """Return the package names of requirements."""
    return {re.split(r"[<>=!~\[; ]", entry, maxsplit=1)[0].lower() for entry in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_pinned_with_a_hash(lock: str) -> None:
    """Each line that installs something is an exact version with at least one SHA-256."""
    entries = [
        line for line in text(lock).splitlines() if line and not line.lstrip().startswith("#")
    ]
    assert len(entries) == len(pins(lock)) > 10
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_holds_no_address(lock: str) -> None:
    """Neither lock file says where packages come from."""
    assert "://" not in text(lock)


def test_what_is_declared_is_locked() -> None:
    """Each dependency is in requirements.lock; extras and tools of development in the other."""
    project = pyproject()["project"]
    extras = [entry for extra in project["optional-dependencies"].values() for entry in extra]
    assert named(project["dependencies"]) <= pins("requirements.lock").keys()
    development = named([*extras, *pyproject()["dependency-groups"]["dev"]])
    assert development <= pins("requirements-dev.lock").keys()


def test_both_locks_agree() -> None:
    """What the tests run is what is shipped: the same versions in both files."""
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_the_build_requirement_is_exact() -> None:
    """The build backend is pinned, to the same version in the build, the group and the lock."""
    (build,) = pyproject()["build-system"]["requires"]
    assert build == f"hatchling=={pins('requirements-dev.lock')['hatchling']}"
    assert build in pyproject()["dependency-groups"]["dev"]


def test_the_provider_of_the_tests_is_pinned_without_addresses() -> None:
    """The lock file of the OpenID provider carries integrity hashes and no addresses."""
    lock = (ROOT / "tests/idp/package-lock.json").read_text(encoding="utf-8")
    assert '"integrity": "sha512-' in lock
    assert '"resolved"' not in lock
