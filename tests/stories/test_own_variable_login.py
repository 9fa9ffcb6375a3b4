"""Stories of a variable that a login takes, and of one that stands in a project's `.env`."""

from collections.abc import Iterator

import pytest

from tests.platforms.far import Far, running
from tests.real.agent import Agent
from tests.real.platforms import Platforms

pytestmark = pytest.mark.fixed_port

KEY = "ENCORE_AUTH_KEY"


@pytest.fixture(scope="module")
def running_platforms() -> Iterator[Far]:
    """Platforms of this module alone: a key that works once is used up by one test."""
    with running() as far:
        yield far


@pytest.fixture
def store() -> str:
    """Return where secrets rest: nothing here asks whether they outlive the agent."""
    return "memory"


@pytest.fixture
def auth(platforms: Platforms) -> dict[str, str | None]:
    """The environment of a client whose person has an auth key."""
    return {KEY: platforms.accounts["encore"]["auth_key"]}


@pytest.mark.parametrize(
    "words",
    [
        ("token", "encore"),
        ("whoami", "encore"),
        ("exec", "encore", "--", "true"),
        ("as", "encore", "auth", "whoami"),
    ],
    ids=lambda words: words[0],
)
def test_a_request_signs_in(
    agent: Agent, auth: dict[str, str | None], words: tuple[str, ...]
) -> None:
    """Without a session each command signs in with the key, asks nothing and opens nothing."""
    assert agent.run("token", "encore").returncode == 4
    said = agent.good(*words, environ=auth)
    assert auth[KEY] not in said.splitlines()
    token = agent.token("encore")
    assert token != auth[KEY]
    assert agent.token("encore") == token, "the session stays, without the variable too"


def test_the_session_comes_first(
    agent: Agent, platforms: Platforms, auth: dict[str, str | None]
) -> None:
    """With a session the key is not used: a wrong one does no harm."""
    token = agent.good("token", "encore", environ=auth)
    before = platforms.counters()["logins"]
    assert agent.good("token", "encore", environ=auth) == token
    assert agent.good("token", "encore", environ={KEY: "ena_wrong"}) == token
    assert platforms.counters()["logins"] == before


def test_a_key_that_the_platform_refuses(agent: Agent) -> None:
    """The reason is the platform's, the value is in no text, and no session is there."""
    for words in (
        ("token", "encore"),
        ("whoami", "encore"),
        ("exec", "encore", "--", "true"),
        ("env", "encore", "-s"),
    ):
        refused = agent.run(*words, environ={KEY: "ena_nobody_has_this"})
        assert refused.returncode not in {0, 4}, refused
        assert refused.stdout == ""
        assert f"{KEY} is set, and the login by auth-key with it failed: " in refused.stderr
        assert "ena_nobody" not in refused.stderr
    assert agent.run("token", "encore").returncode == 4


def test_many_commands_at_once_sign_in_once(agent: Agent, platforms: Platforms) -> None:
    """Even with a key that works once: who comes second waits for the first one's session."""
    environ = {KEY: platforms.accounts["encore"]["one_time_auth_key"]}
    running = [agent.begin("token", "encore", environ=environ) for _ in range(6)]
    outcomes = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 6, outcomes
    assert len({stdout for stdout, _ in outcomes}) == 1


def test_a_person_who_signs_in_is_not_disturbed(agent: Agent, auth: dict[str, str | None]) -> None:
    """A program's key breaks no login off that its person has begun by another way."""
    kind = {"Content-Type": "application/json"}
    body = b'{"method": "browser"}'
    begun = agent.http("POST", "/v1/tools/encore/logins", headers=kind, body=body).json
    refused = agent.run("token", "encore", environ=auth)
    assert refused.returncode == 1, refused
    assert "another login of encore/default is under way" in refused.stderr
    path = f"/v1/logins/{begun['id']}"
    assert agent.http("GET", path).json["state"] in {"starting", "awaiting_browser"}
    assert agent.http("DELETE", path).json["state"] == "cancelled"
    assert agent.good("token", "encore", environ=auth) == agent.token("encore")


def test_login_takes_it(agent: Agent, auth: dict[str, str | None]) -> None:
    """No browser opens, and nothing is asked."""
    done = agent.run("login", "encore", "--no-input", environ=auth)
    assert done.returncode == 0, done
    assert f"{KEY} is set: signing in with it\n" in done.stderr
    assert agent.token("encore") != auth[KEY]


def test_a_key_in_the_project(agent: Agent, platforms: Platforms) -> None:
    """`token` in the project gives its key and sends it nowhere; elsewhere it does not."""
    before = platforms.counters()
    file = agent.home.path / ".env"
    file.write_text("LIBRETTO_API_KEY='lib_in_the_project'\n")
    try:
        assert agent.good("token", "libretto") == "lib_in_the_project"
        header = agent.good("token", "libretto", "--format", "header").splitlines()
        assert "x-api-key: lib_in_the_project" in header
        off = agent.run("token", "libretto", environ={"LIBRETTO_DISABLE_DOTENV": "1"})
        assert off.returncode == 4
        done = agent.run("exec", "libretto", "--", "printenv", "LIBRETTO_API_KEY")
        assert (done.returncode, done.stdout) == (1, ""), "the command reads its own file"
    finally:
        file.unlink()
    assert agent.run("token", "libretto").returncode == 4
    assert platforms.counters() == before


def test_what_a_command_changes_is_changed_once(agent: Agent, platforms: Platforms) -> None:
    """With a session and a variable set, one key is issued, and `exec` writes no file."""
    account = platforms.accounts["libretto"]
    text = f"{account['email']}\n{account['password']}\n"
    agent.good("login", "libretto", "--method", "password", text=text)
    agent.token("libretto")
    issue = ("api-key", "issue", "libretto", "--label", "once", "--quiet")
    own = {"LIBRETTO_API_KEY": agent.good(*issue)}
    there = platforms.living()["libretto"]["api_keys"]
    agent.good(*issue, environ=own)
    assert platforms.living()["libretto"]["api_keys"] == there + 1
    find = ("sh", "-c", 'find "$HOME" -path "*libretto*"')
    assert agent.good("exec", "libretto", "--", *find), "the session has a file"
    assert agent.good("exec", "libretto", "--", *find, environ=own) == ""
