"""Desk: the questions that wait for the person, who answers them in a terminal or on the screen.

Where a terminal waits (`tool-agent approve`), it is asked; else what the agent can show by itself.
A terminal that comes later may answer too, and the first answer counts.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tool_agentd.errors import DeniedError, NotFoundError
from tool_agentd.model import Consent, Peer, Question
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
    answer: "asyncio.Future[Consent]"


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
        self._looked = float("-inf")
        """When a terminal has looked last, on the clock that never jumps."""

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
        return bool(self._looking) or self._clock.now().boot - self._looked < BETWEEN

    async def ask(self, question: Question) -> Consent:
        """Implement ports.Prompter."""
        attended = self._attended
        behind = self.behind if self.behind is not None and self.behind.way else None
        if not attended and behind is None:
            reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
            raise DeniedError(f"{NOBODY}{reasons}")
        identifier = self._entropy(ID_BYTES).hex()
        answer: asyncio.Future[Consent] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = Waiting(identifier, question, answer)
        self._change()
        try:
            if attended or behind is None:
                return await answer
            return await _first(answer, asyncio.ensure_future(behind.ask(question)))
        finally:
            del self._waiting[identifier]
            answer.cancel()
            self._change()

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
            if not gone.is_set():
                self._looked = self._clock.now().boot
        return Shown(self._revision, tuple(self._waiting.values()))

    def left(self, peer: Peer) -> None:
        """A connection was closed: whoever looked by it looks no more."""
        for looking, gone in self._looking:
            if looking is peer:
                gone.set()
                self._looked = float("-inf")

    def answer(self, identifier: str, consent: Consent) -> Question:
        """Answer a question, and return it. Raises NotFoundError for one that is over."""
        waiting = self._waiting.get(identifier)
        if waiting is None or waiting.answer.done():
            message = "this question is over: it was answered, or whoever asked has gone"
            raise NotFoundError(message)
        if consent is Consent.SESSION and not waiting.question.session:
            consent = Consent.ONCE
        waiting.answer.set_result(consent)
        return waiting.question

    def _change(self) -> None:
        self._revision += 1
        self._changed.set()
        self._changed = asyncio.Event()


async def _first(terminal: "asyncio.Future[Consent]", behind: "asyncio.Task[Consent]") -> Consent:
    """Return the first answer; the other is not awaited any more."""
    try:
        done, _ = await asyncio.wait({terminal, behind}, return_when=asyncio.FIRST_COMPLETED)
        return (terminal if terminal in done else behind).result()
    finally:
        behind.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await behind  # its dialog is closed before anybody hears of the answer
