"""A private directory in the place of the person's: their entries linked into it, some files new.

A variable points one command at it. Other programs' configuration is found through the links; what
the command adds is moved to where it meant it.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from tool_agentd.ports import KeptFile

ASIDE = ".tool-agent-"
"""In the name of a version that is kept beside another."""


def build(directory: Path, real: Path, files: Sequence[tuple[str, ...]]) -> None:
    """Link every entry of `real` into `directory`, but for the way to `files` (their parts)."""
    heads = {parts[0] for parts in files}
    for entry in sorted(real.iterdir()) if real.is_dir() else []:
        if entry.name not in heads:
            (directory / entry.name).symlink_to(entry)
    for head in sorted(heads):
        below = [parts[1:] for parts in files if parts[0] == head and len(parts) > 1]
        if below:
            (directory / head).mkdir(0o700)
            build(directory / head, real / head, below)


def dismantle(
    directory: Path, real: Path, files: Sequence[tuple[str, ...]], since: float
) -> list[KeptFile]:
    """Remove the directory; return what could not be moved to where it belongs.

    The files themselves go with it: whoever wants what is in one has taken it before.
    """
    kept: list[KeptFile] = []
    heads = {parts[0] for parts in files}
    for entry in sorted(directory.iterdir()):
        below = [parts[1:] for parts in files if parts[0] == entry.name and len(parts) > 1]
        meant = real / entry.name
        if below and entry.is_dir() and not entry.is_symlink():
            kept += dismantle(entry, meant, below, since)
        elif entry.is_symlink() and entry.readlink() == meant:
            entry.unlink()
        elif entry.name in heads and not below:
            _remove(entry)
        else:
            kept += _hand_over(entry, meant, since)
    directory.rmdir()
    return kept


def _hand_over(entry: Path, meant: Path, since: float) -> list[KeptFile]:
    """Move what the command has made to where it meant it; never over what is newer."""
    meant.parent.mkdir(0o700, parents=True, exist_ok=True)
    aside = meant.with_name(f"{meant.name}{ASIDE}{secrets.token_hex(4)}")
    shutil.move(entry, aside)  # into the directory that it belongs in, on whichever disk that is
    if not os.path.lexists(meant):
        aside.rename(meant)
        return []
    both_files = meant.is_file() and aside.is_file() and not meant.is_symlink()
    if both_files and meant.stat().st_ctime < since:
        shutil.copymode(meant, aside)
        aside.replace(meant)  # the command replaced our link, as editors do, to save this file
        return []
    return [KeptFile(str(meant), str(aside))]


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
