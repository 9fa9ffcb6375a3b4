"""Keys of the vault that lie in files: a passphrase file and a systemd credential."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from tool_agent import paths
from tool_agentd.adapters.store.sealing import KEY_BYTES
from tool_agentd.adapters.store.trouble import UnansweredError
from tool_agentd.errors import StoreUnavailableError
from tool_agentd.secret import Secret

CREDENTIAL = "tool-agent-vault-key"
"""The credential's name, as `LoadCredentialEncrypted=` in the unit gives it (systemd.exec(5))."""

LONGEST = 4096
"""Bytes of a key file that are read; a longer one is a mistake."""

ROOT = 0


def credential_path(environ: Mapping[str, str]) -> str | None:
    """Return where systemd has put the key, if it is there."""
    directory = environ.get(paths.CREDENTIALS_DIRECTORY)
    path = Path(directory) / CREDENTIAL if directory else None
    return str(path) if path and path.exists() else None


def credential(environ: Mapping[str, str]) -> bytes:
    """Return the systemd credential: at least 32 random bytes, used as they are."""
    path = credential_path(environ)
    if path is None:
        raise StoreUnavailableError(
            f"systemd has passed no credential {CREDENTIAL}",
            hint=f"make one with 'head -c 32 /dev/urandom | systemd-creds encrypt"
            f" --name={CREDENTIAL} - FILE' and name it in LoadCredentialEncrypted= of the unit",
        )
    material = _read(path, "the credential")
    if len(material) < KEY_BYTES:
        raise StoreUnavailableError(
            f"the credential {path} has {len(material)} bytes; at least {KEY_BYTES} random bytes"
            " are needed",
            hint="for a passphrase use TOOL_AGENT_STORE=vault:passphrase",
        )
    return material


def passphrase(environ: Mapping[str, str]) -> Secret | None:
    """Return the first line of the file that TOOL_AGENT_PASSPHRASE_FILE names; None without it."""
    path = environ.get(paths.PASSPHRASE_FILE)
    if not path:
        return None
    text = _read(path, "the passphrase file").split(b"\n", 1)[0].rstrip(b"\r")
    if not text:
        raise StoreUnavailableError(f"the passphrase file {path} begins with an empty line")
    return Secret(text.decode(errors="surrogateescape"))


def _read(path: str, what: str) -> bytes:
    """Read a file that only its owner can; a pipe or device would block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise StoreUnavailableError(f"{what} {path} is not a regular file")
            if found.st_uid not in {ROOT, os.geteuid()}:
                raise StoreUnavailableError(
                    f"{what} {path} belongs to uid {found.st_uid}, neither root nor this user"
                )
            if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise StoreUnavailableError(
                    f"{what} {path} can be used by others (mode {stat.S_IMODE(found.st_mode):04o})",
                    hint=f"run 'chmod 600 {path}'",
                )
            return os.read(descriptor, LONGEST)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnansweredError(f"{what} {path}: {error.strerror or error}") from error
