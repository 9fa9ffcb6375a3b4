"""What Encore's page says and its transcript does not show: ends by themselves, and cut off."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

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
    for words in (("account", "list", "encore"), ("status",)):
        assert account["reason"] in agent.run(*words).stdout, words
    [listed] = json.loads(agent.good("account", "list", "encore", "--json"))["accounts"]
    assert (listed["reason"], listed["state"]) == (account["reason"], "expired")
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
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.count("nothing was sent") == 1
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


def test_a_deleted_key_says_how_long_the_last_token_works(
    encore: Spoken, agent: Agent, platforms: Platforms, keys: dict[str, str]
) -> None:
    """A refresh is refused while the token is good: the reason says until when that lives on."""
    platforms.faults(platform="encore", access_token_ttl=600)
    [slug, key] = [keys["app_slug"], keys["spare_auth_key"]]
    assert encore.types(LOGIN, {"KEY": key}).returncode == 0
    assert encore.types("encore app list").stdout == f"as {slug}: 1 app\n"
    [account] = json.loads(agent.good("account", "list", "encore", "--json"))["accounts"]
    url = f"{platforms.urls['encore']}/_/keys/revoke"
    assert call("POST", url, json_body={"key": key}).status == 200
    told = agent.run("token", "encore", "--min-ttl", "700")
    assert told.returncode == 4
    said = re.search(
        r"the auth key was deleted\); (a token that was handed out works until "
        r"(?:\S+ )?\d\d:\d\d:\d\d UTC at the latest)",
        told.stderr,
    )
    assert said, told
    until_ = datetime.fromtimestamp(account["expires_at"], UTC).strftime("%H:%M:%S")
    assert until_ in said[1]
    for words in (("account", "list", "encore"), ("status",), ("token", "encore")):
        done = agent.run(*words)
        assert said[1] in done.stdout + done.stderr, words
