"""Every definition that is in force, and what is wrong with the files that are not.

Pure: texts come in, an immutable catalogue comes out. A broken file never changes behaviour: what
was in force for its tool before stays so, and the file is listed among the problems.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from tool_agentd.definition import check
from tool_agentd.definition.decode import decode
from tool_agentd.definition.errors import DefinitionError, Finding, listed, nearest, shown
from tool_agentd.definition.resolve import OverrideError, resolve
from tool_agentd.definition.vocabulary import CredentialSpec, SessionLimits, ToolDefinition
from tool_agentd.errors import ConfigurationError, UnknownToolError


@dataclass(frozen=True, slots=True)
class SourceText:
    """A definition's text as it was read."""

    file: str
    """Its path; the last part without `.toml` is the tool's name."""
    text: str = ""
    builtin: bool = False
    refused: str = ""
    """Why it was not read, in words; then there is no text."""
    fix: str = ""
    """What to type about that."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a file that `status` and `tool list` tell the person."""

    file: str
    tool: str
    """The tool whose definition it is; empty where it is about none."""
    key: str
    """The dotted key; empty for the file as a whole."""
    detail: str
    hint: str = ""
    note: bool = False
    """Nothing is wrong; the person may want to know."""
    in_force: bool = False
    """An earlier good definition of the tool goes on serving."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A file's last text with what became of it, so that an unchanged file costs nothing."""

    source: SourceText
    result: ToolDefinition | DefinitionError


def _none() -> Mapping[str, "_Decoded"]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tools that can be asked for. Their definitions are resolved: no `[vars]` are left."""

    tools: Mapping[str, ToolDefinition] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()
    decoded: Mapping[str, _Decoded] = field(default_factory=_none, repr=False, compare=False)
    moved: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Tool -> the origins that overrides of its addresses have brought, where there are any."""

    def moved_to(self, name: str) -> frozenset[str]:
        """Return where overrides have moved a tool to; empty: it is where its definition says."""
        return self.moved.get(name, frozenset())

    def get(self, name: str) -> ToolDefinition:
        """Return the tool's definition.

        Raises:
            ConfigurationError: there is a file for it, and it is broken.
            UnknownToolError: there is none.
        """
        found = self.tools.get(name)
        if found is not None:
            return found
        for problem in self.problems:
            if problem.tool == name and not problem.note:
                raise ConfigurationError(problem.detail, hint=problem.hint or None)
        guess = nearest(name, self.tools)
        known = f"known tools: {listed(self.tools) or 'none'}"
        raise UnknownToolError(
            f"there is no tool {shown(name)}", hint=f"did you mean '{guess}'?" if guess else known
        )

    def provider(self, tool: ToolDefinition) -> ToolDefinition:
        """Return the definition whose logins the tool uses: its provider's, or its own."""
        return tool if tool.provider is None else self.get(tool.provider)

    def sharing(self, provider_name: str) -> tuple[ToolDefinition, ...]:
        """Return every tool that uses the logins of this provider, in order of their names."""
        found = (tool for tool in self.tools.values() if tool.provider_name == provider_name)
        return tuple(sorted(found, key=lambda tool: tool.name))


def load(
    sources: Mapping[str, SourceText],
    previous: Catalogue | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Mapping[str, str]],
    limits: Mapping[str, SessionLimits] | None = None,
) -> Catalogue:
    """Return the catalogue of these files.

    Args:
        sources: every definition file by its path. One that is missing is gone, and its tool too.
        previous: what was in force until now.
        environ: the environment that the agent was started with.
        overrides: config.toml's `[vars.<tool>]` tables by tool.
        limits: its `[session.<tool>]` tables by tool, checked. What one of them says comes before
            the definition's.
    """
    before = previous or Catalogue()
    problems: list[Problem] = []
    decoded = {source.file: _decode(source, before) for source in sources.values()}
    tools: dict[str, ToolDefinition] = {}
    moved: dict[str, frozenset[str]] = {}
    for name, source in _claims(sources, problems).items():
        kept = before.tools.get(name)
        moved[name] = before.moved_to(name)
        result = decoded[source.file].result
        if isinstance(result, DefinitionError):
            problems += _problems(name, source.file, result, in_force=kept is not None)
        else:
            try:
                kept = resolve(result, environ, overrides.get(name))
                moved[name] = frozenset(kept.origins) - frozenset(result.origins)
            except OverrideError as error:
                hint, in_force = error.hint or "", kept is not None
                problems.append(
                    Problem(source.file, name, "vars", error.detail, hint, in_force=in_force)
                )
        if kept is not None:
            tools[name] = kept
    _share(tools, sources, problems)
    _limit(tools, limits or {}, problems)
    for name in sorted(set(overrides) - set(tools) - {problem.tool for problem in problems}):
        guess = nearest(name, tools)
        hint = f"did you mean '{guess}'?" if guess else ""
        detail = f"config.toml: vars.{name}: there is no tool {shown(name)}"
        problems.append(Problem("config.toml", "", f"vars.{name}", detail, hint))
    return Catalogue(
        MappingProxyType(tools),
        tuple(problems),
        MappingProxyType(decoded),
        MappingProxyType({name: origins for name, origins in moved.items() if origins}),
    )


def _limit(
    tools: dict[str, ToolDefinition],
    limits: Mapping[str, SessionLimits],
    problems: list[Problem],
) -> None:
    """Put the person's limits in the place of the definitions'."""
    for name in sorted(limits):
        tool = tools.get(name)
        key = f"session.{name}"
        if tool is None or tool.provider is not None:
            guess = nearest(name, tools)
            detail = f"config.toml: {key}: there is no tool {shown(name)}"
            hint = f"did you mean '{guess}'?" if guess else ""
            if tool is not None:
                detail = f"config.toml: {key}: {name} shares the logins of {tool.provider}"
                hint = f"write [session.{tool.provider}]"
            problems.append(Problem("config.toml", "", key, detail, hint))
            continue
        theirs = tool.session
        session = SessionLimits(
            idle=limits[name].idle or theirs.idle,
            absolute=limits[name].absolute or theirs.absolute,
        )
        tools[name] = msgspec.structs.replace(tool, session=session)


def _decode(source: SourceText, before: Catalogue) -> _Decoded:
    known = before.decoded.get(source.file)
    if known is not None and known.source == source:
        return known
    if source.refused:
        allowed = "a file that only you can change"
        finding = Finding("", source.refused, allowed, advice=source.fix)
        return _Decoded(source, DefinitionError(source.file, [finding]))
    try:
        return _Decoded(source, decode(source.text, source.file))
    except DefinitionError as error:
        return _Decoded(source, error)


def _stem(source: SourceText) -> str:
    return source.file.rpartition("/")[2].removesuffix(".toml")


def _claims(sources: Mapping[str, SourceText], problems: list[Problem]) -> dict[str, SourceText]:
    """Return which file speaks for each tool: a person's before a built-in, else the first."""
    claims: dict[str, SourceText] = {}
    for source in sorted(sources.values(), key=lambda source: (source.builtin, source.file)):
        name = _stem(source)
        first = claims.setdefault(name, source)
        if first is source:
            continue
        if source.builtin and not first.builtin:
            detail = f"{first.file}: overrides the built-in definition of {name}"
            problems.append(Problem(first.file, name, "", detail, note=True))
        else:
            detail = f"{source.file}: refused, because {first.file} defines {name} already"
            hint = "rename or remove one of them"
            problems.append(Problem(source.file, name, "name", detail, hint, in_force=True))
    return claims


def _problems(tool: str, file: str, error: DefinitionError, *, in_force: bool) -> Iterable[Problem]:
    for finding in error.findings:
        detail = f"{file}: {finding}"
        yield Problem(file, tool, finding.key, detail, finding.hint or "", in_force=in_force)


def _share(
    tools: dict[str, ToolDefinition], sources: Mapping[str, SourceText], problems: list[Problem]
) -> None:
    """Take out every tool whose provider cannot give it logins, and say why."""
    files = {_stem(source): source.file for source in sources.values()}
    for source in sources.values():
        if not source.builtin:
            files[_stem(source)] = source.file
    wrong: dict[str, Finding] = {}
    for name, tool in tools.items():
        if tool.provider is not None:
            finding = _unshared(tool, tool.provider, tools)
            if finding is not None:
                wrong[name] = finding
                continue
            _foreign(tool, tools[tool.provider], files.get(name, name), problems)
    for name, finding in wrong.items():
        del tools[name]
        file = files.get(name, f"{name}.toml")
        problems += _problems(name, file, DefinitionError(file, [finding]), in_force=False)


def _unshared(
    tool: ToolDefinition, provider_name: str, tools: Mapping[str, ToolDefinition]
) -> Finding | None:
    """Return why the tool cannot share the logins of its provider, if it cannot."""
    provider = tools.get(provider_name)
    if provider is None:
        others = [name for name, other in tools.items() if other.provider is None]
        found = f"{shown(provider_name)}, which is missing or broken"
        allowed = f"a definition that has logins: {listed(others) or 'none'}"
        return Finding("provider", found, allowed, nearest(provider_name, others))
    if provider.provider is not None:
        found = f"{shown(provider_name)}, which shares the logins of another itself"
        return Finding("provider", found, f'the one with the logins: "{provider.provider}"')
    theirs = {spec.id: spec for spec in provider.credential}
    for index, spec in enumerate(tool.credential):
        if _held(spec) and (spec.id not in theirs or _held(theirs[spec.id]) != _held(spec)):
            ids = [id_ for id_, other in theirs.items() if _held(other) == _held(spec)]
            found = f'"{spec.id}", which no login of {provider_name} obtains'
            allowed = f"an id of the same kind there: {listed(ids) or 'none'}"
            return Finding(f"credential[{index}].id", found, allowed, nearest(spec.id, ids))
    return next(check.shared(tool, provider), None)


def _held(spec: CredentialSpec) -> str:
    """Return what kind of grant serves a credential; empty for one that only a variable holds."""
    if spec.source == "session":
        return "session"
    return "stored" if spec.storable else ""


def _foreign(
    tool: ToolDefinition, provider: ToolDefinition, file: str, problems: list[Problem]
) -> None:
    """Note the hosts that a shared login is never sent to, because its provider lists them not."""
    missing = [origin for origin in tool.origins if origin not in provider.origins]
    if missing:
        detail = (
            f"{file}: origins: {listed(missing)} is not among the origins of "
            f"{provider.name}, so the agent sends no secret of its logins there"
        )
        hint = f"add it to the origins of {provider.name} and log in again"
        problems.append(Problem(file, tool.name, "origins", detail, hint, note=True))
