"""The demo as a person runs it: with a vault, with a real keychain, broken off, and failing."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.demo.keychain import SERVICE
from tests.demo.place import BIN, ROOT
from tests.demo.readme import BLOCK, Played, rewritten
from tests.demo.screen import Screen, normalised
from tests.real.child import Child, ChildError
from tests.real.keychain import Keychain

pytestmark = pytest.mark.fixed_port

LIMIT = 30.0
"""Seconds for the whole demo (the README promises it)."""

CRE_PORT = 53682
"""Where the browser comes back to, as the definition of cre fixes it."""


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for the demo's temporary home; its path is short, for it will hold a socket."""
    with tempfile.TemporaryDirectory(prefix="ta-room-") as name:
        (Path(name) / "tmp").mkdir()
        yield Path(name)


def environ(room: Path, **more: str) -> dict[str, str]:
    """Return the environment of a person who has variables of their own, and no keychain."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(room),
        "TMPDIR": str(room / "tmp"),
        "CRE_API_KEY": "the person's own, which would win",
        "TOOL_AGENT_SOCK": str(room / "their-own-agent.sock"),
        **more,
    }


def started(room: Path, *options: str, more: Mapping[str, str] | None = None) -> Child:
    """Start the demo."""
    return Child(
        [sys.executable, "-m", "tests.demo", *options],
        cwd=ROOT,
        environ=environ(room, **(more or {})),
        log=room / "stderr",
    )


def until(child: Child, text: str) -> list[str]:
    """Read lines to the one with `text`."""
    lines = [child.line()]
    while text not in lines[-1]:
        lines.append(child.line())
    return lines


def rest(child: Child) -> list[str]:
    """Read what is left to read, to the end."""
    lines: list[str] = []
    with contextlib.suppress(ChildError):
        while True:
            lines.append(child.line())
    return lines


def interrupted(child: Child) -> tuple[int, list[str]]:
    """Press Ctrl-C; return the exit status and what was still said."""
    child.process.send_signal(signal.SIGINT)
    lines = rest(child)
    return child.process.wait(LIMIT), lines


def nothing_left(room: Path) -> bool:
    """Tell whether the demo has left no file and has started no agent but its own."""
    return sorted(path.name for path in room.rglob("*") if path.name != "stderr") == ["tmp"]


def assert_readme(played: Played, store: str) -> None:
    """The README's blocks are what this demo has shown.

    The keychain lists its items in an order of its own, hence the sorting.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert store in {None, *(found["store"] for found in BLOCK.finditer(readme))} or not store
    now = rewritten(readme, played)
    for then, shown in zip(BLOCK.finditer(readme), BLOCK.finditer(now), strict=True):
        assert sorted(then["text"].splitlines()) == sorted(shown["text"].splitlines())


def test_the_demo_with_a_vault_and_what_it_leaves_running_for_the_person(room: Path) -> None:
    """Without a keychain it says why it uses a vault; with --keep, another terminal can log in."""
    child = started(room, "--keep", "--json")
    try:
        shown = until(child, "Your turn")
        assert "  in a sealed vault, because" in "\n".join(shown)
        assert "no keychain answers" in "\n".join(shown)
        told = until(child, "one-time password")
        (socket_path, url) = re.findall(r"TOOL_AGENT_SOCK=(\S+) PLATFORM=(\S+)", "\n".join(told))[0]
        person = environ(room) | {"TOOL_AGENT_SOCK": socket_path, "PLATFORM": url}
        del person["CRE_API_KEY"]
        assert "  unset CRE_API_KEY" in told
        browser = f"{sys.executable} -m tests.platforms.person"
        done = subprocess.run(
            [str(BIN / "tool-agent"), "login", "cre", "--no-start"],
            env=person | {"BROWSER": browser},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.stdout == "Logged in to Chainlink CRE as ada@example.com.\n", done.stderr
        status, lines = interrupted(child)
    finally:
        child.stop()
    assert status == 0, lines
    assert nothing_left(room)
    played = Played.read(lines[-1])
    assert (played.store, len(played.sections)) == ("vault", 15)
    assert_readme(played, "")


@pytest.mark.long  # CI plays it too, beside the tests
def test_the_demo_with_a_real_keychain(room: Path, keychain: Keychain) -> None:
    """With a keychain the grants are its items while it runs, and nothing is left of them after."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", "--json"],
        cwd=ROOT,
        env=environ(room, **keychain.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    played = Played.read(done.stdout.splitlines()[-1])
    assert played.store == "keychain"
    assert f"attribute.service = {SERVICE}" in "\n".join(played.sections[12].lines)
    assert_readme(played, "keychain")
    assert keychain.search(SERVICE) == []
    assert nothing_left(room)


def test_ctrl_c_in_the_middle_takes_everything_away(room: Path, keychain: Keychain) -> None:
    """Broken off while the keychain holds a grant, it erases that and ends what it started."""
    child = started(room, more=keychain.environ)
    try:
        until(child, "3. Who am I?")
        assert [item.attributes["service"] for item in keychain.search(SERVICE)] == [SERVICE]
        status, lines = interrupted(child)
    finally:
        child.stop()
    assert status == 130, lines
    assert "Interrupted." in lines
    assert keychain.search(SERVICE) == []
    assert nothing_left(room)


def test_a_locked_keychain_is_left_alone(room: Path, keychain: Keychain) -> None:
    """Nobody is asked for a password: it says that the keychain is locked, and uses a vault."""
    keychain.lock()
    child = started(room, more=keychain.environ)
    try:
        shown = until(child, "1. The agent")
        assert re.search(
            r"in a sealed vault, because .*\n +the keychain .* is locked", "\n".join(shown)
        )
        status, _ = interrupted(child)
    finally:
        child.stop()
    assert status == 130
    assert keychain.is_locked()
    assert nothing_left(room)


def test_a_step_that_fails_makes_the_demo_fail(room: Path) -> None:
    """Where the login's port is taken the demo says so, ends with 1, and leaves nothing."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier login's remains
        with contextlib.suppress(OSError):  # whoever listens there already serves as well
            taken.bind(("127.0.0.1", CRE_PORT))
            taken.listen()
        child = started(room)
        try:
            lines = rest(child)
            status = child.process.wait(LIMIT)
        finally:
            child.stop()
    assert status == 1
    assert any(
        re.fullmatch(r"demo: failed: status \d+ and not 0: tool-agent login cre", line)
        for line in lines
    ), lines
    assert nothing_left(room)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It does."""
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals(
    stream: io.StringIO,
    variables: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Colours appear on a terminal only, and not with NO_COLOR or a dumb one."""
    screen = Screen(stream, variables)
    screen.heading("1. A title", "and why")
    screen.command("true")
    screen.output("x" * 101)
    assert ("\x1b" in stream.getvalue()) is coloured
    assert "x" * 97 + "...\n" in stream.getvalue()
    assert [one.lines for one in screen.sections] == [["# and why", "$ true", "x" * 97 + "..."]]


def test_what_varies_is_made_equal_and_nothing_else_is() -> None:
    """Runs that differ in ports, names and tokens read alike; other words do not."""
    one = "http://127.0.0.1:4321/a in /tmp/tool-agent-demo-x_1/run, pid 7\nabcDEF-12_34"
    two = "http://127.0.0.1:99/a in /var/tool-agent-demo-zz/run, pid 70\n123456789012"
    assert normalised(one) == normalised(two) == normalised(normalised(one))
    assert normalised(one) != normalised(one.replace("run", "ran"))
    assert normalised("abcDEF-12_34\nabcDEF-12_35") != normalised("abcDEF-12_34\nabcDEF-12_34")
