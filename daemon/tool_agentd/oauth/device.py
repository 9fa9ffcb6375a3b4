"""Device authorization (RFC 8628): the requests, what the answers mean, and the pace of polling."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from tool_agentd.definition import select
from tool_agentd.definition.address import AddressError, origin_of
from tool_agentd.definition.flows import Device
from tool_agentd.definition.table import Errors
from tool_agentd.errors import (
    AgentError,
    CancelledError,
    ConfigurationError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.oauth.code import Entropy, challenge, new_verifier
from tool_agentd.oauth.json_object import read_object, text_at
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.reply_clock import retry_after
from tool_agentd.oauth.token import Failure, failure_error
from tool_agentd.oauth.wording import complaint, error_of, host_of
from tool_agentd.secret import Secret

INTERVAL = 5.0
"""Seconds between polls where the provider does not say (section 3.2), and what `slow_down` adds
(section 3.5)."""
LONGEST_PAUSE = 60.0
"""Seconds between polls at most: a person who has said yes should not wait longer for it."""
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_MAX_USER_CODE = 64
"""Characters; section 6.1 has people type it."""


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A login whose person is at a page with a code."""

    device_code: Secret
    user_code: str
    url: str = field(repr=False)
    """Where the person goes: with the code in it, where the provider makes such an address."""
    interval: float
    lifetime: float | None
    """Seconds that the codes are good for."""
    verifier: Secret | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait before the next poll."""

    interval: float
    failures: int = 0
    """Polls in a row that came to nothing: each doubles the wait (section 3.5)."""

    @property
    def wait(self) -> float:
        """Seconds."""
        return min(self.interval * 2.0 ** min(self.failures, 10), max(LONGEST_PAUSE, self.interval))

    def answered(self) -> "Pace":
        """The provider answers (again)."""
        return replace(self, failures=0)

    def slower(self) -> "Pace":
        """The provider said `slow_down`: five seconds more, for good."""
        return Pace(self.interval + INTERVAL)

    def failed(self) -> "Pace":
        """The provider did not answer, or could not."""
        return replace(self, failures=self.failures + 1)


@dataclass(frozen=True, slots=True)
class Waits:
    """The person has not answered yet."""


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Not yet, and asked too often."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Asking again is of no use."""

    error: AgentError


Poll = Waits | SlowDown | Ended


def authorization_request(
    login: Device, metadata: Metadata, *, scopes: tuple[str, ...], verifier: Secret | None
) -> HttpRequest:
    """Return the request for a device code (section 3.1)."""
    form: dict[str, str | Secret] = {
        **login.parameters,
        "client_id": login.client_id,
    }
    if scopes:
        form["scope"] = " ".join(scopes)
    if login.audience:
        form[login.audience_parameter] = login.audience
    if verifier is not None:
        form |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    return HttpRequest(
        "POST", metadata.required("device"), headers={"Accept": "application/json"}, form=form
    )


def verifier_for(login: Device, entropy: Entropy) -> Secret | None:
    """Return a new PKCE verifier, where the login has one."""
    return new_verifier(entropy) if login.pkce is not None else None


def read_authorization(
    reply: HttpReply,
    *,
    request: HttpRequest,
    scopes: tuple[str, ...],
    verifier: Secret | None,
    errors: Errors,
) -> PendingDevice:
    """Read the answer (section 3.2).

    Raises TemporarilyUnavailableError where the provider cannot answer now, ConfigurationError for
    a client that it does not know, ProviderError for everything else.
    """
    found = read_object(reply.body)
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
        why = complaint(request, reply, errors)
        if reply.status == 429 or reply.status >= 500:  # noqa: PLR2004 - RFC 6585, RFC 9110
            raise TemporarilyUnavailableError(why, retry_after=retry_after(reply))
        if error_of(found, errors) in {"invalid_client", "unauthorized_client"}:
            raise ConfigurationError(why, hint="check client_id in the tool definition")
        raise ProviderError(why)
    host = host_of(request.url)
    code, user_code = text_at(found, "device_code"), select.text_of((found or {}).get("user_code"))
    # `verification_url` is what some providers called it before the RFC was one.
    plain = text_at(found, "verification_uri") or text_at(found, "verification_url")
    if found is None or code is None or not user_code or plain is None:
        raise ProviderError(f"{host} answered without a device code, a user code or an address")
    interval = _seconds(found.get("interval"))
    return PendingDevice(
        device_code=Secret(code),
        user_code=user_code[:_MAX_USER_CODE],
        url=_page(text_at(found, "verification_uri_complete") or plain, host),
        interval=INTERVAL if interval is None else min(max(interval, 1.0), LONGEST_PAUSE),
        lifetime=_seconds(found.get("expires_in")),
        verifier=verifier,
        scopes=scopes,
    )


def poll_request(pending: PendingDevice, login: Device, metadata: Metadata) -> HttpRequest:
    """Return the request that asks whether the person has answered (section 3.4)."""
    form: dict[str, str | Secret] = {
        "grant_type": GRANT_TYPE,
        "device_code": pending.device_code,
        "client_id": login.client_id,
    }
    if pending.verifier is not None:
        form["code_verifier"] = pending.verifier
    return HttpRequest(
        "POST", metadata.required("token"), headers={"Accept": "application/json"}, form=form
    )


def read_poll(
    reply: HttpReply, failure: Failure, *, request: HttpRequest, login: Device, errors: Errors
) -> Poll:
    """Read a poll's answer that brought no token (section 3.5); `failure` is what it says at large.

    Raises TemporarilyUnavailableError where the provider could not answer.
    """
    code = error_of(read_object(reply.body), errors)
    why = complaint(request, reply, errors)
    if code in login.pending:
        return Waits()
    if code in login.slow_down:
        return SlowDown()
    if code == "access_denied":
        return Ended(CancelledError(f"the login was declined: {why}", hint="log in again"))
    if code == "expired_token":
        return Ended(expired())
    error = failure_error(failure)
    if isinstance(error, TemporarilyUnavailableError):
        raise error
    return Ended(error)


def expired() -> CancelledError:
    """Return the error of codes that nobody has answered in time."""
    return CancelledError("the code expired before anybody entered it", hint="log in again")


def _seconds(value: Any) -> float | None:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _page(address: str, host: str) -> str:
    """Return an address that the person's browser may be sent to: a page, and nothing else."""
    try:
        origin_of(address)
    except AddressError as error:
        raise ProviderError(f"the page that {host} names is {error}") from None
    return address
