"""A program that lets secrets slip in every way that a Python program has, behind the redaction."""

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Callable

from aiohttp.log import server_logger

from tool_agentd.adapters import redaction
from tool_agentd.secret import Secret

SECRET = Secret("plain-" + "hunter2" * 3)


class Unraisable:
    """Fails where nobody can catch it."""

    def __del__(self) -> None:
        raise ValueError(SECRET.reveal())


def fail(text: str = "") -> None:
    """Raise an error that quotes the secret."""
    raise ValueError(text or f"first line\n{SECRET.reveal()} is wrong")


def caught(log: logging.Logger) -> None:
    """Log an error with its traceback, and the one that it came from."""
    try:
        try:
            fail()
        except ValueError as error:
            raise KeyError(SECRET.reveal()) from error
    except KeyError:
        log.exception("while doing %s", SECRET.reveal())


async def unhandled() -> None:
    """Leave errors to asyncio: in a callback, and in a task that nobody awaits."""
    loop = asyncio.get_running_loop()
    loop.call_soon(fail)
    loop.call_exception_handler({"message": SECRET.reveal(), "future": SECRET.reveal()})
    task = loop.create_task(asyncio.to_thread(fail))
    await asyncio.wait({task})
    del task
    gc.collect()


def in_a_thread() -> None:
    """Fail in a thread whose name tells it too."""
    thread = threading.Thread(target=fail, name=SECRET.reveal())
    thread.start()
    thread.join()


def unraisable() -> None:
    """Fail in a destructor."""
    Unraisable()


def debug() -> None:
    """Log at debug level."""
    redaction.log_to(sys.stderr, SCREEN, "debug")
    LOG.debug("sent %s", SECRET.reveal())


SCREEN = redaction.install()
LOG = logging.getLogger("a.third.party")
WAYS: dict[str, Callable[[], object]] = {
    "log": lambda: LOG.warning("a %s and %r", SECRET.reveal(), {"k": SECRET.reveal()}),
    "traceback": lambda: caught(LOG),
    "debug": debug,
    "aiohttp": lambda: caught(server_logger),
    "asyncio": lambda: asyncio.run(unhandled()),
    "a broken record": lambda: LOG.warning("%s and more: %s", SECRET.reveal()),  # noqa: PLE1206 - broken, as said
    "uncaught": fail,
    "thread": in_a_thread,
    "unraisable": unraisable,
    "warning": lambda: warnings.warn(SECRET.reveal(), UserWarning, stacklevel=1),
    "print": lambda: print(SECRET.reveal(), file=sys.stderr),  # noqa: T201 - that is what is tried
}

WAYS[sys.argv[1]]()
