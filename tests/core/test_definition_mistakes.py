"""Each kind of mistake in a definition, and what its error says."""

import pytest

from tests.core.acme import ACME, error_of

FLOWS = '"device", "exchange", "loopback_secret", "oauth_code", "password", "paste", "poll"'

# Each row: what is replaced in ACME, by what, and what the error says.
MISTAKES = [
    # -- types and keys ---------------------------------------------------------------------------
    ("schema = 1\n", "schema = 2\n", "schema: found 2; allowed: 1"),
    ("schema = 1\n", "", "schema: found nothing; allowed: 1 (required)"),
    ('title = "Acme"', "", "title: found nothing; allowed: a text (required)"),
    ('title = "Acme"', "title = 5", "title: found 5; allowed: a text"),
    ('title = "Acme"', "title = 2026-01-01", "title: found a date or time; allowed: a text"),
    ('origins = ["https://id', 'orgins = ["https://id', "orgins: found an unknown key; allowed: "),
    (
        "port = 8976",
        'port = "8976"',
        'login.browser.loopback.port: found "8976"; allowed: a whole number',
    ),
    (
        "port = 8976",
        "prot = 8976",
        "login.browser.loopback.prot: found an unknown key; allowed: host, path, port",
    ),
    (
        'host = "localhost"',
        'host = "0.0.0.0"',
        'login.browser.loopback.host: found "0.0.0.0"; allowed: "127.0.0.1", "localhost"',
    ),
    (
        'flow = "oauth_code"',
        'flow = "oauth-code"',
        f'login.browser.flow: found "oauth-code"; allowed: {FLOWS}',
    ),
    (
        'flow = "paste"\n',
        "",
        f"login.token.flow: found nothing; allowed: {FLOWS}",
    ),
    (
        'prompt = "Token: "',
        'promt = "Token: "',
        "login.token.promt: found an unknown key; allowed: credential, flow, prompt, timeout, tit",
    ),
    ('source = "session"', 'source = "sesion"', 'credential[1].source: found "sesion"; allowed: '),
    (
        'source = { env = ["ACME_KEY"] }',
        'source = { env = "ACME_KEY" }',
        'credential[0].source.env: found "ACME_KEY"; allowed: an array',
    ),
    (
        'source = { env = ["ACME_KEY"] }',
        'source = { env = ["ACME_KEY", 5] }',
        "credential[0].source.env[1]: found 5; allowed: a text",
    ),
    (
        'id = { default = "https://id.acme.example"',
        'id = { defalt = "https://id.acme.example"',
        "vars.id.defalt: found an unknown key; allowed: default, env",
    ),
    ("[422]", "[true]", "refresh.fatal_status[0]: found true; allowed: a whole number"),
    (
        '{ Authorization = "Key {secret}" }',
        '"Key {secret}"',
        'credential[0].headers: found "Key {secret}"; allowed: a table',
    ),
    (
        'form = { token = "{refresh_token}" }',
        "form = { token = 5 }",
        "logout.revoke[0].form.token: found 5; allowed: a text",
    ),
    (
        'form = { token = "{refresh_token}" }',
        "form = [1]",
        "logout.revoke[0].form: found an array; allowed: a table",
    ),
    # -- names ------------------------------------------------------------------------------------
    ('name = "acme"', 'name = "Acme"', 'name: found "Acme"; allowed: a lower-case letter'),
    (
        'name = "acme"',
        'name = "acne"',
        'name: found "acne"; allowed: "acme", as the file is called',
    ),
    ("ACME_TOKEN =", '"ACME-TOKEN" =', 'env.ACME-TOKEN: found "ACME-TOKEN"; allowed: a variable'),
    (
        "ACME_TOKEN =",
        "LD_PRELOAD =",
        'env.LD_PRELOAD: found "LD_PRELOAD"; allowed: a variable that',
    ),
    ("ACME_TOKEN =", "PATH =", 'env.PATH: found "PATH"; allowed: a variable that changes nothing'),
    ('env = "ACME_ID_URL"', 'env = "9"', 'vars.id.env: found "9"; allowed: a variable\'s name'),
    ('["ACME_KEY"]', "[]", "credential[0].source.env: found an empty array; allowed: at least one"),
    ('id = "key"', 'id = "token"', 'credential[2].id: found "token" a second time; allowed: an id'),
    ("[login.token]", '[login."by token"]', 'login."by token": found "by token"; allowed: a lower'),
    # -- references -------------------------------------------------------------------------------
    (
        'credential = "token"',
        'credential = "tokne"',
        'login.token.credential: found "tokne"; allowed: the id of a credential with source = ',
    ),
    (
        'credential = "token"',
        'credential = "key"',
        'login.token.credential: found "key"; allowed: the id of a credential with source',
    ),
    (
        'client_id = "acme-cli"',
        'client_id = "acme-cli"\ncredential = "token"',
        'login.browser.credential: found "token"; allowed: the id of a credential with source = ',
    ),
    ('TOKEN = "session"', 'TOKEN = "sess"', 'env.ACME_TOKEN: found "sess"; allowed: the id of a'),
    ("[identity.session]", "[identity.sessoin]", 'identity.sessoin: found "sessoin"; allowed: the'),
    (
        '[login.token]\nflow = "paste"\ncredential = "token"\nprompt = "Token: "',
        "",
        'credential[2].id: found "token", which no login obtains; allowed: a [login.<method>]',
    ),
    # -- requests and addresses -------------------------------------------------------------------
    (
        'post = "{id}/revoke"',
        'post = "{id}/revoke"\nget = "{id}/revoke"',
        "logout.revoke[0]: found get and post; allowed: exactly one of delete, get, post, put",
    ),
    ('post = "{id}/revoke"', "", "logout.revoke[0]: found no address; allowed: exactly one of"),
    (
        'form = { token = "{refresh_token}" }',
        "form = {}\njson = {}",
        "logout.revoke[0]: found form and json; allowed: one body",
    ),
    (
        'post = "{id}/revoke"',
        'get = "{id}/revoke"',
        "logout.revoke[0].form: found the body of a get; allowed: a body with post or put only",
    ),
    (
        'post = "{id}/revoke"',
        'post = "http://id.acme.example/revoke"',
        "logout.revoke[0].post: found an http address of another machine",
    ),
    (
        'post = "{id}/revoke"',
        'post = "https://evil.example/revoke"',
        'logout.revoke[0].post: found "https://evil.example"; allowed: an origin that `origins`',
    ),
    (
        'post = "{id}/revoke"',
        'post = "https://x@id.acme.example/"',
        "logout.revoke[0].post: found an address with a user name in it",
    ),
    (
        'post = "{id}/revoke"',
        'post = "{id}/revoke/{refresh_token}"',
        "logout.revoke[0].post: found a secret in an address",
    ),
    (
        '"https://id.acme.example", "https://api',
        '"https://id.acme.example/", "https://api',
        'origins[0]: found "https://id.acme.example/"; allowed: the origin alone: "https://id.ac',
    ),
    (
        '"https://id.acme.example", "https://api',
        '"http://id.acme.example", "https://api',
        "origins[0]: found an http address of another machine",
    ),
    (
        'authorize = "{id}/authorize"\n',
        "",
        "login.browser.authorize: found nothing; allowed: issuer",
    ),
    (
        'authorize = "{id}/authorize"',
        'issuer = "https://id.acme.example?x"',
        'login.browser.issuer: found "https://id.acme.example?x"; allowed: an address without ?',
    ),
    ('prompt = "consent"', 'state = "x"', 'login.browser.parameters.state: found "state"; allowed'),
    (
        "port = 8976",
        "port = 65536",
        "login.browser.loopback.port: found 65536; allowed: 0 (any free",
    ),
    (
        'path = "/callback"',
        'path = "callback"',
        'login.browser.loopback.path: found "callback"; all',
    ),
    (
        'path = "/callback"',
        'path = "/c?x=1"',
        'login.browser.loopback.path: found "/c?x=1"; allowed',
    ),
    (
        "[422]",
        "[200]",
        "refresh.fatal_status[0]: found 200; allowed: an HTTP status from 400 to 599",
    ),
    (
        'headers = { Authorization = "Key {secret}" }',
        'headers = { Host = "x" }',
        'credential[0].headers.Host: found "Host"; allowed: headers that do not steer',
    ),
    (
        'headers = { Authorization = "Key {secret}" }',
        'headers = { "X Key" = "{secret}" }',
        'credential[0].headers."X Key": found "X Key"; allowed: a header\'s name',
    ),
    (
        "Key {secret}",
        "Key\\n{secret}",
        "credential[0].headers.Authorization: found a control character; allowed: printable text",
    ),
    (
        '{ query = "{ me { email } }" }',
        "{ at = 2026-01-01 }",
        "identity.session.request.json.at: found a date or time; allowed: a value that JSON has",
    ),
    (
        '{ query = "{ me { email } }" }',
        "{ x = nan }",
        "identity.session.request.json.x: found nan; allowed: a number that JSON has",
    ),
    # -- placeholders -----------------------------------------------------------------------------
    (
        "Key {secret}",
        "Key {secert}",
        "credential[0].headers.Authorization: found the placeholder {secert}; allowed: {access",
    ),
    (
        "Key {secret}",
        "Key {Secret}",
        "credential[0].headers.Authorization: found a brace that belongs to no placeholder",
    ),
    (
        "{id}/token",
        "{idp}/token",
        "login.browser.token: found the placeholder {idp}; allowed: {id}",
    ),
    (
        "{email} ({plan})",
        "{emial} ({plan})",
        "identity.session.text: found the placeholder {emial}; allowed: {email}, {id}, {plan}",
    ),
    (
        "{ me { email } }",
        "{ me {email} }",
        "identity.session.request.json.query: found the placeholder {email}; allowed: ",
    ),
    (
        'form = { token = "{refresh_token}" }',
        'form = { token = "{token}" }',
        "logout.revoke[0].form.token: found the placeholder {token}; allowed: {access_token}, {id}",
    ),
    ("[vars]\nid =", "[vars]\nsecret =", 'vars.secret: found "secret", which means something else'),
    (
        'default = "https://id.acme',
        'default = "{x}',
        'vars.id.default: found "{x}.example"; allowed',
    ),
    # -- patterns, durations, identity ------------------------------------------------------------
    ("acme_[a-z0-9]{8}", "acme_[a-z", "credential[2].pattern: found no regular expression: "),
    ("acme_[a-z0-9]{8}", "(a+)+", "credential[2].pattern: found a repeat of a group"),
    ("acme_[a-z0-9]{8}", "a*a*a*b", "credential[2].pattern: found too many repeats and choices"),
    ("acme_[a-z0-9]{8}", "[[a]]", "credential[2].pattern: found an unclear regular expression"),
    ("acme_[a-z0-9]{8}", "a" * 501, "credential[2].pattern: found 501 characters, more than 500"),
    (
        'client_id = "acme-cli"',
        'client_id = "acme-cli"\ntimeout = "500"',
        'login.browser.timeout: found "500"; allowed: a number with a unit: 500ms, 500s, 10m',
    ),
    (
        'client_id = "acme-cli"',
        'client_id = "acme-cli"\ntimeout = "2d"',
        'login.browser.timeout: found "2d"; allowed: 1s to 3600s',
    ),
    (
        'claim = "plan"',
        'path = "x", claim = "plan"',
        "identity.session.fields.plan: found path and",
    ),
    ('then = "Pro", ', "", "identity.session.fields.plan: found only a part of a comparison"),
    (
        '"data.me.email"',
        '"data..email"',
        'identity.session.fields.email: found "data..email"; allow',
    ),
    (
        'text = "{email} ({plan})"',
        'name = "emial"',
        'identity.session.name: found "emial"; allowed: one of the fields: email, plan',
    ),
    (
        'title = "Acme"',
        'title = "Ac\\u001bme"',
        "title: found a control character; allowed: printable",
    ),
    (
        'title = "Acme"',
        'title = " "',
        'title: found " "; allowed: the tool\'s name as a person knows',
    ),
    # -- providers --------------------------------------------------------------------------------
    ('title = "Acme"', 'title = "A"\nprovider = "acme"', 'provider: found "acme", this definition'),
    ('title = "Acme"', 'title = "A"\nprovider = "beta"', "login: found a table beside `provider`"),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), MISTAKES, ids=[row[2][:60] for row in MISTAKES]
)
def test_each_mistake_is_named_with_its_key_and_what_is_allowed(
    old: str, new: str, expected: str
) -> None:
    """The error says which key, what was found, and what is allowed."""
    assert ACME.count(old) >= 1
    error = error_of(ACME.replace(old, new, 1))
    assert error.detail.startswith("acme.toml: ")
    assert expected in [str(finding)[: len(expected)] for finding in error.findings]
    assert (error.code, error.exit) == ("configuration", 78)
