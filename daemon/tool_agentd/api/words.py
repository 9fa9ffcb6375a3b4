"""Words: what a person reads of the agent's answers. Every command prints from here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tool_agentd.broker.accounts import AccountView
from tool_agentd.broker.api_keys import IssuedKey
from tool_agentd.broker.logouts import LogoutReport
from tool_agentd.definition.catalogue import Catalogue
from tool_agentd.definition.credentials import person_variables
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.model import ScopedSocket
from tool_agentd.ports import StoreStatus
from tool_agentd.session import Active, Authorizing, Expired, grant_of

NO_KEYS = "There are no API keys.\n"
MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """Return a duration as people say it: `45 s`, `12 min`, `3 h 20 min`, `5 days`."""
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < 2 * HOUR:
        return f"{whole // MINUTE} min"
    if whole < 2 * DAY:
        hours, minutes = divmod(whole // MINUTE, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{whole // DAY} days"


def clock_time(wall: float) -> str:
    """Return a wall time as people read it, in their own zone."""
    return datetime.fromtimestamp(wall, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows in aligned columns; the last column is left ragged."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in lines
    )


def account_state(view: AccountView, now: float) -> str:
    """Return an account's state in a few words."""
    state = view.state
    if isinstance(state, Authorizing):
        before = "" if not isinstance(state.before, Active) else ", still signed in"
        return f"login under way{before}"
    if isinstance(state, Expired):
        return f"signed out: {state.reason}"
    if not isinstance(state, Active):
        return "signed out"
    grant = state.grant
    words = "signed in"
    if grant.ends_at is not None:
        words += f", for {span(grant.ends_at - now)} more"
    if grant.ephemeral:
        words += ", in memory only"
    if grant.confirm:
        words += ", confirmed each time"
    if view.expires_at is not None:
        left = view.expires_at - now
        words += f", token for {span(left)}" if left > 0 else ", token to be renewed"
    return words


def accounts(views: Sequence[AccountView], now: float) -> str:
    """Return the list of accounts."""
    if not views:
        return "Nobody is logged in. Begin with: tool-agent login TOOL\n"
    rows = [("TOOL", "ACCOUNT", "IDENTITY", "METHOD", "STATE")]
    for view in views:
        grant = grant_of(view.state)
        mark = "*" if view.chosen else " "
        rows.append(
            (
                view.tool,
                mark + view.key.label,
                (grant.identity.name if grant else "") or "-",
                grant.method if grant else "-",
                account_state(view, now),
            )
        )
    return table(rows)


def logout(tool: str, report: LogoutReport) -> str:
    """Return what a logout did, part by part."""
    told = report.told
    text = f"Logged out of {tool} ({report.key.label}): erased here"
    if told.revoked:
        text += f"; revoked at the provider: {', '.join(told.revoked)}"
    if told.queued:
        text += "; the provider is told as soon as it can be"
    return text + ".\n" + logout_notes(report)


def logout_notes(report: LogoutReport) -> str:
    """Return what there is to say about a logout besides that it is done."""
    text = f"Note: {report.told.reason}.\n" if report.told.reason else ""
    if report.alive_until is not None:
        text += f"A token that was handed out works until {clock_time(report.alive_until)}.\n"
    return text


def status(  # noqa: PLR0913 - a screen's facts
    state: str,
    version: str,
    pid: int,
    uptime: float,
    socket: str,
    store: StoreStatus,
    reasons: Sequence[str],
    notes: Sequence[str],
    views: Sequence[AccountView],
    now: float,
) -> str:
    """Return what `tool-agent status` prints."""
    text = f"tool-agent {version} is {state}: pid {pid}, up {span(uptime)}, {socket}\n"
    text += f"secrets rest in {store.rests}\n"
    for reason in reasons:
        text += f"  ! {reason}\n"
    for note in notes:
        text += f"  note: {note}\n"
    return text + ("\n" + accounts(views, now) if views else "nobody is logged in\n")


def clocks(skews: Mapping[str, float]) -> list[str]:
    """Return a sentence for each provider whose clock is another, by the seconds it is ahead."""
    return [
        f"this machine's clock is {span(abs(ahead))} {'behind' if ahead > 0 else 'ahead of'} that "
        f"of {origin}"
        for origin, ahead in sorted(skews.items())
    ]


def tools(catalogue: Catalogue) -> str:
    """Return the list of tools."""
    rows = [("TOOL", "TITLE", "LOGIN", "VARIABLES")]
    for tool in catalogue.tools.values():
        provider = catalogue.provider(tool)
        login = ", ".join(provider.login) or "-"
        if provider is not tool:
            login = f"that of {provider.name}"
        rows.append((tool.name, tool.title, login, ", ".join(variables(tool)) or "-"))
    return table(rows)


def variables(tool: ToolDefinition) -> list[str]:
    """Return every variable that the tool reads or is given."""
    return sorted({*tool.env, *(variable.name for variable in person_variables(tool))})


def issued_keys(keys: Sequence[IssuedKey]) -> str:
    """Return the list of API keys."""
    rows = [(key.id, key.label or "-", key.created or "-") for key in keys]
    return table([("ID", "LABEL", "CREATED"), *rows]) if rows else NO_KEYS


def issued(key: IssuedKey) -> str:
    """Return what is said beside a key that was just issued."""
    return (
        f"This is the key {key.label} ({key.id}). It is shown once, and the agent does not keep"
        " it.\n"
    )


def sockets(found: Sequence[ScopedSocket], now: float) -> str:
    """Return the table of scoped sockets."""
    if not found:
        return "There are no scoped sockets.\n"
    rows = [("ID", "TOOL", "ACCOUNT", "SCOPE", "FOR", "ENDS", "PATH")]
    for one in found:
        admits = "you" if one.uid is None else f"uid {one.uid}"
        if one.foreign:
            admits += ", foreign"
        ends = "when revoked" if one.ends_at is None else f"in {span(one.ends_at - now)}"
        rows.append(
            (one.name, one.tool, one.account, one.scope or "as granted", admits, ends, one.path)
        )
    return table(rows)


def socket_made(one: ScopedSocket, now: float, *, lasting: bool) -> str:
    """Return what is said of a new scoped socket; its path is the answer itself."""
    scope = f", {one.scope}," if one.scope else ""
    until = "until it is revoked" if one.ends_at is None else f"for {span(one.ends_at - now)}"
    whose = f"{one.tool} ({one.account}){scope}"
    said = f"The socket {one.name} serves access tokens of {whose} {until}.\n"
    if lasting:
        said += "The account has no access tokens: what it serves does not end with the socket.\n"
    if one.uid is not None:
        said += f"It answers processes of uid {one.uid} and of no other user.\n"
    return said
