"""Question: what the person is asked, in words that nobody who asks can bend.

The names of programs, scopes and accounts come from elsewhere. Each is shown in quotes, bounded,
and free of whatever could end the quotes, begin a line, be markup, or turn the writing round.
"""

import unicodedata

from tool_agentd.broker.gate import Wanted
from tool_agentd.model import Peer, Question
from tool_agentd.policy import Confirm

LONGEST = 120
"""Characters of a foreign text that are shown: a path's begin and end tell what it is."""
_PLAIN = frozenset(" !#$%()*+,-./:;=?@[]^_{|}~")
"""The marks of ASCII that no shell of quotes, and no dialog's markup, has a meaning for."""

UNKNOWN = "a program that cannot be told"


def quoted(text: str) -> str:
    """Return a foreign text in quotes, fit to be shown in any dialog."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}[...]{text[-half:]}"
    return "'" + "".join(_shown(character) for character in text) + "'"


def _shown(character: str) -> str:
    # Letters that run from right to left move what stands beside them, without any control.
    letter = character.isalnum() and unicodedata.bidirectional(character) in {"L", "EN"}
    if letter or character in _PLAIN:
        return character
    return f"\\u{ord(character):04x}"


def question_of(wanted: Wanted, title: str, verdict: Confirm, *, session: bool) -> Question:
    """Return the question about what is wanted."""
    peer = wanted.peer
    requester = peer.requester
    program = peer.executable if requester is None else requester.executable
    pid = peer.pid if requester is None else requester.pid
    terminal = requester.terminal if requester is not None else ""
    through = ""
    if requester is not None:
        through = f"{_program(peer.executable)} (process {peer.pid})"
    return Question(
        tool=quoted(wanted.tool),
        title=quoted(title),
        account=quoted(wanted.key.label),
        scope=quoted(wanted.scope) if wanted.scope else "",
        audience=quoted(wanted.audience) if wanted.audience else "",
        program=_program(program),
        where=f"process {pid}, " + (f"terminal {quoted(terminal)}" if terminal else "no terminal"),
        through=through + _foreign(peer),
        rule=verdict.rule,
        session=session,
    )


def _program(path: str) -> str:
    return quoted(path) if path else UNKNOWN


def _foreign(peer: Peer) -> str:
    return f", from another {' and '.join(peer.foreign)} namespace" if peer.foreign else ""


def lines(question: Question) -> list[tuple[str, str]]:
    """Return the question's facts, each with its name."""
    rows = [
        ("tool", f"{question.tool} ({question.title})"),
        ("account", question.account),
        ("scope", question.scope or "all that the login has"),
    ]
    if question.audience:
        rows.append(("audience", question.audience))
    rows.append(("asked by", f"{question.program} ({question.where})"))
    if question.through:
        rows.append(("through", question.through.removeprefix(", ")))
    return [*rows, ("rule", question.rule)]


def words(question: Question) -> str:
    """Return the question as a dialog shows it."""
    facts = "".join(f"{name}: {text}\n" for name, text in lines(question))
    return f"Hand out a credential?\n\n{facts}"
