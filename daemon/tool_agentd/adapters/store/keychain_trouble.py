"""Whatever a keychain backend raises, as one of our errors: absent, locked, refused or failed.

The libraries are imported only in a keychain thread, so errors are told apart by their names and
by what D-Bus and macOS put into them. No text of an unknown error is passed on: it may quote.
"""

from tool_agentd.adapters.store.trouble import (
    LockedKeychainError,
    NoKeychainError,
    UnansweredError,
)
from tool_agentd.errors import StoreUnavailableError

RETRY_AFTER = 5.0
"""Seconds until a caller may usefully ask again: the person may be unlocking it now."""

UNLOCK = (
    "unlock the keychain (log in to the desktop, or use its own program); nothing else is needed"
)
CHOOSE = (
    "start a session with a keychain, or choose a vault: 'key = \"passphrase\"' with"
    " 'kind = \"vault\"' below [store] in config.toml, or TOOL_AGENT_STORE=vault:passphrase"
)

LOCKED_NAMES = {"KeyringLocked", "LockedException"}
REFUSED_NAMES = {"PromptDismissedException"}
GONE_NAMES = {"ItemNotFoundException"}
ABSENT_NAMES = {"SecretServiceNotAvailableException", "InitError", "NoKeyringError"}

LOCKED_DBUS = {"org.freedesktop.Secret.Error.IsLocked"}
REFUSED_DBUS = {
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.AuthFailed",
}
ABSENT_DBUS = {
    "org.freedesktop.DBus.Error.Disconnected",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.NoServer",
    "org.freedesktop.DBus.Error.ServiceUnknown",
}
ABSENT_DBUS_PREFIX = "org.freedesktop.DBus.Error.Spawn."

# OSStatus values of Apple's Security/SecBase.h.
MAC_REFUSED = {-128, -25293}  # errSecUserCanceled, errSecAuthFailed
MAC_LOCKED = {-25308}  # errSecInteractionNotAllowed: locked, and nobody can be asked

LONGEST_TEXT = 200
"""Characters of a D-Bus error's text that are passed on: they come from the keychain's daemon."""


def no_keychain(reasons: list[str]) -> NoKeychainError:
    """Say why each keychain failed, and how to do without one."""
    return NoKeychainError(
        "no keychain answers: " + ("; ".join(reasons) or "none is known for this system"),
        hint=CHOOSE,
        retry_after=RETRY_AFTER,
    )


def locked(title: str) -> LockedKeychainError:
    """Say that the keychain waits for its person."""
    return LockedKeychainError(
        f"the keychain ({title}) is locked", hint=UNLOCK, retry_after=RETRY_AFTER
    )


def explained(error: Exception, title: str) -> StoreUnavailableError:
    """Return our error for what the keychain `title` raised."""
    names = {cls.__name__ for cls in type(error).__mro__}
    dbus = _dbus_name(error)
    status = _mac_status(error)
    if status in MAC_REFUSED or names & REFUSED_NAMES or dbus in REFUSED_DBUS:
        return UnansweredError(
            f"the keychain ({title}) refused: {reason(error)}",
            hint="answer the keychain's question with yes and try again",
            retry_after=RETRY_AFTER,
        )
    if status in MAC_LOCKED or names & LOCKED_NAMES or dbus in LOCKED_DBUS:
        return locked(title)
    absent = names & ABSENT_NAMES or dbus in ABSENT_DBUS or dbus.startswith(ABSENT_DBUS_PREFIX)
    if absent or isinstance(error, OSError | EOFError):
        return no_keychain([f"{title}: {reason(error)}"])
    return UnansweredError(
        f"the keychain ({title}) failed: {reason(error)}", retry_after=RETRY_AFTER
    )


def reason(error: Exception) -> str:
    """Say what a backend raised, without quoting what may hold a secret."""
    name = _dbus_name(error)
    if name:
        data = getattr(error, "data", None)
        text = data[0] if isinstance(data, tuple) and data and isinstance(data[0], str) else ""
        return f"{name}: {text[:LONGEST_TEXT]}" if text else name
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    modules = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    if modules & {"keyring", "secretstorage"} or isinstance(error, RuntimeError):
        return str(error)[:LONGEST_TEXT] or type(error).__name__
    return type(error).__name__


def _dbus_name(error: Exception) -> str:
    """Return the D-Bus error's name, from the error or from what it wraps."""
    name = getattr(error, "name", None)
    if type(error).__name__ == "DBusErrorResponse" and isinstance(name, str):
        return name
    return ""


def _mac_status(error: Exception) -> int | None:
    """Return the OSStatus that keyring's macOS backend wraps."""
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("keyring.backends.macOS"):
        return None
    first = cause.args[0] if cause.args else None
    return first if isinstance(first, int) else None
