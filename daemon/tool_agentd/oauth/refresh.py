"""The refresh request (RFC 6749 section 6)."""

from tool_agentd.definition.vocabulary import OAuthCode, Refresh
from tool_agentd.model import HttpRequest, TokenKey
from tool_agentd.oauth.metadata import Metadata
from tool_agentd.secret import Secret


def refresh_request(
    login: OAuthCode,
    metadata: Metadata,
    *,
    refresh_token: Secret,
    key: TokenKey,
    refresh: Refresh | None = None,
) -> HttpRequest:
    """Ask for another access token.

    Without scopes in `key` the provider gives what it granted at first. The definition's own
    refresh address comes before the token endpoint. The audience goes under the
    login's `audience_parameter`.
    """
    form: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": login.client_id,
    }
    if key.scopes:
        form["scope"] = " ".join(key.scopes)
    if key.audience:
        form[login.audience_parameter] = key.audience
    endpoint = refresh.token if refresh is not None and refresh.token else None
    return HttpRequest(
        "POST",
        endpoint or metadata.token_endpoint,
        headers={"Accept": "application/json"},
        form=form,
    )
