"""The practice platforms as a whole: their line, their switches, their person, and NeuralRepo."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.platforms.far import FORM, Far, Listener, call, listening, running


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


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A loopback listener."""
    with listening() as one:
        yield one


# --- the line and the control routes ---------------------------------------------------------


def test_the_line_has_the_documented_shape(far: Far) -> None:
    """One JSON line names the address, every override variable and every account."""
    assert far.line["url"].startswith("http://127.0.0.1:")
    assert {
        "CRE_CLI_AUTH_BASE",
        "CRE_CLI_GRAPHQL_URL",
        "CRE_CLI_CLIENT_ID",
        "CRE_CLI_AUDIENCE",
        "LIBRETTO_API_URL",
        "NREPO_API_URL",
        "ENCORE_PLATFORM_API_URL",
    } <= far.line["env"].keys()
    accounts = far.line["accounts"]
    assert {"email", "password", "api_key"} <= accounts["cre"].keys()
    assert {"email", "password"} <= accounts["libretto"].keys()
    assert {"email", "api_key"} <= accounts["nrepo"].keys()
    assert {"email", "auth_key", "ephemeral_auth_key"} <= accounts["encore"].keys()


def test_every_process_has_secrets_of_its_own(far: Far) -> None:
    """A second server shares no password and no key with the first."""
    with running() as other:
        mine, theirs = (
            {v for account in one.line["accounts"].values() for v in account.values()}
            for one in (far, other)
        )
    assert not {value for value in mine & theirs if "@" not in value and len(value) > 20}


def test_an_unknown_fault_is_refused_and_sets_nothing(far: Far) -> None:
    """A misspelt switch must not pass in silence."""
    reply = call(
        "POST", f"{far.url}/_/faults", json_body={"token_status": 500, "token_stauts": 500}
    )
    assert reply.status == 400
    assert "token_stauts" in reply.json["error"]
    assert far.token(grant_type="refresh_token", refresh_token="x").status == 400  # noqa: S106 - a made-up secret of a test


def test_faults_merge_and_reset_clears(far: Far) -> None:
    """Two calls add up; reset ends both and keeps the counters."""
    far.faults(token_status=503)
    far.faults(token_headers={"Retry-After": "7"}, token_body="busy")  # noqa: S106 - a made-up secret of a test
    before = far.counters()["token_requests"]
    reply = far.refresh("anything")
    assert (reply.status, reply.headers["Retry-After"], reply.body) == (503, "7", b"busy")
    call("POST", f"{far.url}/_/reset")
    assert far.refresh("anything").json["error"] == "invalid_grant"
    assert far.counters()["token_requests"] == before + 2


def test_a_fault_with_times_clears_itself(far: Far) -> None:
    """`token_times` counts requests, then every token switch is gone."""
    far.faults(token_status=500, token_times=2)
    assert [far.refresh("x").status for _ in range(3)] == [500, 500, 400]


def test_a_dropped_client_is_not_handled(far: Far) -> None:
    """With `token_delay`, the refresh of a client that hung up never happens."""
    tokens = far.login()
    before = far.counters()
    far.faults(token_delay=0.5, token_times=1)
    with hanging(far, tokens["refresh_token"]):
        wait_until(far, "token_requests", before["token_requests"] + 1)
    wait_until(far, "dropped", before["dropped"] + 1)
    assert far.counters()["refreshes"] == before["refreshes"]
    assert far.refresh(tokens["refresh_token"]).status == 200


def test_a_delay_after_rotation_outlives_the_client(far: Far) -> None:
    """With `token_delay_after`, the rotation stands although its client hung up meanwhile."""
    tokens = far.login()
    before = far.counters()
    far.faults(token_delay_after=30, token_times=1)
    with hanging(far, tokens["refresh_token"]):
        wait_until(far, "refreshes", before["refreshes"] + 1)
    assert far.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert far.counters()["replays"] == before["replays"] + 1


def test_a_cut_connection_loses_the_answer_only(far: Far) -> None:
    """With `token_drop` after, the rotation stands although nobody got the new token."""
    tokens = far.login()
    far.faults(token_drop="after", token_times=1)  # noqa: S106 - a made-up secret of a test
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        far.refresh(tokens["refresh_token"])
    before = far.counters()["replays"]
    assert far.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert far.counters()["replays"] == before + 1


@contextmanager
def hanging(far: Far, refresh_token: str) -> Iterator[None]:
    """A refresh whose client never reads the answer, and hangs up at the end of the block."""
    form = {
        "grant_type": "refresh_token",
        "client_id": "workflow-tools",
        "refresh_token": refresh_token,
    }
    body, parts = urlencode(form), urlsplit(far.url)
    with socket.create_connection((parts.hostname, parts.port)) as raw:
        raw.sendall(
            f"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        yield


def wait_until(far: Far, name: str, value: int) -> None:
    """Poll a counter; the server's own delay is what is waited for."""
    for _ in range(2000):
        if far.counters()[name] >= value:
            return
    pytest.fail(f"{name} never became {value}")


# --- the person ------------------------------------------------------------------------------


def test_the_person_signs_in_and_reads_the_last_page(far: Far, listener: Listener) -> None:
    """E-mail, password, OTP, consent, the callback and its 303: exit 0 and the page's text."""
    before = far.counters()
    done = far.person(far.authorize_url(redirect_uri=listener.url))
    assert (done.returncode, done.stdout, done.stderr) == (0, "You are signed in.\n", "")
    query = parse_qs(urlsplit(listener.seen[0]).query)
    assert query["state"] == ["a-state-of-the-client"]
    assert query["code"]
    assert listener.seen[1:] == ["/done"]
    assert far.counters()["sign_ins"] == before["sign_ins"] + 1


def test_the_person_can_refuse(far: Far, listener: Listener) -> None:
    """PERSON_ANSWER=deny ends in access_denied at the callback."""
    before = far.counters()["denials"]
    far.person(far.authorize_url(redirect_uri=listener.url), PERSON_ANSWER="deny")
    query = parse_qs(urlsplit(listener.seen[0]).query)
    assert query["error"] == ["access_denied"]
    assert query["state"] == ["a-state-of-the-client"]
    assert far.counters()["denials"] == before + 1


@pytest.mark.parametrize(
    ("environ", "counter", "said"),
    [
        ({"PERSON_OTP": "wrong"}, "wrong_otps", "That code is not right."),
        ({"PERSON_PASSWORD": "guess"}, "wrong_passwords", "Wrong e-mail address or password."),
    ],
)
def test_wrong_answers_are_shown(
    far: Far, environ: dict[str, str], counter: str, said: str
) -> None:
    """A wrong password or OTP is counted, said on the page, and ends the person's visit."""
    before = far.counters()[counter]
    done = far.person(far.authorize_url(), **environ)
    assert done.returncode == 1
    assert said in done.stdout
    assert far.counters()[counter] == before + 1


def test_the_person_reports_a_dead_address(far: Far) -> None:
    """No listener, no hang, no traceback."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = far.person(f"http://127.0.0.1:{port}/x")
    assert done.returncode == 1
    assert "no answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_organization_can_be_switched_on(far: Far) -> None:
    """The switch holds for as many authorizations as it says."""
    far.faults(no_organization=1)
    done = far.person(far.authorize_url(), PERSON_STOP="before-callback")
    assert "user+does+not+belong+to+any+organization" in done.stdout
    assert far.code()


# --- NeuralRepo ------------------------------------------------------------------------------


def test_neuralrepo_knows_its_keys_only(far: Far) -> None:
    """`X-API-Key` opens the API; nothing else does."""
    api, account = far.line["env"]["NREPO_API_URL"], far.line["accounts"]["nrepo"]
    me = call("GET", f"{api}/user/me", headers={"X-API-Key": account["api_key"]}).json
    assert me.keys() == {"id", "email", "display_name", "plan"}
    assert me["email"] == account["email"]
    for headers in ({}, {"Authorization": f"Bearer {account['api_key']}"}, {"X-API-Key": "nrp_0"}):
        reply = call("GET", f"{api}/user/me", headers=headers)
        assert reply.status == 401
        assert isinstance(reply.json["error"], str)


def test_neuralrepo_keys_are_made_listed_and_revoked(far: Far) -> None:
    """The raw key is shown once, works, and stops working."""
    api = f"{far.line['env']['NREPO_API_URL']}/user/api-keys"
    mine = {"X-API-Key": far.line["accounts"]["nrepo"]["api_key"]}
    made = call("POST", api, json_body={"label": "ci"}, headers=mine)
    assert made.status == 201
    assert made.json.keys() >= {"id", "key", "label", "created_at"}
    listed = call("GET", api, headers={"X-API-Key": made.json["key"]}).json["api_keys"]
    assert made.json["id"] in [one["id"] for one in listed]
    assert not any("key" in one for one in listed)
    assert call("DELETE", f"{api}/{made.json['id']}", headers=mine).status == 200
    assert call("DELETE", f"{api}/{made.json['id']}", headers=mine).status == 404
    assert call("GET", api, headers={"X-API-Key": made.json["key"]}).status == 401
    bad = call("POST", api, json_body={"label": ""}, headers=mine)
    assert (bad.status, bad.json) == (400, {"error": {"label": ["Required"]}})


def test_neuralrepo_browser_login_brings_a_working_key(far: Far, listener: Listener) -> None:
    """The person approves, and the loopback gets a key of the documented form."""
    site = far.line["env"]["NREPO_SITE_URL"]
    done = far.person(f"{site}/auth/cli?{urlencode({'callback': listener.url + '/x7'})}")
    assert (done.returncode, done.stdout) == (0, "You are signed in.\n")
    parts = urlsplit(listener.seen[0])
    key = parse_qs(parts.query)["api_key"][0]
    assert parts.path == "/callback/x7"
    assert (key[:4], len(key)) == ("nrp_", 68)
    me = call("GET", f"{far.line['env']['NREPO_API_URL']}/user/me", headers={"X-API-Key": key})
    assert me.status == 200


@pytest.mark.parametrize(
    "callback",
    ["", "https://evil.example/", "http://127.0.0.1.evil.example:1/", "http://127.0.0.1/", "x:y"],
)
def test_neuralrepo_refuses_foreign_callbacks(far: Far, callback: str) -> None:
    """A key goes to this machine or nowhere."""
    site = far.line["env"]["NREPO_SITE_URL"]
    assert call("GET", f"{site}/auth/cli?{urlencode({'callback': callback})}").status == 400
