"""Each kind of mistake in steps: what is asked, sent, said and waited for."""

import pytest

from tests.core.beta import mistaken

EXCHANGE = 'request = { post = "{idp}/exchange", json = { key = "{auth_key}" } }'

# Each row: what is replaced in BETA, by what, and what the error says.
MISTAKES = [
    # -- steps: asks ------------------------------------------------------------------------------
    (
        '{ name = "auth_key"',
        '{ name = "Auth"',
        'login.exchange.step[0].ask[0].name: found "Auth"; allowed: a lower-case letter, then',
    ),
    (
        'label = "Auth key: "',
        'label = " "',
        'login.exchange.step[0].ask[0].label: found " "; allowed: what the person is asked for',
    ),
    (
        'label = "Password: ", secret = true',
        'label = "Password: ", secret = true, default = "x"',
        "login.password.step[0].ask[1].default: found a default of a secret; allowed: no default",
    ),
    (
        'option = "--auth-key"',
        'option = "auth-key"',
        'login.exchange.step[0].ask[0].option: found "auth-key"; allowed: an option: --name',
    ),
    (
        'option = "--auth-key"',
        'option = "--auth-key", pattern = "(a+)+"',
        "login.exchange.step[0].ask[0].pattern: found a repeat of a group",
    ),
    (
        'default = "member"',
        'default = "membr"',
        'action.invite.step[0].ask[1].default: found "membr"; allowed: one of the choices: member',
    ),
    (
        'label = "Role: "',
        'label = "Role of {invitation}: "',
        "action.invite.step[0].ask[1].label: found the placeholder {invitation}; allowed: {api}",
    ),
    (
        'label = "Password: "',
        'label = "Password of {cookie}: "',
        "login.password.step[0].ask[1].label: found the placeholder {cookie}; allowed: ",
    ),
    # -- steps: requests --------------------------------------------------------------------------
    (
        'key = "{auth_key}"',
        'key = "{auth_kye}"',
        "login.exchange.step[0].request.json.key: found the placeholder {auth_kye}; allowed: ",
    ),
    (
        EXCHANGE,
        'request = { get = "{idp}/exchange/{auth_key}" }',
        "login.exchange.step[0].request.get: found a secret in an address",
    ),
    (
        EXCHANGE,
        EXCHANGE.replace("{idp}", "https://evil.example"),
        'login.exchange.step[0].request.post: found "https://evil.example"; allowed: an origin th',
    ),
    (
        '"{idp}/poll/{request}"',
        '"https://{request}.beta.example/poll"',
        "login.poll.step[1].request.post: found a value in the host's name",
    ),
    (
        '"{idp}/poll/{request}"',
        '"{idp}{request}/poll"',
        "login.poll.step[1].request.post: found a value in the host's name",
    ),
    (
        'take_secret = { token = "token" }',
        'take_secret = { token = "to..ken" }',
        'login.exchange.step[0].take_secret.token: found "to..ken"; allowed: names and list indic',
    ),
    (
        'take = { email = "email" }\ntake_secret = { token = "token" }',
        'take = { access_token = "email" }\ntake_secret = { token = "token" }',
        'login.exchange.step[0].take.access_token: found "access_token"; allowed: another name',
    ),
    (
        'take = { email = "email" }\ntake_secret = { token = "token" }',
        'take = { email = "email", auth_key = "k" }\ntake_secret = { token = "token" }',
        'login.exchange.step[0].take.auth_key: found "auth_key", which is a secret elsewhere',
    ),
    (
        'carries = ["key", "session"]',
        'carries = ["key", "sesion"]',
        'action.invite.step[0].carries[1]: found "sesion"; allowed: the id of a credential: auth',
    ),
    (
        'when = { signed_in = "true" }',
        'when = { signed_in = "true" }\ntake = { x = "y" }',
        "action.invite.step[1].take: found take without a request; allowed: a request beside it",
    ),
    (
        'when = { signed_in = "true" }',
        'when = { signd_in = "true" }',
        'action.invite.step[1].when: found "signd_in"; allowed: a plain value that is there by th',
    ),
    (
        "[[action.signup.step]]",
        "[[action.signup.step]]\n[[action.signup.step]]",
        "action.signup.step[0]: found a step that does nothing; allowed: ask, request, expect, op",
    ),
    (
        'open = "{site}/signin?id={request}&secret={hidden}"',
        'open = "{hidden}"',
        "login.poll.step[0].open: found the secret {hidden} as the whole address; allowed: a plain",
    ),
    # -- steps: what is said ----------------------------------------------------------------------
    (
        'say = "look at {slug}"',
        'say = "look at {slugg}"',
        "action.invite.step[1].say: found the placeholder {slugg}; allowed: {api}, {email}, {idp}",
    ),
    (
        "[login.poll.step.until]",
        'say = "it is {hidden}"\n[login.poll.step.until]',
        "login.poll.step[1].say: found the secret {hidden} in a text that is printed; allowed: ",
    ),
    (
        'awaits = "your sign-in"',
        'awaits = "your {hidden}"',
        "login.poll.step[1].until.awaits: found the secret {hidden} in a text that is printed",
    ),
    (
        '{ expired = "the sign-in has expired" }',
        '{ expired = "{cookie} has expired" }',
        "login.poll.step[1].until.stop.expired: found the secret {cookie} in a text that is print",
    ),
    (
        'hint = "make another one"',
        'hint = "not {auth_key}"',
        "login.exchange.step[0].on_error[1].hint: found the secret {auth_key} in a text that is",
    ),
    (
        'say = "wait for your organization"',
        'say = "wait \\u001b"',
        "login.browser.retry[0].say: found a control character; allowed: printable text",
    ),
    # -- steps: errors and waits ------------------------------------------------------------------
    (
        'ask = ["email"]',
        'ask = ["slug"]',
        'action.invite.step[0].on_error[0].ask[0]: found "slug"; allowed: the name of an ask of t',
    ),
    (
        "status = 409",
        "status = 200",
        "action.invite.step[0].on_error[0].status: found 200; allowed: an HTTP status from 400",
    ),
    (
        "status = 409, ask",
        "status = 409, ignore = true, ask",
        "action.invite.step[0].on_error[0]: found ask and ignore; allowed: one of them",
    ),
    (
        '{ code = "used", say = "this key was used already" }',
        '{ code = "used" }',
        "login.exchange.step[0].on_error[0]: found a row that does nothing; allowed: ask, ignore",
    ),
    (
        '{ code = "used", say = "this key was used already" }',
        '{ say = "this key was used already" }',
        "login.exchange.step[0].on_error[0]: found a row for every error; allowed: status, code",
    ),
    (
        'value = "status"',
        'value = "staus"',
        'login.poll.step[1].until.value: found "staus"; allowed: a value that this step takes: st',
    ),
    (
        'equals = ["approved"]',
        "equals = []",
        "login.poll.step[1].until.equals: found an empty array; allowed: what the value is in the",
    ),
    (
        "stop = { expired",
        "stop = { approved",
        'login.poll.step[1].until.stop.approved: found "approved", which `equals` has too; allowed',
    ),
    (
        'every = "2s"',
        'every = "1ms"',
        'login.poll.step[1].until.every: found "1ms"; allowed: 0.5s to 60s',
    ),
    (
        'timeout = "5m"',
        'timeout = "5"',
        'login.poll.step[1].until.timeout: found "5"; allowed: a number with a unit',
    ),
    (
        'value = "slug", equals',
        'value = "slg", equals',
        'action.invite.step[1].expect[0].value: found "slg"; allowed: a plain value that is there',
    ),
    (
        'equals = "{invitation}"',
        'equals = "{invitation}", empty = true',
        "action.invite.step[1].expect[0]: found equals and empty; allowed: exactly one of equals",
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
