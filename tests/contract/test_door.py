"""Who has to leave when the agent is full: a pure decision."""

from dataclasses import dataclass

from tool_agentd.adapters.door import GRACE, LONG, leaves, room_for

NOW = 1000.0


@dataclass(frozen=True)
class Somebody:
    """A connection."""

    pid: int
    since: float
    awaited: bool = True

    def see_out(self) -> None:
        """Nobody asks for it here."""


def test_the_longest_waiting_of_the_greediest_leaves() -> None:
    """A process with one connection keeps it, however long it rests."""
    old = Somebody(1, 0)
    crowd = [Somebody(2, 500 + n) for n in range(3)]
    assert leaves([old, *reversed(crowd)], 4, NOW) is crowd[0]
    assert leaves([old], 1, NOW) is old
    assert leaves([], 1, NOW) is None


def test_nobody_leaves_before_they_could_speak() -> None:
    """While the greediest are all new, nobody leaves, not even an older one of another process."""
    young = [Somebody(2, NOW - GRACE / 2) for _ in range(3)]
    assert leaves([Somebody(1, 0), *young], 4, NOW) is None


def test_what_is_being_answered_is_left_alone() -> None:
    """Somebody else who waits goes instead; a process with half of the room pays in the end."""
    answered = [Somebody(2, NOW - LONG - n, awaited=False) for n in range(3)]
    waiting = Somebody(1, 0)
    assert leaves([*answered, waiting], 8, NOW) is waiting
    assert leaves(answered, 8, NOW) is None
    assert leaves([*answered, waiting], 4, NOW) is answered[-1]
    assert leaves([Somebody(2, NOW, awaited=False)] * 3, 4, NOW) is None, "an answer on its way"


def test_room() -> None:
    """Two descriptors a connection, after the agent's own; some room there is always."""
    assert [room_for(n) for n in (16, 64, 256, 1024, 4096)] == [4, 16, 96, 384, 1920]
