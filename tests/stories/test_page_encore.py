"""What Encore's page says and its transcript does not show: ends by themselves, and cut off."""

from collections.abc import Iterator

import pytest

from tests.platforms.far import Far, call, running
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.spoken import Spoken
from tests.stories.status import state_of, status_of

LOGIN = 'encore auth login --auth-key="$KEY"'
HOUR = 3600


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


@pytest.fixture(scope="module")
def running_platforms() -> Iterator[Far]:
    """Platforms of this module alone: keys are used up and deleted, the clock is moved."""
    with running() as far:
        yield far


@pytest.fixture
def encore(agent: Agent) -> Spoken:
    """The command `encore`."""
    return Spoken(agent, "encore")


@pytest.fixture
def keys(platforms: Platforms) -> dict[str, str]:
    """The auth keys of Ada's app, by kind."""
    return platforms.accounts["encore"]


def test_an_ephemeral_login_ends_by_itself(
    encore: Spoken, agent: Agent, running_platforms: Far, keys: dict[str, str]
) -> None:
    """After its hour it is erased here, with the reason, though nobody asks anything.

    The platform's clock is set back, so that only seconds of the hour are left here.
    """
    running_platforms.advance(2 - HOUR)
    try:
        done = encore.types(LOGIN, {"KEY": keys["ephemeral_auth_key"]})
        assert (done.returncode, done.stdout) == (0, "Successfully logged in!\n"), done
        until(lambda: state_of(agent, "encore") == "expired", "the hour is over")
    finally:
        running_platforms.advance(HOUR - 2)
    [account] = status_of(agent)["accounts"]
    assert account["reason"] == "an ephemeral login: it ended after 2 s"
    told = agent.run("token", "encore")
    assert told.returncode == 4
    assert account["reason"] in told.stderr
    assert encore.types("encore auth whoami").stdout == "not logged in.\n"
    assert encore.types("encore app list").returncode == 1


def test_whose_machine_it_is(encore: Spoken, platforms: Platforms, keys: dict[str, str]) -> None:
    """The machine is the app's for which the key was generated, not a person's."""
    assert encore.types(LOGIN, {"KEY": keys["auth_key"]}).returncode == 0
    assert encore.types("encore auth whoami").stdout == f"logged in as app {keys['app_slug']}\n"
    assert encore.types("encore app list").stdout == f"as {keys['app_slug']}: 1 app\n"
    assert platforms.counters()["sign_ins"] == 0, "no browser was needed"


def test_a_key_that_works_once(encore: Spoken, agent: Agent, keys: dict[str, str]) -> None:
    """A second machine is refused; the first stays signed in, and a wrong key changes nothing."""
    key = {"KEY": keys["one_time_auth_key"]}
    assert encore.types(LOGIN, key).returncode == 0
    done = encore.types(LOGIN, key)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "this auth key works once" in done.stderr
    assert state_of(agent, "encore") == "active"
    wrong = encore.types(LOGIN, {"KEY": "ghp_1234567890"})
    assert wrong.returncode == 2
    assert "ena_" in wrong.stderr
    assert "ghp_1234567890" not in wrong.stderr
    assert encore.types("encore app list").returncode == 0


def test_the_key_is_typed(encore: Spoken, keys: dict[str, str]) -> None:
    """With `-` for the key it is asked for, and does not show."""
    with encore.at_a_terminal("auth login --auth-key=-") as terminal:
        terminal.expect(r"Paste your Encore auth key \(ena_\.\.\.\): ")
        terminal.type(keys["auth_key"] + "\n")
        terminal.expect("Successfully logged in!")
        assert terminal.wait() == 0
        assert keys["auth_key"] not in terminal.shown


@pytest.mark.parametrize("kind", ["auth_key", "ephemeral_auth_key"])
def test_a_deleted_key_cuts_the_machine_off(
    encore: Spoken, agent: Agent, platforms: Platforms, keys: dict[str, str], kind: str
) -> None:
    """Whatever its type: at the next look the platform says no, and that is the reason told."""
    # Nearly over at once, so that the next command of anybody's is the next refresh.
    platforms.faults(platform="encore", access_token_ttl=1)
    assert encore.types(LOGIN, {"KEY": keys[kind]}).returncode == 0
    url = f"{platforms.urls['encore']}/_/keys/revoke"
    assert call("POST", url, json_body={"key": keys[kind]}).status == 200
    done = encore.types("encore auth whoami")
    assert done.stdout == "not logged in.\n"
    told = agent.run("token", "encore")
    assert told.returncode == 4
    assert "the auth key was deleted" in told.stderr
    assert encore.types("encore app list").returncode == 1
    again = encore.types(LOGIN, {"KEY": keys[kind]})
    assert again.returncode == 1
    assert "unknown or deleted auth key" in again.stderr
