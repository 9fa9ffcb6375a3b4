"""Checks of deliveries: where a tool's files are, what is written there, what is read."""

from collections.abc import Iterator

from tool_agentd.definition import check_text, placeholder
from tool_agentd.definition.check_credentials import kept_with
from tool_agentd.definition.check_text import Values
from tool_agentd.definition.delivery import FileRead, FileSpec
from tool_agentd.definition.errors import Finding, joined, shown
from tool_agentd.definition.vocabulary import ToolDefinition

GIVEN_TO_FILES = frozenset(
    {"access_token", "secret", "expires_at", "expires_in", "method", "name", "subject"}
)

PATH_WORDS = "a file below ~/ or {config}/, without '..', '.' and empty parts"
CONFIG_VARIABLE = "XDG_CONFIG_HOME"
HOME_VARIABLE = "HOME"

LONGEST_TTL_S = 86400.0
"""No platform's access token that a tool could insist on lives for longer than a day."""


def files(definition: ToolDefinition) -> Iterator[Finding]:
    """Yield every mistake in `[file]`."""
    firsts: dict[str, str] = {}
    for name, spec in definition.file.items():
        key = joined("file", name)
        if not check_text.NAME.fullmatch(name):
            yield Finding(key, shown(name), check_text.NAME_WORDS)
        ids = [credential.id for credential in definition.credential]
        what = "the id of a credential"
        yield from check_text.reference(f"{key}.credential", spec.credential, ids, what)
        yield from path(f"{key}.path", spec.path)
        yield from _place(key, spec)
        yield from _content(key, spec, definition)
        yield from check_text.length(f"{key}.min_ttl", spec.min_ttl, most=LONGEST_TTL_S)
        yield from _methods(f"{key}.methods", list(spec.methods), definition)
        for method, text in spec.methods.items():
            yield from check_text.printed(joined(f"{key}.methods", method), text, Values())
        yield from _read(f"{key}.read", spec.read, definition)
        first = firsts.setdefault(spec.credential, name)
        if first != name:
            found = f"{shown(spec.credential)}, which file.{first} is for"
            yield Finding(f"{key}.credential", found, "one [file] for a credential")
        if spec.beside_env and spec.credential not in definition.env.values():
            found = f"true, and no variable of [env] carries {shown(spec.credential)}"
            yield Finding(f"{key}.beside_env", found, "false: the file is written anyway")


def path(key: str, text: str) -> Iterator[Finding]:
    """Yield what keeps a text from being the path of a tool's file."""
    for prefix in ("~/", "{config}/"):
        rest = text.removeprefix(prefix)
        if rest != text and not {"", ".", ".."} & set(rest.split("/")):
            if "{" in rest or "}" in rest or not rest.isprintable() or "\\" in rest:
                break
            return
    yield Finding(key, shown(text), PATH_WORDS)


def _place(key: str, spec: FileSpec) -> Iterator[Finding]:
    if spec.directory_env is None:
        if not spec.in_place:
            allowed = "directory_env, or in_place = true"
            yield Finding(key, "a file with no place to be written", allowed)
        return
    # Moving the home moves the tool's file for the one command that `exec` starts.
    if spec.directory_env != HOME_VARIABLE:
        yield from check_text.variable(f"{key}.directory_env", spec.directory_env)
    if spec.directory_env == CONFIG_VARIABLE and not spec.path.startswith("{config}/"):
        allowed = "{config}/..., which is what XDG_CONFIG_HOME moves"
        yield Finding(f"{key}.path", shown(spec.path), allowed)


def _content(key: str, spec: FileSpec, definition: ToolDefinition) -> Iterator[Finding]:
    kept = kept_with(definition, spec.credential)
    values = Values(frozenset(definition.vars)).plus([*GIVEN_TO_FILES, *(kept or ())])
    for place, text in placeholder.texts(spec.content, f"{key}.content"):
        if "refresh_token" in placeholder.names(text):
            found = "the placeholder {refresh_token}"
            allowed = "what may leave the agent: {access_token} or {secret}"
            yield Finding(place, found, allowed)
        elif kept is not None:
            yield from check_text.sent(place, text, values)


def _methods(key: str, methods: list[str], definition: ToolDefinition) -> Iterator[Finding]:
    if definition.provider is not None:
        return
    for method in methods:
        what = "a login method"
        yield from check_text.reference(joined(key, method), method, definition.login, what)


def _read(key: str, read: FileRead, definition: ToolDefinition) -> Iterator[Finding]:
    for part in ("refresh_token", "access_token", "secret", "expires_at", "origin", "method"):
        text = getattr(read, part)
        if text is not None:
            yield from check_text.dotted(f"{key}.{part}", text)
    if read != FileRead() and read.refresh_token is None and read.secret is None:
        allowed = "refresh_token or secret: what lasts of a login"
        yield Finding(key, "nothing that lasts", allowed)
    if read.refresh_token is not None and read.secret is not None:
        found = "a path, beside refresh_token"
        yield Finding(f"{key}.secret", found, "one of them: what lasts of a login")
    if read.methods and read.method is None:
        yield Finding(f"{key}.method", "nothing", "a dotted path, for the names in `methods`")
    for said, method in read.methods.items():
        if definition.provider is None:
            what = "a login method"
            place = joined(f"{key}.methods", said)
            yield from check_text.reference(place, method, definition.login, what)
    for name, text in read.keep.items():
        yield from check_text.value_name(joined(f"{key}.keep", name), name)
        yield from check_text.dotted(joined(f"{key}.keep", name), text)
