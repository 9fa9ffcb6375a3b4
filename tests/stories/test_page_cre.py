"""What CRE's pages say and no command of theirs shows: the browser's pages, and what goes wrong."""

import sqlite3
from contextlib import closing

import pytest

from tests.canary import Canary
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.spoken import Spoken
from tests.stories.status import state_of

pytestmark = pytest.mark.fixed_port

NOT_SIGNED_IN = (
    "Error: failed to attach credentials: failed to load credentials: you are not logged in,"
    " try running cre login\n"
)
KEY = "CRE_API_KEY"


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


def kept(agent: Agent) -> tuple[int, int]:
    """Return how many logins the store holds, and how many files that belong to one."""
    with closing(sqlite3.connect(f"file:{agent.home.database}?mode=ro", uri=True)) as database:
        [(grants,)] = database.execute("SELECT count(*) FROM grants")
        [(caches,)] = database.execute("SELECT count(*) FROM caches")
    return grants, caches


@pytest.fixture
def cre(agent: Agent) -> Spoken:
    """The command `cre`."""
    return Spoken(agent, "cre")


def test_email_password_and_one_time_password(cre: Spoken, platforms: Platforms) -> None:
    """The browser asks for all three; a wrong one-time password signs nobody in, the next does."""
    account = platforms.accounts["cre"]
    wrong = {"BROWSER": platforms.browser(PERSON_OTP="wrong")}
    guess = "not hers at all"
    with cre.at_a_terminal("login", wrong) as terminal:
        url = terminal.expect(r"http://127\.0\.0\.1:\d+/authorize\?\S+")[0]
        until(lambda: platforms.counters()["wrong_otps"] == 1, "the code is typed")
        seen = platforms.counters()
        assert (seen["sign_ins"], seen["logins"], seen["token_requests"]) == (0, 0, 0)
        assert platforms.person(url, PERSON_PASSWORD=guess).returncode == 1
        assert platforms.counters()["wrong_passwords"] == 1
        assert platforms.person(url).returncode == 0
        terminal.expect("Login completed successfully!")
        assert terminal.wait() == 0
    seen = platforms.counters()
    assert (seen["sign_ins"], seen["logins"], seen["code_exchanges"]) == (1, 1, 1)
    assert f"Email:           {account['email']}\n" in cre.types("cre whoami").stdout


def test_an_organization_that_is_being_set_up(cre: Spoken, platforms: Platforms) -> None:
    """A new account waits for its organization, in the browser, and signs in all the same."""
    platforms.faults(platform="cre", no_organization=1)
    done = cre.types("cre login")
    assert (done.returncode, done.stdout) == (0, "Login completed successfully!\n"), done
    seen = platforms.counters()
    assert (seen["authorize_requests"], seen["logins"]) == (2, 1)


def test_early_access(cre: Spoken, agent: Agent, platforms: Platforms) -> None:
    """A key without the approval is refused, and it is said where to ask for one."""
    own = {KEY: platforms.accounts["cre"]["api_key"]}
    platforms.faults(platform="cre", identity_status=403)
    for line in ("cre whoami", "cre login", "tool-agent as cre whoami"):
        done = cre.types(line, own)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert done.stderr.startswith("Error: ")
        assert "Early Access" in done.stderr
        assert "'cre account access'" in done.stderr
    done = agent.run("whoami", "cre", environ=own)
    assert done.returncode != 0
    assert "Early Access" in done.stderr


def test_a_key_and_no_store(cre: Spoken, agent: Agent, platforms: Platforms) -> None:
    """In a pipeline the key is used by every command; nothing is opened, written or signed in."""
    before = agent.home.database.read_bytes()
    own = {KEY: platforms.accounts["cre"]["api_key"], "BROWSER": "false"}
    for line in ("cre login", "cre whoami", "cre workflow deploy one", "tool-agent token cre"):
        assert cre.types(f"{line} > /dev/null", own).returncode == 0, line
    assert "(Apikey, " in cre.types("cre workflow deploy one", own).stdout
    assert agent.home.database.read_bytes() == before
    seen = platforms.counters()
    assert (seen["authorize_requests"], seen["logins"], seen["token_requests"]) == (0, 0, 0)
    assert state_of(agent, "cre") == "none"


def test_a_wrong_key(cre: Spoken, platforms: Platforms, canary: Canary) -> None:
    """That it is not accepted comes first, Early Access after it; its value is in no text."""
    wrong = canary.make("a key that nobody issued")
    done = cre.types("cre whoami", {KEY: wrong})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Chainlink CRE does not accept this key (HTTP 401")
    assert "check that it is complete and has not been revoked" in done.stderr
    assert "Early Access" in done.stderr
    assert "'cre account access'" in done.stderr
    assert platforms.counters()["refusals"] >= 1


def test_a_session_that_runs_out(cre: Spoken, agent: Agent, platforms: Platforms) -> None:
    """A dead refresh token ends it: the page's error by every command, and nobody asks again."""
    platforms.faults(access_token_ttl=1)
    assert cre.types("cre login").returncode == 0
    platforms.end_sessions()
    done = cre.types("cre whoami")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", NOT_SIGNED_IN)
    asked = platforms.counters()["token_requests"]
    for line in ("cre whoami", "tool-agent as cre whoami", "cre workflow deploy one"):
        done = cre.types(line)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", NOT_SIGNED_IN), line
    assert platforms.counters()["token_requests"] == asked
    assert state_of(agent, "cre") == "expired"
    platforms.reset()
    assert cre.types("cre login").returncode == 0
    assert cre.types("cre workflow deploy one").returncode == 0


def test_logout_takes_everything_away(cre: Spoken, agent: Agent, platforms: Platforms) -> None:
    """Both tokens are revoked; credentials and tenant context are gone, the tool's files too."""
    before = platforms.living()["cre"]["refresh_tokens"]
    assert cre.types("cre login").returncode == 0
    token = agent.token("cre")
    assert (platforms.userinfo(token), kept(agent)) == (200, (1, 1))
    assert "with the tenant context" in cre.types("cre workflow deploy one").stdout
    done = cre.types("cre logout")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Logged out successfully\n", "")
    assert (platforms.userinfo(token), kept(agent)) == (401, (0, 0))
    assert platforms.living()["cre"]["refresh_tokens"] == before
    until(lambda: not (agent.home.path / "home" / ".cre").exists(), "its files are taken away")
    assert cre.types("cre whoami").stderr == NOT_SIGNED_IN


def test_the_network_fails(cre: Spoken, platforms: Platforms) -> None:
    """A network failure is called one, and the login is kept."""
    assert cre.types("cre login").returncode == 0
    platforms.faults(platform="cre", identity_drop="before")
    done = cre.types("cre whoami")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "not logged in" not in done.stderr
    platforms.reset()
    assert cre.types("cre whoami").returncode == 0
