"""A process that floods the agent's socket, for as long as its stdin is open.

Its arguments: the socket, how many connections say half a head, how many half a body and go on by
a byte at a time, and how many say nothing. One that the agent has closed is made again.
"""

import contextlib
import resource
import select
import socket
import sys
from collections.abc import Iterator

HEAD = b"GET /v1/agent HTTP/1.1\r\nHost: tool-ag"
BODY = b"POST /v1/tools/nrepo/logins HTTP/1.1\r\nHost: tool-agent\r\nContent-Length: 9000\r\n\r\n{"
PAUSE = 20
"""Milliseconds between two bytes of a body."""


def connected(path: str, first: bytes) -> socket.socket:
    """Connect and say how it begins."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        made.send(first)
    return made


def begins(heads: int, bodies: int, silent: int) -> Iterator[bytes]:
    """Give the first bytes of each connection."""
    yield from [HEAD] * heads
    yield from [BODY] * bodies
    yield from [b""] * silent


def main() -> None:
    """Flood."""
    path, *counts = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    firsts: dict[int, bytes] = {}
    made: dict[int, socket.socket] = {}
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)

    def connect(first: bytes) -> None:
        one = connected(path, first)
        made[one.fileno()], firsts[one.fileno()] = one, first
        poll.register(one, select.POLLIN)

    for first in begins(*map(int, counts)):
        connect(first)
    print("up", flush=True)  # noqa: T201 - whoever started us waits for it
    closed = 0
    while True:
        for number, _ in poll.poll(PAUSE):
            if number == sys.stdin.fileno():
                print(closed, flush=True)  # noqa: T201 - as above
                return
            one = made[number]
            with contextlib.suppress(ConnectionResetError):
                if one.recv(65536):
                    continue
            closed += 1
            poll.unregister(number)
            first = firsts.pop(number)
            made.pop(number).close()
            connect(first)
        for number, first in firsts.items():
            if first == BODY:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    made[number].send(b" ")


if __name__ == "__main__":
    main()
