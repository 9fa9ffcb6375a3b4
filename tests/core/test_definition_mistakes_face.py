"""Each kind of mistake in identities, caches, files, actions, API keys and words."""

import pytest

from tests.core.acme import error_of
from tests.core.beta import BETA, mistaken
from tool_agentd.definition.decode import decode

# Each row: what is replaced in BETA, by what, and what the error says.
MISTAKES = [
    # -- identity ---------------------------------------------------------------------------------
    (
        '["{email} ({org})", "{email}"]',
        '["{email} ({ogr})", "{email}"]',
        "identity.session.text[0]: found the placeholder {ogr}; allowed: {api}, {email}, {idp}",
    ),
    (
        '["{email} ({org})", "{email}"]',
        "[]",
        "identity.session.text: found an empty array; allowed: a text, or several",
    ),
    (
        'org = { path = "org.name" }',
        'org = { kept = "emial" }',
        'identity.session.fields.org.kept: found "emial"; allowed: a value that a login of this cr',
    ),
    (
        'BETA_TOKEN = "session"',
        'BETA_TOKEN = "auth"',
        'env.BETA_TOKEN: found "auth", which only answers a login; allowed: a credential that',
    ),
    (
        '["{email} ({org})", "{email}"]',
        "5",
        "identity.session.text: found 5; allowed: a text or an",
    ),
    (
        'carries = ["key", "session"]',
        "carries = 5",
        "action.invite.step[0].carries: found 5; allowed: a text or an array",
    ),
    ('under = "{stage}"', "under = 5", "cache.tenant.under: found 5; allowed: a text or a table"),
    (
        "begin.request]",
        "begin.reqest]",
        "login.browser.begin.reqest: found an unknown key; allowed",
    ),
    # -- caches -----------------------------------------------------------------------------------
    (
        'credential = ["session", "key"]',
        'credential = ["session", "kye"]',
        'cache.tenant.credential[1]: found "kye"; allowed: the id of a credential',
    ),
    (
        'credential = ["session", "key"]',
        "credential = []",
        "cache.tenant.credential: found an empty array; allowed: at least one credential's id",
    ),
    (
        '"{api}/tenant"',
        '"https://evil.example/tenant"',
        'cache.tenant.request.get: found "https://evil.example"; allowed: an origin that `origins`',
    ),
    (
        '"~/.beta/tenant.yaml"',
        '"~/../tenant.yaml"',
        'cache.tenant.path: found "~/../tenant.yaml"; allowed: a file below ~/ or {config}/',
    ),
    (
        'transform = "lower"',
        'transform = "lowr"',
        'cache.tenant.shape.kind.transform: found "lowr"; allowed: a named transform: ',
    ),
    (
        '{ each = "places", of',
        '{ each = "places", off',
        "cache.tenant.shape.places.off: found an unknown key; allowed: beside each: of",
    ),
    (
        'tenant_id = "id"',
        'tenant_id = { path = "id", text = "{id}" }',
        "cache.tenant.shape.tenant_id: found path and text; allowed: exactly one of each, path, te",
    ),
    (
        'tenant_id = "id"',
        'tenant_id = ["id"]',
        "cache.tenant.shape.tenant_id: found an array; allowed: a dotted path, a table, a number",
    ),
    (
        '"at {name}"',
        '"at {Name}"',
        "cache.tenant.shape.places.of.label.text: found a brace that belongs to no placeholder",
    ),
    (
        'path = "~/.beta/tenant.yaml"\n',
        "",
        "cache.tenant.path: found nothing; allowed: ",
    ),
    (
        'path = "~/.beta/tenant.yaml"\nin_place = true',
        'path = "~/.beta/tenant.yaml"',
        'cache.tenant.credential[1]: found "key", beside which nothing is delivered; allowed: a cr',
    ),
    (
        'credential = ["session", "key"]',
        'credential = ["session", "pair"]',
        'cache.tenant.credential[1]: found "pair", beside which nothing is delivered',
    ),
    # -- files ------------------------------------------------------------------------------------
    (
        "[file.session]",
        '[file.second]\ncredential = "session"\npath = "~/x"\nin_place = true\n[file.session]',
        'file.session.credential: found "session", which file.second is for; allowed: one [file]',
    ),
    (
        "[file.session]",
        '[file.pair]\ncredential = "pair"\npath = "~/x"\nbeside_env = true\n[file.session]',
        'file.pair.beside_env: found true, and no variable of [env] carries "pair"; allowed: false',
    ),
    (
        'read = { refresh_token = "refresh", method',
        'read = { refresh_token = "refresh", secret = "key", method',
        "file.session.read.secret: found a path, beside refresh_token; allowed: one of them",
    ),
    (
        '[file.session]\ncredential = "session"',
        '[file.session]\ncredential = "sesion"',
        'file.session.credential: found "sesion"; allowed: the id of a credential',
    ),
    (
        '"{config}/beta/auth.json"',
        '"/etc/beta/auth.json"',
        'file.session.path: found "/etc/beta/auth.json"; allowed: a file below ~/ or {config}/',
    ),
    (
        '"{config}/beta/auth.json"',
        '"{config}/beta/../auth.json"',
        'file.session.path: found "{config}/beta/../auth.json"; allowed: a file below',
    ),
    (
        '"{config}/beta/auth.json"',
        '"~/.beta/auth.json"',
        'file.session.path: found "~/.beta/auth.json"; allowed: {config}/..., which is what XDG_C',
    ),
    (
        'directory_env = "XDG_CONFIG_HOME"\n',
        "",
        "file.session: found a file with no place to be written; allowed: directory_env, or in_pl",
    ),
    (
        '"XDG_CONFIG_HOME"',
        '"LD_LIBRARY_PATH"',
        'file.session.directory_env: found "LD_LIBRARY_PATH"; allowed: a variable that changes',
    ),
    (
        'token = "{access_token}", until',
        'token = "{refresh_token}", until',
        "file.session.content.token: found the placeholder {refresh_token}; allowed: what may lea",
    ),
    (
        'how = "{method}"',
        'how = "{methd}"',
        "file.session.content.how: found the placeholder {methd}; allowed: ",
    ),
    (
        'methods = { browser = "web" }',
        'methods = { browsr = "web" }',
        'file.session.methods.browsr: found "browsr"; allowed: a login method: browser, device',
    ),
    ('min_ttl = "2m"', 'min_ttl = "2d"', 'file.session.min_ttl: found "2d"; allowed: 0s to 86400s'),
    (
        'read = { refresh_token = "refresh", method',
        "read = { method",
        "file.session.read: found nothing that lasts; allowed: refresh_token or secret",
    ),
    (
        'methods = { web = "browser" }',
        'methods = { web = "browsr" }',
        'file.session.read.methods.web: found "browsr"; allowed: a login method',
    ),
    # -- actions ----------------------------------------------------------------------------------
    (
        "[cache.tenant]",
        "[cache.Other]\ncredential=[]\ntake='x'\npath='~/x'\nrequest={get='{api}'}\n[cache.tenant]",
        'cache.Other: found "Other"; allowed: a lower-case letter',
    ),
    (
        'text = "invited {email} as {role}: {invitation}"',
        'text = "invited {emial}"',
        "action.invite.text: found the placeholder {emial}; allowed: {api}, {email}, {idp}",
    ),
    (
        'login = "password"\n',
        'login = "device"\n',
        'action.signup.login: found "device"; allowed: a login method that has steps: exchange',
    ),
    (
        'login = "password"\n',
        'login = "exchange"\n',
        'action.signup.login: found "exchange", whose session is the value "token"; allowed: a st',
    ),
    (
        'login = "password"\n',
        "",
        "action.signup.step[0].saves: found saves without a session; allowed: `login` of the acti",
    ),
    # -- API keys and output ----------------------------------------------------------------------
    (
        'accepts = ["session"]',
        'accepts = ["sesion"]',
        'api_keys.accepts[0]: found "sesion"; allowed: the id of a credential',
    ),
    (
        'accepts = ["session"]\n',
        "",
        "api_keys.accepts: found nothing; allowed: the ids of the credentials that may manage keys",
    ),
    (
        'variable = "BETA_KEY"',
        'variable = "BETA_KEYS"',
        'api_keys.variable: found "BETA_KEYS"; allowed: a variable that this tool reads its key f',
    ),
    (
        "https://console.beta.example",
        "http://console.beta.example",
        "api_keys.create_url: found an http address of another machine",
    ),
    (
        '{ name = "{label}" }',
        '{ name = "{lable}" }',
        "api_keys.issue.request.json.name: found the placeholder {lable}; allowed: {api}, {idp}",
    ),
    (
        '"{api}/keys/{id}"',
        '"{api}/keys/{secret}"',
        "api_keys.revoke.request.delete: found the placeholder {secret}; allowed: {api}, {id",
    ),
    (
        '[api_keys.listing]\nrequest = { get = "{api}/keys" }',
        '[api_keys.listing]\nrequest = { get = "https://evil.example" }',
        'api_keys.listing.request.get: found "https://evil.example"; allowed: an origin that',
    ),
    (
        'by_method = { browser = "human" }',
        'by_method = { browsr = "human" }',
        'output.by_method.browsr: found "browsr"; allowed: a login method',
    ),
    (
        'by_method = { browser = "human" }',
        'by_method = { browser = "text" }',
        'output.by_method.browser: found "text"; allowed: "human", "json"',
    ),
    # -- the tool's own words ---------------------------------------------------------------------
    (
        'command = "beta"',
        'command = "../beta"',
        'face.command: found "../beta"; allowed: a program',
    ),
    ('words = "invite"', 'words = "auth login"', 'face.word[1].words: found "auth login" a second'),
    (
        'words = "invite"',
        'words = "invite  now"',
        'face.word[1].words: found "invite  now"; allowed: the words of a command, separated by s',
    ),
    (
        'do = "action"\naction = "invite"',
        'do = "action"\naction = "invit"',
        'face.word[1].action: found "invit"; allowed: the name of an action: invite, signup',
    ),
    (
        'do = "action"\naction = "invite"',
        'do = "whoami"\naction = "invite"',
        'face.word[1].action: found "invite"; allowed: action only with do = "action"',
    ),
    (
        'do = "login"\nmethod = "browser"',
        'do = "login"\nmethod = "browsr"',
        'face.word[0].method: found "browsr"; allowed: a login method',
    ),
    (
        'do = "login"\nmethod = "browser"',
        'do = "logout"\nmethod = "browser"',
        'face.word[0].method: found method beside do = "logout"; allowed: method only with do = "',
    ),
    (
        "flags = { --web",
        "flags = { web",
        'face.word[0].flags.web: found "web"; allowed: an option: --name, in lower case',
    ),
    (
        '{ --auth-key = "auth_key" }',
        '{ --auth-key = "auth_kye" }',
        'face.word[0].options.--auth-key: found "auth_kye"; allowed: a value that is asked for',
    ),
    (
        'arguments = ["email"]',
        'arguments = ["email", "email"]',
        'face.word[1].arguments[1]: found "email" a second time; allowed: each value once',
    ),
    (
        '"hello {name}"',
        '"hello {nmae}"',
        "face.word[0].text: found the placeholder {nmae}; allowed: {account}, {api}",
    ),
    (
        '{ login_required = "beta: {detail}" }',
        '{ login_requird = "beta: {detail}" }',
        'face.messages.login_requird: found "login_requird"; allowed: an error\'s code',
    ),
    (
        '{ login_required = "beta: {detail}" }',
        '{ login_required = "beta: {details}" }',
        "face.messages.login_required: found the placeholder {details}; allowed: {detail}, {hint}",
    ),
    (
        "json_errors = true",
        "json_errors = false",
        "face.codes: found codes without json_errors; allowed: json_errors = true beside them",
    ),
    (
        'text = "hello {name}"',
        'hint = "sign in"',
        'face.word[0].hint: found hint beside do = "login"; allowed: hint only for what needs a',
    ),
    (
        "exit = { login_required = 3 }",
        "exit = { login_required = 300 }",
        "face.exit.login_required: found 300; allowed: 0 to 255",
    ),
    # -- [vars] that would hide a value -----------------------------------------------------------
    (
        "api = { default",
        'email = { default = "x" }\napi = { default',
        'vars.email: found "email", which means something else here; allowed: another name',
    ),
    (
        "api = { default",
        'callback = { default = "x" }\napi = { default',
        'vars.callback: found "callback", which means something else here; allowed: another name',
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


WORD = """
[[face.word]]
words = "keys"
do = "{do}"
"""
LISTING = """[api_keys.listing]
request = { get = "{api}/keys" }
"""
ISSUE = """[api_keys.issue]
request = { post = "{api}/keys", json = { name = "{label}" } }
"""


def test_a_word_for_keys_says_how_they_are_managed() -> None:
    """Where keys are made on the platform's site, the issuing word tells the person so."""
    assert LISTING in BETA
    assert ISSUE in BETA
    found = error_of(BETA.replace(LISTING, "") + WORD.replace("{do}", "list-keys"), "beta.toml")
    (one,) = found.findings
    assert (one.key, one.found) == ("face.word[2].do", '"list-keys" without api_keys.listing')
    by_hand = BETA.replace(ISSUE, "") + WORD.replace("{do}", "issue-key")
    assert decode(by_hand, "beta.toml").name == "beta"
    found = error_of(by_hand.replace('steps = ["open the console", "press New"]', ""), "beta.toml")
    assert "without api_keys.issue" in found.detail
