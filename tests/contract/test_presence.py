"""Peers of a real Unix socket: who they are, and whether they are still there."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.real.child import DEADLINE
from tests.real.plain_user import PYTHON, PlainUser
from tests.real.presence import requires
from tests.real.terminal import Terminal
from tool_agentd.adapters.peers import Peers
from tool_agentd.adapters.peers_linux import ANOTHER_PROGRAM, ENDED, SO_PEERPIDFD
from tool_agentd.api.connection import Presence
from tool_agentd.model import Peer, Rights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="how Linux tells it")

PROGRAM = """
import ctypes, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.set_inheritable(True)
print("connected", flush=True)
for line in open(0, "rb", buffering=0):  # not a byte more, for whom it becomes
    exec(line)
    print("done", flush=True)
"""
"""Connects, and then does what it is told."""

CAT = "os.execv('/bin/cat', ['cat'])"
SAME_FILE = (
    "os.execv('/proc/self/exe', ['python', '-c', 'import sys; print(sys.stdin.readline())'])"
)


class OldKernel:
    """A connected socket on a kernel before 6.5."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def getsockopt(self, *words: int) -> Any:  # noqa: ANN401 - as the library's
        """Know nothing of SO_PEERPIDFD."""
        if words[1] == SO_PEERPIDFD:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        return self._connection.getsockopt(*words)


class Meeting:
    """A socket that processes connect to, one after another."""

    def __init__(self, path: Path, stack: ExitStack, *, old: bool) -> None:
        self.path = path
        self._stack = stack
        self._old = old
        self.connections: list[socket.socket] = []
        self.peers = Peers()
        stack.callback(self.peers.close)
        self._listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        self._listening.settimeout(DEADLINE)
        self._listening.bind(str(path))
        self._listening.listen()

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a process that connects, and return once it has."""
        words = [*(command or (sys.executable, "-S", "-c", PROGRAM)), str(self.path)]
        process = self._stack.enter_context(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        self._stack.callback(process.kill)
        assert heard(process) == "connected"
        return process

    def admit(self, uid: int | None = None, rights: Rights | None = None) -> Presence | None:
        """Return the next one that has connected."""
        connection, _ = self._listening.accept()
        self._stack.callback(connection.close)
        self.connections.append(connection)
        presence = self.peers.presence(
            OldKernel(connection) if self._old else connection,  # type: ignore[arg-type]  # a fake
            os.getuid() if uid is None else uid,
            rights,
        )
        if presence is not None:
            self._stack.callback(presence.close)
        return presence

    def met(self, *command: str) -> tuple["subprocess.Popen[str]", Presence]:
        """Start a process, and return it with its presence."""
        process = self.start(*command)
        presence = self.admit()
        assert presence is not None
        return process, presence

    def peer(self, *command: str) -> Peer:
        """Start a process, and return it as a peer."""
        return self.met(*command)[1].peer


def heard(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def descriptors() -> int:
    """Return how many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def tell(process: "subprocess.Popen[str]", line: str) -> None:
    """Have a process do something, and go on at once."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


@pytest.fixture(params=["pidfd", "without SO_PEERPIDFD"])
def meeting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Meeting]:
    """A socket, on this kernel and on an old one."""
    with ExitStack() as stack:
        yield Meeting(tmp_path / "s", stack, old=request.param != "pidfd")


@pytest.fixture
def new_meeting(tmp_path: Path) -> Iterator[Meeting]:
    """A socket on this kernel."""
    with ExitStack() as stack:
        yield Meeting(tmp_path / "s", stack, old=False)


def test_who_has_connected(meeting: Meeting) -> None:
    """The kernel tells the ids; the executable, the namespaces and the session are /proc's."""
    process, presence = meeting.met()
    peer = presence.peer
    assert (peer.uid, peer.gid, peer.pid) == (os.getuid(), os.getgid(), process.pid)
    assert peer.executable == os.path.realpath(sys.executable)
    assert (peer.foreign, peer.rights) == ((), None)
    assert peer.requester is not None
    assert peer.requester.pid == peer.pid
    assert peer.requester.session == os.getsid(process.pid)
    assert presence.gone() == ""


def test_the_rights_of_a_socket_are_the_peers(new_meeting: Meeting) -> None:
    """A scoped socket's rights come with everyone who connects to it."""
    rights = Rights("ci", "cre", "default")
    new_meeting.start()
    presence = new_meeting.admit(rights=rights)
    assert presence is not None
    assert presence.peer.rights is rights


def test_another_uid_is_nobody(new_meeting: Meeting, plain_user: PlainUser) -> None:
    """Only the uid that is admitted is, whoever that is."""
    new_meeting.path.chmod(0o666)
    for folder in (new_meeting.path, *new_meeting.path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o711)
    command = plain_user.argv(PYTHON, "-c", PROGRAM)
    new_meeting.start(*command)
    assert new_meeting.admit() is None
    new_meeting.start(*command)
    presence = new_meeting.admit(plain_user.uid)
    assert presence is not None
    assert presence.peer.uid == plain_user.uid


def test_one_that_has_ended_is_nobody(meeting: Meeting) -> None:
    """Who connects, leaves the socket to a child and ends, is not admitted; nor is the child."""
    process = meeting.start()
    tell(process, "os._exit(0) if os.fork() else os.read(0, 1)")
    process.wait(DEADLINE)
    assert meeting.admit() is None


def test_the_end_is_noticed_before_anybody_asks(meeting: Meeting) -> None:
    """One that has ended is gone, also while its parent has not taken notice."""
    process, presence = meeting.met()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert presence.gone() == ENDED
    process.wait()
    assert presence.gone() == ENDED


def test_another_program_is_noticed(meeting: Meeting) -> None:
    """A process that runs another executable is not who connected."""
    process, presence = meeting.met()
    tell(process, CAT)
    tell(process, "I am cat")
    assert heard(process) == "I am cat"
    assert presence.gone() == ANOTHER_PROGRAM


def test_the_same_executable_is_the_same(meeting: Meeting) -> None:
    """A process that begins the same file anew is taken for who connected: a label, no proof."""
    process, presence = meeting.met()
    tell(process, SAME_FILE)
    tell(process, "the same file")
    assert heard(process) == "the same file"
    assert presence.gone() == ""


def test_a_renamed_executable_is_the_same(meeting: Meeting, tmp_path: Path) -> None:
    """What counts is the file: renamed it goes on under its new name, replaced it is unknown."""
    program = tmp_path / "first name"
    shutil.copy(PYTHON, program)
    command = (str(program), "-S", "-c", PROGRAM)
    _, presence = meeting.met(*command)
    assert presence.peer.executable == str(program)
    again = "s2 = socket.socket(socket.AF_UNIX); s2.connect(sys.argv[1])"
    process, other = meeting.met(*command)
    renamed = program.rename(tmp_path / "second name")
    assert presence.gone() == other.gone() == ""
    tell(process, again)
    assert heard(process) == "done"
    later = meeting.admit()
    assert later is not None
    assert later.peer.executable == str(renamed)
    shutil.copy(PYTHON, tmp_path / "new")
    (tmp_path / "new").rename(renamed)
    tell(process, again)
    assert heard(process) == "done"
    last = meeting.admit()
    assert last is not None
    assert last.peer.executable == ""
    assert presence.gone() == ""


def test_a_replaced_executable_is_another(meeting: Meeting, tmp_path: Path) -> None:
    """A new file of the old name is another program, although its path is the same."""
    program = tmp_path / "program"
    shutil.copy(PYTHON, program)
    process, presence = meeting.met(str(program), "-S", "-c", PROGRAM)
    shutil.copy("/bin/cat", tmp_path / "new")
    (tmp_path / "new").rename(program)
    tell(process, f"os.execv({str(program)!r}, ['cat'])")
    tell(process, "I am cat")
    assert heard(process) == "I am cat"
    assert os.readlink(f"/proc/{process.pid}/exe") == str(program)  # noqa: PTH115 - a file of proc
    assert presence.gone() == ANOTHER_PROGRAM


@pytest.mark.parametrize(
    ("options", "foreign"),
    [
        (["--user"], ("user",)),
        (["--mount"], ("mount",)),
        (["--pid", "--fork", "--kill-child"], ("pid",)),
        (["--user", "--pid", "--mount", "--fork", "--kill-child"], ("user", "pid", "mount")),
        (["--net"], ()),
    ],
    ids=lambda value: "-".join(value) or "none",
)
def test_foreign_namespaces(
    new_meeting: Meeting, options: list[str], foreign: tuple[str, ...]
) -> None:
    """A peer in another user, pid or mount namespace is foreign; a network is no such place."""
    requires("unshare", "root")
    peer = new_meeting.peer("unshare", *options, "--", sys.executable, "-S", "-c", PROGRAM)
    assert peer.foreign == foreign
    assert bool(peer.executable) == ("mount" not in foreign), "a path of another root says nothing"


CLOSED = """
import os, socket, sys
sys.path[:0] = sys.argv[2:]
from tool_agentd.adapters.peers import Peers
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("listening", flush=True)
peer = Peers().presence(listening.accept()[0], os.getuid()).peer
print(peer.foreign, repr(peer.executable), bool(peer.requester))
"""
"""What one without a privilege sees of the first that connects."""


def test_one_that_lets_nobody_look_is_unknown(tmp_path: Path, powerless: tuple[str, ...]) -> None:
    """A process of the same user that is not dumpable hides where it is, and what it runs."""
    requires(*powerless[:1])
    path = tmp_path / "s"
    with subprocess.Popen(
        [*powerless, sys.executable, "-c", CLOSED, str(path), *sys.path],
        stdout=subprocess.PIPE,
        text=True,
    ) as looks:
        assert heard(looks) == "listening"
        hide = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
        with subprocess.Popen(
            [*powerless, sys.executable, "-S", "-c", hide + PROGRAM, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ):
            assert heard(looks) == "('unknown',) '' True"


OUR_OWN = f"#!{sys.executable} -S\n{PROGRAM}"


@pytest.mark.parametrize("name", ["tool-agent", "git-credential-tool-agent"])
def test_a_command_of_ours_asks_for_whoever_started_it(
    meeting: Meeting, tmp_path: Path, name: str
) -> None:
    """Anyone can run it: the requester is its parent, with the parent's executable and session."""
    script = tmp_path / name
    script.write_text(OUR_OWN)
    script.chmod(0o755)
    process, presence = meeting.met(str(script))
    requester = presence.peer.requester
    assert requester is not None
    assert (presence.peer.pid, requester.pid) == (process.pid, os.getpid())
    assert requester.executable == os.path.realpath(sys.executable)
    assert requester.session == os.getsid(0)


def test_the_terminal_session(new_meeting: Meeting) -> None:
    """A session is its leader's number and beginning, which no later one has, and a terminal."""
    argv = [sys.executable, "-S", "-c", PROGRAM, str(new_meeting.path)]
    found = []
    for _ in range(2):
        with Terminal(argv, dict(os.environ)) as terminal:
            terminal.expect("connected")
            presence = new_meeting.admit()
            assert presence is not None
            assert presence.peer.requester is not None
            found.append(presence.peer.requester)
            assert found[-1].session == presence.peer.pid == terminal.process.pid
            assert found[-1].terminal.startswith("pts/")
    assert found[0].session_started
    assert found[0].session_started <= found[1].session_started
    assert found[0].session != found[1].session


def test_no_descriptor_is_left(meeting: Meeting) -> None:
    """What is opened for a peer is closed with it, what is remembered of sessions at the end."""
    meeting.start()
    meeting.start()
    before = descriptors()
    presence = meeting.admit()
    assert presence is not None
    assert meeting.admit(uid=os.getuid() + 1) is None
    assert descriptors() > before + len(meeting.connections)
    presence.close()
    meeting.peers.close()
    assert descriptors() == before + len(meeting.connections)


REUSE = """
import os, socket, sys
sys.path[:0] = sys.argv[2:]
from tests.contract.test_presence import OldKernel
from tool_agentd.adapters.peers import Peers

def come(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(pid - 1))
    begin, ready = os.pipe()
    child = os.fork()
    if child:
        os.read(begin, 1)
        return child
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    os.write(ready, b"1")
    os.read(begin, 0)
    import signal
    signal.pause()

listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
peers = Peers()
first = come(4000)
presence = peers.presence(OldKernel(listening.accept()[0]), os.getuid())
print(presence.peer.pid, repr(presence.gone()))
os.kill(first, 9)
os.waitpid(first, 0)
second = come(4000)
print(second, repr(presence.gone()))
os.kill(second, 9)
"""
"""Runs alone in a pid namespace, where numbers can be given."""


def test_another_process_of_the_number_is_not_the_peer(tmp_path: Path) -> None:
    """Without SO_PEERPIDFD too, a process that gets the number of one that has ended is none."""
    requires("unshare", "root")
    done = subprocess.run(
        [
            *("unshare", "--pid", "--fork", "--mount-proc", "--", sys.executable, "-c", REUSE),
            *(str(tmp_path / "s"), *sys.path, str(Path(__file__).parents[2])),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert done.stdout.splitlines() == ["4000 ''", f"4000 {ENDED!r}"]
