"""Definitions at work: templates filled, replies read, secrets checked, credentials made."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.definition import credentials, pattern, select
from tool_agentd.definition.address import AddressError, origin_of
from tool_agentd.definition.catalogue import load
from tool_agentd.definition.table import Request
from tool_agentd.definition.template import fill, fill_request, placeholders_of
from tool_agentd.definition.vocabulary import CredentialSpec, Field, IdentitySpec, ToolDefinition
from tool_agentd.errors import InvalidRequestError, ProviderError, UnknownToolError
from tool_agentd.secret import Secret

CANARY = "canary-7f3a"


def built_in(tool: str) -> ToolDefinition:
    """Return a definition that ships, resolved."""
    return load(DefinitionFolders(None).read(), None, {}, {}).get(tool)


def jwt(claims: object) -> Secret:
    """Return an unsigned token with these claims."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return Secret(".".join([*encoded, "signature"]))


def revealed(value: str | Secret) -> str:
    """Return the text of a filled template that must be a Secret."""
    assert isinstance(value, Secret)
    return value.reveal()


# -- templates -----------------------------------------------------------------------------------


def test_a_template_with_a_secret_becomes_a_secret() -> None:
    """One secret value makes the whole text secret; without any it stays plain."""
    assert revealed(fill("Bearer {secret}", {"secret": Secret(CANARY)})) == f"Bearer {CANARY}"
    assert fill("to {host}", {"host": "x", "secret": Secret(CANARY)}) == "to x"


def test_a_value_is_not_a_template() -> None:
    """Braces inside a value are text."""
    assert fill("{a}", {"a": "{b}", "b": "x"}) == "{b}"


@pytest.mark.parametrize("sign", ["\r", "\n", "\0"])
def test_a_value_that_would_break_a_header_is_refused_unseen(sign: str) -> None:
    """The error names the placeholder, never the value."""
    with pytest.raises(InvalidRequestError) as caught:
        fill("Bearer {secret}", {"secret": Secret(f"{CANARY}{sign}X-Evil: 1")})
    assert caught.value.detail == "the value of {secret} contains a line break or NUL"
    assert CANARY not in repr(caught.value)


def test_a_placeholder_without_a_value_is_an_error() -> None:
    """Nothing is sent with a placeholder left in it."""
    with pytest.raises(InvalidRequestError, match=r"no value for \{refresh_token\}"):
        fill("{refresh_token}", {})


def test_a_request_is_filled_everywhere() -> None:
    """Address, headers, form and JSON; in the address values are percent-encoded."""
    request = Request(
        post="https://x.example/keys/{id}",
        headers={"A": "{secret}", "B": "plain"},
        json={"list": ["{secret}", 5, True, None], "query": "{ me { id } }"},
    )
    assert placeholders_of(request) == {"id", "secret"}
    sent = fill_request(request, {"id": "a/b ?", "secret": Secret(CANARY)})
    assert (sent.method, sent.url) == ("POST", "https://x.example/keys/a%2Fb%20%3F")
    assert (revealed(sent.headers["A"]), sent.headers["B"]) == (CANARY, "plain")
    assert sent.json["list"][1:] == [5, True, None]
    assert revealed(sent.json["list"][0]) == CANARY
    assert sent.json["query"] == "{ me { id } }"
    assert CANARY not in repr(sent)
    form = fill_request(Request(post="https://x.example", form={"t": "{secret}"}), {"secret": "x"})
    assert (form.form, form.json) == ({"t": "x"}, None)


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_in_an_address_never_means_another_place(value: str) -> None:
    """Dot segments survive percent-encoding, and would name the resource above."""
    with pytest.raises(InvalidRequestError, match="cannot be"):
        fill_request(Request(delete="https://x.example/keys/{id}"), {"id": value})


def test_a_secret_never_stands_in_an_address() -> None:
    """Addresses end in logs, so a secret there is refused even where a definition allowed it."""
    request = Request(get="https://x.example/{secret}")
    with pytest.raises(InvalidRequestError, match="does not belong in an address"):
        fill_request(request, {"secret": Secret(CANARY)})


# -- addresses and patterns ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://A.example:443/x?y", "https://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("http://localhost:8080/x", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:9/", "http://[::1]:9"),
    ],
)
def test_an_origin_is_scheme_host_and_port(address: str, origin: str) -> None:
    """In lower case, without the port that goes without saying."""
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a.example",
        "//a.example",
        "http://a.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "https://",
        "https://a.example\\@evil.example",
        "https://user@a.example",
        "https://a.example:99999",
        "https://a.example:x",
        "https://[::1",
        "https://ä.example",
        "https://a.example/ x",
        "https://{tenant}.example",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_safe_address_has_no_origin(address: str) -> None:
    """Plain http to elsewhere, other schemes, and everything that parsers disagree about."""
    with pytest.raises(AddressError):
        origin_of(address)


@given(st.text())
def test_any_text_has_an_origin_or_an_address_error(text: str) -> None:
    """An address from an environment may be anything."""
    try:
        origin = origin_of(text)
    except AddressError:
        return
    assert origin_of(origin) == origin


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(a+)+", "a repeat of a group"),
        ("(?:a*)*b", "a repeat of a group"),
        ("(a|b)+c", "a repeat of a group"),
        ("((a{2,}))*", "a repeat of a group"),
        (r"([\]a]+)+", "a repeat of a group"),
        ("(a?)*", "a repeat of a group"),
        ("(a?){30}a{30}b", "a repeat of a group"),
        ("(a|a){40}b", "a repeat of a group"),
        ("a*a*a*b", "too many repeats and choices"),
        ("a?" * 30 + "a" * 30, "too many repeats and choices"),
        ("(a|a)" * 30, "too many repeats and choices"),
        ("a{0,99}" * 5, "too many repeats and choices"),
    ],
)
def test_a_pattern_that_could_take_for_ever_is_refused(text: str, reason: str) -> None:
    """Repeated groups, and more ways to divide a text than can be tried in a moment."""
    assert pattern.problem(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "nrp_[0-9A-Fa-f]{64}",
        "sbp_(oauth_)?[a-f0-9]{40}",
        ".+",
        "(gho|ghp)_[A-Za-z0-9]+",
        r"[()*+]+\(\)",
        r"[\w-]+\.[\w-]+",
        "key_[a-z]{20,40}",
    ],
)
def test_the_patterns_of_real_keys_are_taken(text: str) -> None:
    """Prefixes, optional parts, alternatives, classes full of signs."""
    assert pattern.problem(text) is None


# -- what a client gets --------------------------------------------------------------------------


def test_a_credential_has_its_headers_and_variables() -> None:
    """Headers are filled, `[env]` says which variable carries it, nothing shows the secret."""
    cre = built_in("cre")
    key = credentials.credential(cre.credential[0], cre, Secret(CANARY), "default", None, "api_key")
    assert {name: value.reveal() for name, value in key.headers.items()} == {
        "Authorization": f"Apikey {CANARY}"
    }
    assert {name: value.reveal() for name, value in key.env.items()} == {"CRE_API_KEY": CANARY}
    session = credentials.credential(cre.credential[1], cre, Secret(CANARY), "work", 99.0)
    assert session.headers["Authorization"].reveal() == f"Bearer {CANARY}"
    assert (session.env, session.expires_at, session.account) == ({}, 99.0, "work")
    assert CANARY not in repr(key) + repr(session)


def test_the_identity_request_carries_the_credentials_headers() -> None:
    """The request of the definition, and the header that the credential belongs in."""
    nrepo = built_in("nrepo")
    request = credentials.identity_request(nrepo, nrepo.credential[0], Secret(CANARY))
    assert request is not None
    assert (request.method, request.url) == ("GET", "https://neuralrepo.com/api/v1/user/me")
    assert revealed(request.headers["X-API-Key"]) == CANARY


def test_a_credential_that_the_definition_has_lost_asks_for_a_login() -> None:
    """A grant whose credential is gone from a changed definition is told so."""
    with pytest.raises(UnknownToolError, match="no longer has a credential 'gone'"):
        credentials.spec_of(built_in("cre"), "gone")
    assert credentials.spec_of(built_in("cre"), "key").id == "key"


@pytest.mark.parametrize("secret", ["nrp_" + "a1" * 32, "nrp_" + "F" * 64])
def test_a_secret_of_the_right_shape_passes(secret: str) -> None:
    """The pattern of the page: nrp_ and 64 hexadecimal digits."""
    credentials.check_pattern(built_in("nrepo").credential[0], Secret(secret))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "nrp_" + "a" * 63,
        "nrp_" + "a" * 65,
        " nrp_" + "a" * 64,
        "nrp_" + "g" * 64,
        "nrp_" + "a" * 64 + "\n",
        "x" * 99999,
    ],
)
def test_a_secret_of_another_shape_is_refused_unseen(secret: str) -> None:
    """The error names the shape that is wanted and shows nothing of what was given."""
    with pytest.raises(InvalidRequestError) as caught:
        credentials.check_pattern(built_in("nrepo").credential[0], Secret(secret))
    said = f"{caught.value.detail} {caught.value.hint}"
    assert not secret.strip() or secret.strip() not in said


def test_the_shape_is_named_in_words_where_the_definition_has_them() -> None:
    """`shape` is for people; without it the pattern itself is named."""
    with pytest.raises(InvalidRequestError, match="nrp_<64-hex-chars>"):
        credentials.check_pattern(built_in("nrepo").credential[0], Secret("wrong"))
    spec = CredentialSpec(id="pin", source="stored", pattern="[0-9]+")
    with pytest.raises(InvalidRequestError, match=r"\[0-9\]"):
        credentials.check_pattern(spec, Secret("wrong"))


# -- replies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "expected"),
    [
        ("data.getOrganization.displayName", "Acme"),
        ("list.1.id", 2),
        ("list.7.id", None),
        ("list.-1.id", None),
        ("list.x", None),
        ("data.none.at.all", None),
        ("zero", 0),
        ("data.getOrganization.displayName.more", None),
        ("list.99999999999999999999", None),
    ],
)
def test_a_dotted_path_picks_a_value_or_nothing(dotted: str, expected: object) -> None:
    """Names into objects, numbers into lists, and never an exception."""
    reply = {
        "data": {"getOrganization": {"displayName": "Acme"}},
        "list": [{"id": 1}, {"id": 2}],
        "zero": 0,
    }
    assert select.path(reply, dotted) == expected


def test_claims_are_read_and_nonsense_has_none() -> None:
    """A JWT's claims as they stand; anything else is a token without claims."""
    assert select.claims(jwt({"sub": "u1", "exp": 5})) == {"sub": "u1", "exp": 5}
    for text in ("", "opaque", "a.b.c", "a.W10.c", "..", "a.!!.c", "x" * 100_000):
        assert select.claims(Secret(text)) == {}


@given(st.text())
def test_claims_of_any_text_are_a_dictionary(text: str) -> None:
    """A provider may send any text as its token."""
    assert isinstance(select.claims(Secret(f"a.{text}.c")), dict)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5.0), (5.5, 5.5), (True, None), ("5", None), (None, None), (1e300, None), (10**400, None)],
)
def test_a_claim_of_time_is_a_number(value: object, expected: float | None) -> None:
    """NumericDate is a number of seconds; anything else is no date."""
    assert select.claim_time({"exp": value}, "exp") == expected


def test_a_claim_is_found_by_its_whole_name_or_its_end() -> None:
    """Some providers prefix their claims with an address."""
    found = {"https://b.example/status": "two", "https://a.example/status": "one", "sub": "u"}
    assert select.claim(found, Field(claim="sub")) == "u"
    assert select.claim(found, Field(claim_suffix="status")) == "one"
    assert select.claim(found, Field(claim_suffix="none")) is None


ACCOUNT = {
    "data": {
        "getAccountDetails": {"emailAddress": "email@domain.com"},
        "getOrganization": {"displayName": "Acme", "organizationId": "org_mEMRknbVURM9DWsB"},
    }
}


def test_cre_whoami_prints_the_pages_text() -> None:
    """Word for word what the documentation shows for an account without deploy access."""
    spec = built_in("cre").identity["session"]
    claims = {"sub": "auth0|1", "https://x.example/organization_status": "PENDING"}
    identity, fields, text = select.read_identity(spec, ACCOUNT, claims)
    assert (identity.name, identity.subject) == ("email@domain.com", "auth0|1")
    assert fields["organization"] == "Acme"
    assert text == (
        "Account details retrieved:\n"
        "\n"
        "Email:           email@domain.com\n"
        "Organization ID: org_mEMRknbVURM9DWsB\n"
        "Deploy Access:   Not enabled (run 'cre account access' to request)"
    )


def test_cre_deploy_access_follows_the_claim() -> None:
    """FULL_ACCESS in the claim that ends in organization_status; without the claim, not."""
    spec = built_in("cre").identity["session"]
    full = {"https://x.example/organization_status": "FULL_ACCESS"}
    assert select.read_identity(spec, ACCOUNT, full)[2].endswith("Deploy Access:   Enabled")
    assert "Not enabled" in select.read_identity(spec, ACCOUNT, {})[2]


def test_a_cre_api_key_always_has_deploy_access() -> None:
    """Keys are issued only to organizations that have it, and have no e-mail address."""
    identity, _, text = select.read_identity(built_in("cre").identity["key"], ACCOUNT, {})
    assert (identity.name, identity.subject) == ("Acme", "org_mEMRknbVURM9DWsB")
    assert text.endswith("Organization ID: org_mEMRknbVURM9DWsB\nDeploy Access:   Enabled")


def test_nrepo_whoami_prints_the_pages_text() -> None:
    """`Logged in as` with the address; an identifier may be a number."""
    reply = {"id": 7, "email": "alice@example.com", "display_name": "Alice", "plan": "pro"}
    identity, _, text = select.read_identity(built_in("nrepo").identity["key"], reply, {})
    assert (identity.subject, text) == ("7", "Logged in as alice@example.com")


@pytest.mark.parametrize(
    "reply", [{}, [], None, "text", 5, {"errors": [{"message": "no"}]}, {"data": None}]
)
def test_a_reply_that_names_nobody_proves_nothing(reply: Any) -> None:  # noqa: ANN401 - any JSON
    """A GraphQL error comes with status 200; it must not make a key look accepted."""
    with pytest.raises(ProviderError, match="does not say whose"):
        select.read_identity(built_in("cre").identity["key"], reply, {})


def test_without_fields_the_usual_names_are_read_from_the_reply() -> None:
    """The answer of an OpenID userinfo endpoint needs no table."""
    reply = {"sub": "u1", "email": "a@b.example"}
    identity, fields, text = select.read_identity(IdentitySpec(), reply, {})
    assert (identity.name, identity.subject, fields, text) == (
        "a@b.example",
        "u1",
        {},
        "a@b.example",
    )


def test_a_providers_text_cannot_steer_the_terminal() -> None:
    """Control characters in a name become question marks; a huge one is cut."""
    reply = {"email": "\x1b[2J\r\nroot", "sub": "x" * 9999}
    identity, _, _ = select.read_identity(IdentitySpec(), reply, {})
    assert identity.name == "?[2J??root"
    assert len(identity.subject) == select.TEXT_MAX
