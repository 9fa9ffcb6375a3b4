"""Who is at the other end of a socket, and what a scoped socket gives them."""

from dataclasses import dataclass

import msgspec

from tool_agentd.model.instant import Instant


@dataclass(frozen=True, slots=True)
class Requester:
    """For whom a command of ours asks: the process that started it, and where that one runs."""

    pid: int
    executable: str
    """Empty where it cannot be told."""
    session: int = 0
    """The leader of its terminal session; 0 for none."""
    session_started: int = 0
    """In clock ticks since boot: a session's number alone comes again (proc_pid_stat(5))."""
    terminal: str = ""
    """`pts/3`; empty without one."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a scoped socket serves, and to whom: access tokens of one tool, and nothing else."""

    socket: str
    """Its name, as `tool-agent socket list` has it."""
    tool: str
    account: str
    scope: str = ""
    """The most that may be asked for; empty: what the login has."""
    ends: Instant | None = None
    """None: until it is revoked."""
    foreign: bool = False
    """Whether peers in other namespaces are served too."""


class ScopedSocket(msgspec.Struct, frozen=True):
    """A second socket of the agent's, as its person has made it, and as it is recorded."""

    name: str
    agent: str
    """The path of the agent's own socket: another agent leaves it alone."""
    path: str
    tool: str
    account: str
    scope: str
    created_at: float
    """Wall time."""
    ends_at: float | None
    """Wall time; None: until it is revoked."""
    uid: int | None
    """Who is admitted; None: the agent's own user."""
    foreign: bool
    own_folder: bool
    """Whether its folder was made for it, and goes with it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of the socket, as it was when it connected."""

    uid: int
    gid: int
    pid: int
    executable: str = ""
    """A label and no proof; empty where it cannot be read or its file is gone."""
    requester: Requester | None = None
    """Whom it asks for, where it is a command of ours."""
    foreign: tuple[str, ...] = ()
    """The kinds of namespace in which it is not where the agent is: `user`, `pid`, `mount`; or
    `unknown`, where that cannot be told."""
    rights: Rights | None = None
    """Of the scoped socket that it came by; None: the agent's own, and everything."""


NOBODY = Peer(uid=-1, gid=-1, pid=-1)
"""Who asks where no process does: the agent itself. -1 is no user's number (chown(2))."""
