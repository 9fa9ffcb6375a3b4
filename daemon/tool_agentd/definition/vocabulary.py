"""The vocabulary of a tool definition: what a TOML file may say, as frozen types.

Its parts have modules of their own: `table` (requests), `steps`, `flows` (logins), `delivery`
(files, caches), `faces` (the tool's own words, actions, API keys).
"""

from typing import Literal

from tool_agentd.definition.delivery import CacheSpec, FileSpec
from tool_agentd.definition.faces import Action, ApiKeys, Face, Output
from tool_agentd.definition.flows import Login
from tool_agentd.definition.table import Errors, Request, Table, Var


class EnvSource(Table, frozen=True, kw_only=True):
    """A credential that the person sets by variable; the first one set counts."""

    env: list[str] = []
    all_of: list[str] = []
    """Variables that only count together, instead of `env`: an id and its secret, which is the
    last one; `{ACME_ID}` in a header is the variable of that name."""
    stored: bool = False
    """Whether a login may also put it into the store (`login --api-key`)."""
    dotenv: str | None = None
    """A project's `.env` counts as set by the person too, unless this variable is set."""
    login: str | None = None
    """The login method that takes the value, as the answer to its first secret question. The value
    is no credential then: where there is no session, a client signs in with it."""


class Expiry(Table, frozen=True, kw_only=True):
    """Where the end of an access token's life is said; `expires_in` of the reply by default."""

    jwt_claim: str | None = None
    field: str | None = None
    """Dotted path into the token's answer: RFC 3339, or Unix seconds."""
    default: str | None = None
    """A duration, for replies that do not say."""
    never: bool = False
    """The access token has no end, and nothing renews it: it rests in the store as a platform
    session does, until its platform refuses it or the person logs out."""


class CredentialSpec(Table, frozen=True, kw_only=True):
    """One kind of credential of the tool. Their order in the file is their precedence."""

    id: str
    source: EnvSource | Literal["session", "stored"]
    """`session`: access tokens of a grant, or a platform session. `stored`: a long-lived secret in
    the store."""
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
    def pair(self) -> tuple[str, ...]:
        """The person's variables that hold it together."""
        return tuple(self.source.all_of) if isinstance(self.source, EnvSource) else ()

    @property
    def taken_by(self) -> str | None:
        """The login method that takes the person's variable, which is no credential then."""
        return self.source.login if isinstance(self.source, EnvSource) else None

    @property
    def storable(self) -> bool:
        """Whether a long-lived secret of this credential may rest in the store."""
        if isinstance(self.source, EnvSource):
            return self.source.stored
        return self.source == "stored"


class Refresh(Table, frozen=True, kw_only=True):
    """How access tokens are renewed; the login's token endpoint unless `token` says otherwise."""

    token: str | None = None
    client_id: str | None = None
    """For logins that have none of their own: `exchange`, or a code with `begin`."""
    fatal_status: tuple[int, ...] = ()
    """Statuses that mean `invalid_grant` at this provider."""
    rotation_grace: str = "30s"


class Logout(Table, frozen=True, kw_only=True):
    """What ends a session at the provider; the discovered revocation endpoint by default."""

    revoke: list[Request] = []
    """Sent in order, with the headers that they state and no others. One whose placeholder has no
    value (an access token that the agent does not hold) is left out."""


class SessionLimits(Table, frozen=True, kw_only=True):
    """How long a session lasts whatever its tokens say. Durations; config.toml may set others."""

    idle: str | None = None
    """It ends when nobody was served from it for so long."""
    absolute: str | None = None
    """It ends so long after its login."""


class Field(Table, frozen=True, kw_only=True):
    """A value of an identity; one of `path`, `claim`, `claim_suffix`, `kept` says whence."""

    path: str | None = None
    """A dotted path into the JSON reply; a number is an index into a list."""
    claim: str | None = None
    """A claim of the access token, by its whole name."""
    claim_suffix: str | None = None
    """A claim of the access token, by the end of its name."""
    kept: str | None = None
    """A value that the login has kept (`keep`)."""
    equals: str | None = None
    """Compare the value with this text, and become `then` or `otherwise`."""
    then: str | None = None
    otherwise: str | None = None


class IdentitySpec(Table, frozen=True, kw_only=True):
    """How the tool answers "who am I" for one credential."""

    request: Request | None = None
    """Sent with the credential's headers, its own winning. None: the discovered userinfo
    endpoint; or nobody is asked, where every field is `kept`, name and subject among them."""
    instead: Request | None = None
    """Asked where the answer to the first names nobody, though it is no refusal."""
    nobody_refused: bool = False
    """Whether an answer that names nobody means that the credential is not accepted."""
    fields: dict[str, str | Field] = {}
    """Name -> dotted path or Field."""
    name: str = "email"
    """Which field the person recognises; not among `fields`, it is a path into the reply."""
    subject: str = "sub"
    """Which field identifies the account for good; not among `fields`, it is a path."""
    text: str | list[str] | None = None
    """What `whoami --human` prints; `{field}` placeholders. Of several texts the first one whose
    fields are all there."""
    refused_status: tuple[int, ...] = (401, 403)
    """Statuses that mean: this credential is not (or no longer) accepted."""
    refused_hint: str | None = None
    """What the person can do then."""


class ToolDefinition(Table, frozen=True, kw_only=True):
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
    session: SessionLimits = SessionLimits()
    identity: dict[str, IdentitySpec] = {}
    """Id of a credential -> how it answers "who am I"."""
    env: dict[str, str] = {}
    """Variable -> id of the credential that it carries."""
    errors: Errors = Errors()
    cache: dict[str, CacheSpec] = {}
    file: dict[str, FileSpec] = {}
    action: dict[str, Action] = {}
    api_keys: ApiKeys = ApiKeys()
    output: Output = Output()
    face: Face | None = None

    @property
    def provider_name(self) -> str:
        """The provider's name."""
        return self.provider or self.name
