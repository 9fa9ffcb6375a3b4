"""A small, bounded number of daemon threads for calls that block, each with a deadline.

A call that hangs keeps its thread, never its caller, never the other callers while a thread is
left, and never the end of the process: daemon threads are not joined.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from tool_agentd.errors import AgentError

T = TypeVar("T")

RETRY_AFTER = 5.0
"""Seconds until a caller may usefully ask again: a dialog answered or a daemon restarted."""


class Workers:
    """Threads, started when there is work, that run one job each at a time."""

    def __init__(
        self, what: str, *, room: str, error: type[AgentError], limit: int, deadline: float
    ) -> None:
        """`what` names the far side in messages, `room` the threads.

        `error` is what a caller is told with; `deadline` is seconds from call to answer.
        """
        self._what = what
        self._room = room
        self._error = error
        self._limit = limit
        self._deadline = deadline
        self._guard = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._threads = 0
        self._unfinished = 0
        self._overdue = 0

    async def run(
        self,
        work: Callable[[], T],
        *,
        started: Callable[[Future[T]], None] | None = None,
        deadline: float | None = None,
    ) -> T:
        """Run `work` in a thread and return what it returns.

        `started` is given the job, which may still be running when this method has raised
        the error or was cancelled. A job that no thread has begun by then never runs.
        """
        with self._guard:
            stuck = self._overdue >= self._limit
        if stuck:
            raise self._error(
                f"{self._what} has left {self._limit} calls unanswered", retry_after=RETRY_AFTER
            )
        job = self._submit(work)
        if started is not None:
            started(job)
        limit = self._deadline if deadline is None else deadline
        try:
            async with asyncio.timeout(limit):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            if job.done() and not job.cancelled():
                return job.result()  # the work's own TimeoutError, or an answer just in time
            if not job.cancelled():
                self._count_overdue(job)
            raise self._error(
                f"{self._what} did not answer within {limit:g} s", retry_after=RETRY_AFTER
            ) from None

    def close(self) -> None:
        """Let the idle threads end; a stuck one ends with its call or with the process."""
        with self._guard:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        job: Future[T] = Future()
        with self._guard:
            self._unfinished += 1
            if self._unfinished > self._threads and self._threads < self._limit:
                self._threads += 1
                name = f"{self._room} {self._threads}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
            self._jobs.put((job, work))
        return job

    def _serve(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, work = entry
            try:
                if job.set_running_or_notify_cancel():
                    self._answer(job, work)
            finally:
                with self._guard:
                    self._unfinished -= 1
            del entry, job, work  # an idle thread keeps no secret alive
        with self._guard:
            self._threads -= 1

    @staticmethod
    def _answer(job: Future[T], work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            job.set_exception(error)
        else:
            job.set_result(result)

    def _count_overdue(self, job: Future[Any]) -> None:
        with self._guard:
            self._overdue += 1

        def over(_: Future[Any]) -> None:
            with self._guard:
                self._overdue -= 1

        job.add_done_callback(over)
