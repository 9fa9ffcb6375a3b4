"""Approvals: asks the person before a credential is handed out, and remembers what they said.

Whatever goes wrong is a no: nobody to ask, no answer in time, an asker that fails, a flood.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tool_agentd import policy
from tool_agentd.broker import standing
from tool_agentd.broker.gate import Wanted
from tool_agentd.broker.question import question_of
from tool_agentd.broker.standing import NONE, Asker, Refusals, Slot, Standing
from tool_agentd.errors import AgentError, DeniedError
from tool_agentd.model import Consent, Peer, Reply
from tool_agentd.policy import Confirm
from tool_agentd.ports import Clock, Prompter

PATIENCE = 30.0
"""Seconds that the person has: enough to read and to reach for the keyboard, and a command that
nobody answers for does not seem to hang for ever. A client of ours is told to wait as long."""
MOST = 8
"""Questions at once: more than one person has programs that they wait for; a flood of questions is
how somebody is made to say yes."""

HOW = (
    "to be asked, keep 'tool-agent approve' open in a terminal, have the agent start on a desktop"
    " with zenity or kdialog, or name a program in [prompt] of config.toml"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a request would meet where the person has to confirm."""

    until: float | None
    """Wall time until which it is approved already; None: the person would be asked."""
    session: bool
    """Whether that is for a terminal session; else for the one process."""
    way: str
    """How the person would be asked, in words; empty: nobody can be."""


class _Asking:
    """A question that is put to the person, and how many requests wait for its answer."""

    def __init__(self, task: "asyncio.Task[Reply]", wanted: Wanted) -> None:
        self.task = task
        self.wanted = wanted
        """What the person was shown: a "once" is for that, and for nobody who has joined."""
        self.waiting = 0
        self.spent = False
        """Whether one of them has had its "once"."""


class Approvals:
    """Implements gate.Approve. What it returns of a yes says who said it, for the audit trail."""

    def __init__(
        self,
        clock: Clock,
        prompter: Prompter,
        title: Callable[[str], str],
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Ask by `prompter`; `title` names a tool as people know it."""
        self._clock = clock
        self._prompter = prompter
        self._title = title
        self._patience = patience
        self._standing: Standing = NONE
        self._refusals: Refusals = {}
        self._shared: dict[Slot, _Asking] = {}
        self._asking: set[_Asking] = set()
        self._leaving: dict[int, set[asyncio.Future[None]]] = {}
        self.mark: Callable[[int], str | None] = lambda _: None
        """ports.Processes.mark: tells a process from others of its number."""
        self.present: Callable[[Peer], bool] = lambda _: True
        """Whether a peer's connection is open."""
        self.announce: Callable[[Peer, float, str], None] = lambda *_: None
        """Tells a waiting peer for how long, and what for."""

    async def approve(self, wanted: Wanted, verdict: Confirm) -> str:
        """Return for how long the person says yes; empty where they have said so before.

        Raises DeniedError.
        """
        slot = None if verdict.always else self._slot(wanted)
        about = _about(wanted, self._asker(wanted.peer))
        while True:
            now = self._clock.now()
            if slot is not None and standing.approved(self._standing, slot, now) is not None:
                self._standing = standing.used(self._standing, slot, now)
                return ""
            left = standing.refused(self._refusals, about, now)
            if left is not None:
                message = f"{_what(wanted)} was refused a moment ago"
                raise DeniedError(message, hint=f"the person is asked again in {left:.0f} s")
            asking = self._shared.get(slot) if slot is not None else None
            if asking is None:
                asking = self._ask(wanted, verdict, slot)
            reply = await self._answer(asking, wanted)
            match reply.consent:
                case Consent.SESSION if slot is not None:
                    if asking.spent:
                        return ""
                    asking.spent = True
                    what = "the session" if slot.asker.session else "the process"
                    return f"yes, for {what}, by {reply.by}"
                case Consent.NO:
                    self._refusals = standing.said_no(self._refusals, about, self._clock.now())
                    message = f"the person said no to {_what(wanted)}, by {reply.by}"
                    raise DeniedError(message, hint=_ask_again())
                case _ if not asking.spent and asking.wanted == wanted:
                    asking.spent = True
                    return f"yes, once, by {reply.by}"
                case _:
                    pass  # that "once" was another request's

    def left(self, peer: Peer) -> None:
        """Take away what the peer of a closed connection has asked for."""
        for future in self._leaving.get(id(peer), ()):
            if not future.done():
                future.set_result(None)

    def forget(self) -> None:
        """End every approval and every question: the agent is locked."""
        self._standing = NONE
        self._shared.clear()
        for asking in self._asking:
            asking.task.cancel()

    def outlook(self, wanted: Wanted, verdict: Confirm) -> Outlook:
        """Return what a request would meet now. Nobody is asked, and nothing is made use of."""
        slot = None if verdict.always else self._slot(wanted)
        found = None
        if slot is not None:
            found = standing.approved(self._standing, slot, self._clock.now())
        until = None if found is None else standing.ends(found).wall
        return Outlook(until, slot is not None and slot.asker.session, self._prompter.way)

    # -- one question ----------------------------------------------------------------------------

    def _ask(self, wanted: Wanted, verdict: Confirm, slot: Slot | None) -> _Asking:
        if len(self._asking) >= MOST:
            message = f"{_what(wanted)} needs a confirmation, and {MOST} others wait for one"
            raise DeniedError(message, hint="answer those, or wait until they are over")
        if not self.present(wanted.peer):
            raise DeniedError("whoever asked has gone")
        asking = _Asking(asyncio.ensure_future(self._put(wanted, verdict, slot)), wanted)
        self._asking.add(asking)
        if slot is not None:
            self._shared[slot] = asking

        def over(_: "asyncio.Task[Reply]") -> None:
            self._asking.discard(asking)
            if slot is not None and self._shared.get(slot) is asking:
                del self._shared[slot]

        asking.task.add_done_callback(over)
        return asking

    async def _put(self, wanted: Wanted, verdict: Confirm, slot: Slot | None) -> Reply:
        """Put the question; what is granted for a session stands before anybody hears of it."""
        question = question_of(wanted, self._title(wanted.tool), verdict, session=slot is not None)
        try:
            async with asyncio.timeout(self._patience):
                reply = await self._prompter.ask(question)
        except TimeoutError:
            message = f"nobody confirmed {_what(wanted)} within {self._patience:.0f} s"
            raise DeniedError(message, hint=_ask_again()) from None
        except DeniedError as error:
            raise DeniedError(f"{_what(wanted)}: {error.detail}", hint=error.hint or HOW) from error
        except AgentError as error:
            raise DeniedError(f"nobody could be asked: {error.detail}", hint=HOW) from error
        except Exception as error:
            log.exception("asking the person failed")
            raise DeniedError("asking the person failed", hint=HOW) from error
        if reply.consent is Consent.SESSION and slot is not None:
            self._standing = standing.said_yes(self._standing, slot, self._clock.now())
        return reply

    async def _answer(self, asking: _Asking, wanted: Wanted) -> Reply:
        """Wait for the answer, or for the end of whoever wants it."""
        peer = wanted.peer
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        leaving = self._leaving.setdefault(id(peer), set())
        leaving.add(gone)
        asking.waiting += 1
        self.announce(peer, self._patience, f"{_what(wanted)} waits for a yes{self._by()}")
        try:
            either: set[asyncio.Future[Any]] = {asking.task, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asking.task.done():
                raise DeniedError("whoever asked has gone")
            if asking.task.cancelled():
                raise DeniedError(f"the question about {_what(wanted)} was taken away")
            return asking.task.result()
        finally:
            asking.waiting -= 1
            if not asking.waiting and not asking.task.done():
                asking.task.cancel()
                for slot in [slot for slot, one in self._shared.items() if one is asking]:
                    del self._shared[slot]  # whoever comes now asks anew
            leaving.discard(gone)
            if not leaving:
                self._leaving.pop(id(peer), None)
            gone.cancel()

    def _by(self) -> str:
        return f": {self._prompter.way}" if self._prompter.way else ""

    # -- who asks --------------------------------------------------------------------------------

    def _slot(self, wanted: Wanted) -> Slot | None:
        """Return what an approval for a session would be about; None where none can be given."""
        asker = self._asker(wanted.peer)
        return None if asker is None else Slot(asker, wanted.tool, wanted.key)

    def _asker(self, peer: Peer) -> Asker | None:
        """Return the terminal session; without one, the process that asks.

        A service, a desktop program and a job of cron have no terminal session to be approved for,
        and no narrower thing that lasts than their process. One that cannot be told from a later
        one of its number is asked about each time.
        """
        requester = peer.requester
        # Every process has a session; that of a whole desktop, or of a service, has no terminal.
        if requester is not None and requester.terminal and requester.session_started > 0:
            return Asker(requester.session, str(requester.session_started), session=True)
        pid = peer.pid if requester is None else requester.pid
        began = self.mark(pid)
        return None if began is None else Asker(pid, began, session=False)


def _about(wanted: Wanted, asker: Asker | None) -> tuple[object, ...]:
    """Return what a "no" is about: of a program without a terminal, each process of it.

    A session without a terminal is one that every process can begin (setsid(2)), in a loop too.
    """
    who: object = asker
    requester = wanted.peer.requester
    if asker is None or not asker.session or requester is None or not requester.terminal:
        who = policy.program(wanted.peer)
    return (who, wanted.tool, wanted.key)


def _what(wanted: Wanted) -> str:
    return f"{wanted.tool} ({wanted.key.label})"


def _ask_again() -> str:
    return f"run the command again, and answer the question; {HOW}"
