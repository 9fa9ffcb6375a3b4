"""The policy's table: who may have what, row for row, and that no rules let a stranger in."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd import policy
from tool_agentd.model import Instant, Peer, Requester, Rights
from tool_agentd.policy import OPEN, Allow, Ask, Confirm, Deny, Rules, Table, Verdict

NOW = Instant(1_000_000.0, 100.0)
ME = Peer(1000, 1000, 4711, executable="/usr/bin/make")
HIDDEN = replace(ME, executable="")
BASH = Requester(4000, "/usr/bin/bash", 4000, 77, "pts/3")
TYPED = Peer(1000, 1000, 4712, executable="/usr/bin/python3", requester=BASH)
BOX = replace(ME, foreign=("pid", "mount"))
ROOTLESS = replace(ME, foreign=("user",))
UNREADABLE = replace(ME, foreign=("unknown",))
CI = Rights("ci", "acme", "work", scope="read deploy")
BY_SOCKET = replace(ME, rights=CI)
BY_OLD_SOCKET = replace(ME, rights=replace(CI, ends=NOW))
BOX_BY_SOCKET = replace(BOX, rights=CI)
BOX_BY_ITS_SOCKET = replace(BOX, rights=replace(CI, foreign=True))

SESSION = Rules(confirm=Ask.SESSION)
ALWAYS = Rules(confirm=Ask.ALWAYS)
FOREIGN = Rules(foreign=True)

YES, ONCE, EACH, NO = "allow", "session", "always", "deny"


def said(verdict: Verdict) -> str:
    """Return a verdict in one word."""
    match verdict:
        case Allow():
            return YES
        case Confirm(always=always):
            return EACH if always else ONCE
        case Deny():
            return NO


@pytest.mark.parametrize(
    ("peer", "rules", "account", "expected"),
    [
        # the same user may, unless a rule says otherwise
        (ME, OPEN, "work", YES),
        (ME, Rules(), "work", YES),
        (HIDDEN, OPEN, "work", YES),
        (ME, SESSION, "work", ONCE),
        (ME, ALWAYS, "work", EACH),
        # patterns: a bare name in any folder, a path as a whole
        (ME, Rules(allow=("make",)), "work", YES),
        (ME, Rules(allow=("ma*",)), "work", YES),
        (ME, Rules(allow=("/usr/bin/*",)), "work", YES),
        (ME, Rules(allow=("/bin/make",)), "work", NO),
        (ME, Rules(allow=("MAKE",)), "work", NO),
        (ME, Rules(allow=("usr",)), "work", NO),
        (ME, Rules(deny=("make",)), "work", NO),
        (ME, Rules(deny=("/opt/*",)), "work", YES),
        # deny goes before allow, and both before confirm
        (ME, Rules(allow=("make",), deny=("make",)), "work", NO),
        (ME, Rules(allow=("make",), confirm=Ask.ALWAYS), "work", EACH),
        (ME, Rules(allow=("cargo",), confirm=Ask.ALWAYS), "work", NO),
        (ME, Rules(deny=("make",), confirm=Ask.SESSION), "work", NO),
        # a program that cannot be told is on no list of the allowed, and may be one of the denied
        (HIDDEN, Rules(allow=("*",)), "work", NO),
        (HIDDEN, Rules(deny=("curl",)), "work", NO),
        (HIDDEN, SESSION, "work", ONCE),
        # of our own commands, whoever runs them is meant
        (TYPED, Rules(allow=("bash",)), "work", YES),
        (TYPED, Rules(allow=("python3",)), "work", NO),
        (TYPED, Rules(deny=("python3",)), "work", YES),
        # other namespaces: nothing, whatever else is allowed
        (BOX, OPEN, "work", NO),
        (ROOTLESS, OPEN, "work", NO),
        (UNREADABLE, OPEN, "work", NO),
        (BOX, Rules(allow=("make",)), "work", NO),
        (BOX, SESSION, "work", NO),
        (BOX, FOREIGN, "work", YES),
        (UNREADABLE, FOREIGN, "work", YES),
        (BOX, replace(FOREIGN, confirm=Ask.ALWAYS), "work", EACH),
        (BOX, replace(FOREIGN, deny=("make",)), "work", NO),
        # a scoped socket: its account, for whom it is made
        (BY_SOCKET, OPEN, "work", YES),
        (BY_SOCKET, OPEN, "default", NO),
        (BY_OLD_SOCKET, OPEN, "work", NO),
        (BY_SOCKET, ALWAYS, "work", EACH),
        (BY_SOCKET, Rules(deny=("make",)), "work", NO),
        (BOX_BY_SOCKET, OPEN, "work", NO),
        (BOX_BY_ITS_SOCKET, OPEN, "work", YES),
        (BOX_BY_ITS_SOCKET, OPEN, "default", NO),
    ],
)
def test_who_may_have_what(peer: Peer, rules: Rules, account: str, expected: str) -> None:
    """Each row of the policy."""
    assert said(policy.decide(peer, "acme", account, rules, NOW)) == expected


@pytest.mark.parametrize(
    ("peer", "tools", "serves_tokens", "expected"),
    [
        (ME, (), False, YES),
        (ME, ("acme",), True, YES),
        (BOX, (), False, NO),
        (BOX, ("acme",), True, NO),
        (BY_SOCKET, ("acme",), True, YES),
        (BY_SOCKET, ("acme",), False, NO),
        (BY_SOCKET, ("beta",), True, NO),
        (BY_SOCKET, ("acme", "beta"), True, NO),
        (BY_SOCKET, (), True, NO),
        (BOX_BY_SOCKET, ("acme",), True, NO),
        (BOX_BY_ITS_SOCKET, ("acme",), True, YES),
        (BOX_BY_ITS_SOCKET, ("acme",), False, NO),
    ],
)
def test_who_is_answered_at_all(
    *,
    peer: Peer,
    tools: tuple[str, ...],
    serves_tokens: bool,
    expected: str,
) -> None:
    """A route that serves tokens, one that does not, and what it is about."""
    assert said(policy.entry(peer, tools, OPEN, NOW, serves_tokens=serves_tokens)) == expected


@pytest.mark.parametrize(
    ("peer", "scope", "expected"),
    [
        (ME, None, None),
        (ME, {"read"}, {"read"}),
        (BY_SOCKET, None, {"read", "deploy"}),
        (BY_SOCKET, {"read", "write"}, {"read"}),
        (replace(ME, rights=replace(CI, scope="")), None, None),
        (replace(ME, rights=replace(CI, scope="")), {"read"}, {"read"}),
    ],
)
def test_the_most_that_may_be_asked_for(
    peer: Peer, scope: set[str] | None, expected: set[str] | None
) -> None:
    """A socket's scope and max_scope: what both let through."""
    limit = policy.most(peer, Rules(max_scope=None if scope is None else frozenset(scope)))
    assert (None if limit is None else set(limit[0])) == expected


def test_a_tools_own_rules_go_before_those_of_every_tool() -> None:
    """They stand in their place, and are not added to them."""
    table = Table({"*": ALWAYS, "acme": FOREIGN})
    assert (table.of("acme"), table.of("beta"), Table().of("acme")) == (FOREIGN, ALWAYS, OPEN)


@pytest.mark.parametrize(
    ("verdict", "asks", "expected"),
    [
        (Allow("same user"), False, YES),
        (Allow("same user"), True, EACH),
        (Confirm("a rule", always=False), True, EACH),
        (Confirm("a rule", always=False), False, ONCE),
        (Deny("a rule", "", ""), True, NO),
    ],
)
def test_the_stricter_of_rule_and_login_holds(
    *,
    verdict: Verdict,
    asks: bool,
    expected: str,
) -> None:
    """`login --confirm` takes nothing of what a rule forbids, and asks where none does."""
    assert said(policy.stricter(verdict, asks=asks)) == expected


def test_a_denial_names_what_would_allow_it() -> None:
    """The table and the key of config.toml, or the command."""
    boxed = policy.decide(BOX, "acme", "work", OPEN, NOW)
    assert isinstance(boxed, Deny)
    assert "pid and mount namespaces" in boxed.detail
    assert "foreign = true" in boxed.hint
    assert "[policy.acme]" in boxed.hint
    listed = policy.decide(ME, "acme", "work", Rules(allow=("cargo",)), NOW)
    assert isinstance(listed, Deny)
    assert "/usr/bin/make" in listed.detail
    assert "'allow' in [policy.acme]" in listed.hint


_patterns = st.lists(st.text(string.ascii_lowercase + "*?/[]", max_size=6), max_size=3).map(tuple)
_rules = st.builds(
    Rules,
    confirm=st.sampled_from(Ask),
    max_scope=st.none() | st.just(frozenset({"read"})),
    allow=_patterns,
    deny=_patterns,
    foreign=st.just(False),  # noqa: FBT003 - hypothesis' signature
)
_kinds = st.sampled_from([("user",), ("pid",), ("mount",), ("user", "pid", "mount"), ("unknown",)])
_peers = st.builds(
    Peer,
    uid=st.just(1000),
    gid=st.just(1000),
    pid=st.integers(0, 9),
    executable=st.sampled_from(["", "/usr/bin/make", "/a"]),
    requester=st.none() | st.just(BASH),
    foreign=_kinds,
    rights=st.none() | st.just(CI),
)


@given(peer=_peers, rules=st.lists(_rules, max_size=4), asks=st.booleans(), tokens=st.booleans())
def test_no_rules_let_a_stranger_in(
    *,
    peer: Peer,
    rules: list[Rules],
    asks: bool,
    tokens: bool,
) -> None:
    """Promise 14: without `foreign`, whatever else is said, in whatever tables."""
    names = ["*", "acme", "beta", "gamma"]
    table = Table(dict(zip(names, rules, strict=False)))
    for tool in ("acme", "delta"):
        found = table.of(tool)
        verdict = policy.stricter(policy.decide(peer, tool, "work", found, NOW), asks=asks)
        assert isinstance(verdict, Deny)
        assert isinstance(policy.entry(peer, (tool,), found, NOW, serves_tokens=tokens), Deny)
