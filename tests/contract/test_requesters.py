"""What is taken apart to tell a peer: command lines, a line of /proc, structs of macOS."""

import struct

import pytest

from tool_agentd.adapters.bsd_info import NO_DEVICE, BsdInfo
from tool_agentd.adapters.peers_macos import XUCRED, words_of
from tool_agentd.adapters.proc_stat import ProcStat
from tool_agentd.adapters.requesters import interpreter, own_command, plain


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["/usr/bin/python3", "/home/a/.local/bin/tool-agent", "token", "cre"], True),
        (["python", "tool-agent"], True),
        (["python", "/usr/bin/git-credential-tool-agent", "get"], True),
        (["python", "/home/a/.local/share/tool-agent/shims/nrepo", "push"], True),
        (["python", "-m", "tool_agent", "token"], True),
        (["python", "-I", "-S", "/venv/bin/tool-agent"], True),
        (["python", "-X", "dev", "-W", "error", "/venv/bin/tool-agent"], True),
        (["python", "/home/a/tool-agent/report.py"], False),
        (["python", "report.py", "tool-agent"], False),
        (["python", "-c", "import tool_agent", "tool-agent"], False),
        (["python", "-m", "report", "tool-agent"], False),
        (["python", "-X", "tool-agent"], False),
        (["python", "/home/a/shims/nrepo"], False),
        (["python", "/venv/bin/tool-agentd", "run"], False),
        (["python"], False),
        (["python", "-m"], False),
        ([], False),
        ([""], False),
    ],
)
def test_a_command_of_ours(words: list[str], *, ours: bool) -> None:
    """`tool-agent`, a helper named after it, a shim, or the module, run by an interpreter."""
    assert own_command(words) is ours


@pytest.mark.parametrize(
    ("executable", "may"),
    [
        ("/usr/bin/python3.11", True),
        ("/usr/bin/python", True),
        ("", True),
        ("/usr/bin/git", False),
        ("/usr/bin/pythonic", False),
        ("/python3/node", False),
    ],
)
def test_what_may_run_our_commands(executable: str, *, may: bool) -> None:
    """Python of any version, or what cannot be read; of others no command line is looked at."""
    assert interpreter(executable) is may


def line(name: bytes, terminal: int) -> bytes:
    """Return a line of /proc/PID/stat."""
    fields = [b"S", b"41", b"42", b"43", b"%d" % terminal, *[b"0"] * 14, b"987654", *[b"0"] * 30]
    return b"42 (" + name + b") " + b" ".join(fields)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (0, ""),
        (136 << 8 | 3, "pts/3"),
        (136 << 8 | 1 << 20 | 4, "pts/260"),
        (137 << 8 | 2, "pts/258"),
        (4 << 8 | 1, "tty1"),
        (4 << 8 | 65, "ttyS1"),
        (229 << 8 | 7, "229:7"),
    ],
)
def test_the_terminal_of_a_stat_line(device: int, name: str) -> None:
    """The device's number becomes the name that the person knows."""
    assert ProcStat.parse(line(b"cat", device)).terminal_name == name


def test_a_name_in_a_stat_line_cannot_lie() -> None:
    """Whatever a process calls itself, the fields behind its name are the kernel's."""
    stat = ProcStat.parse(line(b") Z 1 1 1 (", 0))
    assert (stat.state, stat.parent, stat.began, stat.ended) == ("S", 41, 987654, False)
    with pytest.raises(ValueError, match="no line"):
        ProcStat.parse(b"42 (cat) S 1")


def test_a_path_that_is_no_text_is_escaped() -> None:
    """A path becomes what JSON and a database take; one that is text stays as it is."""
    assert plain("/usr/bin/git") == "/usr/bin/git"
    assert plain("/home/jürgen/git") == "/home/jürgen/git"
    assert plain(b"/bin/\xff".decode("utf-8", "surrogateescape")) == "/bin/\\udcff"


def test_what_macos_says_of_a_process() -> None:
    """The parent, the terminal and the begin stand where sys/proc_info.h has them."""
    raw = bytearray(136)
    struct.pack_into("I", raw, 16, 41)
    struct.pack_into("I", raw, 108, 16 << 24 | 3)
    struct.pack_into("QQ", raw, 120, 1_700_000_000, 42)
    assert BsdInfo.parse(bytes(raw)) == BsdInfo(41, "ttys003", 1_700_000_000, 42)
    struct.pack_into("I", raw, 108, NO_DEVICE)
    assert BsdInfo.parse(bytes(raw)).terminal == ""
    struct.pack_into("I", raw, 108, 4 << 24 | 1)
    assert BsdInfo.parse(bytes(raw)).terminal == "4:1"


def test_what_macos_says_of_a_peer() -> None:
    """Struct xucred is 76 bytes long, with the uid second and the gid first of the groups."""
    assert XUCRED.size == 76
    raw = struct.pack("=IIhxx16I", 0, 501, 1, 20, *[0] * 15)
    _, uid, count, gid, *_ = XUCRED.unpack(raw)
    assert (uid, count, gid) == (501, 1, 20)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x02\0\0\0/usr/bin/git\0\0\0\0git\0push\0HOME=/\0", ["git", "push"]),
        (b"\x01\0\0\0/usr/bin/git\0git\0", ["git"]),
        (b"\x01\0\0\0/usr/bin/git", [""]),
        (b"\xff\xff\xff\xff/usr/bin/git\0git\0", []),
        (b"\x01", []),
        (b"", []),
    ],
)
def test_the_command_line_on_macos(raw: bytes, words: list[str]) -> None:
    """So many words as are counted, behind the path and its zeros: never the environment."""
    assert words_of(raw) == words
