"""Any sequence of events and any passing of time keeps the laws of a session."""

from dataclasses import replace
from types import MappingProxyType

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tool_agentd.model import AccessToken, AccountKey, End, Grant, GrantKind, Instant, TokenKey
from tool_agentd.secret import Secret
from tool_agentd.session import (
    Active,
    Authorizing,
    Dropped,
    Event,
    Expired,
    Found,
    Gone,
    LateError,
    LoggedOut,
    LoginBegan,
    LoginEnded,
    LoginSucceeded,
    Refused,
    Renewed,
    Rotated,
    Serve,
    ServeAndRefresh,
    Session,
    SignedOut,
    SignIn,
    ask,
    grant_of,
    step,
)

GRANT = Grant(
    AccountKey("acme", "default"),
    GrantKind.REFRESH_TOKEN,
    "browser",
    "session",
    ("https://acme.example",),
    obtained_at=0.0,
)
KEYS = st.sampled_from([TokenKey(), TokenKey(("a",)), TokenKey(("b",), "x")])
LIVES = st.sampled_from([1.0, 20.0, 300.0, 3600.0])


class SessionMachine(RuleBasedStateMachine):
    """One account's session beside a model of what the person and the provider did."""

    def __init__(self) -> None:
        """Begin signed out, at an arbitrary moment."""
        super().__init__()
        self.state: Session = SignedOut()
        self.now = Instant(1_000_000.0, 100.0)
        self.stored = 0
        self.ended = True
        """Whether the person logged out, the provider refused, or nobody ever logged in."""
        self.logins = 0
        self.running: str | None = None

    def apply(self, event: Event) -> bool:
        """Apply an event; tell whether it was taken. A late one changes nothing."""
        before = self.state
        try:
            self.state = step(self.state, event)
        except LateError:
            assert self.state is before
            return False
        return True

    def token(self, life: float) -> AccessToken:
        """Return a fresh token."""
        return AccessToken(Secret("t"), self.now, self.now.plus(life))

    def grant(self) -> Grant:
        """Return the grant as the store has it now."""
        return replace(GRANT, generation=self.stored)

    @rule()
    def begin_login(self) -> None:
        """The person sets out to log in; a second login joins the first elsewhere."""
        self.logins += 1
        name = str(self.logins)
        taken = self.apply(LoginBegan(name))
        assert taken == (self.running is None)
        if taken:
            self.running = name

    @rule(life=LIVES, late=st.booleans())
    def succeed(self, life: float, *, late: bool) -> None:
        """A login brings a grant: the running one, or one that was cancelled before."""
        name = "cancelled" if late else (self.running or "none")
        self.stored += 1
        taken = self.apply(LoginSucceeded(name, self.grant(), self.token(life)))
        assert taken == (self.running is not None and not late)
        if taken:
            self.running, self.ended = None, False
        else:
            self.stored -= 1  # the caller erases and revokes what came late

    @precondition(lambda self: self.running is not None)
    @rule()
    def fail_login(self) -> None:
        """The login fails: everything is as before it."""
        assert self.apply(LoginEnded(self.running or ""))
        self.running = None

    @rule(key=KEYS, life=LIVES, behind=st.integers(0, 1))
    def renew(self, key: TokenKey, life: float, behind: int) -> None:
        """An access token comes back, for this generation or for one before."""
        taken = self.apply(Renewed(self.stored - behind, key, self.token(life)))
        assert taken == (not self.ended and behind == 0)

    @rule(behind=st.integers(0, 1))
    def rotate(self, behind: int) -> None:
        """A rotation is saved; one from a generation that is gone is late."""
        since = self.stored - behind
        taken = self.apply(Rotated(since, replace(GRANT, generation=self.stored + 1)))
        assert taken == (not self.ended and behind == 0)
        self.stored += taken

    @rule(behind=st.integers(0, 1))
    def refuse(self, behind: int) -> None:
        """The provider refuses a refresh token, the current or an old one."""
        taken = self.apply(Refused(self.stored - behind, "refused", self.now.wall))
        assert taken == (not self.ended and behind == 0)
        self.ended = self.ended or taken

    @rule()
    def log_out(self) -> None:
        """The person logs out; a login under way is over with it."""
        assert self.apply(LoggedOut())
        self.running, self.ended = None, True

    @rule()
    def removed_elsewhere(self) -> None:
        """Another process erased the grant."""
        assert self.apply(Gone("removed"))
        self.ended = True

    @rule()
    def written_elsewhere(self) -> None:
        """Another process logged in or rotated."""
        self.stored += 1
        assert self.apply(Found(self.grant()))
        self.ended = False

    @rule()
    def buried_elsewhere(self) -> None:
        """Another process found the grant refused."""
        self.stored += 1
        assert self.apply(Found(replace(self.grant(), ended=End("refused", self.now.wall))))
        self.ended = True

    @rule()
    def drop(self) -> None:
        """What is in memory is forgotten."""
        assert self.apply(Dropped())

    @rule(
        wall=st.floats(-1e6, 1e6, allow_nan=False), boot=st.sampled_from([0.0, 1.0, 59.0, 7200.0])
    )
    def pass_time(self, wall: float, boot: float) -> None:
        """Time passes; the wall clock may jump either way, the boot clock never goes back."""
        self.now = Instant(self.now.wall + wall + boot, self.now.boot + boot)

    @invariant()
    def nothing_is_served_past_its_end(self) -> None:
        """Promise 8, whatever the clocks do."""
        for key in (TokenKey(), TokenKey(("a",)), TokenKey(("b",), "x")):
            match ask(self.state, key, self.now, min_ttl=0):
                case Serve(token) | ServeAndRefresh(token):
                    assert self.now.wall < token.expires.wall
                    assert self.now.boot < token.expires.boot
                case _:
                    pass

    @invariant()
    def an_ended_session_serves_nothing(self) -> None:
        """After a logout or a refusal only a login helps; before it, never."""
        answer = ask(self.state, TokenKey(), self.now)
        assert isinstance(answer, SignIn) == self.ended

    @invariant()
    def the_state_is_one_that_makes_sense(self) -> None:
        """The login that runs is the one that is shown; the generation is the stored one."""
        running = self.state.login if isinstance(self.state, Authorizing) else None
        assert running == self.running
        settled = self.state.before if isinstance(self.state, Authorizing) else self.state
        if isinstance(settled, Active):
            assert settled.grant.generation == self.stored
            assert isinstance(settled.tokens, MappingProxyType)
        if isinstance(settled, Expired):
            assert settled.reason
        assert (grant_of(self.state) is None) == isinstance(settled, SignedOut)


SessionMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSession = SessionMachine.TestCase
TestSession.__doc__ = "The laws hold for every sequence that hypothesis finds."
