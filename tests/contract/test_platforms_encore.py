"""Encore's practice platform: device flow, loopback login, auth keys, refresh."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.platforms.far import CHALLENGE, VERIFIER, Far, Listener, Reply, call, listening, running


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


@dataclass(frozen=True)
class Encore:
    """Encore, called as its own tool calls it."""

    far: Far

    @property
    def url(self) -> str:
        """Its origin."""
        return str(self.far.line["env"]["ENCORE_PLATFORM_API_URL"])

    @property
    def account(self) -> dict[str, str]:
        """Its person and keys."""
        found: dict[str, str] = self.far.line["accounts"]["encore"]
        return found

    def form(self, path: str, **form: str) -> Reply:
        """A form, as OAuth has them."""
        return call("POST", f"{self.url}{path}", form=form)

    def json(self, path: str, **body: str) -> Reply:
        """A call in the envelope."""
        return call("POST", f"{self.url}{path}", json_body=body)

    def poll(self, device_code: str) -> Reply:
        """One poll, after the interval."""
        self.far.advance(1)
        return self.form(
            "/oauth/token",
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=device_code,
            code_verifier=VERIFIER,
        )

    def refresh(self, refresh_token: str) -> Reply:
        """Present a refresh token."""
        return self.form(
            "/login/oauth:refresh-token",
            grant_type="refresh_token",
            refresh_token=refresh_token,
        )

    def apps(self, access_token: str) -> Reply:
        """The identity check."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return call("GET", f"{self.url}/user/apps", headers=headers)


@pytest.fixture
def encore(far: Far) -> Encore:
    """Encore."""
    return Encore(far)


def test_device_flow(encore: Encore) -> None:
    """Pending until the person allows it, then a flat token, once."""
    device = encore.form("/oauth/device-auth", code_challenge=CHALLENGE, client_id="encore_cli")
    begun = device.json
    assert begun.keys() >= {"device_code", "user_code", "verification_uri", "expires_in"}
    first = encore.poll(begun["device_code"])
    assert (first.status, first.json["error"]["code"]) == (400, "auth_pending")
    done = encore.far.person(begun["verification_uri"])
    assert (done.returncode, "Device connected" in done.stdout) == (0, True)
    token = encore.poll(begun["device_code"]).json
    assert token.keys() >= {"access_token", "refresh_token", "expiry", "actor", "email"}
    assert token["email"] == encore.account["email"]
    assert encore.apps(token["access_token"]).json["ok"] is True
    assert encore.poll(begun["device_code"]).json["error"]["code"] == "invalid_grant"


def test_device_flow_refused_and_hurried(encore: Encore) -> None:
    """Polling too fast is told so; a refusal ends it."""
    begun = encore.form("/oauth/device-auth", code_challenge=CHALLENGE, client_id="encore_cli").json
    encore.far.faults(device_interval=60)
    assert encore.poll(begun["device_code"]).json["error"]["code"] == "auth_pending"
    assert encore.poll(begun["device_code"]).json["error"]["code"] == "rate_limited"
    encore.far.person(begun["verification_uri"], PERSON_ANSWER="deny")
    assert encore.poll(begun["device_code"]).json["error"]["code"] == "access_denied"


def test_pairing_code_by_hand(encore: Encore) -> None:
    """The page asks for the code where the address has none, and refuses a wrong one."""
    begun = encore.form("/oauth/device-auth", code_challenge=CHALLENGE, client_id="encore_cli").json
    page = call("GET", f"{encore.url}/activate")
    assert b'<label for="code">' in page.body
    assert call("GET", f"{encore.url}/activate?code=NOPE").status == 422
    typed = call("GET", f"{encore.url}/activate?code={begun['user_code'].lower()}")
    assert typed.status == 303


def test_loopback_login(encore: Encore, listener: Listener) -> None:
    """create-session, the page, the loopback's code, exchange with the verifier, once."""
    bad = encore.json(
        "/login/oauth:create-session",
        challenge=CHALLENGE,
        state="s",
        redirect_url="https://evil.example/oauth",
    )
    assert (bad.status, bad.json["ok"]) == (400, False)
    redirect = listener.url.replace("/callback", "/oauth")
    data = encore.json(
        "/login/oauth:create-session", challenge=CHALLENGE, state="s", redirect_url=redirect
    ).json["data"]
    assert encore.far.person(data["auth_url"]).returncode == 0
    query = parse_qs(urlsplit(listener.seen[0]).query)
    assert query["state"] == ["s"]
    code = query["code"][0]
    got = encore.json("/login/oauth:exchange-token", challenge=VERIFIER, code=code).json["data"]
    assert got["token"]["refresh_token"]
    assert got["email"] == encore.account["email"]
    again = encore.json("/login/oauth:exchange-token", challenge=VERIFIER, code=code)
    assert again.json["error"]["code"] == "invalid_code"


@pytest.mark.parametrize(
    ("name", "reusable", "ephemeral"),
    [
        ("auth_key", True, False),
        ("ephemeral_auth_key", True, True),
        ("one_time_auth_key", False, False),
        ("one_time_ephemeral_auth_key", False, True),
    ],
)
def test_auth_keys(encore: Encore, name: str, *, reusable: bool, ephemeral: bool) -> None:
    """All four combinations: an ephemeral one has an expiry and no refresh token."""
    first = encore.json("/login/auth-key", auth_key=encore.account[name])
    token = first.json["data"]["token"]
    assert first.json["data"]["app_slug"] == encore.account["app_slug"]
    assert token["expiry"]
    assert ("refresh_token" not in token) == ephemeral
    second = encore.json("/login/auth-key", auth_key=encore.account[name])
    assert (second.status == 200) == reusable
    if not reusable:
        assert second.json["error"]["code"] == "auth_key_already_used"
    encore.far.advance(3600)
    try:
        assert encore.apps(token["access_token"]).status == 401
    finally:
        encore.far.advance(-3600)
    assert encore.apps(token["access_token"]).status == 200


def test_refresh_rotates_and_dies_with_422(encore: Encore) -> None:
    """No grace here either: the replay is counted and ends the session."""
    token = encore.json("/login/auth-key", auth_key=encore.account["auth_key"]).json["data"][
        "token"
    ]
    before = encore.far.counters()["platforms"]["encore"]["replays"]
    second = encore.refresh(token["refresh_token"]).json
    assert second["expires_in"] == 3600
    assert encore.apps(second["access_token"]).status == 200
    assert encore.refresh(token["refresh_token"]).status == 422
    assert encore.refresh(second["refresh_token"]).status == 422
    assert encore.apps(second["access_token"]).status == 401
    assert encore.far.counters()["platforms"]["encore"]["replays"] == before + 1


def test_deleting_a_key_cuts_its_machines_off() -> None:
    """Refresh and identity both name the reason, and the key is refused."""
    with running() as far:
        encore = Encore(far)
        key = encore.account["auth_key"]
        token = encore.json("/login/auth-key", auth_key=key).json["data"]["token"]
        far.revoke_key(key)
        refused = encore.refresh(token["refresh_token"])
        assert (refused.status, refused.json["error"]["code"]) == (422, "auth_key_deleted")
        assert encore.apps(token["access_token"]).json["error"]["code"] == "auth_key_deleted"
        assert encore.json("/login/auth-key", auth_key=key).status == 401
