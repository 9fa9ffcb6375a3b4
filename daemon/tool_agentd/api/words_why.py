"""Words of `tool-agent why`: what would answer now, and an account's history, one line an event."""

import math
from collections.abc import Sequence

from tool_agentd.api.words import clock_time, span, table
from tool_agentd.broker.why import Chosen, Explanation, PolicyView, Rule
from tool_agentd.definition.credentials import PersonVariable
from tool_agentd.model import (
    AGENT_ITSELF,
    DEFAULT_ACCOUNT,
    AccessToken,
    GrantKind,
    JournalEntry,
    JournalEvent,
)
from tool_agentd.session import Active, Expired, margins

SHOWN = 40
"""Lines of history on a screen; `--json` has all."""
MARK = 8
"""Digits of a fingerprint that are shown: enough to see that two are the same."""

_CHOSEN = {
    Chosen.NAMED: "as named",
    Chosen.SWITCHED: "chosen by 'account switch'",
    Chosen.ONLY: "the only one",
    Chosen.DEFAULT: "the default",
}

_EVENTS = {
    JournalEvent.LOGIN: "signed in",
    JournalEvent.LOGOUT: "signed out on request",
    JournalEvent.INTENT: "renewal {attempt} begins: the refresh token is presented",
    JournalEvent.REPLAYED: "renewal {attempt} begins: the last one was interrupted, once more",
    JournalEvent.ROTATED: "the provider gave a new refresh token",
    JournalEvent.RENEWED: "the provider gave an access token; the refresh token stays",
    JournalEvent.PERSISTED: "the new refresh token is stored",
    JournalEvent.ADOPTED: "the new refresh token of an interrupted renewal was found, and is used",
    JournalEvent.UNSAVED: "the new refresh token could not be stored, and is in memory",
    JournalEvent.REFUSED: "the provider refused the refresh token",
    JournalEvent.AMBIGUOUS: "the provider said no without a readable reason",
    JournalEvent.FAILED: "the renewal came to nothing",
    JournalEvent.UNSENT: "the renewal came to nothing, and nothing was sent",
    JournalEvent.ENDED: "the session ended by itself",
    JournalEvent.REVOKED: "revoked at the provider",
    JournalEvent.LATE: "a renewal came too late; what it brought is revoked",
}


def explanation(found: Explanation) -> str:
    """Return what `tool-agent why` prints."""
    rows = [
        ("account", f"{found.key.label} at {found.key.provider} ({_CHOSEN[found.chosen]})"),
        ("answers", _answers(found)),
        ("policy", _policy(found.policy)),
        *(("", note) for note in found.trouble),
        ("session", _session(found)),
    ]
    token = _token(found)
    if token:
        rows.append(("token", token))
    rows += [("variable", _variable(found, variable)) for variable in found.variables]
    return table(rows) + "\n" + history(found.history)


def _answers(found: Explanation) -> str:
    variable = found.variable.name if found.variable is not None else ""
    where = f" at {found.refreshes_at}" if found.refreshes_at else ""
    key = found.grant is not None and found.grant.kind is GrantKind.API_KEY
    held = "key" if key else "session of its platform"
    login = f"tool-agent login {found.tool}"
    if found.key.label != DEFAULT_ACCOUNT:
        login += f" --account {found.key.label}"
    return {
        Rule.VARIABLE: f"your own {variable}, which goes before the session",
        Rule.TOKEN: "the access token in memory",
        Rule.TOKEN_AND_REFRESH: f"the access token in memory, and it is renewed{where} meanwhile",
        Rule.REFRESH: f"a new access token, for which the refresh token is presented{where}",
        Rule.STORED: f"the stored {held}, as it is",
        Rule.VARIABLE_AFTER: f"your own {variable}, because there is no session",
        Rule.LOGIN_BY_VARIABLE: f"a login that takes your own {variable}",
        Rule.NOTHING: f"nothing, until '{login}'",
    }[found.rule]


def _policy(found: PolicyView) -> str:
    what = f"{found.rule}: {found.detail}" if found.detail else found.rule
    if found.until is not None:
        what += f" until {clock_time(found.until)}"
    if found.verdict == "deny":
        what = f"denied, {what}"
    return what + (f" ({found.hint})" if found.hint else "")


def _session(found: Explanation) -> str:
    grant, now = found.grant, found.now.wall
    under_way = "; a login is under way" if found.login_under_way else ""
    if grant is None:
        reason = getattr(found.state, "reason", "")
        return "none" + (f": {reason}" if reason else "") + under_way
    who = f" as {grant.identity.name}" if grant.identity.name else ""
    since = f"signed in by {grant.method}{who} on {clock_time(grant.obtained_at)}"
    if isinstance(found.state, Expired):
        ended = clock_time(found.state.at)
        return f"ended on {ended}: {found.state.reason} ({since}){under_way}"
    if grant.ephemeral:
        since += ", in memory only"
    if grant.confirm:
        since += ", to be confirmed each time"
    if grant.ends_at is not None:
        since += f", for {span(grant.ends_at - now)} more"
    return since + under_way


def life_of(token: AccessToken | None) -> float | None:
    """Return the whole life of what is served, in seconds; None for what does not end."""
    if token is None or math.isinf(token.expires.wall):
        return None
    return token.lifetime


def _token(found: Explanation) -> str:
    if not isinstance(found.state, Active) or found.grant is None:
        return ""
    token, life = found.token, life_of(found.token)
    if found.grant.kind is not GrantKind.REFRESH_TOKEN:
        return ""
    if token is None or life is None:
        return "none in memory"
    left = found.now.until(token.expires)
    words = f"{span(left)} left of {span(life)}" if left > 0 else "over"
    if not found.grant.renewable:
        return words + "; nothing renews it"
    margin, window = margins(token)
    return f"{words}; renewed behind a request below {span(window)}, before it below {span(margin)}"


def _variable(found: Explanation, variable: PersonVariable) -> str:
    if variable.login is not None:
        order = f"a login by {variable.login} takes it where there is no session"
    elif variable.before_session:
        order = "goes before the session"
    else:
        order = "counts where there is no session"
    if found.unset is None:
        return f"{variable.name}: {order}"
    state = "not set" if variable.name in found.unset else "set"
    return f"{variable.name}: {state}; {order}"


def history(entries: Sequence[JournalEntry]) -> str:
    """Return an account's history, the newest last."""
    if not entries:
        return "No history.\n"
    shown = entries[-SHOWN:]
    earlier = len(entries) - len(shown)
    head = f"History ({earlier} earlier: --json):\n" if earlier else "History:\n"
    return head + table([_line(entry) for entry in shown])


def _line(entry: JournalEntry) -> tuple[str, ...]:
    what = _EVENTS[entry.event].format(attempt=entry.attempt)
    if entry.detail:
        what += f": {entry.detail}"
    marks = f" [{entry.fingerprint[:MARK]}]" if entry.fingerprint else ""
    by = f" (for {entry.by})" if entry.by != AGENT_ITSELF else ""
    return clock_time(entry.at), entry.event.value, what + marks + by
