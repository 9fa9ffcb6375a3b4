"""Identities: asking the platform whom a credential belongs to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from tool_agentd.broker.providers import Providers
from tool_agentd.broker.replies import OK, unavailable
from tool_agentd.definition import credentials, select
from tool_agentd.definition.vocabulary import CredentialSpec, IdentitySpec, ToolDefinition
from tool_agentd.errors import ConfigurationError, ProviderError
from tool_agentd.model import Credential, HttpReply, HttpRequest, Identity
from tool_agentd.oauth.registration import registration_of
from tool_agentd.oauth.wording import reason_of
from tool_agentd.ports import Http


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

    async def ask(  # noqa: PLR0913 - the question, and what is known beforehand
        self,
        tool: ToolDefinition,
        spec: CredentialSpec,
        credential: Credential,
        allowed: Collection[str],
        method: str | None = None,
        kept: Collection[tuple[str, str]] = (),
    ) -> Who:
        """Return who the credential is. `method` is the login method that brought it, if one did.

        `kept` is what that login has kept, by name. A definition that has nothing but kept fields
        answers with those, and nobody is asked.

        Raises CredentialRefusedError, ProviderError or TemporarilyUnavailableError, and
        ConfigurationError where the definition has no way to ask.
        """
        identity = tool.identity.get(spec.id)
        if identity is None:
            message = f"the definition of {tool.name} does not say how to ask who a {spec.id} is"
            raise ConfigurationError(message)
        if select.answers_itself(identity):
            return Who(*select.read_identity(identity, None, {}, dict(kept)))
        request = credentials.identity_request(tool, spec, credential.value, credential.others)
        if request is None:
            address = await self._userinfo(tool, method, allowed)
            request = HttpRequest("GET", address, credential.headers)
        try:
            return await self._asked(tool, spec, request, credential, allowed, dict(kept))
        except CredentialRefusedError:
            raise
        except ProviderError as error:
            instead = credentials.identity_request(
                tool, spec, credential.value, credential.others, instead=True
            )
            if instead is not None:
                return await self._asked(tool, spec, instead, credential, allowed, dict(kept))
            if identity.nobody_refused and isinstance(error, select.NobodyError):
                message = f"{tool.title} does not accept this {_noun(spec)}: nobody is signed in"
                raise CredentialRefusedError(message, hint=_hint(identity)) from error
            raise

    async def _asked(  # noqa: PLR0913 - whom to ask, how, and with what
        self,
        tool: ToolDefinition,
        spec: CredentialSpec,
        request: HttpRequest,
        credential: Credential,
        allowed: Collection[str],
        kept: Mapping[str, str],
    ) -> Who:
        """Send one request and read its answer."""
        identity = tool.identity[spec.id]
        reply = await self._http.send(request, allowed=allowed)
        if reply.status in identity.refused_status:
            why = _why(tool, request, reply)
            message = f"{tool.title} does not accept this {_noun(spec)} ({why})"
            raise CredentialRefusedError(message, hint=_hint(identity), status=reply.status)
        busy = unavailable(tool, reply.status)
        if busy is not None:
            raise busy
        if reply.status not in OK:
            message = f"{tool.title} answered HTTP {reply.status} when asked who this is"
            raise ProviderError(message, status=reply.status)
        try:
            body = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, RecursionError):
            message = f"{tool.title} answered with something that is not JSON"
            raise ProviderError(message) from None
        claims = select.claims(credential.value)
        return Who(*select.read_identity(identity, body, claims, kept))

    async def _userinfo(
        self, tool: ToolDefinition, method: str | None, allowed: Collection[str]
    ) -> str:
        registration = registration_of(tool, method or "")
        if registration is not None:
            metadata = await self._providers.metadata(registration, allowed)
            if metadata.userinfo_endpoint is not None:
                return metadata.userinfo_endpoint
        message = f"{tool.title} has no userinfo endpoint"
        raise ConfigurationError(message, hint="give the definition an identity request")


def _why(tool: ToolDefinition, request: HttpRequest, reply: HttpReply) -> str:
    """Return the status, and the platform's own reason where the definition says how to read it."""
    said = reason_of(request, reply, tool.errors)
    return f"HTTP {reply.status}: {said}" if said else f"HTTP {reply.status}"


def _hint(identity: IdentitySpec) -> str:
    return identity.refused_hint or "check that it is complete and has not been revoked"


def _noun(spec: CredentialSpec) -> str:
    return "session" if spec.source == "session" else "key"
