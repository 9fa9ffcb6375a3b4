"""Attendants: who looks after what a credential has left outside the agent."""

from collections.abc import Sequence
from typing import Protocol

from tool_agentd.model import AccountKey


class Attendant(Protocol):
    """What the broker tells of an account's and of its own life."""

    @property
    def reasons(self) -> Sequence[str]:
        """One sentence for everything that waits for the person, for `status`."""
        ...

    async def logged_out(self, key: AccountKey) -> None:
        """The account is signed out: nothing of it may stay where a tool reads it.

        What cannot be taken away soon is taken away later; this never fails, nor waits for long.
        """
        ...

    async def tick(self) -> None:
        """Try again what could not be done; every 30 s."""
        ...

    async def close(self) -> None:
        """The agent ends; what commands still use stays for them, and for the next start."""
        ...


class NoAttendant:
    """Nobody has anything to look after."""

    reasons: Sequence[str] = ()

    async def logged_out(self, key: AccountKey) -> None:
        """Do nothing."""

    async def tick(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
