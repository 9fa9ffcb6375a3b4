"""The audit trail on a real disk: whole lines, in order, whatever happens to the file."""

import asyncio
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.house.tree import ROOT
from tests.real.waiting import until
from tool_agentd import audit
from tool_agentd.adapters.audit import AuditTrail, trail
from tool_agentd.adapters.audit.file import KEPT, NAME, AuditFile, is_full, renames
from tool_agentd.adapters.audit.journald import Journald
from tool_agentd.errors import ConfigurationError
from tool_agentd.model import AuditEvent, AuditLine, Peer

WRITER = ROOT / "tests" / "contract" / "audit_writer.py"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A state directory."""
    tmp_path.chmod(0o700)
    return tmp_path


def line(number: int, event: AuditEvent = AuditEvent.GRANT, detail: str = "") -> AuditLine:
    """Return a line whose pid tells it from others."""
    return AuditLine(1.0, event, "ok", Peer(1000, 1000, number), "cre", detail=detail)


def denial(number: int) -> AuditLine:
    """Return one that an answer waits for."""
    return line(number, AuditEvent.DENIAL)


def read(path: Path) -> list[audit.Record]:
    """Return every line of a file; each of them must be one."""
    found = [audit.decode(raw) for raw in path.read_bytes().splitlines()]
    assert None not in found
    return [one for one in found if one is not None]


def pids(records: list[audit.Record]) -> list[int | None]:
    """Return what tells the lines apart."""
    return [record.pid for record in records]


def mode_and_size(path: Path) -> tuple[int, int]:
    """Return the permissions and the bytes of a file."""
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_size


def waits(made: AuditTrail) -> bool:
    """Tell whether an answer has to wait."""
    return made.urgent


def run(
    place: Path,
    story: Callable[[AuditTrail, Path], Coroutine[Any, Any, None]],
    journald: Journald | None = None,
) -> None:
    """Run a story with a trail, and close it."""

    async def told() -> None:
        made = AuditTrail(AuditFile(str(place)), journald)
        try:
            await asyncio.wait_for(story(made, place / NAME), 20)
        finally:
            await made.close()

    asyncio.run(told())


@contextmanager
def full_disk(bytes_: int) -> Iterator[None]:
    """Let no file of this process grow past so many bytes (setrlimit(2), RLIMIT_FSIZE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_an_answer_waits_for_is_in_the_file_before_it(place: Path) -> None:
    """With all that came before it, in order; private, whatever the umask is."""

    async def story(made: AuditTrail, path: Path) -> None:
        made.record(line(1))
        assert not waits(made)
        made.record(denial(2))
        assert waits(made)
        await made.settled()
        assert not waits(made)
        assert pids(read(path)) == [1, 2]
        assert mode_and_size(path)[0] == 0o600
        assert made.reasons == []

    run(place, story)


def test_a_grant_is_in_the_file_soon_and_nobody_waits(place: Path) -> None:
    """Without anybody who asks for it."""

    async def story(made: AuditTrail, path: Path) -> None:
        made.record(line(1))
        await asyncio.to_thread(until, lambda: path.exists() and bool(read(path)), "the line")

    run(place, story)


def test_the_end_writes_what_waits(place: Path) -> None:
    """An agent that ends in order loses nothing."""

    async def story(made: AuditTrail, path: Path) -> None:
        for number in range(3000):
            made.record(line(number))

    run(place, story)
    assert pids(read(place / NAME)) == list(range(3000))


# -- turning the file over ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "more", "over"), [(0, 999, False), (90, 10, False), (90, 11, True), (200, 1, True)]
)
def test_a_file_is_turned_over_before_it_is_too_large(size: int, more: int, over: bool) -> None:  # noqa: FBT001 - the expected answer
    """One batch that is larger than a file has one of its own."""
    assert is_full(size, more, 100) is over


def test_each_file_gets_the_next_name() -> None:
    """The oldest goes first, so that no name is taken when it is needed."""
    assert renames(2) == [
        ("audit.jsonl.2", None),
        ("audit.jsonl.1", "audit.jsonl.2"),
        ("audit.jsonl", "audit.jsonl.1"),
    ]
    assert len(renames(KEPT)) == KEPT + 1


def test_the_files_stay_within_their_bounds(place: Path) -> None:
    """So many, so large; what is read goes over all of them, the oldest first."""
    file = AuditFile(str(place), size=1000, kept=2)
    for number in range(100):
        file.append(audit.encode_all([line(number)], 1)[0], durable=False)
    names = sorted(path.name for path in place.iterdir())
    assert names == [NAME, f"{NAME}.1", f"{NAME}.2"]
    assert all(path.stat().st_size <= 1000 for path in place.iterdir())
    found = pids(file.last(1000, audit.decode))
    assert found == list(range(100 - len(found), 100))
    assert len(found) > 15
    assert pids(file.last(3, audit.decode)) == [97, 98, 99]


def test_two_agents_lose_and_mix_nothing(place: Path) -> None:
    """Each line is there once and whole, and each agent's are in their order, over all files."""
    count, size = 400, 20_000
    writers = [
        subprocess.Popen([sys.executable, str(WRITER), str(place), str(uid), str(count), str(size)])
        for uid in (1, 2)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = AuditFile(str(place), size=size, kept=50).last(10_000, audit.decode)
    assert len(list(place.iterdir())) > 2
    for uid in (1, 2):
        assert [one.pid for one in found if one.uid == uid] == list(range(count))


# -- what is in its way ------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_line_and_says_so(place: Path) -> None:
    """Service goes on; status has the reason; what waited is written once there is room."""

    async def story(made: AuditTrail, path: Path) -> None:
        made.record(denial(1))
        await made.settled()
        with full_disk(mode_and_size(path)[1] + 20):
            made.record(denial(2))
            await made.settled()
            assert not waits(made), "nobody waits for a disk that is full"
            (reason,) = made.reasons
            assert "audit.jsonl" in reason
            assert pids(read(path)) == [1]
        made.record(denial(3))
        await asyncio.to_thread(until, lambda: not made.reasons, "it is mended")
        assert pids(read(path)) == [1, 2, 3]

    run(place, story)


def test_what_is_too_much_is_counted_and_the_number_is_a_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded number waits; grants do not crowd out denials; the gap stands where it is."""
    monkeypatch.setattr(trail, "WAITING", 5)
    monkeypatch.setattr(trail, "WAITING_URGENT", 6)

    async def story(made: AuditTrail, path: Path) -> None:
        os.mkdir(path)  # noqa: PTH102 - a coroutine
        made.record(denial(0))
        await made.settled()
        for number in range(1, 10):
            made.record(line(number))
        made.record(denial(10))
        made.record(denial(11))
        os.rmdir(path)  # noqa: PTH106 - a coroutine
        await asyncio.to_thread(until, lambda: not made.reasons and path.exists(), "it is mended")
        made.record(denial(12))
        await made.settled()
        assert not made.reasons
        records = read(path)
        assert [one.pid for one in records if one.uid] == [0, 1, 2, 3, 4, 10, 12]
        (gap,) = [one for one in records if one.outcome == "lost"]
        assert gap.detail.endswith(": 6")

    run(place, story)


def plant_link(path: Path) -> None:
    """Let the name lead to a file of the person's."""
    (path.parent / "precious").write_text("mine\n")
    path.symlink_to(path.parent / "precious")


def plant_open_file(path: Path) -> None:
    """Let others write the file."""
    path.touch()
    path.chmod(0o666)


def plant_pipe(path: Path) -> None:
    """Let nobody read it."""
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("plant", [plant_link, plant_open_file, plant_pipe, Path.mkdir])
def test_what_is_planted_is_left_alone(place: Path, plant: Callable[[Path], None]) -> None:
    """Nothing is written through it, nobody hangs, and status names the file."""

    async def story(made: AuditTrail, path: Path) -> None:
        plant(path)
        made.record(denial(1))
        await made.settled()
        assert len(made.reasons) == 1
        assert "audit.jsonl" in made.reasons[0]

    run(place, story)
    there = place / "precious"
    assert not there.exists() or there.read_text() == "mine\n"


def test_a_directory_that_others_may_enter_is_refused(place: Path) -> None:
    """The trail says who did what: it is not for others."""
    place.chmod(0o755)
    with pytest.raises(ConfigurationError, match="0755"):
        AuditFile(str(place)).append(b"x\n", durable=False)


def test_a_disk_that_hangs_holds_nobody_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer waits for its line for a bounded time, and the next ones not at all."""
    monkeypatch.setattr(trail, "PATIENCE", 0.05)
    opened = place / "fifo"
    os.mkfifo(opened)
    file = AuditFile(str(place))
    append = file.append

    def hangs(data: bytes, *, durable: bool) -> None:
        opened.read_bytes()  # until somebody writes there
        append(data, durable=durable)

    file.append = hangs  # type: ignore[method-assign]  # the fault is put in

    async def told() -> None:
        made = AuditTrail(file)
        made.record(denial(1))
        await made.settled()
        assert "did not answer" in made.reasons[0]
        assert not waits(made)
        made.record(denial(2))
        await made.settled()
        file.append = append  # type: ignore[method-assign]  # it is mended
        await asyncio.to_thread(opened.write_bytes, b"")
        await asyncio.to_thread(until, lambda: not made.reasons, "it is mended")
        await made.settled()
        assert pids(read(place / NAME)) == [1, 2]
        await made.close()

    asyncio.run(asyncio.wait_for(told(), 20))


# -- reading -----------------------------------------------------------------------------------


def test_damage_is_passed_over(place: Path) -> None:
    """A torn last line, garbage, a line without end: the others are read, and writing goes on."""
    file = AuditFile(str(place))
    raw = audit.encode_all([line(1), line(2), line(3)], 1)
    garbage = b"\xff\xfe\n[1]\n" + b"x" * 200_000 + b"\n\n"
    (place / NAME).write_bytes(raw[0] + garbage + raw[1] + raw[1][:40])
    (place / NAME).chmod(0o600)
    assert pids(file.last(10, audit.decode)) == [1, 2]
    file.append(raw[2], durable=False)
    assert pids(file.last(10, audit.decode)) == [1, 2, 3]
    assert file.last(0, audit.decode) == []


def test_reading_has_what_was_just_taken(place: Path) -> None:
    """A grant that nobody waits for is there when somebody looks."""

    async def story(made: AuditTrail, path: Path) -> None:
        made.record(line(1))
        assert pids(list(await made.last(10, audit.decode))) == [1]

    run(place, story)


# -- systemd's journal -------------------------------------------------------------------------


def test_the_journal_gets_each_line(place: Path) -> None:
    """Its fields by the native protocol, the JSON as the message; then it goes, and comes back."""
    path = str(place / "journal")

    async def story(made: AuditTrail, file: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(path)
            journal.settimeout(5)
            made.record(denial(7))
            await made.settled()
            fields = dict(part.split("=", 1) for part in journal.recv(65536).decode().splitlines())
        assert fields["SYSLOG_IDENTIFIER"] == "tool-agent"
        assert (fields["TOOL_AGENT_EVENT"], fields["PRIORITY"]) == ("denial", "5")
        assert (fields["TOOL_AGENT_PEER_PID"], fields["TOOL_AGENT_TOOL"]) == ("7", "cre")
        assert fields["MESSAGE"].encode() == audit.encode(read(file)[0])[:-1]
        made.record(denial(8))  # nobody listens, and the name is still there
        await made.settled()
        os.unlink(path)  # noqa: PTH108 - a socket's path, as above
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(path)
            journal.settimeout(5)
            made.record(denial(9))
            await made.settled()
            said = [journal.recv(65536).decode() for _ in range(2)]
        assert "lines missing here: 1" in said[0]
        assert '"pid":9' in said[1]
        assert made.reasons == []
        assert pids(read(file)) == [7, 8, 9]

    run(place, story, Journald(path))


def test_a_journal_that_reads_nothing_holds_nobody_up(place: Path) -> None:
    """Its queue is full after some datagrams: the file goes on without it."""
    path = str(place / "journal")

    async def story(made: AuditTrail, file: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(path)
            for number in range(3000):
                made.record(line(number))
            made.record(denial(3000))
            await made.settled()
            assert made.reasons == []
            assert pids(read(file)) == list(range(3001))

    run(place, story, Journald(path))
