"""Who may have what: a peer, the tool's rules, and what it asks for give Allow, Confirm or Deny.

The law: a peer of the agent's own uid may have everything, unless a rule says otherwise. A peer in
another namespace may have nothing, unless a rule says so. A scoped socket serves the access tokens
that it names. Nothing here reads a clock or a file; a rule about executables is advisory, because
whoever may run a program may run any (docs/threat-model.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType

from tool_agentd.model import Instant, Peer, Rights

EVERY = "*"
"""`[policy."*"]`: the rules of every tool that has none of its own, and of what is about none."""


class Ask(StrEnum):
    """When the person is asked before a credential is handed out."""

    NEVER = "never"
    SESSION = "session"
    """Once for each terminal session."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Rules:
    """What config.toml says of one tool."""

    confirm: Ask = Ask.NEVER
    max_scope: frozenset[str] | None = None
    """The most that is asked for at the provider; None: whatever the login has."""
    allow: tuple[str, ...] = ()
    """Executables that may ask, as shell patterns; empty: all. Advisory."""
    deny: tuple[str, ...] = ()
    """Executables that may not. Advisory."""
    foreign: bool = False
    """Whether peers in other namespaces are treated as our own."""


OPEN = Rules()
"""Where nothing is said: the same uid may."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rules in force, by tool."""

    by_tool: Mapping[str, Rules] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, tool: str) -> Rules:
        """Return the rules of a tool: its own, or those of every tool."""
        return self.by_tool.get(tool) or self.by_tool.get(EVERY) or OPEN


@dataclass(frozen=True, slots=True)
class Allow:
    """It gets what it asks for. `rule` says by what, for `why` and the audit trail."""

    rule: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """It gets it if the person says so: this time, or for its terminal session."""

    rule: str
    always: bool


@dataclass(frozen=True, slots=True)
class Deny:
    """It gets nothing. `hint` names what would allow it."""

    rule: str
    detail: str
    hint: str


Verdict = Allow | Confirm | Deny

ASKS_EACH_TIME = "login --confirm"
"""The rule of an account that was signed in to be asked about (ssh-add's -c)."""

_SAME_USER = Allow("same user")
_SOCKET = "scoped socket"


def decide(peer: Peer, tool: str, account: str, rules: Rules, now: Instant) -> Verdict:
    """Decide whether a peer may have a credential of the tool's account."""
    verdict = entry(peer, (tool,), rules, now, serves_tokens=True)
    if isinstance(verdict, Deny):
        return verdict
    rights = peer.rights
    if rights is not None and account != rights.account:
        return Deny(
            _SOCKET,
            f"the socket {rights.socket} serves the account {rights.account!r} of {tool} alone",
            f"leave the account out, or say --account {rights.account}",
        )
    if rules is OPEN:
        return verdict
    denied = _by_executable(peer, tool, rules)
    if denied is not None:
        return denied
    if rules.confirm is not Ask.NEVER:
        always = rules.confirm is Ask.ALWAYS
        return Confirm(f'confirm = "{rules.confirm}"', always=always)
    return verdict


def stricter(verdict: Verdict, *, asks: bool) -> Verdict:
    """Return what holds for an account that `asks` each time, whatever the rules leave open."""
    if not asks or isinstance(verdict, Deny) or (isinstance(verdict, Confirm) and verdict.always):
        return verdict
    return Confirm(ASKS_EACH_TIME, always=True)


def entry(
    peer: Peer, tools: tuple[str, ...], rules: Rules, now: Instant, *, serves_tokens: bool
) -> Verdict:
    """Decide whether a peer is answered at all, on a route that is about `tools`.

    `rules` are those of the tool, or of every tool where it is about none or several.
    """
    rights = peer.rights
    if rights is not None and (not serves_tokens or tools != (rights.tool,)):
        return _not_on(rights)
    if rights is not None and rights.ends is not None and now.until(rights.ends) <= 0:
        return Deny(
            _SOCKET,
            f"the lifetime of the socket {rights.socket} is over",
            "make another by 'tool-agent socket create'",
        )
    if peer.foreign and not rules.foreign and not (rights is not None and rights.foreign):
        return _foreign(peer, tools)
    return Allow(_SOCKET + f" {rights.socket}") if rights is not None else _SAME_USER


def answering(verdict: Verdict, peer: Peer) -> Verdict:
    """Return what holds on a route by which the person answers, whatever `entry` lets in."""
    if not peer.foreign or isinstance(verdict, Deny):
        return verdict
    return Deny(
        "foreign namespace",
        "who is asked sits where the agent runs: no container answers for its person",
        "run 'tool-agent approve' outside of it",
    )


def most(peer: Peer, rules: Rules) -> tuple[frozenset[str], str] | None:
    """Return the widest scope that may be asked for, and who says so; None: no limit."""
    limits = []
    if peer.rights is not None and peer.rights.scope:
        named = f"the socket {peer.rights.socket}"
        limits.append((frozenset(peer.rights.scope.split()), named))
    if rules.max_scope is not None:
        limits.append((rules.max_scope, "max_scope in config.toml"))
    if not limits:
        return None
    scopes = limits[0][0].intersection(*(scope for scope, _ in limits))
    return scopes, " and ".join(said for _, said in limits)


def matches(executable: str, pattern: str) -> bool:
    """Tell whether an executable fits a pattern: a path, or a bare name for any folder."""
    subject = executable if "/" in pattern else executable.rpartition("/")[2]
    return bool(executable) and fnmatchcase(subject, pattern)


def program(peer: Peer) -> str:
    """Return the executable that a rule is about: for our own commands, whoever runs them."""
    return peer.requester.executable if peer.requester is not None else peer.executable


def _by_executable(peer: Peer, tool: str, rules: Rules) -> Deny | None:
    asks = program(peer)
    shown = asks or "a program that cannot be told"
    for pattern in rules.deny:
        if not asks or matches(asks, pattern):  # what cannot be told may be one of them
            return Deny(
                f"deny = {pattern!r}",
                f"{shown} may not have credentials of {tool}",
                f"the rule is 'deny' in [policy.{tool}] of config.toml",
            )
    if rules.allow and not any(matches(asks, pattern) for pattern in rules.allow):
        return Deny(
            "allow",
            f"{shown} is none of the programs that may have credentials of {tool}",
            f"the list is 'allow' in [policy.{tool}] of config.toml",
        )
    return None


def _foreign(peer: Peer, tools: tuple[str, ...]) -> Deny:
    where = " and ".join(peer.foreign)
    if peer.foreign == ("unknown",):
        where = "an unreadable"
    table = tools[0] if len(tools) == 1 else EVERY
    shown = f'"{table}"' if table == EVERY else table
    plural = "s" if len(peer.foreign) > 1 else ""
    return Deny(
        "foreign namespace",
        f"process {peer.pid} is in {where} namespace{plural} that the agent is not in, such as a"
        " container's or a sandbox's",
        f"to allow it, set 'foreign = true' in [policy.{shown}] of config.toml, or give it a socket"
        " of its own: 'tool-agent socket create --foreign ...'",
    )


def _not_on(rights: Rights) -> Deny:
    return Deny(
        _SOCKET,
        f"the socket {rights.socket} serves access tokens of {rights.tool} and nothing else",
        f"run 'tool-agent token {rights.tool}', or ask on the agent's own socket",
    )
