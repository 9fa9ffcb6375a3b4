"""Stories with a certified OpenID provider at the far end: node's oidc-provider."""

import json
from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.home import Home
from tests.real.idp import Idp
from tests.real.waiting import until

TOKENS = 20


def definition(idp: Idp, client: str = "") -> str:
    """Return the definition of `idp`: an issuer, and everything else from discovery."""
    return f"""\
schema = 1
name = "idp"
title = "The provider"
facts = "node oidc-provider"
origins = ["{idp.issuer}"]

[[credential]]
id = "session"
source = "session"
headers = {{ Authorization = "Bearer {{access_token}}" }}

[login.browser]
flow = "oauth_code"
credential = "session"
issuer = "{idp.issuer}"
client_id = "{client or idp.client_id}"
scope = "openid offline_access email profile"
parameters = {{ prompt = "consent" }}
loopback = {{ path = "{idp.redirect_path}" }}

[identity.session]
name = "email"
subject = "sub"
text = "{{sub}} is {{email}}"

[identity.session.fields]
sub = "sub"
email = "email"

[env]
IDP_TOKEN = "session"
"""


@pytest.fixture
def agent(home: Home, idp: Idp, canary: Canary, agent_options: AgentOptions) -> Iterator[Agent]:
    """An agent that knows the provider, and somebody at the browser."""
    home.define("idp", definition(idp))
    with running_agent(home, agent_options, canary) as running:
        home.environ["BROWSER"] = idp.person().browser()
        yield running


def test_whole_session(agent: Agent, idp: Idp) -> None:
    """Login, whoami, token, refresh with rotation, and revocation at logout."""
    before = idp.counters()
    said = agent.good("login", "idp")
    assert said == "Logged in to The provider as alice@example.com."
    login = idp.counters() - before
    assert (login.code_exchanges, login.key_requests) == (1, 1)
    assert login.discovery_requests == 1
    assert agent.good("whoami", "idp") == "alice is alice@example.com"
    tokens = {agent.token("idp")}
    for _ in range(3):
        agent.restart()
        tokens.add(agent.token("idp"))
    assert len(tokens) == 4
    assert agent.good("whoami", "idp") == "alice is alice@example.com"
    session = idp.counters() - before
    assert (session.refreshes, session.replays, session.refusals) == (3, 0, 0)
    assert session.accepted_refresh_tokens == 1
    said = agent.good("logout", "idp")
    assert "revoked at the provider: refresh token" in said
    ended = idp.counters() - before
    assert ended.revocations >= 1
    assert ended.accepted_refresh_tokens == 0
    assert agent.run("token", "idp").returncode == 4


def test_es256(agent: Agent, idp: Idp) -> None:
    """An ID token that is signed with ES256 is validated as well."""
    agent.home.define("idp", definition(idp, idp.es256_client_id))
    agent.good("reload")
    assert "as alice@example.com" in agent.good("login", "idp")


def test_crowd(agent: Agent, idp: Idp) -> None:
    """Many processes on an expired token: one refresh, no replay, the family lives."""
    agent.good("login", "idp")
    agent.restart()
    before = idp.counters()
    crowd = [agent.begin("token", "idp") for _ in range(TOKENS)]
    told = [process.communicate() for process in crowd]
    assert {process.returncode for process in crowd} == {0}, told
    assert len({out for out, _ in told}) == 1
    after = idp.counters() - before
    assert (after.token_requests, after.refreshes, after.replays) == (1, 1, 0)


def test_consent_refused(agent: Agent, idp: Idp) -> None:
    """Who breaks the provider's dialog off hears at once: exit 3, nothing exchanged."""
    environ: dict[str, str | None] = {"BROWSER": idp.person(consents=False).browser()}
    refused = agent.run("login", "idp", environ=environ)
    assert refused.returncode == 3, refused
    assert idp.counters().code_exchanges == 0


def test_provider_away(agent: Agent, idp: Idp) -> None:
    """While the provider is away: exit 75, the login is kept, and it goes on by itself."""
    agent.good("login", "idp")
    token = agent.token("idp")
    with idp.unreachable():
        assert agent.token("idp") == token
        failed = agent.run("token", "idp", "--min-ttl", "599s")
        assert failed.returncode in {0, 75}, failed
        agent.restart()
        failed = agent.run("token", "idp")
        assert failed.returncode == 75, failed
        assert json.loads(agent.good("status", "--json"))["accounts"][0]["state"] == "active"
    until(lambda: agent.run("token", "idp").returncode == 0, "the provider is asked again")
    assert agent.token("idp") != token
    assert idp.counters().replays == 0


def test_everything_ended(agent: Agent, idp: Idp) -> None:
    """When the provider has ended the session, one honest login_required with its reason."""
    agent.good("login", "idp")
    agent.restart()
    idp.end_everything()
    refused = agent.run("token", "idp")
    assert refused.returncode == 4, refused
    assert "hint: run 'tool-agent login idp'" in refused.stderr
    requests = idp.counters().token_requests
    assert agent.run("token", "idp").returncode == 4
    assert idp.counters().token_requests == requests
    assert agent.run("status").returncode == 4
    agent.good("login", "idp")
    assert agent.run("status").returncode == 0
