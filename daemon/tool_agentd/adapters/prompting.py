"""Prompting: the person is asked on their screen, by a program of theirs or by a desktop's dialog.

A program in the manner of SSH_ASKPASS gets the question as its one argument; exit status 0 is a yes
(ssh-add(1), SSH_ASKPASS_PROMPT=confirm), unless it prints another word. No secret is in the
question, and little of the agent's environment reaches whoever asks.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tool_agent import paths
from tool_agentd.adapters.watch import foreign, foreign_folder
from tool_agentd.broker.question import words
from tool_agentd.errors import DeniedError
from tool_agentd.model import Consent, Question, Reply
from tool_agentd.ports import Prompter

SSH_ASKPASS = "SSH_ASKPASS"
HANDED_ON = (
    paths.HOME,
    paths.DISPLAY,
    paths.WAYLAND_DISPLAY,
    "XAUTHORITY",
    paths.XDG_RUNTIME_DIR,
    "DBUS_SESSION_BUS_ADDRESS",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
)
"""Variables that a dialog needs to find the person's screen and their language."""
TOLD = {"SSH_ASKPASS_PROMPT": "confirm", paths.PATH: os.defpath}
SAID_MAX = 4096
"""Bytes of what it prints that are read; an answer is one word."""

AFFIRMATIVE = frozenset({"", "yes"})
"""What a program in the manner of SSH_ASKPASS may print with a yes."""

SESSION_BUTTON = "For this session"


class ProgramPrompter:
    """Implements ports.Prompter by a program in the manner of SSH_ASKPASS."""

    def __init__(self, path: str, environ: Mapping[str, str], *, chosen: str) -> None:
        """`chosen` says where the program is named; `environ` is the agent's own."""
        self._path = path
        self._environ = environ
        self._chosen = chosen
        self._by = f"the program {path}"

    @property
    def way(self) -> str:
        """Return the program, if it may be run."""
        return "" if self._problem() else self._by

    @property
    def reasons(self) -> Sequence[str]:
        """Return why it may not be run."""
        problem = self._problem()
        return [f"{self._chosen}: {self._path} {problem}"] if problem else []

    async def ask(self, question: Question) -> Reply:
        """Return yes for exit status 0: for the session, where the question offers that.

        A program that knows nothing of `confirm` lets a text be typed, and prints it with status 0:
        as for ssh-agent (readpass.c, ask_permission), nothing and "yes" are a yes, and "no" is not.
        """
        problem = self._problem()
        if problem:
            raise DeniedError(f"{self._chosen}: {self._path} {problem}")
        offer = "for this terminal session" if question.session else "this once"
        argv = [_real(self._path), f"{words(question)}\nAllow it {offer}?"]
        status, said = await _run(argv, self._environ)
        if status != 0 or said.lower() not in AFFIRMATIVE:
            return Reply(Consent.NO, self._by)
        return Reply(Consent.SESSION if question.session else Consent.ONCE, self._by)

    def _problem(self) -> str:
        return unfit(self._path)


class DialogPrompter:
    """Implements ports.Prompter by a dialog of the desktop."""

    def __init__(
        self,
        path: str,
        environ: Mapping[str, str],
        argv: Callable[[Question], Sequence[str]],
        read: Callable[[int, str], Consent],
    ) -> None:
        """`argv` makes its arguments, and `read` makes sense of its status and what it prints."""
        self._path = path
        self._environ = environ
        self._argv = argv
        self._read = read
        self._by = f"a dialog of {Path(path).name}"

    @property
    def way(self) -> str:
        """Return the dialog, if it may be run."""
        return "" if unfit(self._path) else self._by

    @property
    def reasons(self) -> Sequence[str]:
        """Nobody has chosen it."""
        return ()

    async def ask(self, question: Question) -> Reply:
        """Show the dialog."""
        if unfit(self._path):
            raise DeniedError(f"{self._path} {unfit(self._path)}")
        status, said = await _run([_real(self._path), *self._argv(question)], self._environ)
        consent = self._read(status, said)
        if consent is Consent.SESSION and not question.session:
            consent = Consent.ONCE
        return Reply(consent, self._by)


def prompter_of(environ: Mapping[str, str], program: str | None) -> Prompter | None:
    """Return who asks: the program of config.toml, else that of SSH_ASKPASS, else a dialog."""
    if program is not None:
        return ProgramPrompter(program, environ, chosen="config.toml: prompt.program")
    named = environ.get(SSH_ASKPASS, "")
    if named.startswith("/"):
        return ProgramPrompter(named, environ, chosen=SSH_ASKPASS)
    if not (environ.get(paths.DISPLAY) or environ.get(paths.WAYLAND_DISPLAY)):
        return None
    for name, (argv, read) in _DIALOGS.items():
        found = shutil.which(name, path=environ.get(paths.PATH, os.defpath))
        if found is not None and found.startswith("/") and not unfit(found):
            return DialogPrompter(found, environ, argv, read)
    return None


# -- dialogs -------------------------------------------------------------------------------------


def _zenity(question: Question) -> list[str]:
    """zenity(1): status 0 for OK; another button prints its label, with status 1."""
    extra = [f"--extra-button={SESSION_BUTTON}"] if question.session else []
    return [
        "--question",
        "--no-markup",
        "--default-cancel",
        "--title=tool-agent",
        "--icon-name=dialog-password",
        "--ok-label=Allow once",
        "--cancel-label=Deny",
        *extra,
        f"--text={words(question)}",
    ]


def _read_zenity(status: int, said: str) -> Consent:
    if status == 0 and not said:
        return Consent.ONCE
    return Consent.SESSION if (status, said) == (1, SESSION_BUTTON) else Consent.NO


def _kdialog(question: Question) -> list[str]:
    """kdialog: a menu prints the tag that was chosen. Its buttons would tell "no" by status 1.

    That is the status of every failure too.
    """
    session = [Consent.SESSION.value, SESSION_BUTTON] if question.session else []
    return [
        "--title",
        "tool-agent",
        "--menu",
        words(question),
        *(Consent.NO.value, "Deny"),
        *(Consent.ONCE.value, "Allow once"),
        *session,
    ]


def _read_kdialog(status: int, said: str) -> Consent:
    yes = status == 0 and said in {Consent.ONCE.value, Consent.SESSION.value}
    return Consent(said) if yes else Consent.NO


_DIALOGS = {"zenity": (_zenity, _read_zenity), "kdialog": (_kdialog, _read_kdialog)}


# -- one program ---------------------------------------------------------------------------------


def unfit(path: str) -> str:
    """Return why a program may not ask the person; empty where it may.

    Where a link leads is what counts: `/usr/bin/ssh-askpass` is one on many systems.
    """
    if not path.startswith("/"):
        return "is no absolute path"
    real = _real(path)
    try:
        at = os.stat(real)  # noqa: PTH116 - text, as the rest of this module
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not Path(real).is_file() or not os.access(real, os.X_OK):
        return "is no program"
    uid = os.geteuid()
    reason = foreign(at, uid)
    if reason:
        return f"is {reason}"
    # Whoever may write into a folder above may put another program in its place.
    above = (str(folder) for folder in Path(real).parents if not _sticky(str(folder)))
    reasons = (foreign_folder(folder, uid) for folder in above)
    return next((f"is {reason}" for reason in reasons if reason), "")


def _sticky(folder: str) -> bool:
    """Tell whether nobody replaces what is another's in a folder, though all may write: /tmp."""
    at = os.stat(folder)  # noqa: PTH116 - as above
    return bool(at.st_mode & stat.S_ISVTX) and at.st_uid in {0, os.geteuid()}


def _real(path: str) -> str:
    return os.path.realpath(path)


async def _run(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a program; return its exit status and what it prints. Cancelled, it is killed.

    Raises DeniedError where it cannot be run.
    """
    handed = {name: environ[name] for name in HANDED_ON if environ.get(name)}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=TOLD | handed,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise DeniedError(f"{argv[0]} cannot be run: {error.strerror}") from error
    try:
        said = b""
        if process.stdout is not None:
            while chunk := await process.stdout.read(SAID_MAX):
                said = (said + chunk)[: SAID_MAX + 1]
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started in turn, too
        await process.wait()
    return status, said.decode("utf-8", "replace").strip()
