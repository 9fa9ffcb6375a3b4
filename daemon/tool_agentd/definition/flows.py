"""The flows of a login: how the person's yes becomes a grant (RFC 6749, 8252, 8628).

Three are the field's own and have code of their own: `oauth_code`, `device`, `loopback_secret`.
`paste` takes a key as it is. `exchange`, `password` and `poll` are steps that a definition states;
their names say to the person, and to the checks, what kind of steps to expect.
"""

from typing import Literal

from tool_agentd.definition.steps import Obtain, Step
from tool_agentd.definition.table import Table


class Method(Table, frozen=True, kw_only=True):
    """What every login method has."""

    credential: str
    """The credential that its grant serves."""
    title: str | None = None
    timeout: str = "10m"


class Loopback(Table, frozen=True, kw_only=True):
    """Where the browser comes back to (RFC 8252 section 7.3). Port 0: any free one."""

    host: Literal["127.0.0.1", "localhost"] = "127.0.0.1"
    port: int = 0
    path: str = "/callback"


class Retry(Table, frozen=True, kw_only=True):
    """An error at the callback after which the person waits on a page and the login starts anew."""

    when_error_contains: str
    """A part of `error_description` (RFC 6749 section 4.1.2.1)."""
    max: int = 1
    say: str | None = None
    """What the waiting page says."""


class OAuthMethod(Method, frozen=True, kw_only=True):
    """What the flows of RFC 6749 and 8628 share."""

    client_id: str
    credential: str = "session"
    issuer: str | None = None
    """With an issuer the endpoints come from discovery, and ID tokens are validated."""
    token: str | None = None
    scope: str = ""
    audience: str | None = None
    audience_parameter: Literal["audience", "resource"] = "audience"
    """What an audience is called on the wire; `resource` is RFC 8707's name."""
    parameters: dict[str, str] = {}
    """Further parameters of the authorization request."""
    keep: dict[str, str] = {}
    """Name -> dotted path into the token's answer: plain values that stay with the grant."""


class OAuthCode(OAuthMethod, frozen=True, kw_only=True, tag="oauth_code", tag_field="flow"):
    """Authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), in the system's browser."""

    authorize: str | None = None
    loopback: Loopback = Loopback()
    pkce: Literal["S256"] = "S256"
    retry: list[Retry] = []
    begin: Step | None = None
    """For platforms that make the authorize address themselves: it is given `{redirect_uri}`,
    `{state}` and `{challenge}`, and takes the value `url`."""
    redeem: Step | None = None
    """Goes with `begin`: it is given `{code}` and `{verifier}`, and takes what `obtain` names."""
    obtain: Obtain | None = None


class Device(OAuthMethod, frozen=True, kw_only=True, tag="device", tag_field="flow"):
    """Device authorization (RFC 8628): a code that the person enters on any machine."""

    authorization: str | None = None
    """The device authorization endpoint."""
    pkce: Literal["S256"] | None = None
    """`S256` sends `code_challenge` with the authorization and `code_verifier` with each poll."""
    pending: tuple[str, ...] = ("authorization_pending",)
    """Error codes that mean: not yet."""
    slow_down: tuple[str, ...] = ("slow_down",)
    """Error codes that mean: five seconds more between polls, for good."""


class LoopbackSecret(Method, frozen=True, kw_only=True, tag="loopback_secret", tag_field="flow"):
    """The site sends a key to the loopback, as a parameter of the callback."""

    open: str
    """The page; `{callback}` is the listener's address, percent-encoded."""
    parameter: str = "api_key"
    loopback: Loopback = Loopback()
    random_path: bool = False
    """A path of 128 random bits plays the state's part, where the site takes any path."""


class Paste(Method, frozen=True, kw_only=True, tag="paste", tag_field="flow"):
    """A long-lived secret that the person pastes or pipes in, verified before it is stored."""

    prompt: str


class Procedure(Method, frozen=True, kw_only=True):
    """A login that is a list of steps."""

    step: list[Step]
    obtain: Obtain


class Exchange(Procedure, frozen=True, kw_only=True, tag="exchange", tag_field="flow"):
    """A key from the person (its ask is the only one, and secret) is exchanged for a session."""


class Password(Procedure, frozen=True, kw_only=True, tag="password", tag_field="flow"):
    """Name and password, which are sent and never stored."""


class Poll(Procedure, frozen=True, kw_only=True, tag="poll", tag_field="flow"):
    """A page to open, and a question that is repeated until the person has answered there."""


Login = OAuthCode | Device | LoopbackSecret | Paste | Exchange | Password | Poll
