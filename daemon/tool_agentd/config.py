"""The person's config.toml: what it may say, and the error that names what is wrong with it."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from tool_agentd.errors import ConfigurationError


class StoreTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where secrets rest."""

    kind: Literal["keychain", "vault", "memory"] | None = None
    key: Literal["keychain", "passphrase", "credential"] | None = None
    """What seals a vault."""
    service: str = "tool-agent"
    """The name under which keychain items stand."""


class LockTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[lock]`: when the agent locks without being told, where logind tells of it."""

    on_suspend: bool = False
    on_screen_lock: bool = False


class LogTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`: how much the agent writes down."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class AuditTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[audit]`: where the audit trail goes besides its file."""

    journal: bool = True
    """To systemd's journal, where one listens."""
    socket: str = "/run/systemd/journal/socket"
    """Where it listens (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""


class SessionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[session.TOOL]`: limits in place of those of the tool's definition."""

    idle: str | None = None
    absolute: str | None = None


class PolicyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[policy.TOOL]`, or `[policy."*"]` for every tool without one: who may have what."""

    confirm: Literal["never", "session", "always"] = "never"
    max_scope: str | None = None
    """Scopes, separated by blanks: the most that is asked for at the provider."""
    allow: list[str] | None = None
    """Executables, as shell patterns; advisory. None: all; an empty list would look like none."""
    deny: list[str] = []
    foreign: bool = False
    """Whether peers in other namespaces are treated as our own."""


class PromptTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[prompt]`: how the person is asked."""

    program: str | None = None
    """In the manner of SSH_ASKPASS; an absolute path."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    store: StoreTable = StoreTable()
    log: LogTable = LogTable()
    audit: AuditTable = AuditTable()
    lock: LockTable = LockTable()
    vars: dict[str, dict[str, str]] = {}
    """`[vars.TOOL]`: overrides of a definition's variables."""
    session: dict[str, SessionTable] = {}
    policy: dict[str, PolicyTable] = {}
    prompt: PromptTable = PromptTable()


def parse(text: str, path: str) -> Config:
    """Return what the file at `path` says.

    Raises ConfigurationError that names the file and what is wrong.
    """
    try:
        document = msgspec.toml.decode(text, type=dict[str, Any])
        found = msgspec.convert(document, type=Config)
    except msgspec.ValidationError as error:
        message = f"{Path(path).name}: {_named(document, error)}"
        raise ConfigurationError(message, hint=f"edit {path}") from None
    except msgspec.DecodeError as error:
        message = f"{Path(path).name}: {error}"
        raise ConfigurationError(message, hint=f"edit {path}") from None
    program = found.prompt.program
    if program is not None and not program.startswith("/"):
        message = f"{Path(path).name}: prompt.program is no absolute path"
        raise ConfigurationError(message, hint=f"edit {path}")
    for tool, rules in found.policy.items():
        if rules.max_scope is not None and not rules.max_scope.split():
            message = f"{Path(path).name}: policy.{tool}.max_scope names no scope"
            raise ConfigurationError(message, hint=f"edit {path}: leave it out for no limit")
        if rules.allow is not None and not rules.allow:
            message = f"{Path(path).name}: policy.{tool}.allow names no program"
            raise ConfigurationError(message, hint=f"edit {path}: leave it out to allow all")
        for pattern in (*(rules.allow or ()), *rules.deny):
            if not pattern.strip() or pattern.startswith("~"):
                message = f"{Path(path).name}: policy.{tool}: {pattern!r} fits no program"
                hint = f"edit {path}: write a name such as make, or a path that begins with /"
                raise ConfigurationError(message, hint=hint)
    return found


_OF_TOOLS: dict[str, Any] = {
    "vars": dict[str, str],
    "session": SessionTable,
    "policy": PolicyTable,
}
"""The tables that have one for each tool, and what each of these is."""


def _named(document: dict[str, Any], error: msgspec.ValidationError) -> str:
    """Return the error with the tool's own table, which msgspec calls `[...]`."""
    for name, kind in _OF_TOOLS.items():
        tables = document.get(name)
        for tool, table in tables.items() if isinstance(tables, dict) else ():
            try:
                msgspec.convert(table, type=kind)
            except msgspec.ValidationError as there:
                return _plain(there, f"{name}.{tool}")
    return _plain(error, "")


def _plain(error: msgspec.ValidationError, table: str) -> str:
    """Return msgspec's words with the place in front: `policy.cre.confirm: Invalid ...`."""
    words, _, place = str(error).replace("`", "").partition(" - at $")
    key = f"{table}{place}".lstrip(".")
    return f"{key}: {words}" if key else words
