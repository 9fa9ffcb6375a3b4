"""`[vars]` filled in, with the overrides of the agent's start environment and of config.toml.

Overriding an address never takes a stored secret along: the new origin joins `origins` for the
grants that are obtained from then on, and each grant keeps the set that it was issued under.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tool_agentd.definition import address, placeholder
from tool_agentd.definition.errors import listed, nearest
from tool_agentd.definition.table import Var
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError

OVERRIDE_MAX = 2048
"""Characters: the length that every server accepts of an address."""

_FILLED = (
    "credential",
    "login",
    "refresh",
    "logout",
    "identity",
    "cache",
    "file",
    "action",
    "api_keys",
    "face",
)
"""The tables in which `[vars]` are filled."""


class OverrideError(ConfigurationError):
    """An override cannot be used. `source` names the variable or the key that holds it."""

    def __init__(self, tool: str, source: str, found: str, allowed: str, hint: str) -> None:
        """Describe it without repeating the value, which need not be meant for us."""
        self.source = source
        super().__init__(f"{tool}: {source} holds {found}; allowed: {allowed}", hint=hint or None)


@dataclass(frozen=True, slots=True)
class _Override:
    value: str
    source: str


def resolve(
    definition: ToolDefinition,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
) -> ToolDefinition:
    """Return the definition with its `[vars]` filled in everywhere.

    Args:
        definition: as decoded.
        environ: the environment that the *agent* was started with. An empty value counts as unset.
        overrides: config.toml's `[vars.<tool>]`; the environment wins over it.

    Raises:
        OverrideError: for an override that is no text for this place, or no address that a secret
            may go to.
    """
    found = _overrides(definition, environ, overrides or {})
    values = {name: var.default for name, var in definition.vars.items()}
    values.update({name: override.value for name, override in found.items()})
    origins = list(definition.origins)
    for _, template in address.addresses(definition):
        used = [found[name] for name in placeholder.names(template) if name in found]
        if not used:
            continue
        try:
            origin = address.origin_of(placeholder.substitute(template, values))
        except address.AddressError as error:
            hint = f"correct or unset it ({used[0].source}) and start the agent again"
            raise OverrideError(
                definition.name, used[0].source, str(error), address.ALLOWED, hint
            ) from None
        if origin not in origins:
            origins.append(origin)
    tree = msgspec.to_builtins(definition)
    for key in _FILLED:
        tree[key] = placeholder.substitute_tree(tree[key], values)
    tree["origins"] = origins
    tree["vars"] = {
        name: Var(default=values[name], env=var.env) for name, var in definition.vars.items()
    }
    return msgspec.convert(tree, type=ToolDefinition)


def _overrides(
    definition: ToolDefinition, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, _Override]:
    tool = definition.name
    for name in overrides:
        if name not in definition.vars:
            guess = nearest(name, definition.vars)
            allowed = listed(definition.vars) or "none: the definition has no [vars]"
            hint = f"did you mean '{guess}'?" if guess else ""
            source = f"[vars.{tool}] in config.toml"
            raise OverrideError(tool, source, f'an unknown key "{name[:60]}"', allowed, hint)
    found: dict[str, _Override] = {}
    for name, var in definition.vars.items():
        if overrides.get(name):
            found[name] = _Override(overrides[name], f"[vars.{tool}] {name} in config.toml")
        if var.env is not None and environ.get(var.env):
            found[name] = _Override(environ[var.env], f"the variable {var.env}")
        if name in found:
            found[name] = _tidy(tool, found[name], var.default)
    return found


def _tidy(tool: str, override: _Override, default: str) -> _Override:
    value = override.value
    if len(value) > OVERRIDE_MAX or not value.isprintable() or "{" in value or "}" in value:
        allowed = f"at most {OVERRIDE_MAX} printable characters, no braces"
        hint = f"correct or unset it ({override.source}) and start the agent again"
        raise OverrideError(tool, override.source, "a text that fits nowhere", allowed, hint)
    if "://" in default and not default.endswith("/"):
        # `https://host/` for `https://host`: the definition goes on with its own slash.
        value = value.rstrip("/")
    return _Override(value, override.source)
