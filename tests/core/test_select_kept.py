"""What a login keeps of its reply, and how whoami and expiry read it."""

import pytest

from tests.core.fakes import catalogue
from tests.core.flows import DEVICE, LOOPBACK, STEPS
from tool_agentd.definition import duration, select
from tool_agentd.definition.table import Errors
from tool_agentd.definition.vocabulary import Expiry, Field, IdentitySpec
from tool_agentd.model import HttpReply, HttpRequest, Instant
from tool_agentd.oauth import token
from tool_agentd.oauth.registration import registration_of
from tool_agentd.secret import Secret

NOW = Instant(1_700_000_000.0, 100.0)
REQUEST = HttpRequest("POST", "https://id.example/token")
TEXTS = ["logged in as app {slug}", "logged in as {email}"]


def reply(body: str, status: int = 200) -> HttpReply:
    """Return a reply."""
    return HttpReply(status, {}, body.encode(), NOW, NOW)


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ({"slug": "acme", "email": "ada@acme.example"}, "logged in as app acme"),
        ({"slug": "", "email": "ada@acme.example"}, "logged in as ada@acme.example"),
        ({"slug": "acme"}, "logged in as app acme"),
    ],
)
def test_the_first_text_whose_fields_are_all_there_is_printed(
    kept: dict[str, str], text: str
) -> None:
    """A session of an app has no e-mail, and a person's has no app."""
    spec = IdentitySpec(
        fields={"email": Field(kept="email"), "slug": Field(kept="slug")},
        subject="slug",
        text=TEXTS,
    )
    identity, fields, said = select.read_identity(spec, None, {}, kept)
    assert said == text
    assert identity.name == kept.get("email", "")
    assert fields["slug"] == kept["slug"]


def test_only_kept_fields_and_no_request_ask_nobody() -> None:
    """The definition says so by naming nothing else; the name and the subject are among them."""
    own = {"email": Field(kept="email"), "sub": Field(kept="actor")}
    assert select.answers_itself(IdentitySpec(fields=dict(own)))
    assert not select.answers_itself(IdentitySpec(fields={"email": Field(kept="email")}))
    assert not select.answers_itself(IdentitySpec(fields={**own, "plan": "plan"}))
    assert not select.answers_itself(IdentitySpec())


@pytest.mark.parametrize(
    ("expiry", "life"),
    [
        ('"2023-11-14T22:14:20Z"', 60.0),
        ('"2023-11-14T23:14:20.5+01:00"', 60.5),
        ("1700000060", 60.0),
        ('"soon"', 77.0),
        ("null", 77.0),
    ],
)
def test_an_end_may_be_said_as_a_moment(expiry: str, life: float) -> None:
    """RFC 3339 or Unix seconds, in a field of the reply; else what the reply says otherwise."""
    body = f'{{"access_token": "a", "expires_in": 77, "session": {{"end": {expiry}}}}}'
    outcome = token.read_token(reply(body), request=REQUEST, expiry=Expiry(field="session.end"))
    assert isinstance(outcome, token.Granted)
    assert outcome.access_token.lifetime == life


def test_what_is_kept_of_a_reply_is_never_a_token() -> None:
    """It is shown, and written into files."""
    body = '{"access_token": "aa", "refresh_token": "rr", "who": {"email": "ada", "age": 7}}'
    keep = {"email": "who.email", "age": "who.age", "none": "who.x", "t": "refresh_token"}
    assert token.kept(reply(body), keep) == (("email", "ada"), ("age", "7"))
    assert token.kept(reply("[]"), keep) == ()


def test_a_platforms_own_error_is_the_reason() -> None:
    """At the paths of the definition; a status that it names as fatal ends the session."""
    body = '{"ok": false, "error": {"code": "auth_key_deleted", "detail": "the key was deleted"}}'
    errors = Errors(code=("error.code",), text=("error.detail",))
    outcome = token.read_token(
        reply(body, 422), request=REQUEST, fatal_status=(422,), errors=errors
    )
    assert outcome == token.Refused("id.example: auth_key_deleted (the key was deleted)")
    standard = token.read_token(
        reply('{"error": "invalid_grant"}', 400), request=REQUEST, errors=errors
    )
    assert standard == token.Refused("id.example: invalid_grant")
    hidden = HttpRequest("POST", "https://id.example/token", form={"t": Secret("deleted")})
    outcome = token.read_token(reply(body, 422), request=hidden, fatal_status=(422,), errors=errors)
    assert "deleted" not in outcome.reason.removeprefix("id.example")  # type: ignore[union-attr]  # it is Refused


def test_every_flow_has_one_registration() -> None:
    """What renews, revokes and asks does not look at the flow."""
    device = registration_of(catalogue(acme=DEVICE).get("acme"), "device")
    assert device is not None
    assert (device.client_id, device.scope, device.renews) == ("cli", "read", True)
    assert device.refresh == "https://acme.example/token"
    steps = registration_of(catalogue(acme=STEPS).get("acme"), "browser")
    assert steps is not None
    assert (steps.client_id, steps.token, steps.renews) == ("client", None, True)
    keys = catalogue(acme=LOOPBACK).get("acme")
    assert registration_of(keys, "browser") is None
    assert registration_of(keys, "gone") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3599.6, "1 h"),
        (3600, "1 h"),
        (45, "45 s"),
        (5400, "1 h 30 min"),
        (600, "10 min"),
        (86400, "24 h"),
        (3 * 86400, "3 days"),
        (-1, "0 s"),
    ],
)
def test_a_duration_in_a_sentence(seconds: float, words: str) -> None:
    """Rounded as people say it."""
    assert duration.words(seconds) == words
