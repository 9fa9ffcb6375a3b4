"""An agent that is killed between two steps of a refresh, over a real store.

Run as `python -m tests.contract.refresh_child STATE KIND PROVIDER STEP`; the provider is a file
that outlives its agents.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tests.contract.store_places import QUICK_SCRYPT, Place
from tests.core.fakes import ACME, ME, FakeClock, FakeLoopback, catalogue
from tool_agentd.adapters.store import Means
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.model import (
    Grant,
    HttpReply,
    HttpRequest,
    Instant,
    JournalEntry,
    JournalEvent,
)
from tool_agentd.ports import Store
from tool_agentd.secret import Secret

STEPS = ("intending", "intended", "arrived", "acted", "answered", "stored", "published")
INTENTS = {JournalEvent.INTENT, JournalEvent.REPLAYED}


class FileProvider:
    """A provider that rotates without grace; what it knows is in a file."""

    def __init__(self, path: Path, reach: Any = None) -> None:  # noqa: ANN401 - a failpoint
        """Begin with what the file has."""
        self._path = path
        self._reach = reach or (lambda _: None)
        self.known: dict[str, Any] = {
            "living": "refresh-0",
            "used": [],
            "posts": 0,
            "replays": 0,
            "revoked": [],
        }
        if path.exists():
            self.known = json.loads(path.read_text())

    async def send(
        self, request: HttpRequest, *, allowed: Collection[str], deadline: float = 30.0
    ) -> HttpReply:
        """Implement ports.Http."""
        form = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in (request.form or {}).items()
        }
        if request.url.endswith("/revoke"):
            self.known["revoked"].append(form["token"])
            self._save()
            return _reply({})
        self._reach("arrived")
        reply = self._refreshed(form["refresh_token"])
        self._reach("acted")
        return reply

    def _refreshed(self, old: str) -> HttpReply:
        known = self.known
        known["posts"] += 1
        if old in known["used"]:
            known["replays"] += 1
            known["living"] = ""
        if old != known["living"]:
            self._save()
            return _reply({"error": "invalid_grant"}, 400)
        known["used"].append(old)
        known["living"] = f"refresh-{len(known['used'])}"
        self._save()
        said = {"access_token": f"access-{known['posts']}", "token_type": "Bearer"}
        return _reply({**said, "expires_in": 3600, "refresh_token": known["living"]})

    def _save(self) -> None:
        self._path.write_text(json.dumps(self.known))


def _reply(body: object, status: int = 200) -> HttpReply:
    now = Instant(1_000_000.0, 100.0)
    return HttpReply(status, {}, json.dumps(body).encode(), now, now)


def agent(store: Store, provider: FileProvider) -> Broker:
    """Return a broker over the store."""
    return Broker(store, provider, FakeClock(), FakeLoopback(), os.urandom, catalogue(acme=ACME))


def mortal(store: Store, reach: Any) -> None:  # noqa: ANN401 - a failpoint
    """Have the store pass the failpoints around its writes."""
    record, write = store.record, store.write

    async def recorded(entries: Sequence[JournalEntry]) -> None:
        intent = any(entry.event in INTENTS for entry in entries)
        if intent:
            reach("intending")
        await record(entries)
        if intent:
            reach("intended")

    async def written(grant: Grant, secret: Secret, *, expected: int) -> Grant:
        reach("answered")
        stored = await write(grant, secret, expected=expected)
        reach("stored")
        return stored

    store.record, store.write = recorded, written  # type: ignore[method-assign]  # around the real ones


async def main(state: str, kind: str, provider: str, step: str) -> None:
    """Refresh once, and die at the step."""

    def reach(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    means = Means(scrypt_n=QUICK_SCRYPT, failpoint=reach)
    place = Place(kind, Path(state), dict(os.environ), means)
    async with place.opened() as store:
        mortal(store, reach)
        await agent(store, FileProvider(Path(provider), reach)).token(TokenAsk("acme"), ME)
        reach("published")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
