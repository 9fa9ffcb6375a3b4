"""A definition with what `acme` leaves out: steps, actions, files, caches, keys, its own words."""

from tests.core.acme import error_of

BETA = """
schema = 1
name = "beta"
title = "Beta"
origins = ["https://id.beta.example", "https://api.beta.example", "https://beta.example"]

[vars]
idp = { default = "https://id.beta.example", env = "BETA_ID_URL" }
api = { default = "https://api.beta.example", env = "BETA_API_URL" }
site = { default = "https://beta.example", env = "BETA_SITE_URL" }

[[credential]]
id = "key"
source = { env = ["BETA_KEY"], stored = true, dotenv = "BETA_NO_DOTENV" }
headers = { Authorization = "Key {secret}" }

[[credential]]
id = "pair"
source = { all_of = ["BETA_ID", "BETA_SECRET"] }
headers = { X-Id = "{BETA_ID}", X-Secret = "{secret}" }

[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }
expiry = { field = "expires", default = "1h" }

[[credential]]
id = "auth"
source = { env = ["BETA_AUTH"], login = "exchange" }

[login.device]
flow = "device"
client_id = "beta-cli"
authorization = "{idp}/device"
token = "{idp}/token"
keep = { email = "user.email" }

[login.browser]
flow = "oauth_code"
client_id = "beta-cli"
retry = [{ when_error_contains = "no organization", max = 2, say = "wait for your organization" }]

[login.browser.begin]
take = { url = "data.url" }

[login.browser.begin.request]
post = "{idp}/begin"
json = { state = "{state}", challenge = "{challenge}", back = "{redirect_uri}" }

[login.browser.redeem]
take = { expires = "data.expires", email = "data.email" }
take_secret = { access_token = "data.access", refresh_token = "data.refresh" }
request = { post = "{idp}/redeem", json = { code = "{code}", verifier = "{verifier}" } }

[login.browser.obtain]
access_token = "access_token"
refresh_token = "refresh_token"
expires_at = "expires"
keep = ["email"]

[login.site]
flow = "loopback_secret"
credential = "key"
open = "{site}/cli?callback={callback}"

[login.exchange]
flow = "exchange"
credential = "session"
obtain = { access_token = "token", name = "email" }

[[login.exchange.step]]
ask = [{ name = "auth_key", label = "Auth key: ", secret = true, option = "--auth-key" }]
request = { post = "{idp}/exchange", json = { key = "{auth_key}" } }
take = { email = "email" }
take_secret = { token = "token" }
on_error = [{ code = "used", say = "this key was used already" }, { hint = "make another one" }]

[login.password]
flow = "password"
credential = "session"
obtain = { secret = "cookie", name = "email" }

[[login.password.step]]
ask = [
  { name = "email", label = "Email: " },
  { name = "password", label = "Password: ", secret = true },
]
request = { post = "{idp}/sign-in", json = { email = "{email}", password = "{password}" } }
take_cookie = "cookie"

[login.poll]
flow = "poll"
credential = "session"
obtain = { secret = "cookie" }

[[login.poll.step]]
request = { post = "{idp}/poll/create" }
take = { request = "id" }
take_secret = { hidden = "secret" }
open = "{site}/signin?id={request}&secret={hidden}"

[[login.poll.step]]
request = { post = "{idp}/poll/{request}", json = { secret = "{hidden}" } }
take = { status = "status" }
take_secret = { cookie = "cookie" }

[login.poll.step.until]
value = "status"
equals = ["approved"]
stop = { expired = "the sign-in has expired" }
every = "2s"
timeout = "5m"
awaits = "your sign-in"

[refresh]
token = "{idp}/token"

[identity.session]
request = { get = "{api}/me" }
text = ["{email} ({org})", "{email}"]
fields = { email = "email", org = { path = "org.name" }, sub = "id" }

[identity.key]
request = { get = "{api}/me" }

[env]
BETA_TOKEN = "session"
BETA_KEY = "key"

[cache.tenant]
credential = ["session", "key"]
request = { get = "{api}/tenant" }
take = "data.tenant"
path = "~/.beta/tenant.yaml"
in_place = true
under = "{stage}"
constants = { stage = "PRODUCTION" }

[cache.tenant.shape]
tenant_id = "id"
places = { each = "places", of = { label = { text = "at {name}" }, kind = "kind" } }
kind = { path = "kind", transform = "lower" }

[file.session]
credential = "session"
path = "{config}/beta/auth.json"
directory_env = "XDG_CONFIG_HOME"
content = { token = "{access_token}", until = "{expires_at}", how = "{method}", email = "{email}" }
methods = { browser = "web" }
min_ttl = "2m"
read = { refresh_token = "refresh", method = "how", methods = { web = "browser" } }

[action.invite]
title = "invite somebody"
text = "invited {email} as {role}: {invitation}"

[[action.invite.step]]
carries = ["key", "session"]
request = { post = "{api}/invite", json = { email = "{email}", role = "{role}" } }
take = { invitation = "id", slug = "slug" }
ask = [
  { name = "email", label = "Email: ", argument = true },
  { name = "role", label = "Role: ", option = "--role", default = "member", choices = ["member"] },
]
on_error = [{ status = 409, ask = ["email"], say = "{email} is invited already" }]

[[action.invite.step]]
when = { signed_in = "true" }
expect = [{ value = "slug", equals = "{invitation}", say = "wrong {slug}" }]
say = "look at {slug}"

[action.signup]
title = "sign up"
login = "password"

[[action.signup.step]]
ask = [{ name = "email", label = "Email: " }]
request = { post = "{idp}/sign-up", json = { email = "{email}" } }
take_cookie = "cookie"
saves = true

[api_keys]
accepts = ["session"]
variable = "BETA_KEY"
create_url = "https://console.beta.example/keys"
steps = ["open the console", "press New"]

[api_keys.listing]
request = { get = "{api}/keys" }

[api_keys.issue]
request = { post = "{api}/keys", json = { name = "{label}" } }

[api_keys.revoke]
request = { delete = "{api}/keys/{id}" }

[output]
default = "json"
by_method = { browser = "human" }

[face]
command = "beta"
messages = { login_required = "beta: {detail}" }
codes = { login_required = "auth_required", http = "http_{status}" }
json_errors = true
exit = { login_required = 3 }

[[face.word]]
words = "auth login"
do = "login"
method = "browser"
flags = { --web = "browser" }
options = { --auth-key = "auth_key" }
text = "hello {name}"

[[face.word]]
words = "invite"
do = "action"
action = "invite"
arguments = ["email"]
options = { --role = "role" }
text = "invited {email}"
"""


def mistaken(old: str, new: str, expected: str) -> None:
    """Assert that the definition, with a text replaced, gets an error that begins as expected."""
    assert BETA.count(old) >= 1
    error = error_of(BETA.replace(old, new, 1), "beta.toml")
    assert error.detail.startswith("beta.toml: ")
    assert expected in [str(finding)[: len(expected)] for finding in error.findings]
    assert (error.code, error.exit) == ("configuration", 78)
    assert all(finding.key for finding in error.findings)
