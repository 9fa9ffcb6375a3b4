"""Bsd info: what macOS says of a process (struct proc_bsdinfo of sys/proc_info.h)."""

import ctypes
import struct
from typing import NamedTuple, Self

PROC_PIDTBSDINFO = 3
"""sys/proc_info.h."""
SIZE = 136
"""Bytes of struct proc_bsdinfo."""
_PARENT = struct.Struct("I"), 16
"""pbi_ppid, and where it stands."""
_TERMINAL = struct.Struct("I"), 108
"""e_tdev."""
_BEGAN = struct.Struct("QQ"), 120
"""pbi_start_tvsec and pbi_start_tvusec, the last two fields of it."""
NO_DEVICE = 0xFFFFFFFF
"""NODEV of sys/param.h."""
PSEUDO_TERMINALS = 16
"""The major number of /dev/ttys000 and its like."""


class BsdInfo(NamedTuple):
    """The fields of it that are used here."""

    parent: int
    terminal: str
    """`ttys003`; empty without one."""
    seconds: int
    micros: int
    """When it began, by the wall clock of that moment."""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the struct. Raises struct.error where it is too short."""
        (parent,) = _PARENT[0].unpack_from(raw, _PARENT[1])
        (device,) = _TERMINAL[0].unpack_from(raw, _TERMINAL[1])
        seconds, micros = _BEGAN[0].unpack_from(raw, _BEGAN[1])
        return cls(parent, _terminal(device), seconds, micros)


def _terminal(device: int) -> str:
    if device == NO_DEVICE:
        return ""
    major, minor = device >> 24, device & 0xFFFFFF
    return f"ttys{minor:03}" if major == PSEUDO_TERMINALS else f"{major}:{minor}"


def bsd_info(pid: int) -> BsdInfo | None:
    """Return what macOS says of a process; None where none runs."""
    buffer = ctypes.create_string_buffer(SIZE)
    libproc = ctypes.CDLL("/usr/lib/libproc.dylib")
    if libproc.proc_pidinfo(pid, PROC_PIDTBSDINFO, ctypes.c_uint64(0), buffer, SIZE) != SIZE:
        return None
    return BsdInfo.parse(buffer.raw)
