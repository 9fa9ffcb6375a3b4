"""grants.db for the event loop: one thread, so nothing here ever blocks a request."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from tool_agentd.adapters.store.grants_db import GrantsDb
from tool_agentd.adapters.store.schema import Header
from tool_agentd.adapters.store.trouble import UnansweredError
from tool_agentd.adapters.worker import Workers

T = TypeVar("T")

DEADLINE = 4.0
"""Seconds for one transaction: milliseconds on a sound disk; more than SQLite's own wait for
another process (grants_db.BUSY_SECONDS), whose message says more."""


class Database:
    """Runs transactions one after another."""

    def __init__(self, grants_db: GrantsDb) -> None:
        """Nothing is opened yet: that is tried at every call until it succeeds."""
        self._grants_db = grants_db
        self._workers = Workers(
            "the disk of grants.db", room="store", error=UnansweredError, limit=1, deadline=DEADLINE
        )

    async def run(self, work: Callable[[sqlite3.Connection, Header], T]) -> T:
        """Run a transaction that only reads."""
        return await self._workers.run(lambda: self._grants_db.run(work, write=False))

    async def change(self, work: Callable[[sqlite3.Connection, Header], T]) -> T:
        """Run a transaction that writes; it is durable when this returns."""
        return await self._workers.run(lambda: self._grants_db.run(work, write=True))

    async def close(self) -> None:
        """Close the file."""
        await self._workers.run(self._grants_db.close)
        self._workers.close()
