"""A tool's own file: where it stands, how it is written for `exec`, what `import` finds in it."""

import os.path
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from tool_agentd.definition import address, placeholder, select
from tool_agentd.definition.delivery import FileRead, FileSpec
from tool_agentd.definition.flows import OAuthMethod
from tool_agentd.definition.moment import wall_time
from tool_agentd.definition.vocabulary import CredentialSpec, ToolDefinition
from tool_agentd.errors import ConfigurationError, InvalidRequestError
from tool_agentd.model import Credential, Grant, GrantKind
from tool_agentd.secret import Secret

Format = Literal["json", "yaml"]

CONFIG: Final = "{config}/"
HOME: Final = "~/"
HOME_VARIABLE: Final = "HOME"
CONFIG_VARIABLE: Final = "XDG_CONFIG_HOME"
MACOS_CONFIG: Final = "Library/Application Support"
"""Where macOS keeps programs' configuration, below the home."""
DEEPEST: Final = 100
"""Levels of a YAML file; those of the tools that we know have three."""
LARGEST: Final = 64 * 1024
"""Bytes of a file that is parsed: ten times what the largest of those logins takes."""
MERGE: Final = "<<"
"""YAML's merge key: with aliases, a few hundred bytes stand for gigabytes."""
LEFT_OUT: Final = object()
"""Stands for a text whose placeholder has no value: its key is not written."""


@dataclass(frozen=True, slots=True)
class Directories:
    """Where the person's own directories are, for the process that will read the file."""

    home: str
    config: str
    """XDG_CONFIG_HOME, else `~/.config`."""
    macos: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], home: str) -> "Directories":
        """Read them from an environment; `home` where it names none.

        Raises InvalidRequestError for a home that is no absolute path.
        """
        home = environ.get(HOME_VARIABLE) or home
        if not home.startswith("/") or "\0" in home:
            raise InvalidRequestError(f"{HOME_VARIABLE} is not an absolute path")
        config = environ.get(CONFIG_VARIABLE, "")
        if not config.startswith("/") or "\0" in config:  # the XDG specification: ignore it
            config = f"{home}/.config"
        return cls(os.path.normpath(home), os.path.normpath(config), sys.platform == "darwin")


def path_of(path: str, directories: Directories, *, macos_config: bool = False) -> str:
    """Return the absolute path of a tool's file.

    Raises ConfigurationError for one that is not below `~` or `{config}`.
    """
    config = directories.config
    if macos_config and directories.macos:
        config = f"{directories.home}/{MACOS_CONFIG}"
    for prefix, base in ((HOME, directories.home), (CONFIG, config)):
        rest = path.removeprefix(prefix)
        if rest != path and rest and not {"", ".", ".."} & set(rest.split("/")):
            return f"{base.rstrip('/')}/{rest}"
    raise ConfigurationError(f"{path!r} is not below ~ or {{config}}", hint="correct its path")


def moved_directory(spec: FileSpec, directories: Directories) -> str | None:
    """Return the directory that the spec's variable names; None where none moves the file."""
    path = path_of(spec.path, directories, macos_config=spec.macos_config)
    match spec.directory_env:
        case None:
            return None
        case "HOME":
            named = directories.home
        case "XDG_CONFIG_HOME":
            named = directories.config
        case _:
            named = os.path.dirname(path)  # noqa: PTH120 - text, not a file
    return named if path.startswith(f"{named.rstrip('/')}/") else None


# -- writing -------------------------------------------------------------------------------------


def render(spec: FileSpec, credential: Credential, grant: Grant | None, now: float) -> Secret:
    """Return the file's text for a credential. It never holds what renews the credential."""
    return Secret(encode(filled(spec, credential, grant, now), spec.format))


def filled(spec: FileSpec, credential: Credential, grant: Grant | None, now: float) -> Any:  # noqa: ANN401 - a JSON value
    """Return what the file's text is made of."""
    values: dict[str, str | int] = dict(grant.kept) if grant is not None else {}
    values["secret"] = values["access_token"] = credential.value.reveal()
    if credential.expires_at is not None:
        values["expires_at"] = instant_text(credential.expires_at)
        values["expires_in"] = max(0, int(credential.expires_at - now))
    if grant is not None:
        values["method"] = spec.methods.get(grant.method, grant.method)
        who = {"name": grant.identity.name, "subject": grant.identity.subject}
        values = {**{name: text for name, text in who.items() if text}, **values}
    values.pop("refresh_token", None)
    tree = _filled(spec.content, values)
    return {} if tree is LEFT_OUT else tree


def instant_text(wall: float) -> str:
    """Return a moment as RFC 3339 has it, in whole seconds."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _filled(tree: Any, values: Mapping[str, str | int]) -> Any:  # noqa: ANN401 - a TOML value
    """Fill the placeholders; what has no value is left out with its key."""
    match tree:
        case str():
            names = placeholder.names(tree)
            if any(name not in values for name in names):
                return LEFT_OUT
            if len(names) == 1 and tree == f"{{{names[0]}}}":
                return values[names[0]]
            return placeholder.substitute(tree, {name: str(values[name]) for name in names})
        case dict():
            filled = {key: _filled(value, values) for key, value in tree.items()}
            return {key: value for key, value in filled.items() if value is not LEFT_OUT}
        case list() | tuple():
            items = [_filled(value, values) for value in tree]
            return [value for value in items if value is not LEFT_OUT]
        case _:
            return tree


def encode(tree: Any, form: Format) -> str:  # noqa: ANN401 - a JSON value
    """Return a tree as the text of a file, ending in a line break."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode() + "\n"
    return msgspec.yaml.encode(tree).decode()


def decode(text: str, form: Format) -> Any:  # noqa: ANN401 - a JSON value
    """Return what a file says; InvalidRequestError where it is not in its format.

    So too where it is larger, deeper or more cunning than any honest file: it may be anybody's.
    """
    if len(text.encode()) > LARGEST:
        raise InvalidRequestError(f"the file is larger than {LARGEST} bytes: it holds no login")
    try:
        if form == "json":
            return msgspec.json.decode(text)
        _check_events(text)
        return msgspec.yaml.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidRequestError(f"the file is not {form.upper()}") from None


def _check_events(text: str) -> None:
    """Refuse YAML that nests deeper than any honest file, and aliases: the loader has no end there.

    The events come from a parser without recursion. Raises ValueError and InvalidRequestError.
    """
    import yaml  # noqa: PLC0415 - the agent's start would wait for what few tools need

    depth = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise ValueError
            merge = isinstance(event, yaml.ScalarEvent) and event.value == MERGE
            if merge or isinstance(event, yaml.AliasEvent):
                raise InvalidRequestError(
                    "the file has YAML aliases or merge keys, as no tool writes them"
                )
    except yaml.YAMLError:
        raise ValueError from None


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """A login that a tool keeps in its own file."""

    secret: Secret
    kind: GrantKind
    credential: CredentialSpec
    method: str
    """The login method, as the definition names it."""
    access: Secret | None = None
    expires_at: float | None = None
    kept: tuple[tuple[str, str], ...] = ()


def read_login(  # noqa: PLR0913 - the file, and what is known of where it belongs
    tool: ToolDefinition,
    provider: ToolDefinition,
    spec: FileSpec,
    text: str,
    *,
    moved: Collection[str] = (),
    origin: str = "",
) -> FoundLogin | None:
    """Return the login in the text of a tool's file; None where there is none that lasts.

    Args:
        tool: whose file it is.
        provider: whose login it is.
        spec: the file.
        text: what is in it.
        moved: the origins that overrides of the provider's addresses have brought.
        origin: where the login was issued, as the person says.

    Raises:
        InvalidRequestError: the text is not in the file's format, or the login was not issued
            where its secret would be sent.
    """
    tree = decode(text, spec.format)
    read = spec.read
    credential = next((c for c in tool.credential if c.id == spec.credential), None)
    if credential is None:
        return None
    refresh = _text_at(tree, read.refresh_token)
    secret = refresh or _text_at(tree, read.secret)
    if not secret:
        return None
    kind = GrantKind.API_KEY
    if refresh:
        kind = GrantKind.REFRESH_TOKEN
    elif credential.source == "session":
        kind = GrantKind.SESSION
    said = _text_at(tree, read.method)
    access = _text_at(tree, read.access_token)
    named = _text_at(tree, read.origin)
    _check_origin(tool, provider, moved, named=named, said=origin, access=access or secret)
    kept = {name: select.text_of(select.path(tree, path)) for name, path in read.keep.items()}
    return FoundLogin(
        Secret(secret),
        kind,
        credential,
        _method(provider, spec.read, spec.credential, kind, said),
        access=Secret(access) if access else None,
        expires_at=_moment(select.path(tree, read.expires_at)) if read.expires_at else None,
        kept=tuple((name, value) for name, value in sorted(kept.items()) if value),
    )


def _text_at(tree: Any, path: str | None) -> str:  # noqa: ANN401 - a JSON value
    value = select.path(tree, path) if path is not None else None
    return value.strip() if isinstance(value, str) else ""


def _moment(value: Any) -> float | None:  # noqa: ANN401 - a JSON value
    # YAML knows moments by itself.
    return value.timestamp() if isinstance(value, datetime) else wall_time(value)


def _check_origin(  # noqa: PLR0913 - every place that may say where a login is from
    tool: ToolDefinition,
    provider: ToolDefinition,
    moved: Collection[str],
    *,
    named: str,
    said: str,
    access: str,
) -> None:
    """Refuse a login that was issued elsewhere than where its secret would be sent.

    The file names the place, or the person does. A file that says nothing belongs to the
    definition's own addresses: where an override leads elsewhere, only the issuer of its access
    token speaks for it. That is not verified, and need not be: the file is the person's own.
    """
    for text, whose in ((named, "the file is for"), (said, "--origin says")):
        if text and _origin(text) not in provider.origins:
            shown = select.text_of(text)
            raise InvalidRequestError(
                f"{whose} {shown}, which is no origin of {provider.name}",
                hint="it is left as it is",
            )
    if named and said and _origin(named) != _origin(said):
        raise InvalidRequestError(
            f"the file is for {select.text_of(named)}, and --origin says otherwise",
            hint="leave --origin out: the file itself says where it belongs",
        )
    if not moved:
        return
    issuer = select.text_of(select.claims(Secret(access)).get("iss"))
    stated = named or said or issuer
    if _origin(stated) in moved:
        return
    where = " and ".join(sorted(moved))
    what = f"is for {_origin(stated)}" if stated else "does not say where its login was issued"
    hint = "start the agent without that override to import it"
    if not named and not said:
        hint = (
            f"if it was issued there, run 'tool-agent import {tool.name} --origin"
            f" {min(moved)}'; else {hint}"
        )
    raise InvalidRequestError(
        f"the file {what}, and the address of {provider.name} is overridden with {where}:"
        " its login is not sent there",
        hint=hint,
    )


def _origin(text: str) -> str:
    """Return the origin of an address; empty where it has none."""
    try:
        return address.origin_of(text)
    except address.AddressError:
        return ""


def _method(
    provider: ToolDefinition, read: FileRead, credential: str, kind: GrantKind, said: str
) -> str:
    """Return the login method that the file names, else the first that brings such a grant."""
    named = read.methods.get(said, said)
    if named in provider.login:
        return named
    oauth = kind is GrantKind.REFRESH_TOKEN
    fitting = [name for name, method in provider.login.items() if method.credential == credential]
    renewable = [name for name in fitting if isinstance(provider.login[name], OAuthMethod)]
    choice = (renewable or fitting) if oauth else fitting
    return choice[0] if choice else named or "import"
