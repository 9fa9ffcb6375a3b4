"""Authorization code with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 8252, RFC 9207, RFC 9700)."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from tool_agentd.definition.flows import OAuthCode
from tool_agentd.errors import AgentError, CancelledError, InvalidRequestError, ProviderError
from tool_agentd.model import HttpRequest, Instant
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.wording import host_of, printable
from tool_agentd.secret import Secret

_ENTROPY = 32
"""Bytes: 43 characters in base64url, the least that RFC 7636 section 4.1 allows for a verifier,
and twice the 128 bits that a state must have."""
_MAX_TARGET = 16_384
"""Characters of a callback; twice what a browser's servers commonly take."""
_MAX_PARAMETERS = 64
"""Parameters of a callback; the protocol knows eight."""
_OWN_PARAMETERS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "response_mode",
        "response_type",
        "state",
    }
)
"""What the definition's further parameters may not replace: each one guards the login."""

Entropy = Callable[[int], bytes]
"""Returns so many random bytes, fit for secrets: `os.urandom`, or a test's own."""


@dataclass(frozen=True, slots=True)
class PendingCode:
    """A login whose person is in the browser. All that its callback is judged by."""

    url: str = field(repr=False)
    """Where the browser goes; it holds the state and the nonce."""
    state: Secret
    verifier: Secret
    nonce: Secret | None
    """None where no ID token was asked for: without the scope `openid`."""
    redirect_uri: str
    scopes: tuple[str, ...]
    """The scopes asked for; what a reply without `scope` has granted."""
    began: Instant
    issuer: str | None = None
    iss_supported: bool = False


def new_verifier(entropy: Entropy) -> Secret:
    """Return a code verifier (RFC 7636 section 4.1)."""
    return Secret(_text(entropy(_ENTROPY)))


def challenge(verifier: Secret) -> str:
    """Return the S256 code challenge (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return _text(digest)


def begin(  # noqa: PLR0913 - each one is a fact of its own, and all are named
    login: OAuthCode,
    metadata: Metadata,
    *,
    redirect_uri: str,
    scope: str,
    entropy: Entropy,
    now: Instant,
) -> PendingCode:
    """Make the authorization request. State, verifier and nonce are new each time.

    `scope` is separated by spaces. The address is empty where the platform makes its own (`begin`).
    """
    scopes = tuple(dict.fromkeys(scope.split()))
    state, verifier = Secret(_text(entropy(_ENTROPY))), new_verifier(entropy)
    nonce = Secret(_text(entropy(_ENTROPY))) if "openid" in scopes else None
    asked: dict[str, str] = {
        name: value for name, value in login.parameters.items() if name not in _OWN_PARAMETERS
    }
    if scopes:
        asked["scope"] = " ".join(scopes)
    if login.audience:
        asked[login.audience_parameter] = login.audience
    if nonce is not None:
        asked["nonce"] = nonce.reveal()
    asked |= {
        "response_type": "code",
        "client_id": login.client_id,
        "redirect_uri": redirect_uri,
        "state": state.reveal(),
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    own = login.begin is not None
    return PendingCode(
        url="" if own else _with_query(metadata.required("authorization"), asked),
        state=state,
        verifier=verifier,
        nonce=nonce,
        redirect_uri=redirect_uri,
        scopes=scopes,
        began=now,
        issuer=metadata.issuer,
        iss_supported=metadata.iss_supported,
    )


def read_callback(pending: PendingCode, target: str) -> Secret:
    """Return the authorization code of a callback.

    `target` is the path and query that the listener received, or the whole address that the person
    pasted. Raises InvalidRequestError for text that is no callback of this login at all (the login
    may go on), CancelledError where the person said no, and ProviderError for everything else: a
    wrong state, a wrong issuer, the provider's own error, no code.

    The state is compared first and in constant time; until it matches, nothing that the callback
    says is believed or shown.
    """
    found = _parameters(_query(pending.redirect_uri, target))
    state = found.get("state")
    if state is None or Secret(state) != pending.state:
        raise ProviderError(
            "the callback does not belong to this login: its state is "
            + ("missing" if state is None else "another"),
            hint="log in again, and use the page that this login opened",
        )
    _check_issuer(pending, found.get("iss"))
    if "error" in found:
        hide = [pending.state, pending.verifier, *([pending.nonce] if pending.nonce else [])]
        _refuse(hide, found["error"], found.get("error_description", ""))
    code = found.get("code", "")
    if not code or not (code.isascii() and code.isprintable()):
        raise ProviderError("the callback brought no authorization code", hint="log in again")
    return Secret(code)


def belongs(pending: PendingCode, target: str) -> bool:
    """Whether a callback has this login's state; compared in constant time."""
    try:
        found = _parameters(_query(pending.redirect_uri, target))
    except AgentError:
        return False
    return Secret(found.get("state", "")) == pending.state


def description_of(pending: PendingCode, target: str) -> str:
    """Return the `error_description` of a callback of this very login; empty for any other."""
    try:
        found = _parameters(_query(pending.redirect_uri, target))
    except AgentError:
        return ""
    ours = "error" in found and Secret(found.get("state", "")) == pending.state
    return found.get("error_description", "") if ours else ""


def read_parameter(redirect_uri: str, target: str, name: str) -> Secret:
    """Return the secret that a site has sent to the loopback, in a parameter of the callback.

    Raises as `read_callback`; there is no state, and an error is the site's own.
    """
    found = _parameters(_query(redirect_uri, target))
    if "error" in found:
        _refuse([], found["error"], found.get("error_description", ""))
    value = found.get(name, "")
    if not value or not (value.isascii() and value.isprintable()):
        raise ProviderError(f"the callback brought no {name}", hint="log in again")
    return Secret(value)


def exchange(
    pending: PendingCode, login: OAuthCode, metadata: Metadata, code: Secret
) -> HttpRequest:
    """Return the request that turns the code into tokens (RFC 6749 section 4.1.3)."""
    return HttpRequest(
        "POST",
        metadata.required("token"),
        headers={"Accept": "application/json"},
        form={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "client_id": login.client_id,
            "code_verifier": pending.verifier,
        },
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _with_query(endpoint: str, asked: dict[str, str]) -> str:
    """Add parameters to an endpoint, whose own query stays (RFC 6749 section 3.1)."""
    parts = urlsplit(endpoint)
    query = "&".join(part for part in (parts.query, urlencode(asked)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _query(redirect_uri: str, target: str) -> str:
    """Return the query of a callback to this login's own address."""
    target = target.strip()
    parts = _split(target)
    expected = urlsplit(redirect_uri)
    is_path = target.startswith("/") and not target.startswith("//")
    ours = (parts.scheme, parts.netloc) == (expected.scheme, expected.netloc)
    if not (is_path or ours) or parts.path != expected.path or not parts.query:
        raise InvalidRequestError(
            "this is not the address that the login ends at",
            hint="copy the whole address from the browser's address bar once it shows "
            f"{host_of(redirect_uri)}",
        )
    return parts.query


def _split(target: str) -> SplitResult:
    if len(target) > _MAX_TARGET:
        raise InvalidRequestError("the address is longer than any login's")
    try:
        target.encode()
        return urlsplit(target)
    except ValueError:
        raise InvalidRequestError("this is no address") from None


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise ProviderError("the callback cannot be read", hint="log in again") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        # RFC 6749 section 3.1: two readers of one callback must not see two codes in it.
        raise ProviderError("the callback has a parameter twice", hint="log in again")
    return found


def _check_issuer(pending: PendingCode, iss: str | None) -> None:
    """Hold the callback against mix-up (RFC 9207 section 2.4)."""
    if pending.issuer is None or (iss is None and not pending.iss_supported):
        return
    if iss != pending.issuer:
        named = "no issuer" if iss is None else f"the issuer '{printable(iss)}'"
        raise ProviderError(
            f"the callback names {named}, not '{printable(pending.issuer)}'", hint="log in again"
        )


def _refuse(hide: list[Secret], error: str, description: str) -> NoReturn:
    """Raise the provider's own error (RFC 6749 section 4.1.2.1), without what is in `hide`."""
    said = printable(error, hide) or "an error without a name"
    more = f" ({printable(description, hide)})" if description.strip() else ""
    if error == "access_denied":
        raise CancelledError(f"the login was declined: {said}{more}", hint="log in again")
    raise ProviderError(f"the provider ended the login: {said}{more}")
