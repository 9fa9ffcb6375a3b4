"""A program that lets secrets slip in every way that a Python program has, behind the redaction."""

import asyncio
import gc
import logging
import sys
import threading
import warnings

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


def main(way: str) -> None:
    """Let it slip in one way."""
    screen = redaction.install()
    log = logging.getLogger("a.third.party")
    match way:
        case "log":
            log.warning("a %s and %r", SECRET.reveal(), {"k": SECRET.reveal()})
        case "traceback":
            caught(log)
        case "debug":
            redaction.log_to(sys.stderr, screen, "debug")
            log.debug("sent %s", SECRET.reveal())
        case "aiohttp":
            caught(server_logger)
        case "asyncio":
            asyncio.run(unhandled())
        case "a broken record":
            log.warning("%d %s", SECRET.reveal())
        case "uncaught":
            fail()
        case "thread":
            thread = threading.Thread(target=fail, name=SECRET.reveal())
            thread.start()
            thread.join()
        case "unraisable":
            _ = Unraisable()
            del _
        case "warning":
            warnings.warn(SECRET.reveal(), UserWarning, stacklevel=1)
        case "print":
            print(SECRET.reveal(), file=sys.stderr)  # noqa: T201 - that is what is tried
        case _:
            raise LookupError(way)


main(sys.argv[1])
