"""Which box and which key: read from `[store]` and the environment, once, before anything opens."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from tool_agent import paths
from tool_agentd.adapters.store import key_files
from tool_agentd.adapters.store.rows import KEYCHAIN, VAULT
from tool_agentd.errors import ConfigurationError

MEMORY = "memory"
KINDS = (KEYCHAIN, VAULT, MEMORY)

PASSPHRASE = "passphrase"  # noqa: S105 - the name of a key source
CREDENTIAL = "credential"
SOURCES = (KEYCHAIN, PASSPHRASE, CREDENTIAL)
"""Where a vault's key comes from."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind of store, and for a vault the source of its key."""

    kind: str
    source: str = ""


def choose(kind: str | None, key: str | None, environ: Mapping[str, str]) -> Choice:
    """Return the choice: TOOL_AGENT_STORE before `[store] kind` and `key`, else the keychain.

    Raises ConfigurationError, naming what it found, what is allowed, and the nearest.
    """
    asked = environ.get(paths.STORE)
    if asked:
        name, _, source = asked.partition(":")
        where = key_where = paths.STORE
        key = source or None
        if ":" in asked and not source:
            key = ""
    else:
        name, where, key_where = kind or KEYCHAIN, "[store] kind", "[store] key"
    _known(name, KINDS, where)
    if key is not None:
        if name != VAULT:
            raise ConfigurationError(f"{key_where}: only a vault has a key, not {name!r}")
        _known(key, SOURCES, key_where)
    if name != VAULT:
        return Choice(name)
    return Choice(VAULT, key or _obvious(environ))


def _obvious(environ: Mapping[str, str]) -> str:
    """Return the source whose key is at hand."""
    if key_files.credential_path(environ):
        return CREDENTIAL
    return PASSPHRASE if environ.get(paths.PASSPHRASE_FILE) else KEYCHAIN


def _known(found: str, allowed: tuple[str, ...], where: str) -> None:
    if found in allowed:
        return
    nearest = difflib.get_close_matches(found, allowed, n=1)
    raise ConfigurationError(
        f"{where}: {found!r} is none of {', '.join(allowed)}",
        hint=f"did you mean {nearest[0]!r}?" if nearest else None,
    )
