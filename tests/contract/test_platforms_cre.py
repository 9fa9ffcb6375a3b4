"""CRE's practice platform keeps to its RFCs: authorization, tokens, revocation, GraphQL."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.platforms.far import VERIFIER, Far, call, running


@pytest.fixture(scope="module")
def process() -> Iterator[Far]:
    """One server for the module."""
    with running() as started:
        yield started


@pytest.fixture
def far(process: Far) -> Iterator[Far]:
    """The server without faults."""
    yield process
    call("POST", f"{process.url}/_/reset")


# --- CRE: the authorization endpoint ---------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "http://127.0.0.1:50999/elsewhere"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example:1/callback"},
        {"redirect_uri": "http://user@127.0.0.1:1/callback"},
        {"redirect_uri": "http://127.0.0.1:1/callback?x=1"},
        {"client_id": "cre-cli-practice"},
        {"client_id": "cre-cli-practice", "redirect_uri": "http://localhost:53683/callback"},
        {"client_id": "cre-cli-practice", "redirect_uri": "http://127.0.0.1:53682/callback"},
    ],
)
def test_an_untrusted_redirect_is_never_followed(far: Far, changes: dict[str, str]) -> None:
    """RFC 6749 section 4.1.2.1: such an error stays on the server's own page."""
    reply = call("GET", far.authorize_url(**changes))
    assert reply.status == 400
    assert "Location" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"state": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"audience": "https://elsewhere.example/"}, "invalid_target"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_bad_request_comes_back_as_an_error(
    far: Far, changes: dict[str, str | None], error: str
) -> None:
    """Each parameter is checked, and the error carries state and issuer."""
    reply = call("GET", far.authorize_url(**changes))
    assert reply.status == 302
    assert reply.query["error"] == error
    assert reply.query["iss"] == f"{far.url}/"
    assert reply.query.get("state") == ("a-state-of-the-client" if "state" not in changes else None)


def test_cre_has_its_one_fixed_callback(far: Far) -> None:
    """The CRE client comes back to localhost:53682 and nowhere else."""
    reply = call(
        "GET",
        far.authorize_url(
            client_id="cre-cli-practice",
            redirect_uri="http://localhost:53682/callback",
            scope="openid profile email offline_access",
            audience="https://api.cre.chain.link/",
        ),
    )
    assert reply.status == 303
    assert reply.headers["Location"].startswith("/u/identifier?")


def test_a_form_without_its_cookie_is_forged(far: Far) -> None:
    """A form posted from another browser is refused, whatever it says."""
    before = far.counters()["forged_forms"]
    shown = call("GET", far.authorize_url())
    interaction = parse_qs(urlsplit(shown.headers["Location"]).query)["interaction"][0]
    reply = call(
        "POST", f"{far.url}/u/identifier", form={"interaction": interaction, "email": "a@b"}
    )
    assert reply.status == 403
    assert far.counters()["forged_forms"] == before + 1


def test_steps_cannot_be_skipped(far: Far) -> None:
    """The consent page of a browser that has not signed in leads back to the first step."""
    shown = call("GET", far.authorize_url())
    cookie = shown.headers["Set-Cookie"].partition(";")[0]
    interaction = parse_qs(urlsplit(shown.headers["Location"]).query)["interaction"][0]
    reply = call(
        "GET", f"{far.url}/u/consent?interaction={interaction}", headers={"Cookie": cookie}
    )
    assert reply.status == 303
    assert reply.headers["Location"].startswith("/u/identifier?")


def test_pages_forbid_storing_framing_and_scripts(far: Far) -> None:
    """Every page carries the headers that a login page needs."""
    shown = call("GET", far.authorize_url())
    cookie = shown.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    page = call(
        "GET",
        far.url + shown.headers["Location"],
        headers={"Cookie": cookie.partition(";")[0]},
    )
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert b'<label for="email">' in page.body


# --- CRE: tokens -----------------------------------------------------------------------------


def test_a_login_gives_tokens_that_work(far: Far) -> None:
    """The access token says what was asked for, and the practice resource agrees."""
    tokens = far.login(audience="https://reports.example/")
    assert tokens["token_type"] == "Bearer"  # noqa: S105 - a name of the protocol, no secret
    assert tokens["expires_in"] == 3600
    said = far.whoami_token(tokens["access_token"]).json
    assert said["aud"] == "https://reports.example/"
    assert said["scope"] == "openid email offline_access workflows:read reports:read"
    assert far.whoami_token("nonsense").status == 401


def test_id_tokens_verify_against_the_published_keys(far: Far) -> None:
    """Discovery, JWKS and the ID token fit together, before and after a key rotation."""
    for _ in range(2):
        tokens = far.login()
        found = call("GET", f"{far.url}/.well-known/openid-configuration").json
        assert found["issuer"] == f"{far.url}/"
        keys = KeySet.import_key_set(call("GET", found["jwks_uri"]).json)
        claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
        assert claims["iss"] == found["issuer"]
        assert claims["aud"] == "workflow-tools"
        assert claims["nonce"] == "a-nonce"
        assert claims["email"] == far.line["accounts"]["cre"]["email"]
        access = jwt.decode(tokens["access_token"], keys, algorithms=["RS256"]).claims
        assert access["https://api.cre.chain.link/organization_status"] == "FULL_ACCESS"
        call("POST", f"{far.url}/_/signing-key")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": VERIFIER + "x"},
        {"redirect_uri": "http://127.0.0.1:50998/callback"},
        {"client_id": "cre-cli-practice"},
    ],
)
def test_a_code_is_bound_to_what_asked_for_it(far: Far, changes: dict[str, str]) -> None:
    """Another verifier, redirect or client gets nothing."""
    reply = far.exchange(far.code(), **changes)
    assert (reply.status, reply.json["error"]) == (400, "invalid_grant")


def test_a_code_works_once_and_its_replay_ends_the_session(far: Far) -> None:
    """RFC 6749 section 4.1.2: a second use revokes what the first one gave."""
    code = far.code()
    tokens = far.exchange(code).json
    assert far.exchange(code).json["error"] == "invalid_grant"
    assert far.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert far.whoami_token(tokens["access_token"]).status == 401


def test_a_code_expires(far: Far) -> None:
    """After a minute by the platform's clock it is too late."""
    code = far.code()
    far.advance(61)
    try:
        assert far.exchange(code).json["error"] == "invalid_grant"
    finally:
        far.advance(-61)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "nobody", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"client_secret": "x", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
    ],
)
def test_the_token_endpoint_says_what_is_wrong(
    far: Far, form: dict[str, str], status: int, error: str
) -> None:
    """RFC 6749 section 5.2, each error by its own name."""
    reply = far.token(**form)
    assert (reply.status, reply.json["error"]) == (status, error)


def test_refresh_rotates_without_grace(far: Far) -> None:
    """The old token is dead at once; presenting it is counted and ends the whole family."""
    first = far.login()
    before = far.counters()
    second = far.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert far.whoami_token(second["access_token"]).status == 200
    assert far.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert far.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert far.whoami_token(second["access_token"]).status == 401
    after = far.counters()
    assert after["refreshes"] == before["refreshes"] + 1
    assert after["replays"] == before["replays"] + 1
    assert after["token_requests"] == before["token_requests"] + 3


def test_refresh_narrows_scope_and_changes_audience(far: Far) -> None:
    """A narrower scope and another audience of the client are granted, a wider scope is not."""
    tokens = far.login(scope="openid offline_access workflows:read")
    narrow = far.refresh(
        tokens["refresh_token"], scope="workflows:read", audience="https://reports.example/"
    ).json
    said = far.whoami_token(narrow["access_token"]).json
    assert (said["scope"], said["aud"]) == ("workflows:read", "https://reports.example/")
    wide = far.refresh(narrow["refresh_token"], scope="workflows:deploy")
    assert (wide.status, wide.json["error"]) == (400, "invalid_scope")
    foreign = far.refresh(narrow["refresh_token"], audience="https://elsewhere.example/")
    assert foreign.json["error"] == "invalid_target"
    whole = far.refresh(narrow["refresh_token"]).json
    assert whole["scope"] == "openid offline_access workflows:read"


def test_without_offline_access_there_is_no_refresh_token(far: Far) -> None:
    """A login that did not ask to stay signed in does not."""
    assert "refresh_token" not in far.login(scope="openid")


def test_without_rotation_the_refresh_token_stays(far: Far) -> None:
    """With the switch off, a refresh returns none and the old one goes on working."""
    tokens = far.login()
    far.faults(rotation=False)
    assert "refresh_token" not in far.refresh(tokens["refresh_token"]).json
    assert far.refresh(tokens["refresh_token"]).status == 200


def test_access_tokens_run_out(far: Far) -> None:
    """The lifetime is a switch, and the API keeps to it."""
    far.faults(access_token_ttl=5)
    tokens = far.login()
    assert tokens["expires_in"] == 5
    far.advance(5)
    try:
        assert far.whoami_token(tokens["access_token"]).status == 401
        assert far.refresh(tokens["refresh_token"]).status == 200
    finally:
        far.advance(-5)


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_revocation(far: Far, which: str) -> None:
    """A refresh token takes its session along, an access token only itself; twice is no error."""
    tokens = far.login()
    before = far.counters()["revocations"]
    for _ in range(2):
        reply = call(
            "POST",
            f"{far.url}/oauth/revoke",
            form={"client_id": "workflow-tools", "token": tokens[which]},
        )
        assert reply.status == 200
    assert far.counters()["revocations"] == before + 1
    assert far.whoami_token(tokens["access_token"]).status == 401
    alive = far.refresh(tokens["refresh_token"]).status == 200
    assert alive == (which == "access_token")


def test_revocation_of_nonsense_and_by_another_client(far: Far) -> None:
    """RFC 7009: an unknown token is a success, somebody else's token is not."""
    tokens = far.login()
    revoke = f"{far.url}/oauth/revoke"
    unknown = {"client_id": "workflow-tools", "token": "never issued"}
    assert call("POST", revoke, form=unknown).status == 200
    theirs = {"client_id": "cre-cli-practice", "token": tokens["refresh_token"]}
    assert call("POST", revoke, form=theirs).json["error"] == "invalid_grant"
    assert far.refresh(tokens["refresh_token"]).status == 200


# --- CRE: the API ----------------------------------------------------------------------------

WHOAMI = "query { getAccountDetails { emailAddress } getOrganization { organizationId } }"


def test_graphql_takes_both_kinds_of_credential(far: Far) -> None:
    """Whoami works with a session and with an API key, and with neither twisted."""
    account = far.line["accounts"]["cre"]
    tokens = far.login()
    for authorization in (f"Bearer {tokens['access_token']}", f"Apikey {account['api_key']}"):
        data = far.graphql(WHOAMI, authorization).json["data"]
        assert data["getAccountDetails"] == {"emailAddress": account["email"]}
        assert data["getOrganization"]["organizationId"].startswith("org_")
    for authorization in (f"Bearer {account['api_key']}", "Apikey wrong", "Basic eDp5"):
        assert far.graphql(WHOAMI, authorization).status == 401


def test_graphql_answers_what_was_asked_and_no_more(far: Far) -> None:
    """Aliases and nesting work; a field that does not exist is an error."""
    key = f"Apikey {far.line['accounts']['cre']['api_key']}"
    found = far.graphql(
        "query T { t: getTenantConfig { tenantId registries { id type secretsAuthFlows } } }", key
    ).json["data"]["t"]
    assert found.keys() == {"tenantId", "registries"}
    assert found["registries"][0].keys() == {"id", "type", "secretsAuthFlows"}
    for query in ("{ nothing }", "{ getOrganization }", "{ getOrganization {", "mutation { x }"):
        reply = far.graphql(query, key)
        assert reply.status == 400
        assert reply.json["errors"][0]["message"]


def test_userinfo_follows_the_scope(far: Far) -> None:
    """OIDC Core section 5.3: the e-mail address needs its scope, the route needs openid."""
    tokens = far.login(scope="openid email offline_access")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert call("GET", f"{far.url}/userinfo", headers=headers).json["email"]
    narrow = far.refresh(tokens["refresh_token"], scope="offline_access").json
    headers = {"Authorization": f"Bearer {narrow['access_token']}"}
    assert call("GET", f"{far.url}/userinfo", headers=headers).status == 401


def test_a_deleted_api_key_is_refused() -> None:
    """The control route deletes keys as their owner would."""
    with running() as far:
        key = f"Apikey {far.line['accounts']['cre']['api_key']}"
        assert far.graphql(WHOAMI, key).status == 200
        far.revoke_key(key.partition(" ")[2])
        assert far.graphql(WHOAMI, key).status == 401
