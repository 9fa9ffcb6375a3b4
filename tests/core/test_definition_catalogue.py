"""Overrides, and the catalogue: what is in force, what is not, and what the person is told."""

import pytest

from tests.core.acme import ACME
from tool_agentd.adapters.watch import DefinitionFolders
from tool_agentd.definition.catalogue import Catalogue, SourceText, load
from tool_agentd.definition.credentials import (
    PersonVariable,
    person_variables,
    tool_agent_env_header,
)
from tool_agentd.definition.decode import decode
from tool_agentd.definition.explain import explain
from tool_agentd.definition.flows import OAuthCode
from tool_agentd.definition.resolve import OverrideError, resolve
from tool_agentd.definition.vocabulary import ToolDefinition
from tool_agentd.errors import ConfigurationError, UnknownToolError

DEPLOY = """
schema = 1
name = "deploy"
title = "Acme Deploy"
provider = "acme"
origins = ["https://api.acme.example"]

[[credential]]
id = "session"
source = "session"
scope = "deploy"
audience = "https://deploy.acme.example"
headers = { Authorization = "Bearer {access_token}" }

[env]
ACME_DEPLOY_TOKEN = "session"
"""


def sources(*texts: SourceText) -> dict[str, SourceText]:
    """Return texts as the folders give them."""
    return {text.file: text for text in texts}


def both(acme: str = ACME, deploy: str = DEPLOY) -> dict[str, SourceText]:
    """Return the provider's file and the file that shares its logins."""
    return sources(SourceText("d/acme.toml", acme), SourceText("d/deploy.toml", deploy))


def first(found: dict[str, SourceText], previous: Catalogue | None = None) -> Catalogue:
    """Load without any override."""
    return load(found, previous, {}, {})


def acme(environ: dict[str, str], overrides: dict[str, str] | None = None) -> ToolDefinition:
    """Return the example resolved."""
    return resolve(decode(ACME, "acme.toml"), environ, overrides)


# -- overrides -----------------------------------------------------------------------------------


def test_without_an_override_the_defaults_are_filled_in() -> None:
    """After resolving nobody meets a variable any more; secrets' placeholders stay."""
    found = acme({})
    browser = found.login["browser"]
    assert isinstance(browser, OAuthCode)
    assert browser.authorize == "https://id.acme.example/authorize"
    assert found.logout.revoke[0].form == {"token": "{refresh_token}"}
    assert found.origins == ["https://id.acme.example", "https://api.acme.example"]
    assert resolve(found, {}) == found


def test_an_overriding_origin_joins_the_list() -> None:
    """An address from the start environment replaces the default one and may be sent to."""
    found = acme({"ACME_ID_URL": "http://127.0.0.1:8080/"})
    assert found.logout.revoke[0].url == "http://127.0.0.1:8080/revoke"
    assert found.origins[-1] == "http://127.0.0.1:8080"
    assert len(found.origins) == 3


def test_the_environment_wins_over_the_configuration() -> None:
    """config.toml overrides the default, the variable overrides both; an empty one is unset."""
    config = {"id": "https://config.example"}
    assert acme({}, config).logout.revoke[0].url == "https://config.example/revoke"
    assert acme({"ACME_ID_URL": ""}, config).logout.revoke[0].url == "https://config.example/revoke"
    chosen = acme({"ACME_ID_URL": "https://env.example"}, config)
    assert chosen.logout.revoke[0].url == "https://env.example/revoke"
    assert "https://config.example" not in chosen.origins


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("http://id.acme.example", "an http address of another machine"),
        ("ftp://x.example", "no https address"),
        ("just words", "a character that no address has"),
        ("https://person:hunter2@x.example", "an address with a user name in it"),
        ("https://x.example\n", "a text that fits nowhere"),
        ("https://{secret}.example", "a text that fits nowhere"),
        ("https://" + "x" * 3000, "a text that fits nowhere"),
    ],
)
def test_a_bad_override_names_its_variable_and_not_its_value(value: str, found: str) -> None:
    """The error says which variable to correct; its value may be a secret put there wrongly."""
    with pytest.raises(OverrideError) as caught:
        acme({"ACME_ID_URL": value})
    assert caught.value.source == "the variable ACME_ID_URL"
    assert f"the variable ACME_ID_URL holds {found}; allowed:" in caught.value.detail
    assert "hunter2" not in f"{caught.value.detail} {caught.value.hint}"


def test_an_unknown_override_in_the_configuration_suggests_the_nearest() -> None:
    """A key of `[vars.acme]` that the definition does not have is an error."""
    with pytest.raises(OverrideError, match=r"\[vars\.acme\] in config\.toml holds an unknown key"):
        acme({}, {"ids": "https://x.example"})


def test_an_audience_is_no_address() -> None:
    """What is only sent along, not sent to, may be any text and adds no origin."""
    found = load(DefinitionFolders(None).read(), None, {"CRE_CLI_AUDIENCE": "urn:x"}, {})
    cre = found.get("cre")
    assert cre.credential[1].audience == "urn:x"
    assert cre.origins == ["https://login.chain.link", "https://api.cre.chain.link"]


# -- the catalogue -------------------------------------------------------------------------------


def test_the_built_in_definitions_are_whole() -> None:
    """Everything that ships decodes and resolves, and says where its facts come from."""
    found = first(DefinitionFolders(None).read())
    assert found.problems == ()
    assert {"cre", "nrepo"} <= set(found.tools)
    for tool in found.tools.values():
        assert tool.facts.startswith("unofficial; read from the tool's sources at commit")
        assert "not run against the live service" in " ".join(tool.facts.split())


def test_an_unknown_tool_gets_the_nearest_name() -> None:
    """A slip of the finger is answered with the name that was meant."""
    found = first(both())
    with pytest.raises(UnknownToolError) as caught:
        found.get("acne")
    assert caught.value.hint == "did you mean 'acme'?"
    with pytest.raises(UnknownToolError) as caught:
        found.get("zzz")
    assert caught.value.hint == "known tools: acme, deploy"


def test_a_catalogue_cannot_be_changed() -> None:
    """What is in force changes only by a new catalogue."""
    found = first(both())
    with pytest.raises(TypeError):
        found.tools["x"] = found.tools["acme"]  # type: ignore[index]  # the point of the test


def test_a_broken_file_keeps_the_last_good_definition() -> None:
    """What was in force stays, every mistake is listed, and a mended file is taken again."""
    before = first(both())
    broken = ACME.replace("8976", '"x"').replace("[422]", "[true]")
    during = first(both(acme=broken), before)
    assert during.get("acme") == before.get("acme")
    assert [(one.key, one.in_force) for one in during.problems] == [
        ("login.browser.loopback.port", True),
        ("refresh.fatal_status[0]", True),
    ]
    assert during.problems[0].detail.startswith("d/acme.toml: login.browser.loopback.port: found")
    still = first(both(acme=broken), during)
    assert still == during
    after = first(both(acme=ACME.replace("8976", "9000")), still)
    browser = after.get("acme").login["browser"]
    assert isinstance(browser, OAuthCode)
    assert (browser.loopback.port, after.problems) == (9000, ())


def test_a_file_that_was_never_good_says_why_it_is_not_there() -> None:
    """At the first start there is nothing to keep: whoever asks for the tool hears the mistake."""
    found = first(both(acme=ACME, deploy="schema = 3"))
    with pytest.raises(ConfigurationError, match=r"d/deploy\.toml: schema: found 3"):
        found.get("deploy")
    assert found.get("acme").name == "acme"


def test_a_bad_override_keeps_the_last_good_definition() -> None:
    """A reloaded config.toml with a bad address changes nothing but the list of problems."""
    before = first(both())
    after = load(both(), before, {}, {"acme": {"id": "http://far.example"}})
    assert after.get("acme") == before.get("acme")
    assert [(one.tool, one.key, one.in_force) for one in after.problems] == [("acme", "vars", True)]


def test_overrides_for_a_tool_that_does_not_exist_are_a_problem() -> None:
    """A misspelt table in config.toml is not passed over in silence."""
    found = load(both(), None, {}, {"acne": {"id": "https://x.example"}})
    assert [(one.key, one.hint) for one in found.problems] == [
        ("vars.acne", "did you mean 'acme'?")
    ]


def test_a_removed_file_removes_its_tool() -> None:
    """Unlike a broken file, a file that is gone takes its tool along."""
    gone = first(sources(SourceText("d/acme.toml", ACME)), first(both()))
    assert set(gone.tools) == {"acme"}
    assert gone.problems == ()


def test_a_persons_file_overrides_a_built_in_one_and_says_so() -> None:
    """The override is a note; taken away, the built-in definition is back."""
    built = SourceText("b/acme.toml", ACME, builtin=True)
    own = SourceText("d/acme.toml", ACME.replace('"Acme"', '"Mine"'))
    found = first(sources(built, own))
    assert found.get("acme").title == "Mine"
    assert [(one.note, one.detail) for one in found.problems] == [
        (True, "d/acme.toml: overrides the built-in definition of acme")
    ]
    assert first(sources(built), found).get("acme").title == "Acme"


def test_a_broken_override_of_a_built_in_is_not_passed_over() -> None:
    """At the start it makes the tool unavailable; while running, what was in force stays."""
    built = SourceText("b/acme.toml", ACME, builtin=True)
    own = SourceText("d/acme.toml", "broken")
    with pytest.raises(ConfigurationError, match="not TOML"):
        first(sources(built, own)).get("acme")
    assert first(sources(built, own), first(sources(built))).get("acme").title == "Acme"


def test_the_second_file_that_claims_a_name_is_refused() -> None:
    """The first by path counts, whatever the order in which they are read."""
    other = SourceText("e/acme.toml", ACME.replace('"Acme"', '"Second"'))
    found = first(sources(other, SourceText("d/acme.toml", ACME)))
    assert found.get("acme").title == "Acme"
    assert [(one.file, one.key) for one in found.problems] == [("e/acme.toml", "name")]
    assert "refused, because d/acme.toml defines acme already" in found.problems[0].detail


def test_an_unchanged_file_is_not_decoded_again() -> None:
    """A reload costs what has changed."""
    before = first(both())
    after = first(both(deploy=DEPLOY + "\n"), before)
    assert after.decoded["d/acme.toml"] is before.decoded["d/acme.toml"]
    assert after.decoded["d/deploy.toml"] is not before.decoded["d/deploy.toml"]


# -- sharing logins ------------------------------------------------------------------------------


def test_tools_of_one_provider_share_its_logins() -> None:
    """The provider is found from the tool and the tools from the provider."""
    found = first(both())
    assert found.problems == ()
    assert found.provider(found.get("deploy")).name == "acme"
    assert found.provider(found.get("acme")).name == "acme"
    assert [tool.name for tool in found.sharing("acme")] == ["acme", "deploy"]
    spec = found.get("deploy").credential[0]
    assert (spec.scope, spec.audience) == ("deploy", "https://deploy.acme.example")


@pytest.mark.parametrize(
    ("acme", "deploy", "expected"),
    [
        (ACME, DEPLOY.replace('"acme"', '"acne"'), 'found "acne", which is missing or broken'),
        ("broken", DEPLOY, 'found "acme", which is missing or broken'),
        (
            ACME,
            DEPLOY.replace('"session"\nsource', '"sess"\nsource')
            .replace('= "session"\n', '= "sess"\n')
            .replace('source = "sess"', 'source = "session"'),
            "obtains; allowed: an id of the same kind there: session",
        ),
        (
            ACME,
            DEPLOY.replace('source = "session"', 'source = "stored"'),
            'found "session", which no login of acme obtains',
        ),
    ],
)
def test_a_tool_whose_provider_cannot_serve_it_is_a_problem_of_its_own(
    acme: str, deploy: str, expected: str
) -> None:
    """The tool is out and says why; every other goes on."""
    other = SourceText("d/other.toml", ACME.replace('name = "acme"', 'name = "other"'))
    found = first(both(acme, deploy) | sources(other))
    assert "other" in found.tools
    with pytest.raises(ConfigurationError) as caught:
        found.get("deploy")
    assert expected in caught.value.detail


def test_a_provider_has_logins_of_its_own() -> None:
    """Sharing has one level: a chain is refused with the name at its end."""
    third = DEPLOY.replace('"deploy"\ntitle', '"third"\ntitle').replace('"acme"', '"deploy"')
    found = first(both() | sources(SourceText("d/third.toml", third)))
    assert [(one.tool, one.key) for one in found.problems] == [("third", "provider")]
    assert found.problems[0].detail.endswith('allowed: the one with the logins: "acme"')


def test_a_host_that_the_provider_does_not_list_is_noted() -> None:
    """A shared login is never sent to a host that only the sharing tool lists; the note says so."""
    far = DEPLOY.replace('["https://api.acme.example"]', '["https://deploy.acme.example"]')
    found = first(both(deploy=far))
    assert "deploy" in found.tools
    assert [(one.tool, one.key, one.note) for one in found.problems] == [
        ("deploy", "origins", True)
    ]


# -- variables and explanations ------------------------------------------------------------------


def test_the_persons_variables_keep_the_order_of_the_credentials() -> None:
    """A variable before the session wins over it; one after it comes after it."""
    found = acme({})
    assert person_variables(found) == [PersonVariable("ACME_KEY", "key", before_session=True)]
    header = "header=Authorization%3A%20Key%20%7B%7D"
    assert tool_agent_env_header(found) == f"ACME_KEY; before=session; {header}"
    late = ACME.replace('[[credential]]\nid = "key"\nsource = { env = ["ACME_KEY"] }\n', "", 1)
    late = late.replace('headers = { Authorization = "Key {secret}" }\n', "", 1).replace(
        "[login.browser]",
        '[[credential]]\nid = "late"\nsource = { env = ["ACME_A", "ACME_B"] }\n\n[login.browser]',
        1,
    )
    definition = decode(late, "acme.toml")
    assert [one.before_session for one in person_variables(definition)] == [False, False]
    assert tool_agent_env_header(definition) == "ACME_A ACME_B; after=session"
    assert tool_agent_env_header(decode(DEPLOY, "deploy.toml")) == ""


def test_an_explanation_names_hosts_variables_headers_methods_and_facts() -> None:
    """`tool show` says in words what a definition will do."""
    found = first(DefinitionFolders(None).read())
    text = explain(found.get("cre"), [])
    for part in (
        "cre: Chainlink CRE",
        "facts: unofficial; read from the tool's sources at commit 7853c3b",
        "  https://login.chain.link\n",
        "  key: from the person's variable CRE_API_KEY, or the store",
        "    header Authorization: Apikey {secret}",
        "the browser, with an authorization code and PKCE; ",
        "; comes back to localhost, 53682, /callback; waits 500s",
        "a refresh that is answered 401 ends the session",
        "logout: POST https://login.chain.link/oauth/revoke",
        "whoami (session): POST https://api.cre.chain.link/graphql",
        "  redeems the code at https://login.chain.link/oauth/token",
        'starts anew after "user does not belong to any organization", at most 3 times',
        "env sets CRE_API_KEY to: key",
        "CRE_API_KEY, set by the person, wins over what the agent holds",
        "CRE_CLI_AUTH_BASE, set when the agent starts, overrides auth",
    ):
        assert part in text


def test_an_explanation_says_who_shares_logins() -> None:
    """Both sides of a shared login are told of the other."""
    found = first(both())
    names = [tool.name for tool in found.sharing("acme")]
    assert "shares its logins with: deploy" in explain(found.get("acme"), names)
    shared = explain(found.get("deploy"), names)
    assert "logins: shared with acme, whose login it uses" in shared
    assert "shares its logins with" not in shared


def test_an_explanation_of_a_pair_and_of_shared_logins() -> None:
    """Variables that only count together are told together; a sharing tool says whose hosts."""
    text = """
schema = 1
name = "shared"
title = "Shared"
provider = "flows"
[[credential]]
id = "key"
source = { all_of = ["S_ID", "S_KEY"] }
headers = { X-Id = "{S_ID}", X-Key = "{secret}" }
[[credential]]
id = "session"
source = "session"
headers = { Authorization = "Bearer {access_token}" }
"""
    told = explain(decode(text, "shared.toml"))
    assert "secrets go only to:\n  what flows lists\n" in told
    assert "S_ID and S_KEY, set together, win over what the agent holds" in told
    assert "S_KEY, set by the person" not in told
