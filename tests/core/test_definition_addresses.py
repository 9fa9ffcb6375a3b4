"""Every address of a definition is looked at: where a secret may go, and what an override moves."""

import pytest

from tests.core.beta import BETA
from tool_agentd.definition import address
from tool_agentd.definition.catalogue import SourceText, load
from tool_agentd.definition.decode import decode
from tool_agentd.definition.explain import explain
from tool_agentd.definition.resolve import OverrideError, resolve

ELSEWHERE = "https://elsewhere.example"


def test_every_request_is_found_with_its_key() -> None:
    """Steps, begin and redeem, identities, caches, API keys, actions."""
    keys = [key for key, _ in address.requests(decode(BETA, "beta.toml"))]
    assert keys == [
        "login.browser.begin.request",
        "login.browser.redeem.request",
        "login.exchange.step[0].request",
        "login.password.step[0].request",
        "login.poll.step[0].request",
        "login.poll.step[1].request",
        "action.invite.step[0].request",
        "action.signup.step[0].request",
        "identity.session.request",
        "identity.key.request",
        "cache.tenant.request",
        "api_keys.listing.request",
        "api_keys.issue.request",
        "api_keys.revoke.request",
    ]


def test_addresses_that_a_browser_visits_are_found_too() -> None:
    """`open` may carry a secret; the page where keys are made by hand is only shown."""
    found = dict(address.addresses(decode(BETA, "beta.toml")))
    assert found["login.device.authorization"] == "{idp}/device"
    assert found["login.device.token"] == "{idp}/token"
    assert found["login.site.open"] == "{site}/cli?callback={callback}"
    assert found["login.poll.step[0].open"] == "{site}/signin?id={request}&secret={hidden}"
    assert found["refresh.token"] == "{idp}/token"
    assert not [key for key in found if "create_url" in key]


@pytest.mark.parametrize(
    ("variable", "filled"),
    [
        ("BETA_ID_URL", "login.poll.step[1].request.post"),
        ("BETA_API_URL", "api_keys.revoke.request.delete"),
        ("BETA_SITE_URL", "login.poll.step[0].open"),
    ],
)
def test_an_overridden_address_is_filled_in_and_its_origin_joins(
    variable: str, filled: str
) -> None:
    """Wherever the variable stands; placeholders of values stay as they are."""
    definition = decode(BETA, "beta.toml")
    before = dict(address.addresses(definition))[filled]
    found = resolve(definition, {variable: ELSEWHERE})
    after = dict(address.addresses(found))
    assert found.origins == [*definition.origins, ELSEWHERE]
    assert after[filled] == ELSEWHERE + before[before.index("}") + 1 :]
    everything = " ".join(after.values())
    assert not [name for name in definition.vars if f"{{{name}}}" in everything]
    assert "{request}" in everything


def test_an_override_that_is_no_address_is_refused_for_a_step_too() -> None:
    """The variable is named, and nothing of its value shown."""
    with pytest.raises(OverrideError, match="the variable BETA_SITE_URL holds no https address"):
        resolve(decode(BETA, "beta.toml"), {"BETA_SITE_URL": "ftp://x"})


def test_an_address_of_the_platforms_own_may_be_opened_wherever_it_is() -> None:
    """`open = "{page}"` alone cannot be looked at before it is there; it holds no secret."""
    whole = BETA.replace(
        'open = "{site}/signin?id={request}&secret={hidden}"', 'open = "{request}"'
    )
    assert decode(whole, "beta.toml").login["poll"].timeout == "10m"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("https://a.example/{x}", "https://a.example"),
        ("https://{x}.example/y", "https://{x}.example"),
        ("https://a.example{x}/y", "https://a.example{x}"),
        ("https://a.example?{x}", "https://a.example"),
        ("{x}/y", "{x}/y"),
    ],
)
def test_the_head_of_an_address_is_what_decides_where_it_leads(text: str, head: str) -> None:
    """Scheme, host and port; a placeholder there could lead anywhere."""
    assert address.head(text) == head


SHARER = """
schema = 1
name = "gamma"
title = "Gamma"
provider = "beta"
origins = ["https://api.beta.example"]

[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }

[identity.session]
request = { get = "https://api.beta.example/me" }
fields = { email = { kept = "email" }, sub = "id" }

[output]
by_method = { device = "json" }
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", None),
        (
            "device =",
            "devise =",
            'output.by_method.devise: found "devise"; allowed: a login method',
        ),
        ('kept = "email"', 'kept = "mail"', 'identity.session.fields.email.kept: found "mail"'),
    ],
)
def test_a_tool_that_shares_logins_is_checked_with_those_of_its_provider(
    old: str, new: str, expected: str | None
) -> None:
    """Methods and kept values are the provider's, so they are looked up there."""
    texts = {"beta.toml": BETA, "gamma.toml": SHARER.replace(old, new, 1)}
    sources = {file: SourceText(file, text) for file, text in texts.items()}
    found = load(sources, None, {}, {})
    details = [problem.detail for problem in found.problems]
    if expected is None:
        assert details == []
        assert "gamma" in found.tools
    else:
        assert [detail.startswith(f"gamma.toml: {expected}") for detail in details] == [True]
        assert set(found.tools) == {"beta"}


def test_an_explanation_tells_the_whole_of_a_definition() -> None:
    """Logins step by step, files, caches, actions, API keys, output, the tool's own words."""
    text = explain(resolve(decode(BETA, "beta.toml"), {}))
    for part in (
        "facts: the definition does not say where they come from",
        "  pair: from the variables BETA_ID and BETA_SECRET together",
        "    also from a project's .env, unless BETA_NO_DOTENV is set",
        "    signs in by login --method exchange, where there is no session",
        (
            "login --method device: a code that is entered in a browser on any machine; waits 10m\n"
            "  asks https://id.beta.example/device\n  polls https://id.beta.example/token"
        ),
        '  starts anew after "no organization", at most 2 times',
        "  1. POST https://id.beta.example/begin\n     takes url\n",
        "  opens https://beta.example/cli?callback={callback}",
        (
            '  1. asks "Auth key:" (not shown; or --auth-key)\n'
            "     POST https://id.beta.example/exchange\n"
            "     takes email, token (secret)\n"
            '     on used: says "this key was used already"\n'
            "  brings an access token"
        ),
        "     takes cookie (secret, the cookies)\n  brings a session, stored as it is",
        "     again every 2s until status is approved; 5m, then fails",
        "renewed at https://id.beta.example/token",
        (
            "file ~/.config/beta/auth.json, in JSON\n"
            "  written by exec below a private directory, which XDG_CONFIG_HOME names, "
            "for: session\n"
            "  its token lives for 2m at least\n"
            "  never with a refresh token\n"
            "  import reads its refresh_token"
        ),
        (
            "cache tenant: GET https://api.beta.example/tenant\n"
            "  fetched with session or key, erased with the session\n"
            "  written by exec to ~/.beta/tenant.yaml, in YAML"
        ),
        "action invite: invite somebody\n",
        "     POST https://api.beta.example/invite, signed with key or session",
        "     on HTTP 409: asks again for email alone",
        '  2. if signed_in is true: goes on only if slug is {invitation}, else says "wrong {slug}"',
        "     stores the session already\n  brings a session, as login --method password does",
        "api-key issue: POST https://api.beta.example/keys, signed with session",
        "API keys are made by hand at https://console.beta.example/keys\n  1. open the console",
        "prints json by default\nprints human by default after login --method browser",
        (
            "the tool's own words, for 'tool-agent as' and the shim beta:\n"
            "  beta auth login: signs in (browser, browser with --web)\n"
            "  beta invite: action invite"
        ),
        "  exits with 3 on login_required",
    ):
        assert part in text
