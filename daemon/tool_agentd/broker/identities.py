"""Identities: asking the platform whom a credential belongs to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from tool_agentd.broker.providers import Providers
from tool_agentd.definition import credentials, select
from tool_agentd.definition.vocabulary import CredentialSpec, OAuthCode, ToolDefinition
from tool_agentd.errors import ConfigurationError, ProviderError, TemporarilyUnavailableError
from tool_agentd.model import Credential, HttpRequest, Identity
from tool_agentd.ports import Http

OK = range(200, 300)
SERVER_ERRORS = range(500, 600)
TOO_MANY = 429


class CredentialRefusedError(ProviderError):
    """The platform does not accept this credential."""


@dataclass(frozen=True, slots=True)
class Who:
    """The platform's answer."""

    identity: Identity
    fields: Mapping[str, str]
    text: str
    """As the tool's own `whoami` words it."""


class Identities:
    """The platforms' identity routes."""

    def __init__(self, http: Http, providers: Providers) -> None:
        """Take the parts."""
        self._http = http
        self._providers = providers

    async def ask(
        self,
        tool: ToolDefinition,
        spec: CredentialSpec,
        credential: Credential,
        allowed: Collection[str],
        method: str | None = None,
    ) -> Who:
        """Return who the credential is. `method` is the login method that brought it, if one did.

        Raises CredentialRefusedError, ProviderError or TemporarilyUnavailableError, and
        ConfigurationError where the definition has no way to ask.
        """
        identity = tool.identity.get(spec.id)
        if identity is None:
            message = f"the definition of {tool.name} does not say how to ask who a {spec.id} is"
            raise ConfigurationError(message)
        request = credentials.identity_request(tool, spec, credential.value)
        if request is None:
            address = await self._userinfo(tool, method, allowed)
            request = HttpRequest("GET", address, credential.headers)
        reply = await self._http.send(request, allowed=allowed)
        if reply.status in identity.refused_status:
            message = f"{tool.title} does not accept this {_noun(spec)} (HTTP {reply.status})"
            raise CredentialRefusedError(
                message, hint="check that it is complete and has not been revoked"
            )
        if reply.status in SERVER_ERRORS or reply.status == TOO_MANY:
            message = f"{tool.title} cannot answer now (HTTP {reply.status})"
            raise TemporarilyUnavailableError(message, retry_after=5)
        if reply.status not in OK:
            message = f"{tool.title} answered HTTP {reply.status} when asked who this is"
            raise ProviderError(message)
        try:
            body = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, RecursionError):
            message = f"{tool.title} answered with something that is not JSON"
            raise ProviderError(message) from None
        who, fields, text = select.read_identity(identity, body, select.claims(credential.value))
        return Who(who, fields, text)

    async def _userinfo(
        self, tool: ToolDefinition, method: str | None, allowed: Collection[str]
    ) -> str:
        login = tool.login.get(method or "")
        if isinstance(login, OAuthCode):
            metadata = await self._providers.metadata(login, allowed)
            if metadata.userinfo_endpoint is not None:
                return metadata.userinfo_endpoint
        message = f"{tool.title} has no userinfo endpoint"
        raise ConfigurationError(message, hint="give the definition an identity request")


def _noun(spec: CredentialSpec) -> str:
    return "session" if spec.source == "session" else "key"
