"""Asking: the questions of steps, one at a time, and what counts as an answer."""

import re
import unicodedata
from collections.abc import Mapping

from tool_agentd.broker.login import Login, LoginState, Prompt
from tool_agentd.broker.values import Values
from tool_agentd.definition.credentials import SECRET_MAX
from tool_agentd.definition.pattern import SUBJECT_MAX
from tool_agentd.definition.steps import Ask
from tool_agentd.definition.template import BREAKING
from tool_agentd.errors import AgentError, InvalidRequestError
from tool_agentd.secret import Secret

ANSWER_MAX = 512
"""Characters of a plain answer: an email address has at most 320."""


class Asking:
    """Who is asked: answers given in advance come first, then the person."""

    def __init__(self, login: Login, preset: Mapping[str, str | Secret]) -> None:
        """Ask through `login`; each of `preset` answers once."""
        self._login = login
        self._preset = dict(preset)

    async def ask(self, ask: Ask, values: Values) -> None:
        """Put a good answer into `values`, asking until there is one.

        A value of that name that is there already is the answer: an earlier step has asked.
        """
        if ask.name in values:
            return
        if ask.name in self._preset:
            given = self._preset.pop(ask.name)
            try:
                values.put(ask.name, answer(ask, given, values))
            except InvalidRequestError as error:
                await self.again(ask, values, error)
            return
        await self._until_good(ask, values)

    async def again(self, ask: Ask, values: Values, why: AgentError) -> None:
        """Ask for a value anew, and say what was wrong with the last."""
        self._wrong(why)
        await self._until_good(ask, values)

    async def _until_good(self, ask: Ask, values: Values) -> None:
        while True:
            given = await self._prompted(ask, values)
            try:
                values.put(ask.name, answer(ask, given, values))
            except InvalidRequestError as error:
                self._wrong(error)
                continue
            if self._login.view.notice is not None:
                self._login.update(notice=None)
            return

    async def _prompted(self, ask: Ask, values: Values) -> Secret:
        prompt = Prompt(
            name=ask.name,
            label=values.shown(ask.label),
            secret=ask.secret,
            default="" if ask.secret else default_of(ask, values),
            choices=tuple(ask.choices),
            option=ask.option or "",
        )
        self._login.update(state=LoginState.AWAITING_INPUT, prompts=(prompt,))
        while True:
            given = (await self._login.answers()).get(ask.name)
            if given is not None:
                self._login.update(state=LoginState.WORKING, prompts=())
                return given

    def _wrong(self, error: AgentError) -> None:
        self._login.update(notice=error, notices=self._login.view.notices + 1)


def default_of(ask: Ask, values: Values) -> str:
    """Return what an empty answer means; empty where there is no default."""
    found = values.shown(ask.default or "")
    return slug(found) if ask.form == "slug" else found


def answer(ask: Ask, given: str | Secret, values: Values) -> str | Secret:
    """Return the value that an answer means.

    Raises InvalidRequestError for one that cannot be; its text never repeats a secret.
    """
    raw = given.reveal() if isinstance(given, Secret) else given
    # A password may begin or end with a blank; a key never does.
    text = raw.rstrip("\r\n") if ask.secret and ask.pattern is None else raw.strip()
    if not text:
        text = default_of(ask, values)
    elif ask.form == "slug":
        text = slug(text)
    name = values.shown(ask.label).strip().rstrip(":")
    if not text and ask.default is None:
        message = f"{name}: an answer is needed"
        raise InvalidRequestError(message)
    _check(ask, name, text)
    return Secret(text) if ask.secret else text


def _check(ask: Ask, name: str, text: str) -> None:
    most = SECRET_MAX if ask.secret else ANSWER_MAX
    if len(text) > most:
        message = f"{name}: more than {most} characters"
        raise InvalidRequestError(message)
    if any(sign in text for sign in BREAKING) or not (ask.secret or text.isprintable()):
        message = f"{name}: the answer holds a character that does not print"
        raise InvalidRequestError(message)
    if ask.choices and text not in ask.choices:
        message = f"{name}: {text!r} is none of them"
        raise InvalidRequestError(message, hint=f"choose one of: {', '.join(ask.choices)}")
    if ask.pattern is not None and (
        len(text) > SUBJECT_MAX or re.fullmatch(ask.pattern, text) is None
    ):
        message = f"{name}: this does not have the shape {ask.shape or ask.pattern}"
        raise InvalidRequestError(message, hint="nothing was sent; check what was given")


def slug(text: str) -> str:
    """Return a text as it stands in addresses: `Acme Inc.` is `acme-inc`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
