"""Logins and steps in words: what the person is asked, what is sent where, what is waited for."""

from collections.abc import Iterable, Iterator

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
)
from tool_agentd.definition.steps import Ask, Obtain, OnError, Step, Until
from tool_agentd.definition.vocabulary import ToolDefinition

_FLOWS: dict[type[Login], str] = {
    OAuthCode: "the browser, with an authorization code and PKCE",
    Device: "a code that is entered in a browser on any machine",
    LoopbackSecret: "the browser; the site sends a key to this machine",
    Paste: "a secret that is pasted or piped in, verified before it is stored",
    Exchange: "a key that is exchanged for a session, and not stored",
    Password: "name and password, which are sent and not stored",
    Poll: "a page in the browser, and a wait for what is done there",
}


def logins(definition: ToolDefinition) -> Iterator[str]:
    """Yield what each login does, step by step."""
    for method, login in definition.login.items():
        yield f"login --method {method}: {_head(login)}"
        yield from (f"  {line}" for line in _body(login))


def steps(rows: Iterable[Step]) -> Iterator[str]:
    """Yield what steps do, numbered, one line for each thing that happens."""
    for number, row in enumerate(rows, 1):
        what = list(_step(row))
        yield f"{number}. {_when(row)}{what[0] if what else 'does nothing'}"
        yield from (f"   {line}" for line in what[1:])


def _head(login: Login) -> str:
    flow = _FLOWS[type(login)]
    text = f"{login.title}: {flow}" if login.title else flow
    match login:
        case OAuthCode():
            text += f"; {_back(login.loopback)}"
        case LoopbackSecret():
            text += f"; {_back(login.loopback)}"
        case _:
            pass
    asked = login.scope if isinstance(login, OAuthMethod) else ""
    return f"{text}; waits {login.timeout}{f'; asks for scope {asked}' if asked else ''}"


def _back(loopback: Loopback) -> str:
    port = loopback.port or "any free port"
    return f"comes back to {loopback.host}, {port}, {loopback.path}"


def _body(login: Login) -> Iterator[str]:
    match login:
        case OAuthCode():
            yield from _code(login)
        case Device():
            yield _discovered("asks", login.issuer, login.authorization)
            yield _discovered("polls", login.issuer, login.token)
        case LoopbackSecret():
            path = ", at a path that nobody can guess" if login.random_path else ""
            yield f"opens {login.open}"
            yield f"takes the parameter {login.parameter} of the callback{path}"
        case Paste():
            yield f'asks "{login.prompt.strip()}"'
        case _:
            yield from steps(login.step)
            yield from _obtain(login.obtain)
    if isinstance(login, OAuthMethod) and login.keep:
        yield f"keeps {', '.join(login.keep)} of the token's answer"


def _discovered(verb: str, issuer: str | None, address: str | None) -> str:
    return f"{verb} {address or f'what {issuer} names in its discovery document'}"


def _code(login: OAuthCode) -> Iterator[str]:
    if login.begin is not None and login.redeem is not None:
        yield from steps([login.begin])
        yield "the browser is sent to the address that was taken, and comes back with a code"
        yield from steps([login.redeem])
        if login.obtain is not None:
            yield from _obtain(login.obtain)
    else:
        yield _discovered("opens", login.issuer, login.authorize)
        yield _discovered("redeems the code at", login.issuer, login.token)
    for retry in login.retry:
        yield (
            f'starts anew after "{retry.when_error_contains}", at most {retry.max} '
            f"{'time' if retry.max == 1 else 'times'}"
        )


def _obtain(obtain: Obtain) -> Iterator[str]:
    parts = []
    if obtain.access_token:
        parts.append("an access token")
    if obtain.refresh_token:
        parts.append("a refresh token")
    if obtain.secret:
        parts.append("a session, stored as it is")
    yield f"brings {' and '.join(parts)}"
    if obtain.keep:
        yield f"keeps {', '.join(obtain.keep)}"


def _when(row: Step) -> str:
    if not row.when:
        return ""
    return f"if {' and '.join(f'{name} is {text}' for name, text in row.when.items())}: "


def _step(row: Step) -> Iterator[str]:
    for ask in row.ask:
        yield _ask(ask)
    if row.request is not None:
        ids = row.carries if isinstance(row.carries, list) else [row.carries]
        signed = f", signed with {' or '.join(one for one in ids if one)}" if row.carries else ""
        yield f"{row.request.method} {row.request.url}{signed}"
        taken = [*row.take, *(f"{name} (secret)" for name in row.take_secret)]
        taken += [f"{row.take_cookie} (secret, the cookies)"] if row.take_cookie else []
        if taken:
            yield f"takes {', '.join(taken)}"
    for case in row.on_error:
        yield from _on_error(case)
    if row.until is not None:
        yield _until(row.until)
    for expect in row.expect:
        state = "empty" if expect.empty else "there"
        wanted = f"is {expect.equals}" if expect.equals is not None else f"is {state}"
        yield f'goes on only if {expect.value} {wanted}, else says "{_line(expect.say)}"'
    if row.open is not None:
        yield f"opens {row.open}"
    if row.say is not None:
        yield f'says "{_line(row.say)}"'
    if row.saves:
        yield "stores the session already"


def _ask(ask: Ask) -> str:
    notes = ["not shown"] if ask.secret else []
    notes += [f"one of {', '.join(ask.choices)}"] if ask.choices else []
    notes += [f"{ask.default} by default"] if ask.default else []
    notes += [f"or {ask.option}"] if ask.option else []
    notes += [f"must look like {ask.shape or ask.pattern}"] if ask.pattern else []
    return f'asks "{ask.label.strip()}"' + (f" ({'; '.join(notes)})" if notes else "")


def _on_error(case: OnError) -> Iterator[str]:
    parts = [f"HTTP {case.status}"] if case.status is not None else []
    parts += [part for part in (case.code, case.reason) if part]
    parts += [f'"{case.contains}"'] if case.contains else []
    error = f"on {', '.join(parts)}" if parts else "on any error"
    if case.ask:
        yield f"{error}: asks again for {', '.join(case.ask)} alone"
    elif case.ignore:
        yield f"{error}: goes on"
    elif case.say:
        yield f'{error}: says "{_line(case.say)}"'


def _until(until: Until) -> str:
    wanted = " or ".join(until.equals)
    after = "then goes on" if until.patient is not None else "then fails"
    return f"again every {until.every} until {until.value} is {wanted}; {until.timeout}, {after}"


def _line(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())
