"""Checks of logins: what each flow needs, which credential it serves, what its steps bring."""

import re
from collections.abc import Iterator

from tool_agentd.definition import check_steps, check_text, placeholder
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.errors import Finding, joined, listed, nearest, shown
from tool_agentd.definition.flows import (
    Device,
    Exchange,
    Login,
    Loopback,
    LoopbackSecret,
    OAuthCode,
    OAuthMethod,
    Password,
    Paste,
    Poll,
    Procedure,
)
from tool_agentd.definition.steps import Obtain, Step
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition

GIVEN_TO_STEPS = frozenset({"signed_in"})
GIVEN_TO_BEGIN = frozenset({"redirect_uri", "state", "challenge"})
GIVEN_TO_REDEEM = frozenset({"code", "verifier"})
GIVEN_TO_OPEN = frozenset({"callback"})

PORT_MAX = 65535
LONGEST_TIMEOUT_S = 3600.0
"""Nobody comes back to a login page after an hour, and the listener should not wait longer."""
RETRIES_MAX = 10
"""Pages that a person waits on in vain before they want to know that it fails."""

OURS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "response_type",
        "state",
    }
)
"""Parameters of the authorization request that the agent sets itself."""

_CALLBACK = re.compile(r"/[A-Za-z0-9._~/-]*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
"""RFC 6749 section 3.3, with our placeholders."""


def logins(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[login]`."""
    variables = Values(frozenset(definition.vars))
    for method, login in definition.login.items():
        key = joined("login", method)
        if not check_text.NAME.fullmatch(method):
            yield Finding(key, shown(method), check_text.NAME_WORDS)
        yield from check_text.printed(f"{key}.title", login.title, Values())
        yield from check_text.length(
            f"{key}.timeout", login.timeout, least=1.0, most=LONGEST_TIMEOUT_S
        )
        match login:
            case OAuthCode() | Device():
                yield from _oauth(key, login, definition)
            case LoopbackSecret():
                yield from _loopback_secret(key, login, variables)
            case Paste():
                if not login.prompt.strip():
                    yield Finding(f"{key}.prompt", shown(login.prompt), "what the person is asked")
                yield from check_text.printable(f"{key}.prompt", login.prompt)
            case _:
                yield from _procedure(key, login, definition)
        yield from _done_by_actions_only(key, login)
        yield from _serves(key, login, definition)


def _done_by_actions_only(key: str, login: Login) -> Iterator[Finding]:
    """Find what a login's steps would say in vain."""
    places = (
        [("begin", login.begin), ("redeem", login.redeem)] if isinstance(login, OAuthCode) else []
    )
    if isinstance(login, Procedure):
        places = [(f"step[{index}]", step) for index, step in enumerate(login.step)]
    for place, step in places:
        if step is None:
            continue
        for part in ("carries", "saves"):
            if getattr(step, part):
                found = f"{part} in a login"
                allowed = f"{part} only in an action: a login has no session before its end"
                yield Finding(f"{key}.{place}.{part}", found, allowed)
        for index, ask in enumerate(step.ask):
            if ask.argument:
                allowed = "argument only in an action; a command's `arguments` name what they give"
                yield Finding(
                    f"{key}.{place}.ask[{index}].argument", "argument in a login", allowed
                )


def scope(key: str, text: str | None) -> Iterator[Finding]:
    """Yield what keeps a text from being scopes."""
    if text and not _SCOPE.fullmatch(text):
        yield Finding(key, shown(text), "words separated by single blanks")


def obtain_of(login: Login) -> Obtain | None:
    """Return which values make the session of a login; None where the flow says so itself."""
    match login:
        case OAuthCode() | Exchange() | Password() | Poll():
            return login.obtain
        case _:
            return None


def kept_by(login: Login) -> frozenset[str]:
    """Return the names of the plain values that a login leaves with its grant."""
    obtain = obtain_of(login)
    keep = frozenset(obtain.keep) if obtain else frozenset()
    return keep.union(login.keep) if isinstance(login, OAuthMethod) else keep


def steps_of(login: Login) -> list[Step]:
    """Return the steps that a login states, in order."""
    match login:
        case OAuthCode():
            return [step for step in (login.begin, login.redeem) if step is not None]
        case Exchange() | Password() | Poll():
            return list(login.step)
        case _:
            return []


def _serves(key: str, login: Login, definition: ToolDefinition) -> Iterator[Finding]:
    """Find a login whose credential is none that it can bring."""
    wanted, words = _bringable(login, definition.credential)
    if login.credential not in wanted:
        allowed = f"{words}: {listed(wanted)}" if wanted else f"{words}; there is none"
        guess = nearest(login.credential, wanted)
        yield Finding(f"{key}.credential", shown(login.credential), allowed, guess)


def _bringable(login: Login, specs: list[CredentialSpec]) -> tuple[list[str], str]:
    sessions = [spec.id for spec in specs if spec.source == "session"]
    stored = [spec.id for spec in specs if spec.storable]
    in_store = 'source = "stored" or { env = [...], stored = true }'
    obtain = obtain_of(login)
    if isinstance(login, LoopbackSecret | Paste):
        return stored, f"the id of a credential with {in_store}"
    if isinstance(login, OAuthMethod) or (obtain is not None and obtain.secret is None):
        return sessions, 'the id of a credential with source = "session"'
    return [*sessions, *stored], f'the id of a credential with source = "session", {in_store}'


def _oauth(key: str, login: OAuthCode | Device, definition: ToolDefinition) -> Iterator[Finding]:
    values = Values(frozenset(definition.vars))
    if login.issuer is not None and ("?" in login.issuer or "#" in login.issuer):
        # RFC 8414 section 2: the metadata's address is made from it.
        yield Finding(f"{key}.issuer", shown(login.issuer), "an address without ? and #")
    if not login.client_id:
        yield Finding(f"{key}.client_id", shown(login.client_id), "the public client id")
    for part in ("client_id", "issuer", "token", "scope", "audience"):
        yield from check_text.sent(f"{key}.{part}", getattr(login, part), values)
    yield from scope(f"{key}.scope", login.scope)
    for name, text in login.parameters.items():
        place = joined(f"{key}.parameters", name)
        yield from check_text.sent(place, text, values)
        if name in OURS:
            yield Finding(place, shown(name), "parameters that the agent does not set itself")
    for name, path in login.keep.items():
        place = joined(f"{key}.keep", name)
        yield from check_text.value_name(place, name)
        yield from check_text.dotted(place, path)
    if isinstance(login, Device):
        yield from _device(key, login, values)
    else:
        yield from _code(key, login, definition, values)


def _device(key: str, login: Device, values: Values) -> Iterator[Finding]:
    yield from check_text.sent(f"{key}.authorization", login.authorization, values)
    if login.issuer is None:
        yield from _endpoints(key, login, ("authorization", "token"))
    for part in ("pending", "slow_down"):
        if not all(getattr(login, part)):
            yield Finding(f"{key}.{part}", 'an empty text ("")', "error codes")


def _endpoints(key: str, login: OAuthMethod, parts: tuple[str, str]) -> Iterator[Finding]:
    for part in parts:
        if getattr(login, part) is None:
            allowed = f"issuer, or both {parts[0]} and {parts[1]}"
            yield Finding(f"{key}.{part}", "nothing", allowed)


def _code(
    key: str, login: OAuthCode, definition: ToolDefinition, values: Values
) -> Iterator[Finding]:
    yield from check_text.sent(f"{key}.authorize", login.authorize, values)
    yield from _loopback(f"{key}.loopback", login.loopback)
    for index, retry in enumerate(login.retry):
        place = f"{key}.retry[{index}]"
        if not retry.when_error_contains:
            yield Finding(f"{place}.when_error_contains", '""', "a part of the error's text")
        if not 1 <= retry.max <= RETRIES_MAX:
            yield Finding(f"{place}.max", shown(retry.max), f"1 to {RETRIES_MAX}")
        yield from check_text.printed(f"{place}.say", retry.say, values, lines=True)
    together = {part: getattr(login, part) for part in ("begin", "redeem", "obtain")}
    there = [part for part, value in together.items() if value is not None]
    if not there:
        if login.issuer is None:
            yield from _endpoints(key, login, ("authorize", "token"))
        return
    for part, value in together.items():
        if value is None:
            found, allowed = f"nothing beside {' and '.join(there)}", "begin, redeem and obtain"
            yield Finding(f"{key}.{part}", found, f"{allowed} together, or none of them")
    for part in ("authorize", "issuer", "keep"):
        if getattr(login, part):
            allowed = f"no {part}: `begin` takes the address and `obtain` names what stays"
            yield Finding(f"{key}.{part}", f"{part} beside {there[0]}", allowed)
    yield from _own_exchange(key, login, definition, values)


def _own_exchange(
    key: str, login: OAuthCode, definition: ToolDefinition, values: Values
) -> Iterator[Finding]:
    """Check the two steps that stand for the requests of RFC 6749; each knows what it is given."""
    ids = [spec.id for spec in definition.credential]
    for part, given in (
        ("begin", values.plus(GIVEN_TO_BEGIN)),
        ("redeem", values.plus(["redirect_uri"], GIVEN_TO_REDEEM)),
    ):
        step: Step | None = getattr(login, part)
        if step is None:
            continue
        place = f"{key}.{part}"
        if step.request is None:
            yield Finding(f"{place}.request", "nothing", "a request (required)")
        if step.open is not None:
            allowed = "no open: the agent sends the person to the value `url` itself"
            yield Finding(f"{place}.open", shown(step.open), allowed)
        yield from check_steps.step(place, step, given, ids)
    if login.begin is not None and "url" not in login.begin.take:
        allowed = 'take = { url = "..." }, the address that the person is sent to'
        yield Finding(f"{key}.begin.take.url", "nothing", allowed)
    if login.obtain is not None:
        last = [login.redeem] if login.redeem is not None else []
        yield from check_steps.obtain(f"{key}.obtain", login.obtain, last)
        yield from _renewable(key, login.obtain, definition, login.token)


def _loopback_secret(key: str, login: LoopbackSecret, values: Values) -> Iterator[Finding]:
    yield from check_text.sent(f"{key}.open", login.open, values.plus(GIVEN_TO_OPEN))
    if "callback" not in placeholder.names(login.open):
        allowed = "an address with {callback}, to which the site sends the key"
        yield Finding(f"{key}.open", shown(login.open), allowed)
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", login.parameter):
        allowed = "a parameter's name: letters, digits and . _ ~ -"
        yield Finding(f"{key}.parameter", shown(login.parameter), allowed)
    yield from _loopback(f"{key}.loopback", login.loopback)


def _loopback(key: str, loopback: Loopback) -> Iterator[Finding]:
    if not 0 <= loopback.port <= PORT_MAX:
        allowed = f"0 (any free port) to {PORT_MAX}"
        yield Finding(f"{key}.port", shown(loopback.port), allowed)
    if not _CALLBACK.fullmatch(loopback.path):
        allowed = "a path that begins with / and has no query"
        yield Finding(f"{key}.path", shown(loopback.path), allowed)


def _procedure(
    key: str, login: Exchange | Password | Poll, definition: ToolDefinition
) -> Iterator[Finding]:
    ids = [spec.id for spec in definition.credential]
    given = Values(frozenset(definition.vars) | GIVEN_TO_STEPS)
    yield from check_steps.steps(f"{key}.step", login.step, given, ids)
    asks = check_steps.asks_of(login.step)
    secrets = [ask for ask in asks if ask.secret]
    match login:
        case Exchange() if len(asks) != 1 or not secrets:
            found = f"{len(asks)} asks, of which {len(secrets)} secret"
            yield Finding(f"{key}.step", found, 'one ask for flow = "exchange", with secret = true')
        case Password() if not secrets:
            allowed = 'an ask with secret = true for flow = "password"'
            yield Finding(f"{key}.step", "no ask for a secret", allowed)
        case Poll() if not any(step.until for step in login.step):
            yield Finding(f"{key}.step", "no until", 'a step with until for flow = "poll"')
        case _:
            pass
    yield from check_steps.obtain(f"{key}.obtain", login.obtain, login.step)
    yield from _renewable(key, login.obtain, definition, None)


def _renewable(
    key: str, obtain: Obtain, definition: ToolDefinition, token: str | None
) -> Iterator[Finding]:
    """Find a refresh token that nothing could be done with."""
    if obtain.refresh_token is not None and token is None and definition.refresh.token is None:
        found = f"nothing, and {key} obtains a refresh token"
        yield Finding("refresh.token", found, "the address where it is renewed")
