"""One exchange over a Unix socket: the same plain loop for every server that is measured.

It waits for a whole answer and checks that it is a success, and does nothing else: what differs
between servers is then the server.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

CHUNK = 65536
"""Bytes taken at once; every answer measured here is smaller."""
PATIENCE = 10.0
"""Seconds until a server that does not answer ends the benchmark."""
SSH_REQUEST_IDENTITIES = 11
SSH_IDENTITIES_ANSWER = 12
"""draft-ietf-sshm-ssh-agent, section 6.1."""

Complete = Callable[[bytes], bool]
"""Tell whether an answer is whole. Raises ServerError where it is not the answer asked for."""


class ServerError(Exception):
    """A server answered something else, or not at all: nothing of it can be compared."""


class TooSlowError(ServerError):
    """A server did not answer in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, what it is asked, and how to know the end of its answer."""

    path: str
    request: bytes
    complete: Complete


def http_complete(answer: bytes) -> bool:
    """HTTP/1.1 with a Content-Length."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ServerError(head.partition(b"\r\n")[0].decode(errors="replace"))
    at = head.lower().index(b"content-length:") + len(b"content-length:")
    return len(body) >= int(head[at:].partition(b"\r\n")[0])


def ssh_complete(answer: bytes) -> bool:
    """A length of four bytes, then the message."""
    if len(answer) < 5:
        return False
    if answer[4] != SSH_IDENTITIES_ANSWER:
        raise ServerError(f"ssh-agent answered a message of type {answer[4]}")
    return len(answer) >= 4 + int.from_bytes(answer[:4])


def oidc_complete(answer: bytes) -> bool:
    """One JSON object, after which oidc-agent closes."""
    if not answer.endswith(b"}"):
        return False
    if b'"access_token"' not in answer:
        raise ServerError(f"oidc-agent answered {answer[:60]!r}")
    return True


def http(path: str, target: str) -> Target:
    """Return the exchange of a client that asks for `target`, with the headers of ours."""
    request = (
        f"GET {target} HTTP/1.1\r\nHost: tool-agent\r\n"
        "Accept: application/vnd.tool-agent.reply\r\n\r\n"
    )
    return Target(path, request.encode(), http_complete)


def ssh(path: str) -> Target:
    """Return the exchange of `ssh-add -l`: the list of public keys."""
    return Target(path, bytes([0, 0, 0, 1, SSH_REQUEST_IDENTITIES]), ssh_complete)


def oidc(path: str, account: str) -> Target:
    """Return the exchange of oidc-agent's IPC API: a cached access token."""
    request = f'{{"request":"access_token","account":"{account}","min_valid_period":60}}'
    return Target(path, request.encode(), oidc_complete)


def connect(path: str) -> socket.socket:
    """Return a connection."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def ask(connection: socket.socket, target: Target) -> bytes:
    """Send the request and return the whole answer."""
    connection.sendall(target.request)
    answer = connection.recv(CHUNK)
    while not target.complete(answer):
        chunk = connection.recv(CHUNK)
        if not chunk:
            raise ServerError("the server closed the connection before its answer was whole")
        answer += chunk
    return answer


def once(target: Target) -> bytes:
    """Connect, ask, close; with a limit of time, for what is not measured."""
    with connect(target.path) as connection:
        connection.settimeout(PATIENCE)
        try:
            return ask(connection, target)
        except TimeoutError:
            raise TooSlowError(f"no answer within {PATIENCE:.0f} s") from None


def new_connections(target: Target, times: int, limit: float) -> list[float]:
    """Return the seconds of each exchange, connecting and closing included.

    After `limit` seconds there are no more, so that a slow server does not hold up the others.
    """
    clock = time.perf_counter
    taken: list[float] = []
    end = clock() + limit
    while len(taken) < times:
        start = clock()
        connection = connect(target.path)
        ask(connection, target)
        connection.close()
        now = clock()
        taken.append(now - start)
        if now > end:
            break
    return taken


def kept_connection(target: Target, times: int, limit: float) -> list[float]:
    """Return the seconds of each exchange on one connection; `limit` as above."""
    clock = time.perf_counter
    taken: list[float] = []
    with connect(target.path) as connection:
        ask(connection, target)
        end = clock() + limit
        while len(taken) < times:
            start = clock()
            ask(connection, target)
            now = clock()
            taken.append(now - start)
            if now > end:
                break
    return taken
