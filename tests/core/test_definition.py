"""Decoding definitions: what is right is taken as it stands, what is wrong is named exactly."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.definition import pattern
from tool_agentd.definition.decode import FILE_MAX, decode
from tool_agentd.definition.duration import seconds
from tool_agentd.definition.errors import DefinitionError, Finding
from tool_agentd.definition.shape import mistakes
from tool_agentd.definition.vocabulary import EnvSource, OAuthCode, Paste

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


def test_a_whole_definition_is_taken_as_it_stands() -> None:
    """Every table arrives with its types; placeholders stay."""
    definition = decode(ACME, "/etc/tools.d/acme.toml")
    browser, token = definition.login["browser"], definition.login["token"]
    assert isinstance(browser, OAuthCode)
    assert isinstance(token, Paste)
    assert (browser.loopback.host, browser.loopback.port) == ("localhost", 8976)
    assert browser.authorize == "{id}/authorize"
    assert definition.credential[0].source == EnvSource(env=["ACME_KEY"])
    assert definition.logout.revoke[0].method == "POST"
    assert definition.logout.revoke[0].url == "{id}/revoke"
    assert definition.provider_name == "acme"


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
        'login.browser.flow: found "oauth-code"; allowed: "oauth_code", "paste"',
    ),
    (
        'flow = "paste"\n',
        "",
        'login.token.flow: found nothing; allowed: "oauth_code", "paste"',
    ),
    (
        'prompt = "Token: "',
        'promt = "Token: "',
        "login.token.promt: found an unknown key; allowed: credential, flow, prompt, title",
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
    ("acme_[a-z0-9]{8}", "(a+)+", "credential[2].pattern: found a repeat or alternative inside"),
    ("acme_[a-z0-9]{8}", "(a|a)*b", "credential[2].pattern: found a repeat or alternative inside"),
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


NEAREST = [
    ("port = 8976", "prot = 8976", "port"),
    ('source = "session"', 'source = "sesion"', "session"),
    ('flow = "oauth_code"', 'flow = "oauth-code"', "oauth_code"),
    ("Key {secret}", "Key {secert}", "secret"),
    ('credential = "token"', 'credential = "tokne"', "token"),
    ('origins = ["https://id', 'orgins = ["https://id', "origins"),
    ('text = "{email} ({plan})"', 'name = "emial"', "email"),
]


@pytest.mark.parametrize(("old", "new", "word"), NEAREST)
def test_the_nearest_known_word_is_suggested(old: str, new: str, word: str) -> None:
    """A slip of the finger gets the word that was meant as a hint."""
    assert error_of(ACME.replace(old, new, 1)).hint == f"did you mean '{word}'?"


def test_every_mistake_is_found_at_once() -> None:
    """`tool check` can show all of them, and the first one is the error's text."""
    text = ACME.replace('path = "/callback"', 'path = "x"').replace("[422]", "[1]")
    error = error_of(text)
    keys = [finding.key for finding in error.findings]
    assert keys == ["login.browser.loopback.path", "refresh.fatal_status[0]"]
    assert error.detail == f"acme.toml: {error.findings[0]}"


def test_the_search_for_mistakes_finds_none_where_there_is_none() -> None:
    """The walk that explains a wrong file has nothing to say about a right one."""
    assert mistakes(tomllib.loads(ACME)) == ()


@pytest.mark.parametrize(
    ("text", "line", "column"), [("a = 1\nb = ]", 2, 5), ("a = 1\nb", 2, 2), ("x = [1,\n", 2, 1)]
)
def test_a_syntax_error_has_its_line_and_column(text: str, line: int, column: int) -> None:
    """Text that is no TOML is named by its place."""
    error = error_of(text)
    assert (error.findings[0].line, error.findings[0].column) == (line, column)
    start = f"acme.toml: line {line}, column {column}: found text that is not TOML ("
    assert error.detail.startswith(start)


def test_a_file_over_the_limit_is_refused_by_its_size() -> None:
    """64 KiB are enough for anybody's tool; the limit counts bytes."""
    assert error_of("#" + "é" * (FILE_MAX // 2)).detail == (
        f"acme.toml: found {FILE_MAX + 1} bytes; allowed: at most {FILE_MAX} bytes"
    )
    assert "schema" in error_of("#" * FILE_MAX).detail


@pytest.mark.parametrize("text", ["a = " + "[" * 20000, "a" + ".a" * 20000 + " = 1"])
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    """Tables within tables without end are refused like any other mistake."""
    assert error_of(text).detail.startswith("acme.toml: ")


def test_a_value_is_shown_short_and_printable() -> None:
    """A message neither floods the terminal nor sends it control characters."""
    error = error_of(ACME.replace("[422]", '["' + "\\u001b" + "x" * 500 + '"]'))
    assert "\\u001b" in error.detail
    assert error.detail.isprintable()
    assert len(error.detail) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500s", 500), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("250ms", 0.25), ("30d", 2592000)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, expected: float) -> None:
    """Every unit in seconds."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "5", "5 s", "-5s", "1e3s", ".5s", "5.s", "5S", "5w", "٣s", "9999999d", "nans"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No unit, no number, a sign, an exponent, another alphabet, or longer than ten years."""
    with pytest.raises(ValueError, match="allowed"):
        seconds(text)


@given(st.text())
def test_any_text_at_all_gets_a_definition_error(text: str) -> None:
    """Whatever a file says, the error is ours."""
    error_of(text)


@given(st.text(alphabet="[]{}=.,\"'\n#-+_:TZe0189abx\\"))
def test_any_text_of_tomls_signs_gets_a_definition_error(text: str) -> None:
    """The same with texts that come close to being TOML."""
    error_of(text)


@given(st.text(alphabet="()[]{}^$.*+?|\\,:<=!P0129ab-"))
def test_any_pattern_is_taken_or_refused(text: str) -> None:
    """Whatever stands in `pattern`, the check says yes or why not."""
    reason = pattern.problem(text)
    assert reason is None or reason.isprintable()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """Write a value as TOML on one line."""
    match value:
        case bool() | None:
            return "true" if value else "false"
        case str():
            return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value) + '"'
        case dict():
            return (
                "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case _:
            return repr(value)


def write(document: dict[str, Any]) -> str:
    """Write a document with every top-level value on a line of its own."""
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as above
    """Return the path of every value below a tree."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


@given(st.data())
def test_a_definition_with_any_value_exchanged_is_right_or_gets_our_error(
    data: st.DataObject,
) -> None:
    """Any value of any type in any place: a definition, or an error with a key."""
    document = tomllib.loads(ACME)
    path = data.draw(st.sampled_from(places(document)))
    holder: Any = document
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = data.draw(TREES)
    wrong: tuple[Finding, ...] | None = None
    try:
        decode(write(document), "acme.toml")
    except DefinitionError as error:
        wrong = error.findings
    assert wrong is None or (wrong and all(one.found and one.allowed for one in wrong))
