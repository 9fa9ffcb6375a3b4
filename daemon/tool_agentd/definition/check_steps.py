"""Checks of steps: what is asked, sent, taken and waited for, and who may use which value when.

A step uses only values that are there by then: the given ones, those of earlier steps, its own asks
and, once its request is answered, what it takes. The generators return the values that are there
afterwards, so that the next step can be checked with them.
"""

from collections.abc import Collection, Generator, Iterable, Iterator

from tool_agentd.definition import address, check_request, check_text, placeholder
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.errors import Finding, joined, listed, shown
from tool_agentd.definition.steps import Ask, Expect, Obtain, OnError, Step, Until

EVERY_LEAST_S = 0.5
"""No platform thanks for being asked more often than twice a second."""
EVERY_MOST_S = 60.0
"""Whoever has confirmed an email does not watch a terminal for longer than a minute."""
UNTIL_MOST_S = 3600.0
"""Nobody comes back to a waiting terminal after an hour."""


def asks_of(steps: Iterable[Step]) -> list[Ask]:
    """Return every ask of some steps, in order."""
    return [ask for step in steps for ask in step.ask]


def produced(steps: Iterable[Step]) -> Values:
    """Return every value that steps may bring, whatever their order."""
    values = Values()
    for step in steps:
        values = _taken(step, _asked(step, values))
    return values


def taken_secrets(steps: Iterable[Step]) -> list[str]:
    """Return the secrets that steps take. What the person typed is none: it is never stored."""
    steps = list(steps)
    asked = {ask.name for ask in asks_of(steps)}
    return sorted({*_all_taken(steps)} - asked)


def _all_taken(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield from step.take_secret
        if step.take_cookie is not None:
            yield step.take_cookie


def steps(
    key: str, rows: Iterable[Step], values: Values, credentials: Collection[str]
) -> Generator[Finding, None, Values]:
    """Check steps one after another, and return the values that are there at the end.

    Args:
        key: the dotted key of the array.
        rows: the steps.
        values: what is there before the first one.
        credentials: the ids of the tool's credentials, for `carries`.
    """
    rows = list(rows)
    if not rows:
        yield Finding(key, "an empty array", "at least one step")
    yield from _consistent(key, rows)
    for index, row in enumerate(rows):
        values = yield from step(f"{key}[{index}]", row, values, credentials)
    return values


def step(
    key: str, row: Step, values: Values, credentials: Collection[str]
) -> Generator[Finding, None, Values]:
    """Check one step, and return the values that are there after it."""
    if not (row.ask or row.request or row.expect or row.open or row.say):
        yield Finding(key, "a step that does nothing", "ask, request, expect, open or say")
    for name, text in row.when.items():
        yield from _value(f"{key}.when", name, values.plain)
        yield from check_text.printed(joined(f"{key}.when", name), text, Values())
    asked = values
    for index, ask in enumerate(row.ask):
        yield from _ask(f"{key}.ask[{index}]", ask, asked)
        asked = _with_ask(asked, ask)
    taken = _taken(row, asked)
    yield from _request(key, row, asked, credentials)
    for index, case in enumerate(row.on_error):
        last = index == len(row.on_error) - 1
        yield from _on_error(f"{key}.on_error[{index}]", case, row, asked, last=last)
    if row.until is not None:
        yield from _until(f"{key}.until", row.until, row, taken)
    for index, expect in enumerate(row.expect):
        yield from _expect(f"{key}.expect[{index}]", expect, taken)
    yield from _open(f"{key}.open", row.open, taken)
    yield from check_text.printed(f"{key}.say", row.say, taken, lines=True)
    return taken


def _open(key: str, text: str | None, values: Values) -> Iterator[Finding]:
    yield from check_text.sent(key, text, values)
    name = address.whole(text or "")
    if name is not None and name in values.secret:
        # The platform has made it, so nothing says that a secret may go there.
        allowed = "a plain value, or an address with a host of its own before the secret"
        yield Finding(key, f"the secret {{{name}}} as the whole address", allowed)


def _with_ask(values: Values, ask: Ask) -> Values:
    return values.plus(secret=[ask.name]) if ask.secret else values.plus([ask.name])


def _asked(row: Step, values: Values) -> Values:
    for ask in row.ask:
        values = _with_ask(values, ask)
    return values


def _taken(row: Step, values: Values) -> Values:
    cookie = [row.take_cookie] if row.take_cookie else []
    return values.plus(row.take, [*row.take_secret, *cookie])


def _value(key: str, name: str, known: Collection[str]) -> Iterator[Finding]:
    yield from check_text.reference(key, name, known, "a plain value that is there by then")


def _consistent(key: str, rows: list[Step]) -> Iterator[Finding]:
    """Find names that are secret in one step and plain in another."""
    places: dict[str, bool] = {}
    for index, row in enumerate(rows):
        named = [(ask.name, ask.secret, f"ask[{place}]") for place, ask in enumerate(row.ask)]
        named += [(name, False, f"take.{name}") for name in row.take]
        named += [(name, True, f"take_secret.{name}") for name in row.take_secret]
        if row.take_cookie is not None:
            named.append((row.take_cookie, True, "take_cookie"))
        for name, secret, place in named:
            if places.setdefault(name, secret) != secret:
                found = f"{shown(name)}, which is {'plain' if secret else 'a secret'} elsewhere"
                yield Finding(f"{key}[{index}].{place}", found, "another name")


def _ask(key: str, ask: Ask, values: Values) -> Iterator[Finding]:
    yield from check_text.value_name(f"{key}.name", ask.name, secret=ask.secret)
    if not ask.label.strip():
        yield Finding(f"{key}.label", shown(ask.label), "what the person is asked for")
    yield from check_text.printed(f"{key}.label", ask.label, values)
    yield from check_text.printed(f"{key}.default", ask.default, values)
    if ask.secret:
        for part, there in (("default", ask.default is not None), ("choices", bool(ask.choices))):
            if there:
                yield Finding(f"{key}.{part}", f"a {part} of a secret", f"no {part}, or no secret")
    if ask.option is not None:
        yield from check_text.option(f"{key}.option", ask.option)
    for index, choice in enumerate(ask.choices):
        yield from check_text.printed(f"{key}.choices[{index}]", choice, Values())
    if ask.choices and ask.default is not None and "{" not in ask.default:
        what = "one of the choices"
        yield from check_text.reference(f"{key}.default", ask.default, ask.choices, what)
    yield from check_text.shape(key, ask.pattern, ask.shape)


def _request(
    key: str, row: Step, values: Values, credentials: Collection[str]
) -> Iterator[Finding]:
    for part in ("take", "take_secret"):
        for name, path in getattr(row, part).items():
            place = joined(f"{key}.{part}", name)
            yield from check_text.value_name(place, name, secret=part == "take_secret")
            yield from check_text.dotted(place, path)
    if row.take_cookie is not None:
        yield from check_text.value_name(f"{key}.take_cookie", row.take_cookie, secret=True)
    for place, id_ in placeholder.texts(row.carries, f"{key}.carries"):
        yield from check_text.reference(place, id_, credentials, "the id of a credential")
    if row.request is not None:
        yield from check_request.filled(f"{key}.request", row.request, values)
        return
    for part in ("carries", "take", "take_secret", "take_cookie", "on_error", "until"):
        if getattr(row, part):
            yield Finding(f"{key}.{part}", f"{part} without a request", "a request beside it")


def _on_error(
    key: str, case: OnError, row: Step, values: Values, *, last: bool
) -> Iterator[Finding]:
    if case.status is not None and case.status not in check_text.ERROR_STATUSES:
        yield Finding(f"{key}.status", shown(case.status), "an HTTP status from 400 to 599")
    conditions = (case.status, case.code, case.reason, case.contains)
    if all(condition is None for condition in conditions) and not last:
        allowed = "status, code, reason or contains; a row without them comes last"
        yield Finding(key, "a row for every error", allowed)
    for part in ("code", "reason", "contains"):
        if getattr(case, part) == "":
            yield Finding(f"{key}.{part}", '""', "some text")
    names = [ask.name for ask in row.ask]
    for index, name in enumerate(case.ask):
        what = "the name of an ask of this step"
        yield from check_text.reference(f"{key}.ask[{index}]", name, names, what)
    if case.ignore and case.ask:
        yield Finding(key, "ask and ignore", "one of them")
    if not (case.ask or case.ignore or case.say or case.hint):
        yield Finding(key, "a row that does nothing", "ask, ignore, say or hint")
    yield from check_text.printed(f"{key}.say", case.say, values, lines=True)
    yield from check_text.printed(f"{key}.hint", case.hint, values)


def _until(key: str, until: Until, row: Step, values: Values) -> Iterator[Finding]:
    what = "a value that this step takes"
    yield from check_text.reference(f"{key}.value", until.value, row.take, what)
    if not until.equals:
        yield Finding(f"{key}.equals", "an empty array", "what the value is in the end")
    for text, words in until.stop.items():
        place = joined(f"{key}.stop", text)
        if text in until.equals:
            yield Finding(place, f"{shown(text)}, which `equals` has too", "one of the two")
        yield from check_text.printed(place, words, values, lines=True)
    yield from check_text.length(
        f"{key}.every", until.every, least=EVERY_LEAST_S, most=EVERY_MOST_S
    )
    yield from check_text.length(f"{key}.timeout", until.timeout, least=1.0, most=UNTIL_MOST_S)
    yield from check_text.printed(f"{key}.patient", until.patient, values, lines=True)
    yield from check_text.printed(f"{key}.awaits", until.awaits, values)


def _expect(key: str, expect: Expect, values: Values) -> Iterator[Finding]:
    yield from _value(f"{key}.value", expect.value, values.plain)
    given = [part for part in ("equals", "empty") if getattr(expect, part) is not None]
    if len(given) != 1:
        yield Finding(key, " and ".join(given) or "nothing", "exactly one of equals, empty")
    yield from check_text.printed(f"{key}.equals", expect.equals, values)
    yield from check_text.printed(f"{key}.say", expect.say, values, lines=True)
    yield from check_text.printed(f"{key}.hint", expect.hint, values)


def obtain(key: str, row: Obtain, steps: Iterable[Step]) -> Iterator[Finding]:
    """Yield what keeps the values of steps from making a session."""
    steps = list(steps)
    values, secrets = produced(steps), taken_secrets(steps)
    given = [part for part in ("secret", "access_token") if getattr(row, part) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        yield Finding(key, found, "exactly one of secret, access_token")
    if row.refresh_token is not None and row.access_token is None:
        found = "a refresh token without an access token"
        yield Finding(f"{key}.refresh_token", found, "access_token beside it")
    for part in ("secret", "access_token", "refresh_token"):
        name = getattr(row, part)
        if name is None:
            continue
        if name in values and name not in secrets:
            found = f"{shown(name)}, {_kind(name, values)}"
            allowed = f"one that is taken as a secret: {listed(secrets) or 'none'}"
            yield Finding(f"{key}.{part}", found, f"{allowed} (take_secret, take_cookie)")
        else:
            what = "a secret that a step takes"
            yield from check_text.reference(f"{key}.{part}", name, secrets, what)
    what = "a plain value that a step takes or asks for"
    plain = sorted(values.plain)
    for part in ("expires_at", "expires_in", "name", "subject"):
        name = getattr(row, part)
        if name is not None:
            yield from check_text.reference(f"{key}.{part}", name, plain, what)
    for index, name in enumerate(row.keep):
        yield from check_text.reference(f"{key}.keep[{index}]", name, plain, what)


def _kind(name: str, values: Values) -> str:
    return "a plain value" if name in values.plain else "which the person types"
