"""Libretto Cloud's practice platform: Origin, envelopes, sessions, organizations, keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.platforms.far import Far, Reply, call, running


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


@dataclass(frozen=True)
class Libretto:
    """Libretto Cloud, called as its own tool calls it."""

    far: Far
    cookie: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        """Its origin."""
        return str(self.far.line["env"]["LIBRETTO_API_URL"])

    def _headers(self) -> dict[str, str]:
        sent = {"Origin": self.url}
        if self.cookie:
            sent["Cookie"] = self.cookie
        if self.key:
            sent["x-api-key"] = self.key
        return sent

    def auth(self, method: str, path: str, /, **body: object) -> Reply:
        """A Better Auth call."""
        return call(
            method,
            f"{self.url}/api/auth/{path}",
            json_body=body or None,
            headers=self._headers(),
        )

    def v1(self, path: str, /, **body: object) -> Reply:
        """A wrapped call."""
        return call(
            "POST",
            f"{self.url}/v1/{path}",
            json_body={"json": body},
            headers=self._headers(),
        )

    def signed_in(self, email: str = "", password: str = "") -> "Libretto":
        """The same with the cookies of a password sign-in."""
        account = self.far.line["accounts"]["libretto"]
        reply = self.auth(
            "POST",
            "sign-in/email",
            email=email or account["email"],
            password=password or account["password"],
        )
        assert reply.status == 200, reply.body
        cookies = reply.headers.get_all("Set-Cookie") or []
        return Libretto(self.far, "; ".join(one.partition(";")[0] for one in cookies))

    def mail(self, to: str) -> dict[str, str]:
        """The newest message to an address."""
        box = call("GET", f"{self.far.url}/_/mail?{urlencode({'to': to})}").json
        newest: dict[str, str] = box[-1]
        return newest


@pytest.fixture
def libretto(far: Far) -> Libretto:
    """Libretto Cloud, signed out."""
    return Libretto(far)


@pytest.mark.parametrize("origin", [None, "null", "https://libretto.sh"])
def test_wants_its_own_origin(libretto: Libretto, origin: str | None) -> None:
    """Without the API's own Origin every call is refused, and counted."""
    before = libretto.far.counters()["origin_refusals"]
    headers = {} if origin is None else {"Origin": origin}
    plain = call("GET", f"{libretto.url}/api/auth/get-session", headers=headers)
    assert plain.status == 403
    assert plain.json["code"] in {"MISSING_OR_NULL_ORIGIN", "INVALID_ORIGIN"}
    wrapped = call(
        "POST", f"{libretto.url}/v1/auth/cliLoginCreate", json_body={"json": {}}, headers=headers
    )
    assert wrapped.status == 403
    assert wrapped.json["json"]["code"] == "FORBIDDEN"
    assert libretto.far.counters()["origin_refusals"] == before + 2


def test_wants_the_envelope(libretto: Libretto) -> None:
    """`/v1` takes and gives `{"json": ...}`."""
    reply = call(
        "POST",
        f"{libretto.url}/v1/auth/requestPasswordReset",
        json_body={"email": "grace@example.com"},
        headers={"Origin": libretto.url},
    )
    assert (reply.status, reply.json["json"]["code"]) == (400, "BAD_REQUEST")
    good = libretto.v1("auth/requestPasswordReset", email="nobody@example.com")
    assert good.json == {"json": {"status": "not_found"}}


def test_password_sign_in_and_out(libretto: Libretto) -> None:
    """Two Set-Cookie headers make a session that get-session confirms and sign-out ends."""
    account = libretto.far.line["accounts"]["libretto"]
    wrong = libretto.auth("POST", "sign-in/email", email=account["email"], password="no")  # noqa: S106 - a made-up secret of a test
    assert (wrong.status, wrong.json["code"]) == (401, "INVALID_EMAIL_OR_PASSWORD")
    mine = libretto.signed_in()
    assert mine.cookie.count("=") >= 2
    found = mine.auth("GET", "get-session").json
    assert found["user"]["email"] == account["email"]
    assert found["session"]["expiresAt"].endswith("Z")
    assert mine.auth("POST", "sign-out").json == {"success": True}
    assert mine.auth("GET", "get-session").json is None


def test_browser_sign_in(libretto: Libretto) -> None:
    """Create, open, poll: pending, then approved once with a cookie that works."""
    made = libretto.v1("auth/cliLoginCreate").json["json"]
    asked = {"requestId": made["requestId"], "secret": made["secret"]}
    assert libretto.v1("auth/cliLoginPoll", **asked).json["json"] == {"status": "pending"}
    forged = libretto.v1("auth/cliLoginPoll", requestId=made["requestId"], secret="no")  # noqa: S106 - a made-up secret of a test
    assert forged.status == 404
    page = urlencode({"cliLoginId": made["requestId"], "cliLoginSecret": made["secret"]})
    done = libretto.far.person(f"{libretto.url}/signin?{page}")
    assert done.returncode == 0
    assert "You are signed in" in done.stdout
    approved = libretto.v1("auth/cliLoginPoll", **asked).json["json"]
    assert approved["status"] == "approved"
    assert approved["emailVerified"] is True
    cookie = Libretto(libretto.far, approved["cookieHeader"])
    assert cookie.auth("GET", "get-session").json["user"]["id"] == approved["userId"]
    assert libretto.v1("auth/cliLoginPoll", **asked).json["json"] == {"status": "expired"}


def test_browser_sign_in_refused(libretto: Libretto) -> None:
    """A refusal ends the poll."""
    made = libretto.v1("auth/cliLoginCreate").json["json"]
    page = urlencode({"cliLoginId": made["requestId"], "cliLoginSecret": made["secret"]})
    libretto.far.person(f"{libretto.url}/signin?{page}", PERSON_ANSWER="deny")
    asked = {"requestId": made["requestId"], "secret": made["secret"]}
    assert libretto.v1("auth/cliLoginPoll", **asked).json["json"] == {"status": "expired"}


def test_signup_with_a_taken_slug(libretto: Libretto) -> None:
    """A taken slug leaves nothing behind; with another one the account waits for its mail."""
    asked = {
        "name": "Hedy",
        "email": "hedy@example.com",
        "password": "a good password",
        "organizationName": "Hedy & Co",
        "organizationSlug": "example-org",
        "debugNotificationEmail": "hedy@example.com",
    }
    taken = libretto.v1("auth/signupAndCreateOrg", **asked)
    assert (taken.status, taken.json["json"]["code"]) == (409, "CONFLICT")
    assert taken.json["json"]["data"] == {"reason": "slug_taken"}
    asked["organizationSlug"] = "hedy-co"
    made = libretto.v1("auth/signupAndCreateOrg", **asked).json["json"]
    assert made["emailVerified"] is False
    mine = Libretto(libretto.far, "; ".join(c.partition(";")[0] for c in made["setCookie"]))
    assert mine.auth("GET", "get-session").json["user"]["emailVerified"] is False
    link = libretto.mail("hedy@example.com")["link"]
    assert libretto.far.person(link).returncode == 0
    assert mine.auth("GET", "get-session").json["user"]["emailVerified"] is True
    assert libretto.far.person(link).returncode == 1
    asked["organizationSlug"] = "hedy-two"
    again = libretto.v1("auth/signupAndCreateOrg", **asked).json["json"]
    assert (again["code"], again["data"]) == ("CONFLICT", {"reason": "email_taken"})


def test_invitation_of_someone_new(libretto: Libretto) -> None:
    """Only a manager invites; the mail has id and slug; a wrong slug is refused."""
    mine = libretto.signed_in()
    organization = mine.auth("GET", "organization/list").json[0]
    sent = mine.auth(
        "POST",
        "organization/invite-member",
        email="ida@example.com",
        role="member",
        organizationId=organization["id"],
    ).json
    text = libretto.mail("ida@example.com")["text"]
    assert sent["id"] in text
    assert organization["slug"] in text
    asked = {
        "invitationId": sent["id"],
        "tenantSlug": "wrong",
        "name": "Ida",
        "password": "a good password",
    }
    assert libretto.v1("auth/acceptInviteAndSignup", **asked).status == 400
    asked["tenantSlug"] = organization["slug"]
    made = libretto.v1("auth/acceptInviteAndSignup", **asked).json["json"]
    assert (made["email"], made["organizationSlug"]) == ("ida@example.com", organization["slug"])
    assert libretto.v1("auth/acceptInviteAndSignup", **asked).status == 400
    ida = libretto.signed_in("ida@example.com", "a good password")
    refused = ida.auth(
        "POST",
        "organization/invite-member",
        email="x@example.com",
        role="member",
        organizationId=organization["id"],
    )
    assert refused.status == 403


def test_invitation_of_someone_who_has_an_organization(libretto: Libretto) -> None:
    """Only the recipient sees an invitation, and a member elsewhere cannot accept it."""
    asked = {
        "name": "Joan",
        "email": "joan@example.com",
        "password": "a good password",
        "organizationName": "Joan",
        "organizationSlug": "joan",
        "debugNotificationEmail": "joan@example.com",
    }
    assert libretto.v1("auth/signupAndCreateOrg", **asked).status == 200
    mine, joan = libretto.signed_in(), libretto.signed_in("joan@example.com", "a good password")
    sent = mine.auth(
        "POST",
        "organization/invite-member",
        email="joan@example.com",
        role="admin",
        organizationId=mine.auth("GET", "organization/list").json[0]["id"],
    ).json
    assert mine.auth("GET", f"organization/get-invitation?id={sent['id']}").status == 403
    shown = joan.auth("GET", f"organization/get-invitation?id={sent['id']}").json
    assert shown["organizationSlug"] == "example-org"
    refused = joan.auth("POST", "organization/accept-invitation", invitationId=sent["id"])
    assert (refused.status, refused.json["code"]) == (400, "USER_ALREADY_IN_ORGANIZATION")


def test_api_keys(libretto: Libretto) -> None:
    """A key works in place of a session, opens what a session does not, and can be deleted."""
    mine = libretto.signed_in()
    assert mine.v1("workflows/list").status == 401
    made = mine.auth("POST", "api-key/create", name="laptop").json
    with_key = Libretto(libretto.far, key=made["key"])
    assert with_key.v1("workflows/list").status == 200
    listed = with_key.auth("GET", "api-key/list").json
    assert made["id"] in [one["id"] for one in listed]
    assert not any("key" in one for one in listed)
    assert mine.auth("POST", "api-key/delete", keyId=made["id"]).json == {"success": True}
    assert with_key.auth("GET", "api-key/list").status == 401
    assert mine.auth("POST", "api-key/delete", keyId=made["id"]).status == 404


def test_forgotten_password(libretto: Libretto) -> None:
    """The mailed link opens a page, and the new password works afterwards."""
    account = libretto.far.line["accounts"]["libretto"]
    asked = libretto.v1("auth/requestPasswordReset", email=account["email"])
    assert asked.json == {"json": {"status": "sent"}}
    link = libretto.mail(account["email"])["link"]
    before = libretto.signed_in()
    assert libretto.far.person(link, PERSON_PASSWORD=account["password"]).returncode == 0
    assert before.auth("GET", "get-session").json is None
    assert libretto.signed_in().auth("GET", "get-session").json is not None
    assert libretto.far.person(link).returncode == 1
