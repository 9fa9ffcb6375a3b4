"""Background: work that goes on behind the callers' backs and is waited for at the end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from tool_agentd.errors import AgentError

T = TypeVar("T")

log = logging.getLogger(__name__)


class Background:
    """The tasks under way that nobody may cancel."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work`; whoever waits for the task shields it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work`; nobody waits for it but `settle`."""
        _ = self.start(work)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, AgentError):
            log.info("%s", error.detail)
        elif error is not None:
            log.error("work in the background failed", exc_info=error)

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
