"""Destinations: where a tool would send the login that is delivered to it.

A tool reads the address of its platform in its own file, or has it from the same override as the
agent. A login that was obtained elsewhere is not delivered to it then.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from tool_agentd.definition import address, placeholder
from tool_agentd.definition.delivery import CacheSpec
from tool_agentd.definition.table import METHODS
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]*")
"""An address within a text, whatever its scheme."""


def check_file(
    tool: ToolDefinition,
    tree: Any,  # noqa: ANN401 - a JSON value
    secret: str,
    allowed: Collection[str],
) -> None:
    """Refuse a file that would let the tool send its login elsewhere than where that is from.

    Where the file says no address, those of the definition count: its tool has them from the same
    variables.

    Args:
        tool: whose file it is.
        tree: what is going to be written.
        secret: the credential in it, which is no address.
        allowed: the origins of the login.

    Raises:
        ConfigurationError: it names the other place.
    """
    stated = [found for text in _texts(tree) if text != secret for found in _ADDRESS.findall(text)]
    _check(tool, stated or [text for _, text in address.addresses(tool)], allowed)


def check_cache(tool: ToolDefinition, spec: CacheSpec, allowed: Collection[str]) -> None:
    """Refuse what is kept of one place where the definition now names another.

    What the platform itself has said in it is not judged. Raises ConfigurationError.
    """
    own = [getattr(spec.request, method) for method in METHODS]
    for text in _texts([spec.under, spec.shape, spec.constants]):
        own += _ADDRESS.findall(text)
    _check(tool, [text for text in own if text is not None], allowed)


def _check(tool: ToolDefinition, addresses: Collection[str], allowed: Collection[str]) -> None:
    known = {_origin(entry) for entry in allowed}
    for text in addresses:
        head = address.head(text)
        if placeholder.names(head):
            continue  # filled by an answer, and judged by whoever sends there
        origin = _origin(head) or head
        if origin not in known:
            raise ConfigurationError(
                f"the login is not given to {tool.name}, which would send it to {origin}:"
                " that is not among the origins of this login",
                hint=f"run 'tool-agent login {tool.name}' to log in there, or start the agent"
                " without the override of that address",
            )


def _origin(text: str) -> str:
    try:
        return address.origin_of(text)
    except address.AddressError:
        return ""


def _texts(tree: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON value
    return (text for _, text in placeholder.texts(tree, ""))
