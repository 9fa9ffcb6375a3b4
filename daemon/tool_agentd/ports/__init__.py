"""What the pure rooms and the broker need from the world, as Protocols; adapters provide it."""

from tool_agentd.ports.store import (
    JOURNAL_LENGTH,
    JOURNAL_TOTAL,
    Presented,
    Store,
    StoreStatus,
)
from tool_agentd.ports.tool_files import (
    ImportNote,
    KeptFile,
    Lease,
    LeasedFile,
    LeasedProcess,
    Processes,
    ToolFiles,
    ToolFileText,
)
from tool_agentd.ports.world import (
    Clock,
    Http,
    Listener,
    Loopback,
    Prompter,
    ScopedPlaces,
    Stretcher,
    Trail,
    Witness,
)

__all__ = [
    "JOURNAL_LENGTH",
    "JOURNAL_TOTAL",
    "Clock",
    "Http",
    "ImportNote",
    "KeptFile",
    "Lease",
    "LeasedFile",
    "LeasedProcess",
    "Listener",
    "Loopback",
    "Presented",
    "Processes",
    "Prompter",
    "ScopedPlaces",
    "Store",
    "StoreStatus",
    "Stretcher",
    "ToolFileText",
    "ToolFiles",
    "Trail",
    "Witness",
]
