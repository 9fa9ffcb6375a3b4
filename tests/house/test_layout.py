"""Where things are: the top level, the two source roots, and what may not stand in a file."""

import re
from pathlib import Path

import pytest

from tests.house.tree import CLIENT, DAEMON, ROOT, files, modules, name

# One sitting. Past it a module is split by noun, not by helper.
LONGEST = 450

# A file that names a machine or a package registry works on one machine only. The lock files
# carry hashes instead of addresses; npm and pip know their registries themselves.
ABSOLUTE = r"(?<![\w.$~})/-])"
NOT_PORTABLE = re.compile(
    ABSOLUTE + r"/(?:root|Users/\w+)/"
    r"|\bpypi\.org|pythonhosted\.org|npmjs\.(?:org|com)\b"
    r"|\bextra-index-url\b|\bfind-links\s*="
)

ATTICS = {"utils", "util", "helpers", "helper", "common", "misc"}


def lines_that_match(path: Path, found: re.Pattern[str]) -> list[str]:
    """Return the lines of a text file with a match, numbered; none for a binary file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return [
        f"{name(path)}:{number}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if found.search(line)
    ]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """No file holds a path of this machine or the address of a package registry."""
    homes = {ROOT, Path.home()} - {Path("/")}
    here = [ABSOLUTE + re.escape(str(path)) + r"(?![\w-])" for path in homes]
    found = re.compile("|".join([NOT_PORTABLE.pattern, *here]))
    assert [line for path in files() for line in lines_that_match(path, found)] == []


# Spelled backwards, so that this file itself passes.
@pytest.mark.parametrize(
    "backwards",
    ["lacol./toor/=EMOH", "aok/gro.sjmpn.yrtsiger//:sptth", "x lru-xedni-artxe--"],
)
def test_the_search_for_addresses_finds_them(backwards: str) -> None:
    """A planted path or address is found, so the search above can fail."""
    assert NOT_PORTABLE.search(backwards[::-1])
    assert not NOT_PORTABLE.search("~/.config/tool-agent $HOME/root/x https://example.test")


@pytest.mark.parametrize("path", modules("client", "daemon", "tests", "bench"), ids=name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    """No module is longer than one sitting."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_no_module_is_an_attic() -> None:
    """No module or folder is named for being left over."""
    found = modules("client", "daemon", "tests", "bench")
    parts = {part for path in found for part in path.relative_to(ROOT).with_suffix("").parts}
    assert parts & ATTICS == set()


@pytest.mark.parametrize("folder", ["client", "daemon"])
def test_a_source_root_is_not_a_package(folder: str) -> None:
    """The source roots hold no __init__.py: `daemon` would shadow PyPI's python-daemon."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("package", [CLIENT, DAEMON], ids=name)
def test_a_package_says_that_it_is_typed(package: Path) -> None:
    """Both packages carry the marker of PEP 561, so that a caller's mypy reads their types."""
    assert (package / "py.typed").is_file()


def test_the_changelog_is_kept() -> None:
    """CHANGELOG.md follows Keep a Changelog and has a place for what is not released yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "keepachangelog.com" in text
    assert "\n## [Unreleased]\n" in text
