"""A definition with a bit of everything, and the error that a wrong one gets."""

import pytest

from tool_agentd.definition.decode import decode
from tool_agentd.definition.errors import DefinitionError

ACME = """
schema = 1
name = "acme"
title = "Acme"
origins = ["https://id.acme.example", "https://api.acme.example"]

[vars]
id = { default = "https://id.acme.example", env = "ACME_ID_URL" }

[[credential]]
id = "key"
source = { env = ["ACME_KEY"] }
headers = { Authorization = "Key {secret}" }

[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }

[[credential]]
id = "token"
source = "stored"
pattern = "acme_[a-z0-9]{8}"
shape = "acme_ and eight letters or digits"

[login.browser]
flow = "oauth_code"
client_id = "acme-cli"
authorize = "{id}/authorize"
token = "{id}/token"
scope = "openid offline_access"
parameters = { prompt = "consent" }

[login.browser.loopback]
host = "localhost"
port = 8976
path = "/callback"

[login.token]
flow = "paste"
credential = "token"
prompt = "Token: "

[refresh]
fatal_status = [422]

[[logout.revoke]]
post = "{id}/revoke"
form = { token = "{refresh_token}" }

[identity.session]
request = { post = "https://api.acme.example/graphql", json = { query = "{ me { email } }" } }
text = "{email} ({plan})"

[identity.session.fields]
email = "data.me.email"
plan = { claim = "plan", equals = "pro", then = "Pro", otherwise = "Free" }

[env]
ACME_TOKEN = "session"
"""


def error_of(text: str, file: str = "acme.toml") -> DefinitionError:
    """Return the error that a wrong definition gets."""
    with pytest.raises(DefinitionError) as caught:
        decode(text, file)
    return caught.value
