"""Wording: what the agent says in a tool's own way, in the two forms that a tool prints.

Pure: a face (`definition.faces`), what happened, and the form; stdout, stderr and exit status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tool_agent import wire
from tool_agentd.api.call import Json
from tool_agentd.broker.login import LoginView
from tool_agentd.definition import placeholder
from tool_agentd.definition.face import Form
from tool_agentd.definition.faces import Face, Word
from tool_agentd.errors import AgentError

OTHER = "other"
"""Stands for every error code that a face does not list."""
HTTP = "http"
"""Stands for an answer of the platform's, whatever its error code here."""

_UNKNOWN = "unknown"
"""What JSON errors call what the face has no name for."""
_FORMS: tuple[Form, ...] = ("human", "json")


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command prints, and how it ends."""

    out: str = ""
    err: str = ""
    exit: int = wire.EXIT_OK

    def json(self, **more: Any) -> Json:  # noqa: ANN401 - any JSON values
        """Return it as the JSON reply has it."""
        return {"stdout": self.out, "stderr": self.err, "exit": self.exit, **more}


def line(text: str) -> str:
    """Return a text with one line break at its end; nothing stays nothing."""
    return text.rstrip("\n") + "\n" if text else ""


def json_line(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON value as a line."""
    return msgspec.json.encode(value).decode() + "\n"


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text of a face, filled; a value that is not there is empty."""
    return placeholder.PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text)


def failure(face: Face, error: AgentError, form: Form, word: Word | None = None) -> Printed:
    """Return what the tool prints of an error, met by the command `word` if by one."""
    code = error.code
    values = {"detail": error.detail, "hint": error.hint or ""}
    status = face.exit.get(code, face.exit.get(OTHER, wire.EXIT_FAILURE))
    message = face.messages.get(code, face.messages.get(OTHER))
    if code == "login_required" and word is not None and word.hint is not None:
        message = word.hint
        if word.do == "whoami" and form == "human":  # "nobody" is an answer to "who am I?"
            return Printed(out=line(filled(message, values)))
    if form == "json" and face.json_errors:
        own = face.messages.get(code)  # `other` is made for lines
        said = {"error": error.detail if own is None else filled(own, values).strip()}
        return Printed(err=json_line(said | {"code": _name(face, error)}), exit=status)
    if message is None:
        message = "tool-agent: {detail}" + ("\nhint: {hint}" if error.hint else "")
    return Printed(err=line(filled(message, values).rstrip()), exit=status)


def _name(face: Face, error: AgentError) -> str:
    """Return what JSON errors call an error."""
    codes = face.codes
    if error.code == "login_required" and error.code in codes:
        return codes[error.code]
    other = codes.get(OTHER, _UNKNOWN)
    if error.status is not None:
        answered = codes.get(HTTP, codes.get("provider_error", other))
        return filled(answered, {"status": str(error.status)})
    name = codes.get(error.code, other)
    return other if "{status}" in name else name


def outcome(face: Face | None, view: LoginView) -> Json | None:
    """Return what the tool prints of a login or an action that is over, in each form."""
    if face is None or not view.state.over:
        return None
    return {form: _outcome(face, view, form).json() for form in _FORMS}


def noticed(face: Face | None, view: LoginView) -> Json | None:
    """Return what the tool prints of a wrong answer where nobody can give another."""
    if face is None or view.notice is None:
        return None
    word = _word_of(face, view)
    return {form: failure(face, view.notice, form, word).json() for form in _FORMS}


def _outcome(face: Face, view: LoginView, form: Form) -> Printed:
    if view.error is not None:
        return failure(face, view.error, form, _word_of(face, view))
    if form == "human":
        return Printed(out=line(view.text))
    said: Json = {"schema": wire.SCHEMA, "tool": view.tool, "account": view.key.label}
    if view.identity is not None:
        said["name"] = view.identity.name or None
    return Printed(out=json_line({**view.values, **said, "text": view.text}))


def _word_of(face: Face, view: LoginView) -> Word | None:
    """Return the command of an action; a login's own hint would send the person to itself."""
    if view.purpose != "action":
        return None
    return next((word for word in face.word if word.action == view.method), None)
