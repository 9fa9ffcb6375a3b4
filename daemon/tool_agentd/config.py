"""The person's config.toml: what it may say, and the error that names what is wrong with it."""

from pathlib import Path
from typing import Literal

import msgspec

from tool_agentd.errors import ConfigurationError


class StoreTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where secrets rest."""

    kind: Literal["keychain", "vault", "memory"] | None = None
    key: Literal["keychain", "passphrase", "credential"] | None = None
    """What seals a vault."""
    service: str = "tool-agent"
    """The name under which keychain items stand."""


class LogTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`: how much the agent writes down."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class SessionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[session.TOOL]`: limits in place of those of the tool's definition."""

    idle: str | None = None
    absolute: str | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    store: StoreTable = StoreTable()
    log: LogTable = LogTable()
    vars: dict[str, dict[str, str]] = {}
    """`[vars.TOOL]`: overrides of a definition's variables."""
    session: dict[str, SessionTable] = {}


def parse(text: str, path: str) -> Config:
    """Return what the file at `path` says.

    Raises ConfigurationError that names the file and what is wrong.
    """
    try:
        return msgspec.toml.decode(text, type=Config)
    except msgspec.DecodeError as error:
        message = f"{Path(path).name}: {str(error).replace('`', '')}"
        raise ConfigurationError(message, hint=f"edit {path}") from None
