"""Proc stat: what /proc/PID/stat says of a process (proc_pid_stat(5))."""

from typing import NamedTuple, Self

ENDED = frozenset("ZX")
"""States of a process that has ended, and whose parent has not asked how."""
_BEGAN = 22 - 3
"""Index of `starttime` (field 22) behind the command's name, which may hold blanks and brackets."""


class ProcStat(NamedTuple):
    """The fields of it that are used here."""

    state: str
    """One letter."""
    parent: int
    terminal: int
    """The device number of the controlling terminal; 0 for none."""
    began: int
    """In clock ticks since boot."""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the file's one line. Raises ValueError where it is another."""
        fields = raw.rpartition(b")")[2].split()
        if len(fields) <= _BEGAN:
            raise ValueError("this is no line of /proc/PID/stat")
        return cls(fields[0].decode("ascii"), int(fields[1]), int(fields[4]), int(fields[_BEGAN]))

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.state in ENDED

    @property
    def terminal_name(self) -> str:
        """`pts/3`, `tty1`; empty without a terminal (Linux, admin-guide/devices.rst)."""
        major, minor = (
            self.terminal >> 8 & 0xFFF,
            self.terminal & 0xFF | self.terminal >> 12 & ~0xFF,
        )
        if not self.terminal:
            return ""
        if _PTS <= major < _PTS + 8:
            return f"pts/{(major - _PTS) * 256 + minor}"
        if major == _TTY:
            return f"tty{minor}" if minor < _SERIAL else f"ttyS{minor - _SERIAL}"
        return f"{major}:{minor}"


_PTS = 136
"""The first of the eight major numbers of pseudo-terminals."""
_TTY = 4
"""The major number of consoles, and from the minor number 64 on of serial lines."""
_SERIAL = 64
