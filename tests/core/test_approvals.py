"""Approvals: asked once for a session, each time where it is `always`, and "no" whatever fails."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.core.fakes import KEY, FakeClock
from tool_agentd.broker.approvals import MOST, Approvals
from tool_agentd.broker.gate import Wanted
from tool_agentd.broker.standing import IDLE, LONGEST, REFUSED
from tool_agentd.errors import DeniedError
from tool_agentd.model import Consent, Peer, Question, Reply, Requester
from tool_agentd.policy import Confirm

SESSION = Confirm('confirm = "session"', always=False)
ALWAYS = Confirm('confirm = "always"', always=True)
BASH = Requester(4000, "/usr/bin/bash", 4000, 77, "pts/3")
NO_TERMINAL = replace(BASH, terminal="")
TERMINAL = Peer(1000, 1000, 4242, requester=Requester(4000, "/usr/bin/bash", 4000, 77, "pts/7"))
PLAIN = Peer(1000, 1000, 50, executable="/usr/bin/curl")


def typed(pid: int = 4711, **more: Any) -> Peer:  # noqa: ANN401 - Requester's fields
    """Return a command that was typed at a terminal."""
    return Peer(1000, 1000, pid, requester=replace(BASH, **more))


class FakePrompter:
    """Somebody who is asked, and answers when the test says so."""

    way = "a test"
    reasons: Sequence[str] = ()

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.answers: list[asyncio.Future[Consent]] = []
        self.withdrawn = 0
        self.error: Exception | None = None

    async def ask(self, question: Question) -> Reply:
        """Implement Prompter."""
        if self.error is not None:
            raise self.error
        self.questions.append(question)
        self.answers.append(asyncio.get_running_loop().create_future())
        try:
            return Reply(await self.answers[-1], "a test")
        except asyncio.CancelledError:
            self.withdrawn += 1
            raise


class Place:
    """Approvals with everything around them."""

    def __init__(self, patience: float = 60) -> None:
        self.clock = FakeClock()
        self.person = FakePrompter()
        self.approvals = Approvals(self.clock, self.person, str.title, patience=patience)
        self.approvals.mark = lambda pid: f"mark {pid}"

    def begin(
        self, peer: Peer, verdict: Confirm = SESSION, tool: str = "acme"
    ) -> "asyncio.Task[str]":
        """Ask for something."""
        return asyncio.ensure_future(self.approvals.approve(Wanted(peer, tool, KEY), verdict))

    async def asked(self, count: int) -> None:
        """Wait until so many questions were put in all."""
        while len(self.person.answers) < count:  # noqa: ASYNC110 - each turn of the loop may bring one
            await asyncio.sleep(0)

    async def answered(self, consent: Consent, peer: Peer, verdict: Confirm = SESSION) -> str:
        """Ask, and have the person answer."""
        count = len(self.person.answers)
        task = self.begin(peer, verdict)
        await self.asked(count + 1)
        self.person.answers[-1].set_result(consent)
        return await task


def run(story: Callable[[Place], Coroutine[Any, Any, None]], patience: float = 60) -> None:
    """Run a story."""

    async def told() -> None:
        await asyncio.wait_for(story(Place(patience)), 10)

    asyncio.run(told())


def test_a_terminal_session_is_asked_about_once() -> None:
    """Whatever runs in it; another session, and the same number later, is another one."""

    async def story(place: Place) -> None:
        assert await place.answered(Consent.SESSION, typed()) == "yes, for the session, by a test"
        assert await place.begin(typed(pid=5000)) == ""
        assert len(place.person.questions) == 1
        assert place.person.questions[0].session
        assert await place.answered(Consent.ONCE, typed(session=4001)) == "yes, once, by a test"
        assert (
            await place.answered(Consent.ONCE, typed(session_started=78)) == "yes, once, by a test"
        )

    run(story)


def test_without_a_terminal_session_the_process_is_approved() -> None:
    """And no other, not even a later one of its number; without either it is asked each time.

    A whole desktop, or a service, is a session too; without a terminal it is no terminal session.
    """

    async def story(place: Place) -> None:
        assert await place.answered(Consent.SESSION, PLAIN) == "yes, for the process, by a test"
        assert await place.begin(PLAIN) == ""
        assert await place.answered(Consent.ONCE, replace(PLAIN, pid=51)) == "yes, once, by a test"
        service = replace(PLAIN, pid=52, requester=NO_TERMINAL)
        assert await place.answered(Consent.SESSION, service) == "yes, for the process, by a test"
        other = replace(service, requester=replace(NO_TERMINAL, pid=4001))
        assert await place.answered(Consent.ONCE, other) == "yes, once, by a test"
        place.approvals.mark = lambda pid: f"another {pid}"
        assert await place.answered(Consent.ONCE, PLAIN) == "yes, once, by a test"
        place.approvals.mark = lambda _: None
        assert await place.answered(Consent.SESSION, PLAIN) == "yes, once, by a test"
        assert await place.answered(Consent.ONCE, PLAIN) == "yes, once, by a test"
        assert not place.person.questions[-1].session

    run(story)


@pytest.mark.parametrize(
    ("steps", "holds"),
    [
        ([IDLE - 1], True),
        ([IDLE], False),
        ([IDLE - 1, IDLE - 1], True),
        ([IDLE - 1] * int(LONGEST / (IDLE - 1)), True),
        ([IDLE - 1] * (int(LONGEST / (IDLE - 1)) + 1), False),
        ([-3600], False),
    ],
    ids=["used", "idle", "used again", "twelve hours", "over twelve hours", "clock put back"],
)
def test_an_approval_ends(steps: list[float], holds: bool) -> None:  # noqa: FBT001 - a row
    """After ten minutes without a request, and after twelve hours whatever happens."""

    async def story(place: Place) -> None:
        await place.answered(Consent.SESSION, typed())
        for step in steps[:-1]:
            place.clock.advance(step)
            assert await place.begin(typed()) == ""
        place.clock.advance(steps[-1])
        outlook = place.approvals.outlook(Wanted(typed(), "acme", KEY), SESSION)
        assert (outlook.until is not None) is holds

    run(story)


def test_always_is_each_time() -> None:
    """A yes for the session is one yes, and nothing of it stands."""

    async def story(place: Place) -> None:
        assert await place.answered(Consent.SESSION, typed(), ALWAYS) == "yes, once, by a test"
        assert not place.person.questions[-1].session
        assert await place.answered(Consent.ONCE, typed(), ALWAYS) == "yes, once, by a test"

    run(story)


def test_requests_of_one_session_share_a_question() -> None:
    """A hundred at once, one question; "once" is for one of them, and the rest ask on."""

    async def story(place: Place) -> None:
        tasks = [place.begin(typed(pid=5000 + n)) for n in range(100)]
        await place.asked(1)
        place.person.answers[0].set_result(Consent.ONCE)
        await place.asked(2)
        assert sum(task.done() for task in tasks) == 1
        place.person.answers[1].set_result(Consent.SESSION)
        said = await asyncio.gather(*tasks)
        assert len(place.person.questions) == 2
        assert sorted(said)[-2:] == ["yes, for the session, by a test", "yes, once, by a test"]
        assert said.count("") == 98

    run(story)


def test_once_is_for_what_was_shown() -> None:
    """Who joins a question of its session for more, and outlives it, is asked about anew."""

    async def story(place: Place) -> None:
        shown = place.begin(typed())
        await place.asked(1)
        more = Wanted(typed(pid=5000), "acme", KEY, scope="admin")
        joined = asyncio.ensure_future(place.approvals.approve(more, SESSION))
        await asyncio.sleep(0)
        shown.cancel()
        await asyncio.sleep(0)
        place.person.answers[0].set_result(Consent.ONCE)
        await place.asked(2)
        assert place.person.questions[1].scope == "'admin'"
        assert not joined.done()
        place.person.answers[1].set_result(Consent.ONCE)
        assert await joined == "yes, once, by a test"

    run(story)


def test_a_no_lasts_a_moment() -> None:
    """A loop does not ask again and again: nor from new processes or sessions of one program."""

    async def story(place: Place) -> None:
        daemon = typed(terminal="", executable="/usr/bin/nightly")
        other = typed(pid=9, terminal="", executable="/usr/bin/nightly", session=4444)
        pairs = (typed(), typed(pid=9)), (PLAIN, replace(PLAIN, pid=51)), (daemon, other)
        for peer, again in pairs:
            with pytest.raises(DeniedError, match="said no"):
                await place.answered(Consent.NO, peer)
            with pytest.raises(DeniedError, match="a moment ago"):
                await place.begin(again)
        asked = len(place.person.questions)
        place.clock.advance(REFUSED)
        assert await place.answered(Consent.SESSION, typed()) == "yes, for the session, by a test"
        assert len(place.person.questions) == asked + 1

    run(story)


def test_whoever_goes_takes_the_question_along() -> None:
    """But only the last of those who share it."""

    async def story(place: Place) -> None:
        first, second = typed(1), typed(2)
        tasks = [place.begin(first), place.begin(second)]
        await place.asked(1)
        place.approvals.left(first)
        with pytest.raises(DeniedError, match="has gone"):
            await tasks[0]
        assert not tasks[1].done(), "who shares it still waits"
        place.approvals.left(second)
        with pytest.raises(DeniedError, match="has gone"):
            await tasks[1]
        await asyncio.sleep(0)
        assert place.person.withdrawn == 1
        place.approvals.present = lambda _: False
        with pytest.raises(DeniedError, match="has gone"):
            await place.begin(typed())
        assert len(place.person.questions) == 1, "nobody is asked for who went before"

    run(story)


def test_a_flood_of_questions_is_denied() -> None:
    """A few at a time, and no more until they are answered."""

    async def story(place: Place) -> None:
        tasks = [place.begin(typed(session=n)) for n in range(1, MOST + 1)]
        await place.asked(MOST)
        with pytest.raises(DeniedError, match=f"{MOST} others wait"):
            await place.begin(typed(session=99))
        for answer in place.person.answers:
            answer.set_result(Consent.ONCE)
        await asyncio.gather(*tasks)
        assert await place.answered(Consent.ONCE, typed(session=99)) == "yes, once, by a test"

    run(story)


def test_the_lock_ends_approvals_and_questions() -> None:
    """What waits is taken away, what stood has to be asked anew."""

    async def story(place: Place) -> None:
        await place.answered(Consent.SESSION, typed())
        waiting = place.begin(typed(session=9))
        await place.asked(2)
        place.approvals.forget()
        with pytest.raises(DeniedError, match="taken away"):
            await waiting
        assert await place.answered(Consent.ONCE, typed()) == "yes, once, by a test"

    run(story)


@pytest.mark.parametrize("error", [DeniedError("nobody can be asked"), OSError("it crashed")])
def test_whoever_asks_and_fails_is_a_no(error: Exception) -> None:
    """Promise 15; the hint says how to be asked."""

    async def story(place: Place) -> None:
        place.person.error = error
        with pytest.raises(DeniedError) as denied:
            await place.begin(typed())
        assert "tool-agent approve" in str(denied.value.hint)
        assert "OSError" not in denied.value.detail

    run(story)


def test_no_answer_in_time_is_a_no() -> None:
    """Promise 15; the question is taken away."""

    async def story(place: Place) -> None:
        with pytest.raises(DeniedError, match="within 0 s"):
            await place.begin(typed())
        assert place.person.withdrawn == 1

    run(story, patience=0.001)
