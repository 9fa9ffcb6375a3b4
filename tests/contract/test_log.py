"""The log: what repeats itself is counted, and nobody waits for a reader."""

import contextlib
import logging
import os

from tool_agentd.adapters.log import ALIKE, MINUTE, WAITING, Sparing, Unhurried


class Told(logging.Handler):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")


def logger(handler: logging.Handler) -> logging.Logger:
    """Return a logger of nobody else's."""
    made = logging.Logger("t")  # noqa: LOG001 - one that is in no tree
    made.addHandler(handler)
    return made


def test_what_repeats_itself_is_counted() -> None:
    """Three of a kind in a minute, whatever their arguments; then how many more there were."""
    now, told = [0.0], Told()
    sparing = Sparing(told, lambda: now[0])
    log = logger(sparing)
    for number in range(50):
        log.warning("no room for %d", number)
        log.info("served %d", number)
    log.warning("another matter")
    warned = [line for line in told.lines if line.startswith("WARNING")]
    assert warned == [*(f"WARNING no room for {n}" for n in range(ALIKE)), "WARNING another matter"]
    assert len(told.lines) == len(warned) + 50, "information is not spared"
    now[0] = MINUTE
    log.warning("no room for %d", 99)
    sparing.close()
    assert told.lines[-2:] == [
        "WARNING ... and 47 more like it in the last minute: no room for %d",
        "WARNING no room for 99",
    ]


def test_nobody_waits_for_a_reader() -> None:
    """What a pipe does not take is dropped and counted; once it is read, the rest comes."""
    reader, writer = os.pipe()
    handler = Unhurried(writer)
    log = logger(handler)
    for number in range(3 * WAITING):
        log.error("%d %s", number, "x" * 200)
    said = b""
    with contextlib.suppress(BlockingIOError):
        while b"were lost" not in said:
            said += os.read(reader, 65536)
            log.error("later")
    assert said.startswith(b"0 xxx")
    handler.close()
    os.close(reader)
    os.close(writer)
