"""The refresh request (RFC 6749 section 6)."""

from tool_agentd.model import HttpRequest, TokenKey
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.oauth.registration import Registration
from tool_agentd.secret import Secret


def refresh_request(
    registration: Registration, metadata: Metadata, *, refresh_token: Secret, key: TokenKey
) -> HttpRequest:
    """Ask for another access token.

    Without scopes in `key` the provider gives what it granted at first. The definition's own
    refresh address comes before the token endpoint. The audience goes under the
    registration's `audience_parameter`. Raises ConfigurationError where there is no endpoint.
    """
    form: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": registration.client_id,
    }
    if key.scopes:
        form["scope"] = " ".join(key.scopes)
    if key.audience:
        form[registration.audience_parameter] = key.audience
    return HttpRequest(
        "POST",
        registration.refresh or metadata.required("token"),
        headers={"Accept": "application/json"},
        form=form,
    )
