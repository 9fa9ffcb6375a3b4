"""The session's states: what each event leads to, and what a request gets."""

import math
from dataclasses import replace
from types import MappingProxyType

import pytest

from tool_agentd.model import AccessToken, AccountKey, End, Grant, GrantKind, Instant, TokenKey
from tool_agentd.secret import Secret
from tool_agentd.session import (
    TOKENS_PER_GRANT,
    Active,
    Dropped,
    Expired,
    Found,
    Gone,
    LateError,
    LoggedOut,
    LoginBegan,
    LoginEnded,
    LoginSucceeded,
    Refresh,
    Refused,
    Renewed,
    Rotated,
    Serve,
    ServeAndRefresh,
    SignedOut,
    SignIn,
    ask,
    step,
)

KEY = TokenKey()
NOW = Instant(1_000_000.0, 500.0)
GRANT = Grant(
    AccountKey("acme", "default"),
    GrantKind.REFRESH_TOKEN,
    "browser",
    "session",
    ("https://acme.example",),
    obtained_at=NOW.wall,
    generation=1,
)


def token(life: float, *, age: float = 0.0, value: str = "token") -> AccessToken:
    """Return a token of `life` seconds, asked for `age` seconds ago."""
    obtained = NOW.plus(-age)
    return AccessToken(Secret(value), obtained, obtained.plus(life))


def active(held: AccessToken | None = None, grant: Grant = GRANT) -> Active:
    """Return an active session with at most one token."""
    return Active(grant, MappingProxyType({} if held is None else {KEY: held}))


def test_a_login_leads_to_a_session() -> None:
    """SignedOut, Authorizing, Active: with the token of the login served at once."""
    begun = step(SignedOut(), LoginBegan("one"))
    done = step(begun, LoginSucceeded("one", GRANT, token(3600)))
    assert done == active(token(3600))
    assert isinstance(ask(done, KEY, NOW), Serve)


@pytest.mark.parametrize("before", [SignedOut(), active(token(60)), Expired(GRANT, "old", 1.0)])
def test_a_login_that_fails_changes_nothing(before: SignedOut | Active | Expired) -> None:
    """What was there before a login is there after its failure."""
    assert step(step(before, LoginBegan("one")), LoginEnded("one")) == before


def test_a_session_goes_on_during_a_login() -> None:
    """A person who logs in again still has the old session until the new one is there."""
    during = step(active(token(3600)), LoginBegan("one"))
    assert isinstance(ask(during, KEY, NOW), Serve)
    renewed = step(during, Renewed(1, KEY, token(3600, value="newer")))
    assert ask(renewed, KEY, NOW) == Serve(token(3600, value="newer"))


def test_the_success_of_another_login_is_late() -> None:
    """A login that was cancelled and replaced cannot succeed any more."""
    begun = step(SignedOut(), LoginBegan("two"))
    with pytest.raises(LateError):
        step(begun, LoginSucceeded("one", GRANT, None))


def test_a_success_after_logout_is_late() -> None:
    """Whoever logs out while a login runs stays logged out."""
    out = step(step(SignedOut(), LoginBegan("one")), LoggedOut())
    with pytest.raises(LateError):
        step(out, LoginSucceeded("one", GRANT, None))


@pytest.mark.parametrize(
    "event",
    [Rotated(1, replace(GRANT, generation=2)), Renewed(1, KEY, token(60)), Refused(1, "no", 1.0)],
)
def test_an_answer_for_a_replaced_generation_is_late(event: Rotated | Renewed | Refused) -> None:
    """An answer must prove that its premise still holds."""
    for state in (active(grant=replace(GRANT, generation=3)), SignedOut()):
        with pytest.raises(LateError):
            step(state, event)


def test_a_rotation_keeps_the_tokens_in_memory() -> None:
    """A new refresh token ends no access token."""
    rotated = step(active(token(60)), Rotated(1, replace(GRANT, generation=2)))
    assert rotated == active(token(60), replace(GRANT, generation=2))


def test_a_refusal_ends_the_session_with_its_reason() -> None:
    """Expired says why, and a request hears it."""
    ended = step(active(token(60)), Refused(1, "revoked at the provider", 7.0))
    assert ended == Expired(GRANT, "revoked at the provider", 7.0)
    assert ask(ended, KEY, NOW) == SignIn("revoked at the provider")


def test_a_tombstone_in_the_store_is_an_ended_session() -> None:
    """After a restart the reason is still known."""
    buried = replace(GRANT, ended=End("revoked", 7.0))
    assert step(SignedOut(), Found(buried)) == Expired(buried, "revoked", 7.0)


def test_a_login_of_another_process_is_taken_over() -> None:
    """A newer generation in the store replaces what is known here; an older one does not."""
    newer = replace(GRANT, generation=2)
    assert step(Expired(GRANT, "old", 1.0), Found(newer)) == Active(newer)
    assert step(Expired(newer, "old", 1.0), Found(GRANT)) == Expired(newer, "old", 1.0)
    assert step(active(token(60)), Found(GRANT)) == active(token(60))


def test_what_is_dropped_from_memory_rests_in_its_box() -> None:
    """Dropped forgets tokens and keeps the grant."""
    assert step(active(token(60)), Dropped()) == active()


def test_a_login_that_vanished_from_the_store_is_signed_out() -> None:
    """The reason is kept for whoever asks."""
    gone = step(active(token(60)), Gone("removed"))
    assert ask(gone, KEY, NOW) == SignIn("removed")


@pytest.mark.parametrize(
    ("life", "left", "min_ttl", "answer"),
    [
        (3600, 3600, None, Serve),
        (3600, 301, None, Serve),
        (3600, 299, None, ServeAndRefresh),
        (3600, 61, None, ServeAndRefresh),
        (3600, 59, None, Refresh),
        (3600, 0, None, Refresh),
        (3600, -5, 0, Refresh),
        (20, 20, None, Serve),
        (20, 3, None, ServeAndRefresh),
        (20, 1, None, Refresh),
        (3600, 3599, 3599, Serve),
        (3600, 3598, 3599, Refresh),
        (3600, 30, 0, ServeAndRefresh),
        (math.inf, math.inf, None, Serve),
        (math.inf, math.inf, 86400, Serve),
    ],
)
def test_fresh_stale_and_invalid(
    life: float, left: float, min_ttl: float | None, answer: type
) -> None:
    """The margin and the window of the design, for long and short lives."""
    held = AccessToken(Secret("t"), NOW.plus(left - life), NOW.plus(left))
    if math.isinf(life):
        held = AccessToken(Secret("t"), NOW, Instant(math.inf, math.inf))
    assert isinstance(ask(active(held), KEY, NOW, min_ttl=min_ttl), answer)


@pytest.mark.parametrize("clock", ["wall", "boot"])
def test_expired_as_soon_as_either_clock_says_so(clock: str) -> None:
    """A clock that was set back does not bring a token to life."""
    late = Instant(
        NOW.wall + (4000 if clock == "wall" else -9e6), NOW.boot + (4000 if clock == "boot" else 0)
    )
    assert isinstance(ask(active(token(3600)), KEY, late), Refresh)


def test_jitter_moves_the_window_by_a_tenth() -> None:
    """A crowd of clients does not renew at one moment."""
    held = AccessToken(Secret("t"), NOW.plus(-3300), NOW.plus(310))
    assert isinstance(ask(active(held), KEY, NOW, jitter=0.0), Serve)
    assert isinstance(ask(active(held), KEY, NOW, jitter=1.0), ServeAndRefresh)


def test_a_lifetime_set_at_login_ends_the_session() -> None:
    """`--lifetime` holds even while the provider would go on."""
    short = replace(GRANT, ends_at=NOW.wall + 10)
    assert isinstance(ask(active(token(3600), short), KEY, NOW), Serve)
    assert isinstance(ask(active(token(3600), short), KEY, NOW.plus(10)), SignIn)


def test_tokens_of_one_grant_are_bounded() -> None:
    """A client that asks for ever new scopes fills no memory; the longest-lived stay."""
    state: Active = active()
    for number in range(TOKENS_PER_GRANT + 10):
        after = step(state, Renewed(1, TokenKey((str(number),)), token(100 + number)))
        assert isinstance(after, Active)
        state = after
    assert len(state.tokens) == TOKENS_PER_GRANT
    assert TokenKey(("0",)) not in state.tokens
    assert TokenKey((str(TOKENS_PER_GRANT + 9),)) in state.tokens
