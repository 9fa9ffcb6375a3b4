"""Definitions for the practice platforms: two tools that share one provider's logins."""

from tests.platforms.clients import REPORTS_AUDIENCE, WORKFLOWS_AUDIENCE


def workflows(url: str) -> str:
    """Return the definition of `workflows`, which has the logins; any free port takes callbacks."""
    return f"""\
schema = 1
name = "workflows"
title = "Workflows"
facts = "a practice platform"
origins = ["{url}"]

[[credential]]
id = "session"
source = "session"
headers = {{ Authorization = "Bearer {{access_token}}" }}
audience = "{WORKFLOWS_AUDIENCE}"

[login.browser]
flow = "oauth_code"
credential = "session"
client_id = "workflow-tools"
authorize = "{url}/authorize"
token = "{url}/oauth/token"
scope = "openid profile email offline_access workflows:read"
audience = "{WORKFLOWS_AUDIENCE}"

[[logout.revoke]]
post = "{url}/oauth/revoke"
form = {{ token = "{{refresh_token}}", client_id = "workflow-tools" }}

[[logout.revoke]]
post = "{url}/oauth/revoke"
form = {{ token = "{{access_token}}", client_id = "workflow-tools" }}

[identity.session]
name = "email"
subject = "sub"
text = "Workflows knows you as {{email}}"

[identity.session.request]
get = "{url}/userinfo"

[identity.session.fields]
email = "email"
sub = "sub"

[env]
WORKFLOWS_TOKEN = "session"
"""


def reports(url: str) -> str:
    """Return the definition of `reports`: another scope, audience and variable, the same login."""
    return f"""\
schema = 1
name = "reports"
title = "Reports"
facts = "a practice platform"
origins = ["{url}"]
provider = "workflows"

[[credential]]
id = "session"
source = "session"
headers = {{ Authorization = "Bearer {{access_token}}" }}
scope = "reports:read"
audience = "{REPORTS_AUDIENCE}"

[env]
REPORTS_TOKEN = "session"
"""
