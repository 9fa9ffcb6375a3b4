"""Addresses and their origins: where a secret may go."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tool_agentd.definition import placeholder
from tool_agentd.definition.errors import joined
from tool_agentd.definition.flows import Exchange, OAuthCode, Password, Poll
from tool_agentd.definition.steps import Step
from tool_agentd.definition.table import METHODS, Request
from tool_agentd.definition.vocabulary import ToolDefinition

ALLOWED = "an https address (http only for localhost, 127.0.0.1 and [::1])"
DEFAULT_PORTS = {"https": 443, "http": 80}

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_IPV6 = re.compile(r"[0-9a-f:.]+")
_LOOPBACK = re.compile(r"localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1")
_REST = re.compile(r"[/?#]")


class AddressError(ValueError):
    """No address that a secret may be sent to. Its text does not repeat the address."""


def origin_of(address: str) -> str:
    """Return `scheme://host[:port]` of an address, in lower case and without a default port.

    AddressError where it is not https (or http to this machine), has no host, or carries what an
    honest address does not: a user name, blanks, backslashes, control characters.
    """
    if not address.isascii() or not address.isprintable() or " " in address or "\\" in address:
        raise AddressError("a character that no address has")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise AddressError("no address") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise AddressError("no https address")
    if "@" in parts.netloc:
        raise AddressError("an address with a user name in it")
    if parts.netloc.startswith("["):
        if not _IPV6.fullmatch(host):
            raise AddressError("no host name")
    elif not _HOST.fullmatch(host):
        raise AddressError("no host name")
    if parts.scheme == "http" and not _LOOPBACK.fullmatch(host):
        raise AddressError("an http address of another machine")
    shown = f"[{host}]" if ":" in host else host
    explicit = "" if port in {None, DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{shown}{explicit}"


def head(address: str) -> str:
    """Return what stands before the path of an address: scheme, host and port."""
    scheme, slashes, rest = address.partition("://")
    return f"{scheme}{slashes}{_REST.split(rest, maxsplit=1)[0]}" if slashes else scheme


def whole(address: str) -> str | None:
    """Return the name of the placeholder that is the whole address; None where there is more."""
    found = placeholder.PLACEHOLDER.fullmatch(address)
    return found[1] if found else None


def steps(definition: ToolDefinition) -> Iterator[tuple[str, Step]]:
    """Yield each step that the definition states, with its dotted key."""
    for name, login in definition.login.items():
        match login:
            case OAuthCode():
                for part in ("begin", "redeem"):
                    step = getattr(login, part)
                    if step is not None:
                        yield f"{joined('login', name)}.{part}", step
            case Exchange() | Password() | Poll():
                for index, step in enumerate(login.step):
                    yield f"{joined('login', name)}.step[{index}]", step
            case _:
                pass
    for name, action in definition.action.items():
        for index, step in enumerate(action.step):
            yield f"{joined('action', name)}.step[{index}]", step


def requests(definition: ToolDefinition) -> Iterator[tuple[str, Request]]:
    """Yield each request that the definition states, with its dotted key."""
    for key, step in steps(definition):
        if step.request is not None:
            yield f"{key}.request", step.request
    for index, request in enumerate(definition.logout.revoke):
        yield f"logout.revoke[{index}]", request
    for id_, identity in definition.identity.items():
        if identity.request is not None:
            yield f"{joined('identity', id_)}.request", identity.request
        if identity.instead is not None:
            yield f"{joined('identity', id_)}.instead", identity.instead
    for name, cache in definition.cache.items():
        yield f"{joined('cache', name)}.request", cache.request
    for part in ("listing", "issue", "revoke"):
        spec = getattr(definition.api_keys, part)
        if spec is not None:
            yield f"api_keys.{part}.request", spec.request


def addresses(definition: ToolDefinition) -> Iterator[tuple[str, str]]:
    """Yield each address, placeholders and all, with its dotted key.

    Those that the person's browser visits (`authorize`, `open`) are among them, because secrets
    may go there as well; a page that is only shown (`create_url`) is not.
    """
    for name, login in definition.login.items():
        for part in ("issuer", "authorize", "authorization", "token", "open"):
            value = getattr(login, part, None)
            if value is not None:
                yield f"{joined('login', name)}.{part}", value
    if definition.refresh.token is not None:
        yield "refresh.token", definition.refresh.token
    for key, step in steps(definition):
        if step.open is not None:
            yield f"{key}.open", step.open
    for key, request in requests(definition):
        for method in METHODS:
            value = getattr(request, method)
            if value is not None:
                yield f"{key}.{method}", value
