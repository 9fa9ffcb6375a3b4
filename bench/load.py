"""Load: several client processes at once. `python -m bench.load` is one of them.

It reads the exchange from stdin as one line of JSON, says `ready`, waits for `go`, asks for the
given time and prints how often it was answered.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from bench import exchange
from bench.exchange import Target

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "http_complete": exchange.http_complete,
    "ssh_complete": exchange.ssh_complete,
    "oidc_complete": exchange.oidc_complete,
}


def requests_per_second(target: Target, *, clients: int, seconds: float, kept: bool) -> float:
    """Return how many exchanges all clients together complete in a second."""
    order = {
        "path": target.path,
        "request": target.request.decode("latin-1"),
        "complete": target.complete.__name__,
        "seconds": seconds,
        "kept": kept,
    }
    crowd = [_spawn() for _ in range(clients)]
    try:
        for client in crowd:
            _say(client, json.dumps(order))
        for client in crowd:
            _hear(client)
        for client in crowd:
            _say(client, "go")
        return sum(float(_hear(client)) for client in crowd)
    finally:
        for client in crowd:
            client.kill()
            client.communicate()


def _spawn() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _say(client: "subprocess.Popen[str]", line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(line + "\n")
    client.stdin.flush()


def _hear(client: "subprocess.Popen[str]") -> str:
    assert client.stdout is not None
    line = client.stdout.readline().strip()
    if not line:
        raise exchange.ServerError("a client of the load ended early")
    return line


def _ask_for(target: Target, seconds: float, *, kept: bool) -> float:
    """Ask for `seconds` and return the exchanges per second."""
    clock = time.perf_counter
    count = 0
    connection = exchange.connect(target.path) if kept else None
    start = clock()
    end = start + seconds
    while (now := clock()) < end:
        if connection is not None:
            exchange.ask(connection, target)
        else:
            one = exchange.connect(target.path)
            exchange.ask(one, target)
            one.close()
        count += 1
    return count / (now - start)


def main() -> int:
    """Be one client."""
    order = json.loads(sys.stdin.readline())
    target = Target(order["path"], order["request"].encode("latin-1"), KINDS[order["complete"]])
    exchange.once(target)
    print("ready", flush=True)
    sys.stdin.readline()
    print(_ask_for(target, order["seconds"], kept=order["kept"]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
