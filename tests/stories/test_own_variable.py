"""Stories of a variable that the person has set: it wins, and its value goes nowhere."""

import pytest

from tests.canary import Canary
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.stories.status import status_of

pytestmark = pytest.mark.fixed_port

VARIABLE = "CRE_API_KEY"


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


@pytest.fixture
def own(canary: Canary) -> dict[str, str | None]:
    """The environment of a client whose person has a key of their own."""
    return {VARIABLE: canary.make("the person's own key", prefix="cre_")}


def test_token_env_exec(
    agent: Agent, platforms: Platforms, own: dict[str, str | None], canary: Canary
) -> None:
    """`token`, `env` and `exec` use the value and send it nowhere: nobody but the client knows."""
    before = platforms.counters()
    value = own[VARIABLE]
    assert agent.good("token", "cre", environ=own) == value
    header = agent.good("token", "cre", "--format", "header", environ=own)
    assert header == f"Authorization: Apikey {value}"
    assert f"{VARIABLE}=" in agent.good("env", "cre", "-s", environ=own)
    shown = agent.run("exec", "cre", "--", "printenv", VARIABLE, environ=own)
    assert (shown.returncode, shown.stdout) == (0, f"{value}\n")
    assert platforms.counters() == before


def test_wins_over_a_session(
    agent: Agent, platforms: Platforms, own: dict[str, str | None]
) -> None:
    """The variable wins over a session that is signed in, and leaves it as it is."""
    key = platforms.accounts["cre"]["api_key"]
    agent.good("login", "cre", "--api-key", text=key + "\n")
    assert agent.good("token", "cre", environ=own) == own[VARIABLE]
    assert agent.token("cre") == key


def test_whoami_and_login(agent: Agent, platforms: Platforms) -> None:
    """`whoami` and `login` verify that one value with the platform, and store nothing."""
    environ = {VARIABLE: platforms.accounts["cre"]["api_key"]}
    assert "Organization ID" in agent.good("whoami", "cre", environ=environ)
    said = agent.good("login", "cre", environ=environ)
    assert said == (
        f"{VARIABLE} is set and works as Example Organization: no login is needed, and nothing"
        " was stored."
    )
    assert platforms.counters()["identity_requests"] == 2
    assert platforms.counters()["authorize_requests"] == 0, "no browser was opened"
    assert agent.run("token", "cre").returncode == 4
    assert not agent.home.database.exists() or platforms.living()["cre"]["api_keys"] == 1


def test_refused_value(agent: Agent, own: dict[str, str | None]) -> None:
    """A value that the platform refuses is said to be refused, without being shown."""
    for words in (("whoami", "cre"), ("login", "cre")):
        refused = agent.run(*words, environ=own)
        assert refused.returncode == 1, refused
        assert "does not accept this key" in refused.stderr


@pytest.mark.parametrize("store", ["keychain"])
def test_no_store_is_touched(
    agent: Agent, platforms: Platforms, own: dict[str, str | None]
) -> None:
    """With the variable set it all works where no keychain answers, and no file is made."""
    assert status_of(agent)["state"] == "degraded", "there is no keychain here"
    assert agent.good("token", "cre", environ=own) == own[VARIABLE]
    assert agent.run("env", "cre", "-s", environ=own).returncode == 0
    assert agent.run("exec", "cre", "--", "true", environ=own).returncode == 0
    good = {VARIABLE: platforms.accounts["cre"]["api_key"]}
    assert "Organization ID" in agent.good("whoami", "cre", environ=good)
    assert "nothing was stored" in agent.good("login", "cre", environ=good)


def test_damaged_store_is_not_touched(agent: Agent, own: dict[str, str | None]) -> None:
    """With the variable set it all works over a damaged grants.db, which stays as it is."""
    agent.kill()
    agent.home.database.write_bytes(b"not a database" * 100)
    before = agent.home.database.read_bytes()
    agent.start()
    assert agent.good("token", "cre", environ=own) == own[VARIABLE]
    assert agent.home.database.read_bytes() == before


def test_exported_value_is_not_the_person_s(agent: Agent, platforms: Platforms) -> None:
    """What `env` exported does not count as the person's own, and a change of account shows."""
    key = platforms.accounts["cre"]["api_key"]
    agent.good("login", "cre", "--api-key", text=key + "\n")
    script = (
        'eval "$(tool-agent env cre -s)"; test "$CRE_API_KEY" || exit 9; tool-agent logout cre >&2;'
        " tool-agent token cre"
    )
    done = agent.shell(script)
    assert done.returncode == 4, done
    assert done.stdout == ""


def test_changed_value_is_the_person_s(
    agent: Agent, platforms: Platforms, own: dict[str, str | None]
) -> None:
    """A value that the person puts in the place of an exported one counts as theirs again."""
    key = platforms.accounts["cre"]["api_key"]
    agent.good("login", "cre", "--api-key", text=key + "\n")
    script = 'eval "$(tool-agent env cre -s)"; export CRE_API_KEY="$OTHER"; tool-agent token cre'
    done = agent.shell(script, environ={"OTHER": own[VARIABLE]})
    assert (done.returncode, done.stdout) == (0, f"{own[VARIABLE]}\n")


def test_wins_with_no_agent_to_start(agent: Agent, own: dict[str, str | None]) -> None:
    """Where no agent runs and none may be started, the variable alone does not help: exit 69."""
    agent.stop()
    refused = agent.run("token", "cre", "--no-start", environ=own)
    assert refused.returncode == 69
    assert refused.stdout == ""
