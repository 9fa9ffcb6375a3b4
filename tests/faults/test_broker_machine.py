"""Whatever happens to the whole broker, in whatever order, its promises hold."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.core.fakes import ME
from tests.faults.machine_world import DEFINITIONS, Family, FaultyWorld, settled
from tests.faults.table import Line
from tool_agentd.broker import TokenAsk
from tool_agentd.broker.login import LoginState
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.errors import (
    AgentError,
    LoginRequiredError,
    StoreUnavailableError,
    UnknownAccountError,
)
from tool_agentd.model import AccountKey, Credential

T = TypeVar("T")

LABELS = st.sampled_from(["default", "work"])
STEPS = 40
"""Steps of one story; a longer one is found by a shorter one, or by none."""
PATIENCE = 600.0
"""Seconds after which every backoff is over."""


class Person:
    """What is true of one account, seen from the outside."""

    def __init__(self) -> None:
        """Begin signed out."""
        self.family: Family | None = None
        """Of the login that stands; None after a logout."""
        self.ends_at: float | None = None
        """Wall time that the person has set for its end."""
        self.passed = False
        """Whether that moment has come, by the wall clock, however it went on."""

    @property
    def good(self) -> bool:
        """Whether a login stands, the provider takes it, and no limit has passed."""
        return self.family is not None and self.family.alive and not self.passed


class BrokerMachine(RuleBasedStateMachine):
    """Two accounts of one provider, and everything that can happen to them."""

    line: ClassVar[Line]

    def __init__(self) -> None:
        """Begin signed out."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = self.run(self._made())
        self.people = {"default": Person(), "work": Person()}

    async def _made(self) -> FaultyWorld:
        return FaultyWorld()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a step to its end, and what it has set off."""

        async def whole() -> T:
            async with asyncio.timeout(20):
                result = await work
            await settled()
            return result

        return self.loop.run_until_complete(whole())

    def teardown(self) -> None:
        """At the end of every story everything that can work does."""
        try:
            self.heal()
            self.run(self.world.killed())
            self.line.replayed += len(self.world.families.presented)
        finally:
            self.loop.close()

    # --- what people and programs do

    @initialize()
    def begin(self) -> None:
        """Both accounts are signed in."""
        for label in self.people:
            self.log_in(label, None)
            assert self.people[label].family is not None

    @precondition(lambda self: not all(person.good for person in self.people.values()))
    @rule()
    def begin_again(self) -> None:
        """Whoever has no login gets one; a story of people who are signed out is a short one."""
        self.heal()
        for label, person in self.people.items():
            if not person.good:
                self.log_in(label, None)
                assert person.good

    @rule(label=LABELS, lifetime=st.sampled_from([None, None, None, 9000.0]))
    def log_in(self, label: str, lifetime: float | None) -> None:
        """Somebody logs in, over a login that stands or none."""
        self.line.runs += 1
        person = self.people[label]
        try:
            done = self.run(self._logged_in(label, lifetime))
        except AgentError:
            return
        if done:
            families = self.world.families
            person.family = families.of[f"refresh-{families.serial}"]
            now = self.world.clock.now().wall
            person.ends_at = None if lifetime is None else now + lifetime
            person.passed = False

    async def _logged_in(self, label: str, lifetime: float | None) -> bool:
        broker = self.world.broker
        acme = self.world.catalogue.get("acme")
        if "browser" not in acme.login:
            return False  # a login by another name is lost with that name, and rightly
        order = LoginOrder(acme, AccountKey("acme", label), "browser", lifetime)
        view, _ = await broker.start_login(order)
        view = await broker.login(view.id).watch("starting", 5)
        if not view.url:
            return False
        asked = {k: v[0] for k, v in parse_qs(urlsplit(view.url).query).items()}
        await self.world.loopback.listeners[-1].answer(f"/callback?code=c&state={asked['state']}")
        login = broker.login(view.id)
        await login.finished()
        return login.view.state is LoginState.DONE

    @rule(
        label=LABELS,
        min_ttl=st.sampled_from([None, None, 0.0, 60.0]),
        scope=st.sampled_from([None, "read"]),
        crowd=st.sampled_from([1, 1, 5]),
        later=st.sampled_from([0.0, 30.0, 4000.0, 4000.0]),
    )
    def ask(
        self, label: str, min_ttl: float | None, scope: str | None, crowd: int, later: float
    ) -> None:
        """Programs ask for a token, after a while."""
        self.line.runs += 1
        self._advance(later)
        before = self.world.families.refreshes
        self.asked(label, TokenAsk("acme", label, min_ttl, scope), crowd)
        assert self.world.families.refreshes - before <= 1, "one refresh for all of a crowd"

    def asked(self, label: str, ask: TokenAsk, crowd: int = 1) -> bool:
        """Judge the answers; tell whether the first is a token."""
        answers = self.run(self._answers(ask, crowd))
        for answer in answers:
            if isinstance(answer, Credential):
                self._served(label, answer)
            elif isinstance(answer, LoginRequiredError):
                self._required(label, answer)
            elif not isinstance(answer, AgentError):
                raise answer
        return isinstance(answers[0], Credential)

    async def _answers(self, ask: TokenAsk, crowd: int) -> list[Credential | BaseException]:
        asking = (self.world.broker.token(ask, ME) for _ in range(crowd))
        return await asyncio.gather(*asking, return_exceptions=True)

    def _served(self, label: str, credential: Credential) -> None:
        person, value = self.people[label], credential.value.reveal()
        assert person.family is not None, "a token was served after the logout"
        assert value in person.family.access, "a token of another login was served"
        end, now = self.world.families.ends[value], self.world.clock.now()
        assert now.wall < end.wall, "a token was served past its expiry"
        assert now.boot < end.boot, "a token was served past its expiry"
        assert person.ends_at is None or now.wall < person.ends_at, "the session's limit is over"
        self.line.went_on += 1

    def _required(self, label: str, error: LoginRequiredError) -> None:
        person = self.people[label]
        self.line.asked += person.family is not None
        if not person.good or "in a row" in error.detail:
            return
        assert person.family is not None
        twice = "interrupted twice" in error.detail and self.world.families.given_up(person.family)
        assert twice, f"a login that is good was lost: {error.detail}"
        person.family = None

    @rule(label=LABELS, forget=st.booleans())
    def log_out(self, label: str, *, forget: bool) -> None:
        """Somebody logs out."""
        self.line.runs += 1
        person = self.people[label]
        try:
            self.run(self.world.broker.logout("acme", label, forget=forget))
        except UnknownAccountError:
            assert not person.good
        except StoreUnavailableError:
            return
        person.family = None

    @rule(label=LABELS)
    def end_at_the_provider(self, label: str) -> None:
        """An administrator ends a login."""
        self.line.runs += 1
        family = self.people[label].family
        if family is not None:
            family.alive = False

    # --- what happens to the agent

    @rule()
    def crash(self) -> None:
        """The agent is killed and started again."""
        self.line.runs += 1
        self.run(self.world.killed())

    @rule(label=LABELS, when=st.sampled_from(["before", "after", "between", "between"]))
    def crash_in_a_refresh(self, label: str, when: str) -> None:
        """The agent is killed while it waits for the provider, which has acted or has not.

        Or `between` the new token's keychain item and its row.
        """
        self.line.runs += 1
        self.run(self._crash_in_a_refresh(label, when))

    async def _crash_in_a_refresh(self, label: str, when: str) -> None:
        world = self.world
        if when == "between":
            world.faulty.stops = True
        else:
            world.families.hold = when
        world.families.arrived.clear()
        asking = asyncio.ensure_future(world.broker.token(TokenAsk("acme", label, 7200.0), ME))
        await settled()
        assert asking.done() or world.families.arrived.is_set()
        await world.killed()
        await asyncio.gather(asking, return_exceptions=True)

    @rule()
    def restart(self) -> None:
        """The agent ends in order and is started again."""
        self.line.runs += 1
        self.run(self.world.broker.close())
        self.run(self.world.killed())

    @rule(name=st.sampled_from(sorted(DEFINITIONS)))
    def reload(self, name: str) -> None:
        """The person edits the definition."""
        self.line.runs += 1
        self.world.reload(name)

    @rule()
    def tick(self) -> None:
        """Half a minute has passed, and the agent looks after what waits."""
        self.line.runs += 1
        self._advance(30)
        self.run(self.world.broker.tick())

    # --- what happens around it

    @rule(
        mode=st.sampled_from(["good", "good", "good", "away", "lost", "broken", "mute", "busy"]),
        rotates=st.booleans(),
        seconds=st.sampled_from([5, 60, 3600]),
    )
    def provider(self, mode: str, seconds: int, *, rotates: bool) -> None:
        """The provider changes its mood."""
        self.line.runs += 1
        families = self.world.families
        families.mode, families.rotates, families.seconds = mode, rotates, seconds

    @rule(failing=st.sampled_from(["", "", "", "*", "write", "read", "bury", "delete", "list"]))
    def store(self, failing: str) -> None:
        """The disk fills up, or is made room on."""
        self.line.runs += 1
        self.world.faulty.failing = frozenset({failing} - {""})

    @rule(seconds=st.sampled_from([1.0, 10.0, 61.0, 1000.0, 7200.0]))
    def time(self, seconds: float) -> None:
        """Time passes."""
        self.line.runs += 1
        self._advance(seconds)

    @rule(seconds=st.sampled_from([-31_536_000.0, -7200.0, -60.0, 60.0, 7200.0, 31_536_000.0]))
    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.line.runs += 1
        clock = self.world.clock
        clock.instant = type(clock.instant)(clock.instant.wall + seconds, clock.instant.boot)
        self._note_time()

    @rule()
    def heal(self) -> None:
        """Every fault goes away: within minutes every login that the provider takes works."""
        self.line.runs += 1
        self.provider_is_good()
        self.world.faulty.failing = frozenset()
        self.world.reload("usual")
        for _ in range(2):
            self._advance(PATIENCE)
            self.run(self.world.broker.tick())
        for label, person in self.people.items():
            if self.asked(label, TokenAsk("acme", label)):
                continue
            assert not person.good, "nothing is wrong any more, and no token is served"

    def provider_is_good(self) -> None:
        """Let the provider answer as it should."""
        self.world.families.mode, self.world.families.seconds = "good", 3600

    def _advance(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self._note_time()

    def _note_time(self) -> None:
        now = self.world.clock.now().wall
        for person in self.people.values():
            person.passed |= person.ends_at is not None and now >= person.ends_at

    # --- the promises

    @invariant()
    def no_token_is_replayed_twice(self) -> None:
        """Promise 5: once, and only where nobody could know that it had been rotated.

        An answer that is lost while the agent lives is a failure like any other, and tried again.
        """
        families = self.world.families
        for token, count in families.presented.items():
            assert count <= 1 + families.unheard[token], (token, count)
        assert not families.needless, "its successor was there to be had"

    @invariant()
    def no_secret_goes_elsewhere(self) -> None:
        """Promise 17."""
        assert not self.world.families.stolen

    @invariant()
    def what_is_served_is_durable(self) -> None:
        """Promise 6: the newest refresh token is stored, or `status` says that it is not.

        Stored is also what a crash has left in the keychain, to be adopted.
        """
        held = self.run(self._held())
        for label, person in self.people.items():
            family = person.family
            if family is None or not person.good or label not in held:
                continue
            secret, reasons = held[label]
            if self.world.faulty.left(AccountKey("acme", label)) == family.newest:
                continue
            known = self.world.families.of.get(secret)
            if known is family and secret != family.newest and family.heard:
                assert "only in memory" in reasons, (label, secret, family.newest)

    async def _held(self) -> dict[str, tuple[str, str]]:
        found = {}
        for label in self.people:
            held = await self.world.disk.read(AccountKey("acme", label))
            if held is not None:
                _, reasons = await self.world.broker.status()
                found[label] = held.secret.reveal(), " ".join(reasons)
        return found


def told(line: Line, stories: int, *, derandomize: bool) -> None:
    """Tell so many stories: the same each time, or others."""
    line.fault = "any sequence of faults, over fakes (steps)"
    BrokerMachine.line = line
    run_state_machine_as_test(
        BrokerMachine,
        settings=settings(
            max_examples=stories,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_thousand_steps(line: Line) -> None:
    """The promises hold for a thousand steps that hypothesis chooses."""
    told(line, 28, derandomize=True)
    assert line.runs >= 1000


@pytest.mark.long
def test_ten_thousand_steps(line: Line) -> None:
    """The promises hold for ten thousand steps that hypothesis chooses."""
    told(line, 400, derandomize=False)
    assert line.runs >= 10_000
