"""The route `as`: a tool's own auth commands, word for word, done by the agent."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from tool_agent import wire
from tool_agentd.api import wording, words
from tool_agentd.api.accounts import OwnCredential, identity_json, logout_json
from tool_agentd.api.answers import Answer
from tool_agentd.api.call import Body, Call, Json, reads
from tool_agentd.api.credentials import token_ask
from tool_agentd.api.forms import form_for
from tool_agentd.api.logins import LoginRoutes, own_works
from tool_agentd.api.own import own_of, taken_of
from tool_agentd.api.wording import Printed
from tool_agentd.broker import Broker, TokenAsk
from tool_agentd.broker.actions import ActionOrder
from tool_agentd.broker.api_keys import IssuedKey
from tool_agentd.broker.cause import Cause
from tool_agentd.broker.logins import LoginOrder
from tool_agentd.definition import face as own_words
from tool_agentd.definition.face import FORMS, Form, Meaning
from tool_agentd.definition.faces import Face, Word
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import (
    AgentError,
    CheckEnvError,
    InvalidRequestError,
    NotFoundError,
    UnknownAccountError,
)
from tool_agentd.model import AccountKey
from tool_agentd.ports import Clock
from tool_agentd.secret import Secret
from tool_agentd.session import Active, grant_of, settled

ACCEPTED = 202
"""There is a login or an action to follow."""
NOT_FOUND = 404
BAD_REQUEST = 400
STDIN = "-"
"""An option's value that means: read it from stdin, where the client answers questions from."""


class AsBody(Body, frozen=True):
    """The body of POST .../as."""

    words: list[str]
    tty: bool = False
    """Whether the client has a person to ask. Said for the contract's sake: who asks, and whether
    anybody can be asked, is the client's to know, and no answer depends on it."""
    account: str | None = None
    credential: OwnCredential | None = None
    """The person's own variable, for this one request."""
    env: dict[str, Secret] | None = None
    """Instead of `credential`: what the client has of the variables that the definition names. The
    first that counts is used, and the rest is not looked at."""
    method: str | None = None
    """The login method that takes a variable of the person's, where the words choose none."""


class AsRoutes:
    """The tools' own words."""

    def __init__(self, broker: Broker, logins: LoginRoutes, clock: Clock) -> None:
        """Serve from `broker`; `logins` shows what is to follow."""
        self._broker = broker
        self._logins = logins
        self._clock = clock

    async def command(self, call: Call) -> Answer:
        """GET /v1/commands/{command}: which tool a program on PATH belongs to."""
        call.query()
        name = call.params[0]
        tools = self._broker.catalogue.tools.values()
        faces = {tool.name: tool.face for tool in tools if tool.face and tool.face.command == name}
        named = list(faces)
        if len(named) > 1:
            message = f"{' and '.join(named)} both have a command called {name}"
            raise InvalidRequestError(message, hint="say which: tool-agent as TOOL WORD ...")
        if not named:
            message = f"no tool has a command called {name[:64]!r}"
            raise NotFoundError(message, hint="run 'tool-agent tool list'")
        # So that a shim need not send us what is for the real program.
        auth_words = [word.words for word in faces[named[0]].word]
        data = {"schema": wire.SCHEMA, "command": name, "tool": named[0], "words": auth_words}
        return Answer(data, named[0], named[0] + "\n")

    @reads(body=AsBody)
    async def run(self, call: Call) -> Answer:
        """POST /v1/tools/{tool}/as: the answer at once, or a login to follow."""
        call.query()
        body = await call.json(AsBody)
        if body.credential is not None and body.env is not None:
            message = "credential and env are two ways of saying the same"
            raise InvalidRequestError(message, hint="send one of them")
        tool = self._broker.catalogue.get(call.params[0])
        if tool.face is None:
            message = f"the definition of {tool.name} has no commands of the tool's own"
            raise NotFoundError(message, hint=f"run 'tool-agent login {tool.name}'")
        command = _Command(self._broker, self._logins, self._clock, call, body, tool, tool.face)
        return await command.answer()


class _Command:
    """One command of a tool: what its words mean, done."""

    def __init__(  # noqa: PLR0913 - the request, and what it is about
        self,
        broker: Broker,
        logins: LoginRoutes,
        clock: Clock,
        call: Call,
        body: AsBody,
        tool: ToolDefinition,
        face: Face,
    ) -> None:
        self._broker = broker
        self._logins = logins
        self._clock = clock
        self._call = call
        self._body = body
        self._tool = tool
        self._face = face
        self._account = body.account
        self._env = body.env
        self._own = body.credential.own() if body.credential is not None else None
        if self._own is None and self._env is not None:
            self._own = own_of(tool, self._env, before_session=True)
        self._ask: TokenAsk = token_ask(call, {"account": body.account or ""}, tool.name)
        if self._env is not None:  # the client has looked
            self._ask = msgspec.structs.replace(self._ask, unset=None)

    async def answer(self) -> Answer:
        """Do it. Raises NotFoundError for words that are none of the tool's auth words."""
        try:
            meaning = own_words.meaning(self._face, self._body.words)
        except InvalidRequestError as error:
            given = [FORMS[word] for word in self._body.words if word in FORMS]
            return self._failed(error, given[-1] if given else "human", None)
        if meaning is None:
            known = ", ".join(f"{self._face.command} {word.words}" for word in self._face.word)
            message = f"these are none of the auth words of {self._tool.name}"
            raise NotFoundError(message, hint=f"it has: {known}")
        if meaning.word.do == "login":
            self._account = meaning.values.pop(own_words.ACCOUNT, self._account)
        if meaning.help:
            return _printed(Printed(out=self._help(meaning.word)))
        form: Form = meaning.form or "human"
        try:
            # A logout is about what the agent stores, whatever the person has set besides.
            if meaning.word.do != "logout" and self._own is None:
                choosing = meaning.word.do == "login" and self._method(meaning) is None
                self._broker.check_env(self._tool, self._ask, choosing=choosing)
            if meaning.word.do == "logout" or self._own is None:
                await self._broker.load()  # the person's own variable touches no store
            self._without_session(meaning)
            form = self._form(meaning)
            return await self._do(meaning, form)
        except CheckEnvError:
            raise
        except AgentError as error:
            return self._failed(error, form, meaning.word)

    async def _do(self, meaning: Meaning, form: Form) -> Answer:
        match meaning.word.do:
            case "whoami":
                return await self._whoami(meaning.word, form)
            case "logout":
                return await self._logout(meaning.word, form)
            case "login":
                return await self._login(meaning)
            case "action":
                return await self._action(meaning, form)
            case "list-keys":
                keys = await self._broker.list_keys(self._ask, self._call.peer, self._own)
                return _printed(_listed(keys, meaning.word, form))
            case "issue-key":
                key = await self._broker.issue_key(
                    self._ask, self._call.peer, meaning.values["label"], self._own
                )
                return _printed(_issued(key, meaning.word, form), secret=True)
            case "revoke-key":
                id_ = meaning.values["id"]
                await self._broker.revoke_key(self._ask, self._call.peer, id_, self._own)
                return _printed(_revoked(id_, meaning.word, form))

    # -- whoami and logout -----------------------------------------------------------------------

    async def _whoami(self, word: Word, form: Form) -> Answer:
        who, credential = await self._broker.identity(self._ask, self._call.peer, self._own)
        if form == "json":
            ours = identity_json(self._tool.name, who, credential)
            return _printed(Printed(out=wording.json_line({**who.fields, **ours})))
        text = who.text
        if word.text is not None:
            values = {"name": who.identity.name, "account": credential.account}
            text = wording.filled(word.text, {**who.fields, **values})
        return _printed(Printed(out=wording.line(text)))

    async def _logout(self, word: Word, form: Form) -> Answer:
        key = self._key()
        grant = grant_of(self._broker.sessions.get(key))
        try:
            report = await self._broker.logout(
                self._tool.name, self._body.account, peer=self._call.peer
            )
        except UnknownAccountError as error:
            # Nothing was stored, so what the person wants is so already, unless the tool minds.
            if error.code in self._face.messages or word.text is None:
                raise
            data: Json = {"schema": wire.SCHEMA, "tool": self._tool.name, "account": key.label}
            text, notes = wording.filled(word.text, {"account": key.label}), ""
        else:
            data = logout_json(self._tool.name, report)
            text, notes = words.logout(self._tool.name, report), ""
            if word.text is not None:
                name = grant.identity.name if grant is not None else ""
                text = wording.filled(word.text, {"account": key.label, "name": name})
                notes = words.logout_notes(report)
        out = wording.json_line(data) if form == "json" else wording.line(text)
        return _printed(Printed(out=out, err=notes))

    # -- what takes a while ----------------------------------------------------------------------

    async def _login(self, meaning: Meaning) -> Answer:
        if self._own is not None:
            who, _ = await self._broker.identity(self._ask, self._call.peer, self._own)
            text = own_works(self._own[0], who)
            document = {"schema": wire.SCHEMA, "tool": self._tool.name, "text": text}
            asked = meaning.form == "json"
            return _printed(
                Printed(out=wording.json_line(document) if asked else wording.line(text))
            )
        provider = self._broker.catalogue.provider(self._tool)
        method = self._method(meaning) or meaning.word.method
        inputs = {n: Secret(value) for n, value in meaning.values.items() if value != STDIN}
        secret = own_words.secrets_of(provider.login, method) & set(inputs)
        if self._method(meaning) is None and self._env is not None:
            taken = taken_of(self._tool, self._env, provider.login)
            method, inputs = taken if taken is not None else (method, inputs)
        order = LoginOrder(
            self._tool,
            self._key(),
            method,
            inputs=inputs or None,
            text=meaning.word.text,
            by=Cause(self._call.peer, self._tool.name),
        )
        view, joined = await self._broker.start_login(order)
        warning = ""
        if secret:
            warning = (
                "warning: a key among the arguments is visible to other processes;"
                f" {STDIN} in its place reads it from stdin\n"
            )
        # Before a login there is no session whose method could decide the form.
        return self._follow(
            self._logins.shown(view, joined=joined), meaning.form or "human", warning
        )

    async def _action(self, meaning: Meaning, form: Form) -> Answer:
        order = ActionOrder(
            tool=self._tool,
            key=self._key(),
            name=meaning.word.action or "",
            inputs={name: Secret(value) for name, value in meaning.values.items()},
            text=meaning.word.text,
            own=self._own,
            peer=self._call.peer,
        )
        view = await self._broker.start_action(order)
        return self._follow(self._logins.shown(view), form)

    def _follow(self, view: Json, form: Form, warning: str = "") -> Answer:
        headers = {wire.STDERR_HEADER: quote(warning)} if warning else {}
        return Answer({**view, "form": form}, status=ACCEPTED, headers=headers, document=True)

    # -- the rest --------------------------------------------------------------------------------

    def _method(self, meaning: Meaning) -> str | None:
        """Return the login method that the person has chosen, by word or by variable."""
        logins = self._broker.catalogue.provider(self._tool).login
        given = own_words.method_for(logins, meaning.values)
        return meaning.method or given or self._body.method

    def _key(self) -> AccountKey:
        tool = self._tool
        return self._broker.sessions.key_for(tool.name, tool.provider_name, self._account)

    def _without_session(self, meaning: Meaning) -> None:
        """Use the variable that counts where there is no session, if it was sent."""
        if self._own is not None or self._env is None or meaning.word.do in {"login", "logout"}:
            return
        there = settled(self._broker.sessions.get(self._key()), self._clock.now())
        if not isinstance(there, Active):
            self._own = own_of(self._tool, self._env, before_session=False)

    def _form(self, meaning: Meaning) -> Form:
        own = self._own[0] if self._own is not None else None
        return form_for(self._broker, self._tool, self._body.account, own, meaning.form)

    def _failed(self, error: AgentError, form: Form, word: Word | None) -> Answer:
        status, _ = wire.ERRORS[error.code]
        if status == NOT_FOUND:  # that would say that the words are not the tool's
            status = BAD_REQUEST
        printed = wording.failure(self._face, error, form, word)
        return _printed(printed, code=error.code, status=status)

    def _help(self, word: Word) -> str:
        usage = own_words.usage(self._face, word)
        return (
            f"usage: {usage}\n\ntool-agent does this command of {self._tool.title}; see also"
            f" 'tool-agent tool show {self._tool.name}'.\n"
        )


def _printed(
    printed: Printed, *, code: str | None = None, status: int = 200, secret: bool = False
) -> Answer:
    return Answer(
        {"schema": wire.SCHEMA, **printed.json(code=code)},
        printed.out,
        printed.out,
        printed.err,
        printed.exit,
        secret=secret,
        status=status,
        headers={wire.CODE_HEADER: code} if code else {},
    )


def _values(key: IssuedKey) -> Mapping[str, str]:
    found = {"id": key.id, "label": key.label, "created": key.created or ""}
    return found | ({"key": key.key.reveal()} if key.key is not None else {})


def _listed(keys: tuple[IssuedKey, ...], word: Word, form: Form) -> Printed:
    if form == "json":
        return Printed(out=wording.json_line([_values(key) for key in keys]))
    if not keys:
        return Printed(err=words.NO_KEYS)
    if word.text is not None:
        text = word.text
        return Printed(out="".join(wording.line(wording.filled(text, _values(k))) for k in keys))
    return Printed(out=words.issued_keys(keys))


def _issued(key: IssuedKey, word: Word, form: Form) -> Printed:
    if form == "json":
        return Printed(out=wording.json_line(_values(key)))
    text = wording.filled(word.text or "{key}", _values(key))
    err = "" if word.text else words.issued(key)
    return Printed(out=wording.line(text), err=err)


def _revoked(id_: str, word: Word, form: Form) -> Printed:
    if form == "json":
        return Printed(out=wording.json_line({"schema": wire.SCHEMA, "id": id_, "revoked": True}))
    return Printed(out=wording.line(wording.filled(word.text or "Revoked {id}.", {"id": id_})))
