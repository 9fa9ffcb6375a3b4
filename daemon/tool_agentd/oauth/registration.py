"""Registration: as whom, and where, the agent speaks OAuth for a login, whatever its flow.

One record for the browser, for the device flow, and for logins made of steps whose tokens are
renewed all the same: what comes after a login does not ask which flow it was.
"""

from dataclasses import dataclass
from typing import Literal

from tool_agentd.definition.flows import Device, OAuthCode
from tool_agentd.definition.vocabulary import ToolDefinition


@dataclass(frozen=True, slots=True)
class Registration:
    """A client id and its endpoints, as a definition names them."""

    client_id: str
    issuer: str | None = None
    """With an issuer the endpoints are discovered."""
    authorize: str | None = None
    device: str | None = None
    token: str | None = None
    refresh: str | None = None
    """Where access tokens are renewed, where that is not the token endpoint."""
    scope: str = ""
    audience: str | None = None
    audience_parameter: Literal["audience", "resource"] = "audience"

    @property
    def renews(self) -> bool:
        """Whether there is anywhere to renew an access token."""
        return bool(self.issuer or self.token or self.refresh)


def registration_of(provider: ToolDefinition, method: str) -> Registration | None:
    """Return the registration of a login by name.

    None where the definition has no such login (any more), or one whose credential is no token
    that could be renewed: a key, or a platform session.
    """
    login = provider.login.get(method)
    refresh = provider.refresh
    if isinstance(login, OAuthCode | Device):
        return Registration(
            client_id=login.client_id,
            issuer=login.issuer,
            authorize=login.authorize if isinstance(login, OAuthCode) else None,
            device=login.authorization if isinstance(login, Device) else None,
            token=login.token,
            refresh=refresh.token,
            scope=login.scope,
            audience=login.audience,
            audience_parameter=login.audience_parameter,
        )
    if login is None or refresh.token is None or refresh.client_id is None:
        return None
    return Registration(refresh.client_id, refresh=refresh.token)
