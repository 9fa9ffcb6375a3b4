"""Desk: the questions that wait for the person, who answers them in a terminal or on the screen.

Where a terminal waits (`tool-agent approve`), it is asked; else what the agent can show by itself.
A terminal that comes later may answer too, and the first answer counts. Where the last terminal
leaves and a question is open, that question goes on to the next way, or is denied.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tool_agentd.errors import DeniedError, NotFoundError
from tool_agentd.model import Consent, Peer, Question, Reply
from tool_agentd.ports import Clock, Prompter

BETWEEN = 2.0
"""Seconds that a terminal may take from one look to the next before it counts as gone."""
ID_BYTES = 8
"""64 bits: no answer meets another question than the one that was shown."""

NOBODY = "nobody can be asked"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question that waits."""

    id: str
    question: Question
    answer: "asyncio.Future[Reply]"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a terminal sees."""

    revision: int
    waiting: tuple[Waiting, ...]


class Desk:
    """Implements ports.Prompter by whoever is there."""

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        """Begin with no terminal and nothing behind it."""
        self._clock = clock
        self._entropy = entropy
        self.behind: Prompter | None = None
        """Who asks where no terminal waits: a program, or a dialog."""
        self._waiting: dict[str, Waiting] = {}
        self._revision = 0
        self._changed = asyncio.Event()
        self._looking: list[tuple[Peer, asyncio.Event]] = []
        self._looked: dict[int, float] = {}
        """When each terminal, by its peer's id(), looked last, on the clock that never jumps."""
        self._turned = asyncio.Event()
        """Set, and made anew, whenever a terminal looks no more."""

    @property
    def way(self) -> str:
        """How the person would be asked now."""
        if self._attended:
            return "a terminal with 'tool-agent approve'"
        return self.behind.way if self.behind is not None else ""

    @property
    def reasons(self) -> Sequence[str]:
        """What is wrong with the chosen program."""
        return self.behind.reasons if self.behind is not None else ()

    @property
    def _attended(self) -> bool:
        now = self._clock.now().boot
        return bool(self._looking) or any(now - at < BETWEEN for at in self._looked.values())

    def _behind(self) -> Prompter:
        """Return who asks where no terminal waits. Raises DeniedError."""
        if self.behind is not None and self.behind.way:
            return self.behind
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        raise DeniedError(f"{NOBODY}{reasons}")

    async def ask(self, question: Question) -> Reply:
        """Implement ports.Prompter."""
        if not self._attended:
            self._behind()  # who is there, before anything waits
        identifier = self._entropy(ID_BYTES).hex()
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = Waiting(identifier, question, answer)
        self._change()
        try:
            while self._attended and not answer.done():
                await self._turns(answer)
            if answer.done():
                return answer.result()
            return await _first(answer, asyncio.ensure_future(self._behind().ask(question)))
        finally:
            del self._waiting[identifier]
            answer.cancel()
            self._change()

    async def _turns(self, answer: "asyncio.Future[Reply]") -> None:
        """Wait for an answer, or until it is worth asking whether a terminal still waits."""
        turned = asyncio.ensure_future(self._turned.wait())
        timeout = None if self._looking else BETWEEN
        try:
            either: set[asyncio.Future[Any]] = {answer, turned}
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            turned.cancel()

    async def look(self, peer: Peer, since: int | None, patience: float) -> Shown:
        """Return what waits: at once where that is not what `since` has shown, else with a change.

        After `patience` seconds, or once the peer has gone, it is returned as it is.
        """
        gone = asyncio.Event()
        entry = (peer, gone)
        self._looking.append(entry)
        try:
            if since == self._revision and patience:
                waits = {asyncio.ensure_future(event.wait()) for event in (self._changed, gone)}
                await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
        finally:
            self._looking.remove(entry)
            now = self._clock.now().boot
            self._looked = {one: at for one, at in self._looked.items() if now - at < BETWEEN}
            if not gone.is_set():
                self._looked[id(peer)] = now
            self._turned.set()
            self._turned = asyncio.Event()
        return Shown(self._revision, tuple(self._waiting.values()))

    def left(self, peer: Peer) -> None:
        """A connection was closed: whoever looked by it looks no more."""
        for looking, gone in self._looking:
            if looking is peer:
                gone.set()
                self._looked.pop(id(peer), None)

    def answer(self, identifier: str, consent: Consent, peer: Peer) -> Question:
        """Answer a question by a peer, and return it. Raises NotFoundError for one that is over."""
        waiting = self._waiting.get(identifier)
        if waiting is None or waiting.answer.done():
            message = "this question is over: it was answered, or whoever asked has gone"
            raise NotFoundError(message)
        if consent is Consent.SESSION and not waiting.question.session:
            consent = Consent.ONCE
        waiting.answer.set_result(Reply(consent, _by(peer)))
        return waiting.question

    def _change(self) -> None:
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()


def _by(peer: Peer) -> str:
    """Return who has answered: by its number, and its terminal, as the kernel has told them."""
    terminal = peer.requester.terminal if peer.requester is not None else ""
    return f"process {peer.pid} at {terminal or 'no terminal'}"


async def _first(terminal: "asyncio.Future[Reply]", behind: "asyncio.Task[Reply]") -> Reply:
    """Return the first answer; the other is not awaited any more."""
    try:
        done, _ = await asyncio.wait({terminal, behind}, return_when=asyncio.FIRST_COMPLETED)
        return (terminal if terminal in done else behind).result()
    finally:
        behind.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await behind  # its dialog is closed before anybody hears of the answer
