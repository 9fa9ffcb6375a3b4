"""Programs and dialogs that ask the person: real ones, that say yes, no, nonsense, or nothing."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.real.waiting import until
from tool_agentd.adapters.prompting import ProgramPrompter, prompter_of, unfit
from tool_agentd.errors import DeniedError
from tool_agentd.model import Consent, Question, Reply
from tool_agentd.ports import Prompter

QUESTION = Question(
    tool="'acme'",
    title="'Acme'",
    account="'work'",
    scope="",
    audience="",
    program="'/usr/bin/make'",
    where="process 4711, terminal 'pts/3'",
    through="",
    rule='confirm = "session"',
    session=True,
)
EACH = replace(QUESTION, session=False)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that only its owner may write into; those above it count, too."""
    return tmp_path_factory.mktemp("bin")


def program(path: Path, text: str) -> str:
    """Write a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def ask(prompter: Prompter, question: Question = QUESTION) -> Consent:
    """Ask once."""
    return (await asyncio.wait_for(prompter.ask(question), 20)).consent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 0", Consent.SESSION),
        ("echo Yes; exit 0", Consent.SESSION),
        ("echo no; exit 0", Consent.NO),
        ("echo hunter2; exit 0", Consent.NO),
        ("exit 1", Consent.NO),
        ("exit 255", Consent.NO),
        ("kill -SEGV $$", Consent.NO),
        ("head -c 1000000 /dev/zero; exit 1", Consent.NO),
    ],
)
def test_the_exit_status_is_the_answer(folder: Path, text: str, expected: Consent) -> None:
    """0 is a yes to what is asked, unless it prints another word; all else is a no, crashes too."""
    prompter = prompter_of({}, program(folder / "ask", text))
    assert prompter is not None
    assert asyncio.run(ask(prompter)) is expected
    once = Consent.ONCE if expected is Consent.SESSION else Consent.NO
    assert asyncio.run(ask(prompter, EACH)) is once


def test_it_gets_the_question_and_little_else(folder: Path) -> None:
    """One argument; where the screen is; nothing of the agent's environment besides."""
    script = folder / "ask"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"said = [sys.argv[1:], dict(os.environ), os.getcwd(), sys.stdin.read()]\n"
        f"open({str(folder / 'said')!r}, 'w').write(json.dumps(said))\n"
    )
    script.chmod(0o700)
    environ = {"DISPLAY": ":7", "ACME_KEY": "secret", "SSH_ASKPASS": str(script), "LD_PRELOAD": "x"}
    prompter = prompter_of(environ, None)
    assert prompter is not None
    assert prompter.way == f"the program {script}"
    assert asyncio.run(ask(prompter)) is Consent.SESSION
    argv, given, directory, stdin = json.loads((folder / "said").read_text())
    assert len(argv) == 1
    for word in ("'acme'", "'work'", "'/usr/bin/make'", "process 4711", "this terminal session?"):
        assert word in argv[0]
    assert given.pop("LC_CTYPE", "") in {"", "C.UTF-8"}  # Python's own (PEP 538)
    assert given == {"DISPLAY": ":7", "PATH": os.defpath, "SSH_ASKPASS_PROMPT": "confirm"}
    assert (directory, stdin) == ("/", "")


def test_one_that_hangs_is_killed_with_what_it_started(folder: Path) -> None:
    """As when the time is up, or whoever asked has gone."""
    script = program(folder / "ask", f"sleep 600 & echo $! > {folder}/child; wait")

    async def story() -> None:
        prompter = prompter_of({}, script)
        assert prompter is not None
        asking = asyncio.ensure_future(prompter.ask(QUESTION))
        child = folder / "child"
        await asyncio.to_thread(until, lambda: child.exists() and "\n" in child.read_text(), "it")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(asyncio.wait_for(story(), 20))
    number = (folder / "child").read_text().strip()

    def ended() -> bool:
        try:
            return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    until(ended, "the child's end")


@pytest.mark.parametrize("mode", [0o722, 0o702, 0o720])
def test_a_program_that_others_may_write_is_not_run(folder: Path, mode: int) -> None:
    """Nor one in their folder; `status` says why, and nobody is asked."""
    script = Path(program(folder / "ask", f"touch {folder}/ran"))
    script.chmod(mode)
    prompter = ProgramPrompter(str(script), {}, chosen="config.toml: prompt.program")
    assert prompter.way == ""
    assert "writable by others" in prompter.reasons[0]
    with pytest.raises(DeniedError, match="writable by others"):
        asyncio.run(ask(prompter))
    script.chmod(0o700)
    assert unfit(str(script)) == ""
    folder.chmod(0o777)
    assert "writable by others" in unfit(str(script))
    with pytest.raises(DeniedError):
        asyncio.run(ask(prompter))
    assert not (folder / "ran").exists()


def test_where_a_link_leads_is_what_counts(folder: Path) -> None:
    """`/usr/bin/ssh-askpass` is one on many systems; a loop and a folder are no programs."""
    (folder / "link").symlink_to(program(folder / "ask", "exit 0"))
    prompter = prompter_of({}, str(folder / "link"))
    assert prompter is not None
    assert asyncio.run(ask(prompter)) is Consent.SESSION
    (folder / "ask").chmod(0o722)
    assert prompter.way == ""
    (folder / "loop").symlink_to("loop")
    for path in (folder / "loop", folder, folder / "nothing"):
        assert unfit(str(path))
    assert unfit("ask") == "is no absolute path"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("zenity", "exit 0", Consent.ONCE),
        ("zenity", "echo For this session; exit 1", Consent.SESSION),
        ("zenity", "exit 1", Consent.NO),
        ("zenity", "exit 5", Consent.NO),
        ("zenity", "echo cannot open display; exit 0", Consent.NO),
        ("kdialog", "echo once; exit 0", Consent.ONCE),
        ("kdialog", "echo session; exit 0", Consent.SESSION),
        ("kdialog", "echo no; exit 0", Consent.NO),
        ("kdialog", "exit 0", Consent.NO),
        ("kdialog", "exit 1", Consent.NO),
        ("kdialog", "echo once; exit 1", Consent.NO),
    ],
)
def test_a_dialogs_answer(folder: Path, name: str, text: str, expected: Consent) -> None:
    """What each of its buttons comes to; where it fails, that is a no."""
    program(folder / name, text)
    environ = {"WAYLAND_DISPLAY": "wayland-0", "PATH": f"{folder}:{os.defpath}"}
    prompter = prompter_of(environ, None)
    assert prompter is not None
    assert prompter.way == f"a dialog of {name}"
    assert asyncio.run(prompter.ask(QUESTION)) == Reply(expected, f"a dialog of {name}")
    if expected is Consent.SESSION:
        assert asyncio.run(ask(prompter, EACH)) is Consent.ONCE


def test_without_a_screen_there_is_no_dialog(folder: Path) -> None:
    """Nor with a dialog that others may write; a relative SSH_ASKPASS is none."""
    script = Path(program(folder / "zenity", "exit 0"))
    path = {"PATH": str(folder)}
    assert prompter_of(path, None) is None
    assert prompter_of(path | {"SSH_ASKPASS": "zenity"}, None) is None
    assert prompter_of(path | {"DISPLAY": ":0"}, None) is not None
    script.chmod(0o777)
    assert prompter_of(path | {"DISPLAY": ":0"}, None) is None
