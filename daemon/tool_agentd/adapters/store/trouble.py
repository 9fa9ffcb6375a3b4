"""The ways in which a store fails, as types that the rooms of the store tell apart.

To everyone above they are all StoreUnavailableError; only `detail` and `hint` are read there.
"""

from tool_agentd.errors import ConflictError, DamagedError, StoreUnavailableError
from tool_agentd.model import AccountKey, Grant


class UnansweredError(StoreUnavailableError):
    """Disk, keychain or key source does not answer now; it may by itself later."""


class NoKeychainError(UnansweredError):
    """No keychain of this machine and session can be used; `detail` says why for each."""


class LockedKeychainError(UnansweredError):
    """The keychain is locked; it ends by itself when the person unlocks it."""


__all__ = [
    "LOGOUT_HINT",
    "DamagedError",
    "LockedKeychainError",
    "NoKeychainError",
    "UnansweredError",
    "conflict",
    "gone",
]

LOGOUT_HINT = "run 'tool-agent logout TOOL' to drop it, then 'tool-agent login TOOL'"
"""The way out of a grant that cannot be opened: nothing else erases one."""


def conflict(key: AccountKey, stands: int, expected: int) -> ConflictError:
    """Say that somebody else was first."""
    return ConflictError(
        f"{key} is at generation {stands}, not {expected}: somebody else has changed it",
        hint="try again",
    )


def gone(grant: Grant) -> ConflictError:
    """Say that a generation is not stored any more."""
    return ConflictError(
        f"{grant.key}#{grant.generation} is no longer stored: it was replaced or erased"
    )
