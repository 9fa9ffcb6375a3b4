"""The vocabulary of a tool definition: what a TOML file may say, as frozen types.

The loader substitutes `{variable}` placeholders of `[vars]` once, so everyone else reads finished
addresses. Placeholders for secrets (`{secret}`, `{access_token}`, `{refresh_token}`) stay and are
filled at the moment of use.
"""

from typing import Any, Literal

import msgspec

METHODS = ("get", "post", "put", "delete")
"""The keys of a request that hold its address, one of which is there."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every table: an unknown key is an error.

    Each subclass says `frozen=True` again, because type checkers do not inherit it.
    """


class Var(Table, frozen=True):
    """A named text of the definition, overridable from the agent's start environment."""

    default: str
    env: str | None = None


class Request(Table, frozen=True):
    """An HTTP request; exactly one of `get`, `post`, `put`, `delete` holds its address."""

    get: str | None = None
    post: str | None = None
    put: str | None = None
    delete: str | None = None
    headers: dict[str, str] = {}
    form: dict[str, str] | None = None
    json: Any = None

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return next((m for m in METHODS if getattr(self, m) is not None), "get").upper()

    @property
    def url(self) -> str:
        """The address, possibly with placeholders."""
        return self.get or self.post or self.put or self.delete or ""


class EnvSource(Table, frozen=True):
    """A credential that the person sets by variable; the first one set counts."""

    env: list[str]
    stored: bool = False
    """Whether a login may also put it into the store (`login --api-key`)."""


class Expiry(Table, frozen=True):
    """Where the end of an access token's life is said; `expires_in` of the reply by default."""

    jwt_claim: str | None = None
    default: str | None = None
    """A duration, for replies that do not say."""


class CredentialSpec(Table, frozen=True):
    """One kind of credential of the tool. Their order in the file is their precedence."""

    id: str
    source: EnvSource | Literal["session", "stored"]
    """`session`: access tokens of an OAuth grant. `stored`: a long-lived secret in the store."""
    headers: dict[str, str] = {}
    """`{secret}` is the credential, whatever its source; `{access_token}` names the same."""
    pattern: str | None = None
    """A regular expression that the whole secret must match before it leaves the machine."""
    shape: str | None = None
    """The pattern in a person's words, for messages: `nrp_<64-hex-chars>`."""
    scope: str | None = None
    """What this tool asks for, of a login that it may share with others."""
    audience: str | None = None
    expiry: Expiry = Expiry()

    @property
    def variables(self) -> tuple[str, ...]:
        """The person's variables that may hold it, the first one set counting."""
        return tuple(self.source.env) if isinstance(self.source, EnvSource) else ()

    @property
    def storable(self) -> bool:
        """Whether a long-lived secret of this credential may rest in the store."""
        if isinstance(self.source, EnvSource):
            return self.source.stored
        return self.source == "stored"


class Loopback(Table, frozen=True):
    """Where the browser comes back to (RFC 8252 section 7.3). Port 0: any free one."""

    host: Literal["127.0.0.1", "localhost"] = "127.0.0.1"
    port: int = 0
    path: str = "/callback"


class OAuthCode(Table, frozen=True, tag="oauth_code", tag_field="flow"):
    """Authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), in the system's browser."""

    client_id: str
    credential: str = "session"
    issuer: str | None = None
    """With an issuer the endpoints come from discovery, and ID tokens are validated."""
    authorize: str | None = None
    token: str | None = None
    scope: str = ""
    audience: str | None = None
    audience_parameter: Literal["audience", "resource"] = "audience"
    """What an audience is called on the wire; `resource` is RFC 8707's name."""
    parameters: dict[str, str] = {}
    """Further parameters of the authorization request."""
    loopback: Loopback = Loopback()
    pkce: Literal["S256"] = "S256"
    timeout: str = "10m"
    title: str | None = None


class Paste(Table, frozen=True, tag="paste", tag_field="flow"):
    """A long-lived secret that the person pastes or pipes in, verified before it is stored."""

    credential: str
    prompt: str
    title: str | None = None


Login = OAuthCode | Paste


class Refresh(Table, frozen=True):
    """How access tokens are renewed; the login's token endpoint unless `token` says otherwise."""

    token: str | None = None
    fatal_status: tuple[int, ...] = ()
    """Statuses that mean `invalid_grant` at this provider."""
    rotation_grace: str = "30s"


class Logout(Table, frozen=True):
    """What ends a session at the provider; the discovered revocation endpoint by default."""

    revoke: list[Request] = []
    """Sent in order, with the headers that they state and no others. One whose placeholder has no
    value (an access token that the agent does not hold) is left out."""


class Field(Table, frozen=True):
    """A value of an identity; exactly one of `path`, `claim`, `claim_suffix` says from where."""

    path: str | None = None
    """A dotted path into the JSON reply; a number is an index into a list."""
    claim: str | None = None
    """A claim of the access token, by its whole name."""
    claim_suffix: str | None = None
    """A claim of the access token, by the end of its name."""
    equals: str | None = None
    """Compare the value with this text, and become `then` or `otherwise`."""
    then: str | None = None
    otherwise: str | None = None


class IdentitySpec(Table, frozen=True):
    """How the tool answers "who am I" for one credential."""

    request: Request | None = None
    """Sent with the credential's headers, its own winning. None: the discovered userinfo
    endpoint."""
    fields: dict[str, str | Field] = {}
    """Name -> dotted path or Field."""
    name: str = "email"
    """Which field the person recognises; not among `fields`, it is a path into the reply."""
    subject: str = "sub"
    """Which field identifies the account for good; not among `fields`, it is a path."""
    text: str | None = None
    """What `whoami --human` prints; `{field}` placeholders."""
    refused_status: tuple[int, ...] = (401, 403)
    """Statuses that mean: this credential is not (or no longer) accepted."""


class ToolDefinition(Table, frozen=True):
    """One tool, as its file describes it."""

    schema: Literal[1]
    name: str
    title: str
    facts: str = ""
    """Where its facts come from; shown by `tool show`."""
    provider: str | None = None
    """The definition whose logins this tool shares; its own by default."""
    origins: list[str] = []
    """The only places that a secret may be sent to."""
    vars: dict[str, Var] = {}
    credential: list[CredentialSpec] = []
    login: dict[str, Login] = {}
    refresh: Refresh = Refresh()
    logout: Logout = Logout()
    identity: dict[str, IdentitySpec] = {}
    """Id of a credential -> how it answers "who am I"."""
    env: dict[str, str] = {}
    """Variable -> id of the credential that it carries."""

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        return self.provider or self.name
