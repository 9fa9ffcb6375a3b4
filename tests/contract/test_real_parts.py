"""The real parts that other tests stand on do what those tests take for granted."""

import base64
import hashlib
import http.server
import json
import os
import secrets
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import keyring.backends.SecretService
import pytest

from tests.real.idp import Idp, IdpOptions, running_idp
from tests.real.keychain import PASSWORD, Keychain
from tests.real.plain_user import PYTHON, PlainUser
from tests.real.presence import REQUIRE_REAL, requires

JSON = dict[str, Any]
OFFLINE = "openid offline_access email read"


def post(address: str, **form: str) -> tuple[int, JSON]:
    """Post a form; return status and body."""
    request = urllib.request.Request(address, data=urlencode(form).encode())  # noqa: S310 - http to loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - http to loopback
            return reply.status, json.loads(reply.read() or b"{}")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.loads(refusal.read())


def get(address: str, token: str | None = None) -> JSON:
    """Get a JSON document, with a bearer token if there is one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http to loopback
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - http to loopback
        document: JSON = json.load(reply)
        return document


@dataclass(frozen=True)
class Request:
    """An authorization request of a client that listens nowhere."""

    idp: Idp
    metadata: JSON
    verifier: str
    redirect: str = "http://127.0.0.1:49152/callback"

    @classmethod
    def new(cls, idp: Idp) -> "Request":
        """Discover the provider and make up a verifier."""
        metadata = get(f"{idp.issuer}/.well-known/openid-configuration")
        return cls(idp, metadata, secrets.token_urlsafe(48))

    def address(self, **changes: str) -> str:
        """Return the address that the browser is sent to."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "client_id": self.idp.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect,
            "scope": OFFLINE,
            "prompt": "consent",
            "state": "a state",
            "nonce": "a nonce",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        query |= changes
        return f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"

    def tokens(self, **changes: str) -> JSON:
        """Sign in and exchange the code."""
        query = parse_qs(urlsplit(self.idp.person().authorize(self.address(**changes))).query)
        assert query["state"] == ["a state"]
        status, body = post(
            self.metadata["token_endpoint"],
            grant_type="authorization_code",
            client_id=changes.get("client_id", self.idp.client_id),
            code=query["code"][0],
            redirect_uri=self.redirect,
            code_verifier=self.verifier,
        )
        assert status == 200, body
        return body

    def refresh(self, refresh_token: str) -> tuple[int, JSON]:
        """Post a refresh."""
        return post(
            self.metadata["token_endpoint"],
            grant_type="refresh_token",
            client_id=self.idp.client_id,
            refresh_token=refresh_token,
        )


def part(token: str, number: int) -> JSON:
    """Return header (0) or claims (1) of a JWT, unverified."""
    text = token.split(".")[number]
    claims: JSON = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return claims


@pytest.mark.parametrize("parts", [("no-such-command",), ("sh", "no-such-command")])
def test_an_absent_part_skips_and_is_named(
    parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that cannot run says what it lacks."""
    monkeypatch.delenv(REQUIRE_REAL, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-command is absent"):
        requires(*parts)


def test_an_absent_part_fails_where_it_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI, where all was installed, an absence is a failure."""
    monkeypatch.setenv(REQUIRE_REAL, "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-command is absent"):
        requires("no-such-command")
    requires("sh")


def test_the_provider_is_discovered(idp: Idp) -> None:
    """It names its endpoints, S256 and both algorithms, under exactly its issuer."""
    found = Request.new(idp).metadata
    assert found["issuer"] == idp.issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert {"RS256", "ES256"} <= set(found["id_token_signing_alg_values_supported"])
    assert found["authorization_response_iss_parameter_supported"] is True
    for name in ("token", "userinfo", "revocation", "device_authorization"):
        assert found[f"{name}_endpoint"].startswith(idp.issuer + "/")
    assert {key["alg"] for key in get(found["jwks_uri"])["keys"]} == {"RS256", "ES256"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_login_yields_tokens_that_work(idp: Idp, algorithm: str) -> None:
    """Code and PKCE give an access token, a refresh token and an ID token of that algorithm."""
    request = Request.new(idp)
    client = idp.client_id if algorithm == "RS256" else idp.es256_client_id
    tokens = request.tokens(client_id=client)
    assert part(tokens["id_token"], 0)["alg"] == algorithm
    claims = part(tokens["id_token"], 1)
    expected = {"iss": idp.issuer, "aud": client, "sub": "alice", "nonce": "a nonce"}
    assert expected.items() <= claims.items()
    assert tokens["expires_in"] == 600
    assert get(request.metadata["userinfo_endpoint"], tokens["access_token"])["email"]
    seen = idp.counters()
    assert (seen.logins, seen.code_exchanges, seen.token_requests) == (1, 1, 1)
    assert (seen.userinfo_requests, seen.accepted_refresh_tokens) == (1, 1)


def test_a_refresh_token_is_for_offline_access_only(idp: Idp) -> None:
    """OpenID Connect Core section 11: without that scope, or without consent, there is none."""
    request = Request.new(idp)
    assert "refresh_token" not in request.tokens(scope="openid read")
    assert "refresh_token" not in request.tokens(prompt="login")


def test_a_refresh_token_rotates_and_a_replay_ends_the_family(idp: Idp) -> None:
    """The first presentation gives a new one; the second refuses, and kills the new one as well."""
    request = Request.new(idp)
    first = request.tokens()["refresh_token"]
    status, body = request.refresh(first)
    assert status == 200
    second = body["refresh_token"]
    assert second != first
    before = idp.counters()
    assert request.refresh(first)[1]["error"] == "invalid_grant"
    assert request.refresh(second)[1]["error"] == "invalid_grant"
    added = idp.counters() - before
    assert (added.replays, added.refreshes, added.refusals, added.token_requests) == (1, 0, 2, 2)
    assert added.accepted_refresh_tokens == -1


def test_a_revoked_refresh_token_takes_its_access_token_along(idp: Idp) -> None:
    """RFC 7009: the known token is revoked, an unknown one is success as well."""
    request = Request.new(idp)
    tokens = request.tokens()
    endpoint = request.metadata["revocation_endpoint"]
    for _ in range(2):
        status, _ = post(endpoint, client_id=idp.client_id, token=tokens["refresh_token"])
        assert status == 200
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        get(request.metadata["userinfo_endpoint"], tokens["access_token"])
    refused.value.close()
    assert request.refresh(tokens["refresh_token"])[1]["error"] == "invalid_grant"
    seen = idp.counters()
    assert (seen.revocations, seen.unknown_revocations, seen.replays) == (1, 1, 0)
    assert seen.accepted_refresh_tokens == 0


def test_a_code_without_its_verifier_is_refused(idp: Idp) -> None:
    """PKCE is not optional: neither at the authorization endpoint nor at the token endpoint."""
    request = Request.new(idp)
    other = Request(idp, request.metadata, secrets.token_urlsafe(48))
    callback = idp.person().authorize(request.address())
    code = parse_qs(urlsplit(callback).query)["code"][0]
    status, body = post(
        request.metadata["token_endpoint"],
        grant_type="authorization_code",
        client_id=idp.client_id,
        code=code,
        redirect_uri=request.redirect,
        code_verifier=other.verifier,
    )
    assert (status, body["error"]) == (400, "invalid_grant")
    bare = request.address(code_challenge="", code_challenge_method="")
    assert "error=invalid_request" in idp.person().authorize(bare)


def test_a_person_who_does_not_consent_comes_back_with_an_error(idp: Idp) -> None:
    """The callback carries access_denied, the state and the issuer (RFC 9207)."""
    callback = idp.person(consents=False).authorize(Request.new(idp).address())
    query = parse_qs(urlsplit(callback).query)
    assert query["error"] == ["access_denied"]
    assert (query["state"], query["iss"]) == (["a state"], [idp.issuer])


def test_a_resource_gets_an_access_token_of_its_own(idp: Idp) -> None:
    """RFC 8707: the audience that was asked for, as a JWT where its address says so."""
    resource = "https://api.example.com/jwt"
    tokens = Request.new(idp).tokens(scope=OFFLINE + " items:read", resource=resource)
    assert part(tokens["access_token"], 0)["typ"] == "at+jwt"
    claims = part(tokens["access_token"], 1)
    assert (claims["aud"], claims["scope"]) == (resource, "items:read")


def test_a_device_logs_in(idp: Idp) -> None:
    """RFC 8628: pending until a person has confirmed the code, then tokens."""
    metadata = Request.new(idp).metadata
    status, started = post(
        metadata["device_authorization_endpoint"],
        client_id=idp.client_id,
        scope=OFFLINE,
        prompt="consent",
    )
    assert status == 200
    poll = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": idp.client_id,
        "device_code": started["device_code"],
    }
    assert post(metadata["token_endpoint"], **poll)[1]["error"] == "authorization_pending"
    idp.person("bob").approve_device(started["verification_uri_complete"])
    status, tokens = post(metadata["token_endpoint"], **poll)
    assert (status, part(tokens["id_token"], 1)["sub"]) == (200, "bob")
    assert "refresh_token" in tokens


def test_lifetimes_and_port_are_the_tests_choice() -> None:
    """Short tokens make a story about expiry short."""
    with running_idp(IdpOptions(access_token_ttl=2)) as idp:
        assert Request.new(idp).tokens()["expires_in"] == 2
        port = urlsplit(idp.issuer).port
    assert port is not None
    with running_idp(IdpOptions(port=port)) as again:
        assert again.issuer == idp.issuer


def test_an_outage_is_an_outage_and_loses_nothing(idp: Idp) -> None:
    """While it is unreachable connections are refused; afterwards its grants are still there."""
    request = Request.new(idp)
    refresh_token = request.tokens()["refresh_token"]
    with idp.unreachable(), pytest.raises(urllib.error.URLError, match="refused"):
        request.refresh(refresh_token)
    assert request.refresh(refresh_token)[0] == 200


def test_an_administrator_ends_every_grant(idp: Idp) -> None:
    """A genuine refusal, without any replay."""
    request = Request.new(idp)
    refresh_token = request.tokens()["refresh_token"]
    idp.end_everything()
    assert request.refresh(refresh_token)[1]["error"] == "invalid_grant"
    assert idp.counters().replays == 0


class _Callback(http.server.BaseHTTPRequestHandler):
    """A client's listener, which remembers what it was asked."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Remember the path and answer."""
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[str]:
    """A callback's address, on which a client listens."""
    _Callback.paths.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), _Callback) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/callback"
        server.shutdown()
        thread.join()


def test_a_person_is_a_browser_for_scripts(idp: Idp, listener: str) -> None:
    """As the BROWSER command a person signs in and visits the callback on any loopback port."""
    request = Request.new(idp)
    address = request.address(redirect_uri=listener)
    browser = idp.person("carol").browser().split()
    subprocess.run([*browser, address], check=True, timeout=60)
    assert len(_Callback.paths) == 1
    assert _Callback.paths[0].startswith("/callback?code=")


def test_the_keychain_keeps_what_is_stored_and_secret_tool_lists_it(keychain: Keychain) -> None:
    """An item by hand is found by its service, with its attributes and its secret."""
    assert keychain.search("tool-agent-test") == []
    keychain.store("two\nlines", "A label", service="tool-agent-test", account="alice")
    keychain.store("other", service="tool-agent-test", account="bob")
    found = {item.attributes["account"]: item for item in keychain.search("tool-agent-test")}
    assert (found["alice"].secret, found["alice"].label) == ("two\nlines", "A label")
    assert found["bob"].secret == "other"  # noqa: S105 - the test's own
    keychain.delete(found["alice"])
    assert keychain.search("tool-agent-test") == [found["bob"]]
    keychain.tamper(found["bob"], b"changed")
    assert [item.secret for item in keychain.search("tool-agent-test")] == ["changed"]


def test_a_locked_keychain_tells_no_secret(keychain: Keychain) -> None:
    """It still lists its items, and gives their secrets again when it is unlocked."""
    keychain.store("sesame", service="tool-agent-test")
    keychain.lock()
    assert keychain.is_locked()
    assert [item.secret for item in keychain.search("tool-agent-test")] == [None]
    keychain.unlock()
    assert not keychain.is_locked()
    assert [item.secret for item in keychain.search("tool-agent-test")] == ["sesame"]


def test_a_killed_keychain_stays_away_until_it_is_started(keychain: Keychain) -> None:
    """Nothing starts it behind the test's back, and its files outlast it."""
    keychain.store("sesame", service="tool-agent-test")
    keychain.kill()
    with pytest.raises(AssertionError, match=r"org\.freedesktop\.secrets"):
        keychain.search("tool-agent-test")
    keychain.start(unlocked=False)
    assert keychain.is_locked()
    keychain.restart()
    assert [item.secret for item in keychain.search("tool-agent-test")] == ["sesame"]


def test_keyring_in_this_process_uses_the_keychain(keychain_here: Keychain) -> None:
    """What the library stores is what secret-tool lists."""
    backend = keyring.backends.SecretService.Keyring()  # type: ignore[no-untyped-call]  # no types
    backend.set_password(  # type: ignore[no-untyped-call]  # no types
        "tool-agent-test", "alice", "sesame"
    )
    items = keychain_here.search("tool-agent-test")
    assert [(item.attributes["username"], item.secret) for item in items] == [("alice", "sesame")]


def test_the_keychain_is_the_tests_own(keychain: Keychain) -> None:
    """Its files lie in its directory; neither they nor its processes hold a secret in clear."""
    keychain.store("a secret in clear", service="tool-agent-test")
    files = list(keychain.files.iterdir())
    assert keychain.files / "login.keyring" in files
    for path in files:
        assert b"a secret in clear" not in path.read_bytes()
    process = Path("/proc", str(keychain.pid))
    shown = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert PASSWORD.encode() not in shown
    assert f"HOME={keychain.directory}/home".encode() in shown


def test_another_user_is_another(plain_user: PlainUser, tmp_path: Path) -> None:
    """Its commands run under its uid, in its home, with no privilege and no way into ours."""
    code = "import os; print(os.getuid(), os.getgid(), os.getgroups(), os.getcwd())"
    told = plain_user.run(PYTHON, "-c", code).stdout.strip()
    assert told == f"{plain_user.uid} {plain_user.gid} [] {plain_user.home}"
    assert plain_user.uid != os.geteuid()
    (tmp_path / "ours").write_text("ours")
    (tmp_path / "ours").chmod(0o600)
    assert plain_user.run("cat", str(tmp_path / "ours")).returncode != 0
    capabilities = plain_user.run("grep", "CapEff", "/proc/self/status").stdout.split()
    assert capabilities[1].strip("0") == ""


def test_another_user_takes_a_copy_along(plain_user: PlainUser, tmp_path: Path) -> None:
    """What lies where only we may look is copied into the other's home, and is theirs."""
    (tmp_path / "package").mkdir(mode=0o700)
    (tmp_path / "package" / "__init__.py").write_text("print('here')")
    plain_user.take(tmp_path / "package")
    done = plain_user.run(PYTHON, "-c", "import package", environ={"PYTHONPATH": "."})
    assert (done.stdout, done.stderr) == ("here\n", "")


def test_another_users_process_is_started_and_stopped(plain_user: PlainUser) -> None:
    """A process that lasts is spoken to line by line."""
    child = plain_user.start("cat", environ={"LC_ALL": "C"})
    try:
        child.send("a line\n")
        assert child.line() == "a line"
        status = Path("/proc", str(child.pid), "status").read_text()
        assert f"Uid:\t{plain_user.uid}" in status
    finally:
        child.stop()
    assert not Path("/proc", str(child.pid)).exists()
