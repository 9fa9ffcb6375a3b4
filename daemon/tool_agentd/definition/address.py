"""Addresses and their origins: where a secret may go."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from tool_agentd.definition.vocabulary import METHODS, OAuthCode, Request, ToolDefinition

ALLOWED = "an https address (http only for localhost, 127.0.0.1 and [::1])"
DEFAULT_PORTS = {"https": 443, "http": 80}

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_IPV6 = re.compile(r"[0-9a-f:.]+")
_LOOPBACK = re.compile(r"localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1")


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


def requests(definition: ToolDefinition) -> Iterator[tuple[str, Request]]:
    """Yield each request that the definition states, with its dotted key."""
    for index, request in enumerate(definition.logout.revoke):
        yield f"logout.revoke[{index}]", request
    for id_, identity in definition.identity.items():
        if identity.request is not None:
            yield f"identity.{id_}.request", identity.request


def addresses(definition: ToolDefinition) -> Iterator[tuple[str, str]]:
    """Yield each address, placeholders and all, with its dotted key."""
    for name, login in definition.login.items():
        if isinstance(login, OAuthCode):
            for key in ("issuer", "authorize", "token"):
                value = getattr(login, key)
                if value is not None:
                    yield f"login.{name}.{key}", value
    if definition.refresh.token is not None:
        yield "refresh.token", definition.refresh.token
    for key, request in requests(definition):
        for method in METHODS:
            value = getattr(request, method)
            if value is not None:
                yield f"{key}.{method}", value
