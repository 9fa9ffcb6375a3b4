"""Each kind of mistake in credentials and in the flows of logins, and what its error says."""

import pytest

from tests.core.beta import mistaken

UNTIL = """
[login.poll.step.until]
value = "status"
equals = ["approved"]
stop = { expired = "the sign-in has expired" }
every = "2s"
timeout = "5m"
awaits = "your sign-in"
"""

# Each row: what is replaced in BETA, by what, and what the error says.
MISTAKES = [
    # -- credentials ------------------------------------------------------------------------------
    (
        'all_of = ["BETA_ID", "BETA_SECRET"] }',
        'all_of = ["BETA_ID", "BETA_SECRET"], env = ["BETA_KEY"] }',
        "credential[1].source: found env and all_of; allowed: exactly one of them",
    ),
    (
        '["BETA_ID", "BETA_SECRET"]',
        '["BETA_SECRET"]',
        "credential[1].source.all_of: found one variable; allowed: two or more",
    ),
    (
        '["BETA_ID", "BETA_SECRET"]',
        '["BETA_ID", "Beta_Secret"]',
        'credential[1].source.all_of[1]: found "Beta_Secret"; allowed: a variable\'s name in cap',
    ),
    (
        '["BETA_ID", "BETA_SECRET"]',
        '["BETA_ID", "BETA_ID", "BETA_SECRET"]',
        'credential[1].source.all_of[1]: found "BETA_ID" a second time; allowed: each variable on',
    ),
    (
        '["BETA_ID", "BETA_SECRET"]',
        '["BETA_ID", "BETA_ORG", "BETA_SECRET"]',
        'credential[1].source.all_of[1]: found "BETA_ORG"; allowed: a variable that a header uses',
    ),
    (
        'X-Id = "{BETA_ID}"',
        'X-Id = "{BETA_IDS}"',
        "credential[1].headers.X-Id: found the placeholder {BETA_IDS}; allowed: {BETA_ID}, {BETA_S",
    ),
    (
        'X-Id = "{BETA_ID}"',
        'X-Id = "{Beta_Id}"',
        "credential[1].headers.X-Id: found a brace that belongs to no placeholder",
    ),
    (
        'env = ["BETA_KEY"]',
        'env = ["PATH"]',
        'credential[0].source.env[0]: found "PATH"; allowed: a variable that changes nothing but',
    ),
    (
        'dotenv = "BETA_NO_DOTENV"',
        'dotenv = "LD_PRELOAD"',
        'credential[0].source.dotenv: found "LD_PRELOAD"; allowed: a variable that changes nothing',
    ),
    (
        'login = "exchange" }',
        'login = "exchnge" }',
        'credential[3].source.login: found "exchnge"; allowed: a login method whose steps ask for',
    ),
    (
        'login = "exchange" }',
        'login = "exchange", stored = true }',
        "credential[3].source.stored: found stored beside login; allowed: env and login alone",
    ),
    (
        'field = "expires"',
        'field = "a b"',
        'credential[2].expiry.field: found "a b"; allowed: names and list indices',
    ),
    # -- device and oauth_code --------------------------------------------------------------------
    (
        'authorization = "{idp}/device"\n',
        "",
        "login.device.authorization: found nothing; allowed: issuer, or both authorization and tok",
    ),
    (
        '{ email = "user.email" }',
        '{ secret = "user.email" }',
        'login.device.keep.secret: found "secret"; allowed: another name: this one is a secret\'s',
    ),
    (
        "max = 2",
        "max = 0",
        "login.browser.retry[0].max: found 0; allowed: 1 to 10",
    ),
    (
        '"no organization"',
        '""',
        'login.browser.retry[0].when_error_contains: found ""; allowed: a part of the error',
    ),
    (
        'max = 2, say = "wait',
        'maximum = 2, say = "wait',
        "login.browser.retry[0].maximum: found an unknown key; allowed: max, say, when_error_cont",
    ),
    (
        "[login.browser.redeem]",
        "[login.browser.redeam]",
        "login.browser.redeam: found an unknown key; allowed: ",
    ),
    (
        'take = { url = "data.url" }',
        'take = { address = "data.url" }',
        'login.browser.begin.take.url: found nothing; allowed: take = { url = "..." }',
    ),
    (
        'take = { url = "data.url" }',
        'take = { url = "data.url" }\nopen = "{url}"',
        'login.browser.begin.open: found "{url}"; allowed: no open: the agent sends the person to',
    ),
    (
        'state = "{state}"',
        'state = "{code}"',
        "login.browser.begin.request.json.state: found the placeholder {code}; allowed: ",
    ),
    (
        'client_id = "beta-cli"\nretry',
        'client_id = "beta-cli"\nauthorize = "{idp}/a"\nretry',
        "login.browser.authorize: found authorize beside begin; allowed: no authorize: `begin`",
    ),
    (
        'access_token = "access_token"\nrefresh_token = "refresh_token"',
        'access_token = "email"\nrefresh_token = "refresh_token"',
        'login.browser.obtain.access_token: found "email", a plain value; allowed: one that is',
    ),
    (
        'expires_at = "expires"\n',
        'expires_at = "expiry"\n',
        'login.browser.obtain.expires_at: found "expiry"; allowed: a plain value that a step takes',
    ),
    (
        'keep = ["email"]',
        'keep = ["refresh_token"]',
        'login.browser.obtain.keep[0]: found "refresh_token"; allowed: a plain value that a step',
    ),
    (
        '[refresh]\ntoken = "{idp}/token"',
        "",
        "refresh.token: found nothing, and login.browser obtains a refresh token; allowed: the ad",
    ),
    # -- loopback_secret --------------------------------------------------------------------------
    (
        "?callback={callback}",
        "",
        'login.site.open: found "{site}/cli"; allowed: an address with {callback}',
    ),
    (
        "?callback={callback}",
        "?callback={calback}",
        "login.site.open: found the placeholder {calback}; allowed: {api}, {callback}, {idp}",
    ),
    (
        'open = "{site}/cli?',
        'open = "https://elsewhere.example/cli?',
        'login.site.open: found "https://elsewhere.example"; allowed: an origin that `origins`',
    ),
    (
        'credential = "key"\nopen',
        'credential = "session"\nopen',
        'login.site.credential: found "session"; allowed: the id of a credential with source = "s',
    ),
    (
        '{callback}"\n',
        '{callback}"\nparameter = "a b"\n',
        'login.site.parameter: found "a b"; allowed: a parameter\'s name',
    ),
    # -- exchange, password, poll -----------------------------------------------------------------
    (
        'label = "Auth key: ", secret = true',
        'label = "Auth key: "',
        "login.exchange.step: found 1 asks, of which 0 secret; allowed: one ask for flow = ",
    ),
    (
        'label = "Password: ", secret = true',
        'label = "Password: "',
        "login.password.step: found no ask for a secret; allowed: an ask with secret = true for",
    ),
    (
        UNTIL,
        "",
        'login.poll.step: found no until; allowed: a step with until for flow = "poll"',
    ),
    (
        'obtain = { access_token = "token", name = "email" }',
        'obtain = { name = "email" }',
        "login.exchange.obtain: found nothing; allowed: exactly one of secret, access_token",
    ),
    (
        'obtain = { access_token = "token", name = "email" }',
        'obtain = { access_token = "token", secret = "token" }',
        "login.exchange.obtain: found secret and access_token; allowed: exactly one of secret, acc",
    ),
    (
        'obtain = { access_token = "token", name = "email" }',
        'obtain = { access_token = "tokn", name = "email" }',
        'login.exchange.obtain.access_token: found "tokn"; allowed: a secret that a step takes: ',
    ),
    (
        'obtain = { secret = "cookie", name = "email" }',
        'obtain = { secret = "cookie", refresh_token = "cookie" }',
        "login.password.obtain.refresh_token: found a refresh token without an access token; allo",
    ),
    (
        'obtain = { secret = "cookie", name = "email" }',
        'obtain = { secret = "password", name = "email" }',
        'login.password.obtain.secret: found "password", which the person types; allowed: one',
    ),
    (
        'request = { post = "{idp}/sign-in"',
        'carries = "session"\nrequest = { post = "{idp}/sign-in"',
        "login.password.step[0].carries: found carries in a login; allowed: carries only in an",
    ),
    (
        'request = { post = "{idp}/redeem"',
        'saves = true\nrequest = { post = "{idp}/redeem"',
        "login.browser.redeem.saves: found saves in a login; allowed: saves only in an action",
    ),
    (
        'option = "--auth-key" }]',
        "argument = true }]",
        "login.exchange.step[0].ask[0].argument: found argument in a login; allowed: argument only",
    ),
    (
        'expiry = { field = "expires", default = "1h" }',
        'expiry = { never = true, default = "1h" }',
        "credential[2].expiry.default: found default beside never = true; allowed: never alone",
    ),
    (
        'obtain = { secret = "cookie" }',
        "",
        "login.poll.obtain: found nothing; allowed: a table (required)",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), MISTAKES, ids=[row[2][:60] for row in MISTAKES]
)
def test_each_mistake_is_named_with_its_key_and_what_is_allowed(
    old: str, new: str, expected: str
) -> None:
    """The error says which key, what was found, and what is allowed."""
    mistaken(old, new, expected)
