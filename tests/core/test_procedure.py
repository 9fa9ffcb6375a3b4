"""Steps: what is sent, taken, expected, opened and said, and in which order."""

from collections.abc import Collection
from typing import Any

import pytest

from tests.core.fakes import ORIGIN
from tests.core.scripted import bare
from tests.core.staged import DOWN, Stage, post
from tool_agentd.broker.login import LoginState
from tool_agentd.errors import (
    AgentError,
    ConfigurationError,
    InvalidRequestError,
    LoginRequiredError,
    ProviderError,
    TemporarilyUnavailableError,
)
from tool_agentd.model import HttpReply, HttpRequest
from tool_agentd.secret import Secret

SESSION = {"Cookie": Secret("sid=1"), "X-Own": Secret("theirs")}


class TestRequest:
    """A request is filled from the values, and its answer is read."""

    def test_filled(self) -> None:
        """Addresses are percent-encoded, headers and bodies filled, secrets in bodies only."""
        stage = Stage(slug="a b/c", password=Secret("hush"))
        stage.http.on("/org/a%20b%2Fc", {})
        request = {
            "post": ORIGIN + "/org/{slug}",
            "headers": {"Origin": ORIGIN, "X-Slug": "{slug}"},
            "json": {"json": {"slug": "{slug}", "password": "{password}", "n": 1}},
        }
        stage.run({"request": request})
        sent = stage.http.sent[0]
        assert sent.headers == {"Origin": ORIGIN, "X-Slug": "a b/c"}
        assert sent.json == {"json": {"slug": "a b/c", "password": "hush", "n": 1}}
        assert sent.allowed == {ORIGIN}

    def test_secret_in_an_address(self) -> None:
        """A secret never stands in an address that is requested: logs would keep it."""
        stage = Stage(password=Secret("hush"))
        error = stage.fails({"request": {"get": ORIGIN + "/{password}"}})
        assert "{password}" in error.detail
        assert not stage.http.sent

    def test_taken(self) -> None:
        """Texts, secrets and numbers are taken from dotted paths; absent and null are empty."""
        stage = Stage()
        stage.http.on(
            "/do", {"json": {"a": "x\x1b[2J", "n": 7, "yes": True, "no": None, "key": "k_1"}}
        )
        take = {
            "a": "json.a",
            "n": "json.n",
            "yes": "json.yes",
            "no": "json.no",
            "gone": "json.b.c",
        }
        stage.run({"request": post(), "take": take, "take_secret": {"key": "json.key", "k": "x"}})
        assert stage.values.plain == {"a": "x?[2J", "n": "7", "yes": "true", "no": "", "gone": ""}
        assert bare(stage.values["key"]) == "k_1"
        assert stage.values.empty("k")

    def test_types_are_kept(self) -> None:
        """A body's text that is one placeholder alone keeps the type of what was taken."""
        stage = Stage()
        stage.http.on("/a", {"n": 7, "list": [1], "text": "9", "no": None})
        stage.http.on("/b", {})
        names = ("n", "list", "text", "no")
        body = {name: "{" + name + "}" for name in names} | {"mixed": "{n} of {text}"}
        stage.run(
            {"request": post("/a"), "take": {name: name for name in names}},
            {"request": post("/b", json=body)},
        )
        sent = stage.http.to("/b")[0].json
        assert sent == {"n": 7, "list": [1], "text": "9", "no": "", "mixed": "7 of 9"}

    def test_cookies(self) -> None:
        """Set-Cookie headers become one Cookie header; those that are deleted are left out."""
        stage = Stage()
        stage.http.on("/do", {}, cookies={"sid": "1", "data": "2", "old": ""})
        stage.run({"request": post(), "take_cookie": "cookie"})
        cookie = stage.values["cookie"]
        assert isinstance(cookie, Secret)
        assert cookie.reveal() == "sid=1; data=2"

    def test_no_json(self) -> None:
        """An answer that is no JSON has no values, and is no error by itself."""
        stage = Stage()
        stage.http.on("/do", b"<html>")
        stage.run({"request": post(), "take": {"a": "a"}})
        assert stage.values.text("a") == ""

    def test_when(self) -> None:
        """A step whose conditions are not met does nothing at all; what is not there is empty."""
        stage = Stage(signed_in="true")
        ask = [{"name": "name", "label": "Name: "}]
        stage.run({"when": {"signed_in": "false"}, "ask": ask, "request": post(), "say": "no"})
        assert not stage.http.sent
        stage.run({"when": {"other": "", "signed_in": "true"}, "say": "yes"})
        assert stage.login.view.said == ("yes",)


class TestCarries:
    """The account's credential signs a request."""

    def test_headers(self) -> None:
        """Its headers are added, the request's own winning; it goes where both lists allow."""
        stage = Stage()
        stage.http.on("/do", {})
        asked: list[Collection[str]] = []

        async def sign(
            wanted: Collection[str], request: HttpRequest, allowed: Collection[str]
        ) -> HttpReply:
            asked.append(tuple(wanted))
            return await stage.http.send(request.with_headers(SESSION), allowed=allowed)

        stage.sign = sign
        request = post(headers={"x-own": "ours"})
        stage.run({"request": request, "carries": ["key", "session"]})
        assert asked == [("key", "session")]
        assert stage.http.sent[0].headers == {"Cookie": "sid=1", "x-own": "ours"}
        assert stage.http.sent[0].allowed == {ORIGIN}

    def test_refused(self) -> None:
        """A 401 for the account's credential asks for a login."""
        stage = Stage()
        stage.http.on("/do", {"message": "expired"}, 401)

        async def sign(
            _: Collection[str], request: HttpRequest, allowed: Collection[str]
        ) -> HttpReply:
            return await stage.http.send(request.with_headers(SESSION), allowed=allowed)

        stage.sign = sign
        error = stage.fails({"request": post(), "carries": "session"})
        assert isinstance(error, LoginRequiredError)
        assert "expired" in error.detail

    def test_not_here(self) -> None:
        """Where nothing can be carried nothing is sent."""
        stage = Stage()
        error = stage.fails({"request": post(), "carries": "session"})
        assert isinstance(error, ConfigurationError)
        assert not stage.http.sent


class TestErrors:
    """What an answer that is an error means."""

    def error(self, *meanings: dict[str, Any], status: int = 409, **body: Any) -> AgentError:  # noqa: ANN401 - a JSON body
        """Return the error that an answer becomes."""
        stage = Stage(email="a@b")
        stage.http.on("/do", body, status)
        return stage.fails({"request": post(), "on_error": list(meanings)})

    def test_own_words(self) -> None:
        """Without a meaning the platform's text is the error, without control characters."""
        error = self.error(message="Already\x07 there", code="CONFLICT")
        assert isinstance(error, ProviderError)
        assert (error.detail, error.status) == ("Already? there", 409)

    def test_fields(self) -> None:
        """A map of fields is told field by field."""
        error = self.error(message={"label": ["Required", "Short"], "x": {}, "y": 1}, status=400)
        assert error.detail == "label: Required, Short; y: 1"

    def test_no_words(self) -> None:
        """A bare refusal is told by its status; a server's fault asks to try again."""
        assert self.error().detail == "Acme answered HTTP 409"
        assert isinstance(self.error(status=503), TemporarilyUnavailableError)
        assert isinstance(self.error(status=429), TemporarilyUnavailableError)

    def test_meaning(self) -> None:
        """Every condition must hold; the first meaning that fits counts."""
        wrong = {"code": "CONFLICT", "reason": "email_taken", "say": "no"}
        right = {
            "status": 409,
            "code": "CONFLICT",
            "reason": "slug_taken",
            "contains": "SLUG",
            "say": "{email}: taken",
            "hint": "not {email}",
        }
        last = {"say": "too late"}
        error = self.error(
            wrong,
            right,
            last,
            code="CONFLICT",
            message="the slug is taken",
            data={"reason": "slug_taken"},
        )
        assert (error.detail, error.hint) == ("a@b: taken", "not a@b")

    def test_ignored(self) -> None:
        """An error that is ignored leaves the values empty, and the next step follows."""
        stage = Stage()
        stage.http.on("/do", {}, 500)
        stage.run(
            {"request": post(), "take": {"a": "a"}, "on_error": [{"ignore": True}], "say": "on"}
        )
        assert stage.values.empty("a")
        assert stage.login.view.said == ("on",)

    def test_network(self) -> None:
        """A network failure stays one."""
        stage = Stage()
        stage.http.fail("/do", DOWN)
        assert stage.fails({"request": post(), "on_error": [{"ignore": True}]}) is DOWN

    def test_asked_again(self) -> None:
        """Only the named asks are asked again, with what was wrong; the rest stays."""
        stage = Stage()
        stage.preset = {"slug": "taken"}
        stage.http.on("/do", {"message": "slug is taken", "code": "CONFLICT"}, 409)
        stage.http.on("/do", {})
        asks = [
            {"name": "name", "label": "Name: "},
            {"name": "slug", "label": "Slug: ", "default": "{name}", "form": "slug"},
        ]
        request = post(json={"name": "{name}", "slug": "{slug}"})
        meaning = {"code": "CONFLICT", "ask": ["slug"]}
        typist = stage.run(
            {"ask": asks, "request": request, "on_error": [meaning]}, answers=("Acme Inc.", "")
        )
        assert typist.labels == ["Name: ", "Slug: "]
        assert typist.views[1].prompts[0].default == "acme-inc"
        notice = typist.views[1].notice
        assert isinstance(notice, InvalidRequestError)
        assert notice.detail == "slug is taken"
        bodies = [one.json for one in stage.http.sent]
        assert bodies == [
            {"name": "Acme Inc.", "slug": "taken"},
            {"name": "Acme Inc.", "slug": "acme-inc"},
        ]
        assert stage.login.view.notice is None


class TestTheRest:
    """Expecting, opening, saying."""

    @pytest.mark.parametrize(
        ("expect", "good"),
        [
            ({"equals": "{slug}"}, True),
            ({"equals": "other"}, False),
            ({"empty": False}, True),
            ({"empty": True}, False),
        ],
    )
    def test_expect(self, expect: dict[str, Any], good: bool) -> None:  # noqa: FBT001 - what is expected
        """What is not as expected ends it, in the definition's words."""
        stage = Stage(org="acme", slug="acme")
        step = {"expect": [{"value": "org", "say": "not {org}", "hint": "h {slug}", **expect}]}
        if good:
            stage.run(step)
            return
        error = stage.fails(step)
        assert (error.detail, error.hint) == ("not acme", "h acme")

    def test_open(self) -> None:
        """The person is sent to a page, whose address may hold a secret for its own origin."""
        stage = Stage(id="a b", key=Secret("k&1"), user_code="ABCD")
        stage.run({"open": ORIGIN + "/signin?id={id}&key={key}"})
        view = stage.login.view
        assert view.url == ORIGIN + "/signin?id=a%20b&key=k%261"
        assert (view.state, view.user_code) == (LoginState.AWAITING_BROWSER, "ABCD")

    @pytest.mark.parametrize(
        ("address", "values"),
        [
            ("https://evil.example/?key={key}", {"key": Secret("k")}),
            ("{url}", {"url": "file:///etc/passwd"}),
            ("{url}", {"url": "--version"}),
            ("{url}", {"url": "http://other.example/"}),
            ("{url}", {"url": Secret(ORIGIN)}),
        ],
    )
    def test_not_opened(self, address: str, values: dict[str, str | Secret]) -> None:
        """A secret for another origin, and what is no web address, is never opened."""
        stage = Stage(**values)
        error = stage.fails({"open": address})
        assert isinstance(error, ConfigurationError | ProviderError)
        assert stage.login.view.url is None

    def test_said(self) -> None:
        """What is said uses plain values, and never a secret."""
        stage = Stage(email="a@b", password=Secret("hush"))
        stage.run({"say": "sent to {email} {password}{gone}"})
        assert stage.login.view.said == ("sent to a@b ",)

    def test_order(self) -> None:
        """What is expected is looked at before anything is opened or said."""
        stage = Stage(a="1")
        expect = [{"value": "a", "equals": "2", "say": "no"}]
        stage.fails({"open": ORIGIN, "say": "yes", "expect": expect})
        assert stage.login.view.url is None
        assert stage.login.view.said == ()
