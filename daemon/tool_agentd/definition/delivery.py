"""Deliveries: a tool's own files, how they are written for `exec` and read by `import`; caches."""

from typing import Any, Literal

from tool_agentd.definition.table import Request, Table


class FileRead(Table, frozen=True, kw_only=True):
    """Where the tool's own file holds a login; each text is a dotted path."""

    refresh_token: str | None = None
    access_token: str | None = None
    secret: str | None = None
    """A platform session or an API key."""
    expires_at: str | None = None
    origin: str | None = None
    """The address that the login is for; a file that names another one is not read."""
    method: str | None = None
    """Says how the tool signed in; `methods` says what that is here."""
    methods: dict[str, str] = {}
    keep: dict[str, str] = {}
    """Name -> dotted path: plain values that stay with the grant."""


class FileSpec(Table, frozen=True, kw_only=True):
    """One file of the tool's, for one of its credentials."""

    credential: str
    path: str
    """Below `~` or `{config}` (XDG_CONFIG_HOME, else ~/.config; ~/Library/Application Support on
    macOS where `macos_config`)."""
    macos_config: bool = False
    format: Literal["json", "yaml"] = "json"
    content: dict[str, Any] = {}
    """The file, with placeholders: `{access_token}` or `{secret}`, `{expires_at}` (RFC 3339),
    `{expires_in}` (seconds), `{method}`, `{name}` and `{subject}` (whose login it is), and what
    the grant keeps. A text that is one placeholder alone takes its type from it; what has no value
    is left out with its key. There is none for a refresh token."""
    methods: dict[str, str] = {}
    """Login method -> what `{method}` writes."""
    directory_env: str | None = None
    """A variable that moves the tool's configuration: the file is written below a private
    directory, and the variable names that. Preferred to writing in place. `HOME` moves `~` and
    `XDG_CONFIG_HOME` moves `{config}`; any other names the folder that the file stands in."""
    in_place: bool = False
    """Whether it may be written where the tool looks, under a lease, and be put back afterwards."""
    beside_env: bool = False
    """Written although a variable of `[env]` carries the credential, where the tool does not read
    that one itself; else a variable is preferred to a file."""
    min_ttl: str = "0s"
    """How much life the tool's own client insists on."""
    read: FileRead = FileRead()


class CacheSpec(Table, frozen=True, kw_only=True):
    """Something that is fetched at login, kept beside the session, and erased with it."""

    credential: list[str]
    """The credentials with which it can be fetched; with a session it is kept, with a key it is
    fetched anew each time."""
    request: Request
    take: str
    """Dotted path to the object in the answer."""
    path: str
    """The file of the tool's in which it stands, next to the credential's own."""
    in_place: bool = False
    """Whether it may be written where the tool looks, under a lease, for a credential that goes by
    variable and has no file of its own."""
    format: Literal["json", "yaml"] = "yaml"
    under: str | dict[str, Any] | None = None
    """A key that the whole stands under; a table is a value as in `shape`."""
    shape: dict[str, Any] = {}
    """What is written. A text is a dotted path into the object; `{ each = "path", of = {...} }`
    makes a list; `{ text = "onchain:{id}" }` a text; `{ path = "p", transform = "name" }` applies
    a transform (docs/tool-definitions.md lists them); `when` says what must be so for it, and
    `otherwise` what is written if it is not. Empty and absent values are left out."""
    constants: dict[str, str] = {}
    """Names that `under` and `text` may use besides."""
