"""Checks of the face: actions, API keys, output, and the tool's own words and messages."""

import re
from collections.abc import Iterator

from tool_agent import wire
from tool_agentd.definition import check_flows, check_request, check_steps, check_text
from tool_agentd.definition.address import ALLOWED, AddressError, origin_of
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.errors import Finding, joined, shown
from tool_agentd.definition.faces import Action, ApiKeys, Face, Word
from tool_agentd.definition.flows import Procedure
from tool_agentd.definition.vocabulary import ToolDefinition

OF_MESSAGES = frozenset({"detail", "hint"})
OF_HTTP = frozenset({"status"})
OF_AN_ISSUE = frozenset({"label"})
OF_A_REVOKE = frozenset({"id"})

OUTCOMES = {
    "login": frozenset({"name", "account", "method"}),
    "logout": frozenset({"name", "account"}),
    "whoami": frozenset({"name", "account"}),
    "issue-key": frozenset({"key", "id", "label", "created"}),
    "list-keys": frozenset({"id", "label", "created"}),
    "revoke-key": frozenset({"id"}),
    "action": frozenset[str](),
}
"""`do` -> what a word's `text` may use, besides an action's values and an identity's fields."""
TAKES = {
    "login": frozenset({"method", "account", "secret"}),
    "issue-key": frozenset({"label"}),
    "revoke-key": frozenset({"id"}),
}
"""`do` -> what options and arguments may give, besides what steps ask for."""

MANAGES = {"issue-key": "issue", "list-keys": "listing", "revoke-key": "revoke"}
"""`do` -> the part of `[api_keys]` that says how."""
NEEDS_NO_SESSION = frozenset({"login", "logout"})
"""What never says that the person has to sign in."""

OTHER = "other"
"""Among error codes: every code that is not there."""
HTTP = "http"
"""Among `codes`: answers of the platform that have an HTTP status."""

STATUS_MAX = 255
"""What a process can exit with."""

_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*( [A-Za-z0-9][A-Za-z0-9._:-]*)*")


def actions(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[action]`."""
    ids = [spec.id for spec in definition.credential]
    for name, action in definition.action.items():
        key = joined("action", name)
        if not check_text.NAME.fullmatch(name):
            yield Finding(key, shown(name), check_text.NAME_WORDS)
        if not action.title.strip():
            yield Finding(f"{key}.title", shown(action.title), "what it does, in words")
        yield from check_text.printed(f"{key}.title", action.title, Values())
        values = Values(frozenset(definition.vars) | check_flows.GIVEN_TO_STEPS)
        values = yield from check_steps.steps(f"{key}.step", action.step, values, ids)
        yield from check_text.printed(f"{key}.text", action.text, values, lines=True)
        yield from _brings(f"{key}.login", action, definition)


def _brings(key: str, action: Action, definition: ToolDefinition) -> Iterator[Finding]:
    """Find an action whose session would never be there, or is saved without being one."""
    saving = next((index for index, step in enumerate(action.step) if step.saves), None)
    if saving is not None and action.login is None:
        place = f"{key.removesuffix('.login')}.step[{saving}].saves"
        yield Finding(place, "saves without a session", "`login` of the action, which names it")
    if action.login is None or definition.provider is not None:
        return
    methods = {
        name: login.obtain
        for name, login in definition.login.items()
        if isinstance(login, Procedure)
    }
    what = "a login method that has steps"
    yield from check_text.reference(key, action.login, methods, what)
    if action.login in methods:
        obtain = methods[action.login]
        name = obtain.secret or obtain.access_token
        secrets = check_steps.taken_secrets(action.step)
        if name is not None and name not in secrets:
            found = f"{shown(action.login)}, whose session is the value {shown(name)}"
            allowed = f"a step of this action that takes {shown(name)} as a secret"
            yield Finding(key, found, allowed)


def api_keys(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[api_keys]`."""
    keys = definition.api_keys
    ids = [spec.id for spec in definition.credential]
    for index, id_ in enumerate(keys.accepts):
        what = "the id of a credential"
        yield from check_text.reference(f"api_keys.accepts[{index}]", id_, ids, what)
    managed = [part for part in ("listing", "issue", "revoke") if getattr(keys, part) is not None]
    if managed and not keys.accepts:
        allowed = f"the ids of the credentials that may manage keys ({', '.join(managed)})"
        yield Finding("api_keys.accepts", "nothing", allowed)
    yield from _key_requests(keys, Values(frozenset(definition.vars)))
    if keys.variable is not None:
        known = [*definition.env, *(one.name for one in person_variables(definition))]
        what = "a variable that this tool reads its key from"
        yield from check_text.reference("api_keys.variable", keys.variable, known, what)
    if keys.create_url is not None:
        yield from _page("api_keys.create_url", keys.create_url)
    for index, line in enumerate(keys.steps):
        yield from check_text.printed(f"api_keys.steps[{index}]", line, Values())


def _key_requests(keys: ApiKeys, values: Values) -> Iterator[Finding]:
    given = {"listing": frozenset[str](), "issue": OF_AN_ISSUE, "revoke": OF_A_REVOKE}
    for part, names in given.items():
        spec = getattr(keys, part)
        if spec is None:
            continue
        yield from check_request.filled(
            f"api_keys.{part}.request", spec.request, values.plus(names)
        )
        for path in ("items", "id", "label", "created", "key"):
            text = getattr(spec, path, "")
            if text or (path != "items" and hasattr(spec, path)):
                yield from check_text.dotted(f"api_keys.{part}.{path}", text)


def _page(key: str, address: str) -> Iterator[Finding]:
    """Check a page that the person is only told of: nothing of ours goes there."""
    try:
        origin_of(address)
    except AddressError as error:
        yield Finding(key, f"{error} ({shown(address)})", ALLOWED)


def output(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[output]`."""
    for method in definition.output.by_method:
        if definition.provider is None:
            key = joined("output.by_method", method)
            yield from check_text.reference(key, method, definition.login, "a login method")


def face(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[face]`."""
    if definition.face is None:
        return
    if not _COMMAND.fullmatch(definition.face.command):
        allowed = "a program's name: letters, digits and . _ -"
        yield Finding("face.command", shown(definition.face.command), allowed)
    seen: set[str] = set()
    for index, word in enumerate(definition.face.word):
        key = f"face.word[{index}]"
        if not _WORDS.fullmatch(word.words):
            allowed = "the words of a command, separated by single blanks"
            yield Finding(f"{key}.words", shown(word.words), allowed)
        if word.words in seen:
            found = f"{shown(word.words)} a second time"
            yield Finding(f"{key}.words", found, "each command once")
        seen.add(word.words)
        yield from _word(key, word, definition)
    yield from _messages(definition.face)


def _manages(key: str, word: Word, keys: ApiKeys) -> Iterator[Finding]:
    """Find a word for keys that the definition does not say how to manage."""
    part = MANAGES.get(word.do)
    if part is None or getattr(keys, part) is not None:
        return
    if part == "issue" and keys.create_url is not None and keys.steps:
        return  # the person is told where keys are made, and how
    allowed = f"[api_keys.{part}] for it"
    if part == "issue":
        allowed += ", or create_url and steps"
    yield Finding(f"{key}.do", f"{shown(word.do)} without api_keys.{part}", allowed)


def _word(key: str, word: Word, definition: ToolDefinition) -> Iterator[Finding]:
    if word.do == "action":
        what = "the name of an action"
        place = f"{key}.action"
        yield from check_text.reference(place, word.action or "", definition.action, what)
    elif word.action is not None:
        yield Finding(f"{key}.action", shown(word.action), 'action only with do = "action"')
    yield from _method(key, word, definition)
    yield from _manages(key, word, definition.api_keys)
    if word.hint is not None and word.do in NEEDS_NO_SESSION:
        found = f'hint beside do = "{word.do}"'
        yield Finding(f"{key}.hint", found, "hint only for what needs a session")
    for part in ("flags", "options"):
        for option in getattr(word, part):
            yield from check_text.option(joined(f"{key}.{part}", option), option, short=True)
    yield from _given_by(key, word, definition)
    values = Values(frozenset(definition.vars) | OUTCOMES[word.do])
    if word.do == "whoami":
        values = values.plus(name for one in definition.identity.values() for name in one.fields)
    if word.do == "action" and word.action in definition.action:
        made = check_steps.produced(definition.action[word.action].step)
        values = values.plus(made.plain, made.secret)
    yield from check_text.printed(f"{key}.text", word.text, values, lines=True)
    yield from check_text.printed(f"{key}.hint", word.hint, Values(frozenset(definition.vars)))


def _method(key: str, word: Word, definition: ToolDefinition) -> Iterator[Finding]:
    """Check which login methods the words choose."""
    if word.do != "login":
        for part in ("method", "flags"):
            if getattr(word, part):
                allowed = f'{part} only with do = "login"'
                yield Finding(f"{key}.{part}", f'{part} beside do = "{word.do}"', allowed)
    elif definition.provider is None:
        what = "a login method"
        if word.method is not None:
            yield from check_text.reference(f"{key}.method", word.method, definition.login, what)
        for flag, method in word.flags.items():
            place = joined(f"{key}.flags", flag)
            yield from check_text.reference(place, method, definition.login, what)


def _given_by(key: str, word: Word, definition: ToolDefinition) -> Iterator[Finding]:
    """Check which values the options and the arguments of a command give."""
    if definition.provider is not None and word.do == "login":
        return
    if word.do == "login":
        steps = [step for one in definition.login.values() for step in check_flows.steps_of(one)]
    else:
        action = definition.action.get(word.action or "")
        steps = action.step if action is not None else []
        if word.do == "action" and action is None:
            return
    known = sorted({ask.name for ask in check_steps.asks_of(steps)} | TAKES.get(word.do, set()))
    what = "a value that is asked for"
    for option, name in word.options.items():
        yield from check_text.reference(joined(f"{key}.options", option), name, known, what)
    for index, name in enumerate(word.arguments):
        place = f"{key}.arguments[{index}]"
        yield from check_text.reference(place, name, known, what)
        if name in word.arguments[:index]:
            yield Finding(place, f"{shown(name)} a second time", "each value once")


def _messages(spec: Face) -> Iterator[Finding]:
    if spec.codes and not spec.json_errors:
        allowed = "json_errors = true beside them, or none: only JSON errors have codes"
        yield Finding("face.codes", "codes without json_errors", allowed)
    what = "an error's code"
    for part in ("messages", "codes", "exit"):
        known = [*wire.ERRORS, OTHER, HTTP] if part == "codes" else [*wire.ERRORS, OTHER]
        for code in getattr(spec, part):
            yield from check_text.reference(joined(f"face.{part}", code), code, known, what)
    for code, text in spec.messages.items():
        place = joined("face.messages", code)
        yield from check_text.printed(place, text, Values(OF_MESSAGES), lines=True)
    for code, text in spec.codes.items():
        yield from check_text.printed(joined("face.codes", code), text, Values(OF_HTTP))
    for code, status in spec.exit.items():
        if not 0 <= status <= STATUS_MAX:
            yield Finding(joined("face.exit", code), shown(status), f"0 to {STATUS_MAX}")
