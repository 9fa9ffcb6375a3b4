"""`as`: the tools' own auth commands through the installed client and a real agent."""

import json
import re

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms

pytestmark = pytest.mark.fixed_port

NOT_SIGNED_IN = (
    "Error: failed to attach credentials: failed to load credentials: you are not logged in,"
    " try running cre login\n"
)


NOBODY_LISTENS = "http://127.0.0.1:1/api/v1"
"""Port 1 is tcpmux, which nothing has served for decades."""


@pytest.fixture
def key(platforms: Platforms) -> str:
    """A key of NeuralRepo's, which nobody has pasted yet."""
    return platforms.accounts["nrepo"]["api_key"]


@pytest.fixture
def signed_in(agent: Agent, key: str) -> Agent:
    """An agent that is signed in to nrepo by key, as the tool itself words it."""
    done = agent.run("as", "nrepo", "login", "--api-key", text=key + "\n")
    assert (done.returncode, done.stderr) == (0, ""), done
    return agent


def test_a_key_is_piped_in_and_answered_in_the_tools_words(
    agent: Agent, platforms: Platforms, key: str
) -> None:
    """`echo "$KEY" | nrepo login --api-key`: the page's text, and nothing else."""
    done = agent.run("as", "nrepo", "login", "--api-key", text=key + "\n")
    email = platforms.accounts["nrepo"]["email"]
    assert (done.stdout, done.stderr, done.returncode) == (f"Logged in as {email}\n", "", 0)


def test_the_form_goes_by_the_login_and_flags_override_it(
    signed_in: Agent, platforms: Platforms
) -> None:
    """Signed in by key, JSON is the default; `--human` and `--json` count on any command."""
    email = platforms.accounts["nrepo"]["email"]
    told = json.loads(signed_in.good("as", "nrepo", "whoami"))
    assert (told["schema"], told["name"], told["fields"]["email"]) == (1, email, email)
    human = signed_in.good("as", "nrepo", "whoami", "--human")
    assert human == signed_in.good("as", "nrepo", "--human", "whoami")
    assert email in human
    assert not human.startswith("{")
    assert json.loads(signed_in.good("whoami", "nrepo"))["name"] == email
    assert signed_in.good("whoami", "nrepo", "--human") == human
    assert json.loads(signed_in.good("as", "nrepo", "logout", "--json"))["erased"] is True


def test_keys_are_issued_listed_and_revoked(signed_in: Agent) -> None:
    """The raw key is shown once; the list has none."""
    issued = json.loads(signed_in.good("as", "nrepo", "key", "create", "laptop"))
    assert issued["label"] == "laptop"
    assert issued["key"].startswith("nrp_")
    assert signed_in.canary is not None
    listed = json.loads(signed_in.good("as", "nrepo", "key", "list"))
    (found,) = [each for each in listed if each["label"] == "laptop"]
    assert "key" not in found
    table = signed_in.good("as", "nrepo", "key", "list", "--human")
    assert "laptop" in table
    gone = signed_in.good("as", "nrepo", "key", "revoke", str(found["id"]), "--human")
    assert str(found["id"]) in gone
    assert "laptop" not in signed_in.good("as", "nrepo", "key", "list", "--human")


def test_errors_are_worded_by_the_tool(agent: Agent) -> None:
    """Its own text on stderr and its own exit status; JSON where the tool has JSON errors."""
    human = agent.run("as", "nrepo", "whoami")
    assert (human.stdout, human.returncode) == ("", 1)
    assert human.stderr == "Not logged in. Run `nrepo login` to authenticate.\n"
    machine = agent.run("as", "nrepo", "whoami", "--json")
    assert (machine.stdout, machine.returncode) == ("", 1)
    assert json.loads(machine.stderr)["code"] == "auth_required"
    cre = agent.run("as", "cre", "whoami")
    assert (cre.stdout, cre.stderr, cre.returncode) == ("", NOT_SIGNED_IN, 1)
    encore = agent.run("as", "encore", "auth", "whoami")
    assert (encore.stdout, encore.stderr, encore.returncode) == ("not logged in.\n", "", 0)


def test_a_login_that_fails_later_is_worded_by_the_tool(agent: Agent) -> None:
    """The client prints what the agent says of the end of a login."""
    wrong = "nrp_" + "0" * 64
    done = agent.run("as", "nrepo", "login", "--api-key", "--json", text=wrong + "\n")
    assert (done.stdout, done.returncode) == ("", 1)
    assert json.loads(done.stderr)["code"] == "http_401"
    misshapen = agent.run("as", "nrepo", "login", "--api-key", text="nrp_short\n")
    assert (misshapen.stdout, misshapen.returncode) == ("", 1)
    assert "nrp_<64-hex-chars>" in misshapen.stderr
    assert "nrp_short" not in misshapen.stderr


def test_a_network_error_is_called_one(agent: Agent, key: str) -> None:
    """What the platform answers with is told from what never reached it."""
    agent.kill()
    agent.start(environ={"NREPO_API_URL": NOBODY_LISTENS})
    done = agent.run("as", "nrepo", "login", "--api-key", "--json", text=key + "\n")
    assert (done.stdout, done.returncode) == ("", 1)
    assert json.loads(done.stderr)["code"] == "network_error"


def test_a_logout_is_one_with_and_without_a_session(signed_in: Agent) -> None:
    """The tool's own words both times, and nothing is left."""
    done = signed_in.run("as", "nrepo", "logout", "--human")
    assert (done.stdout, done.returncode) == ("Logged out.\n", 0)
    assert done.stderr.startswith("Note: the key is yours")
    again = signed_in.run("as", "nrepo", "logout")
    assert (again.stdout, again.stderr, again.returncode) == ("Logged out.\n", "", 0)
    assert signed_in.run("token", "nrepo").returncode == 4


def test_words_of_the_real_tool_are_refused(agent: Agent) -> None:
    """The shim runs the real tool for them; `as` says which words there are."""
    done = agent.run("as", "nrepo", "push", "idea")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "nrepo login, nrepo logout, nrepo whoami" in done.stderr


def test_help_goes_to_the_tool_and_not_to_us(agent: Agent) -> None:
    """Whatever stands behind the tool is the tool's own."""
    assert agent.good("as", "nrepo", "login", "--help").startswith("usage: nrepo login")
    assert agent.good("as", "--help").startswith("Usage: tool-agent as")
    slip = agent.run("as", "nrepo", "login", "--wrong")
    assert slip.returncode == 1
    assert "'nrepo login' has no option --wrong" in slip.stderr


# -- the person's own variable ---------------------------------------------------------------------


def test_a_variable_of_the_persons_is_verified_and_nothing_stored(
    agent: Agent, platforms: Platforms
) -> None:
    """`cre login` with CRE_API_KEY set opens nothing; whoami answers for the key."""
    own = {"CRE_API_KEY": platforms.accounts["cre"]["api_key"]}
    done = agent.run("as", "cre", "login", environ=own)
    assert done.returncode == 0, done
    assert "CRE_API_KEY is set and works" in done.stdout
    assert "nothing was stored" in done.stdout
    who = agent.run("as", "cre", "whoami", environ=own)
    assert (who.returncode, who.stderr) == (0, "")
    assert who.stdout.startswith("Account details retrieved:\n\n")
    assert agent.run("as", "cre", "whoami").returncode == 1
    assert platforms.counters()["logins"] == 0


def test_a_refused_variable_is_said_in_the_tools_words(agent: Agent) -> None:
    """Its name, and never its value."""
    own = {"CRE_API_KEY": "wrong-key-of-the-person"}
    done = agent.run("as", "cre", "whoami", environ=own)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("Error: ")
    assert "wrong-key" not in done.stderr


def test_a_logout_ends_the_stored_session_whatever_is_set(
    agent: Agent, platforms: Platforms
) -> None:
    """The original says "not logged in" and erases nothing: a bug that is not copied."""
    key = platforms.accounts["cre"]["api_key"]
    agent.good("login", "cre", "--api-key", text=key + "\n")
    done = agent.run("as", "cre", "logout", environ={"CRE_API_KEY": key})
    assert (done.stdout, done.returncode) == ("Logged out successfully\n", 0), done
    assert agent.run("token", "cre", environ={"CRE_API_KEY": None}).returncode == 4


# -- logins with options and variables -------------------------------------------------------------


def test_an_option_with_a_value_chooses_the_login_and_answers_it(
    agent: Agent, platforms: Platforms
) -> None:
    """`encore auth login --auth-key=ena_...`, with a warning; `-` reads stdin without one."""
    auth_key = platforms.accounts["encore"]["auth_key"]
    done = agent.run("as", "encore", "auth", "login", f"--auth-key={auth_key}")
    assert (done.stdout, done.returncode) == ("Successfully logged in!\n", 0), done
    assert done.stderr.startswith("warning: a key among the arguments is visible")
    assert agent.good("as", "encore", "auth", "whoami").startswith("logged in as app ")
    assert agent.good("as", "encore", "auth", "logout") == "encore: logged out."
    piped = agent.run("as", "encore", "auth", "login", "--auth-key", "-", text=auth_key + "\n")
    assert (piped.stdout, piped.stderr, piped.returncode) == ("Successfully logged in!\n", "", 0)


def test_a_variable_that_a_login_takes_is_taken(agent: Agent, platforms: Platforms) -> None:
    """ENCORE_AUTH_KEY serves where there is no session, by the login that takes it."""
    own = {"ENCORE_AUTH_KEY": platforms.accounts["encore"]["auth_key"]}
    done = agent.run("as", "encore", "auth", "login", environ=own)
    assert (done.stdout, done.returncode) == ("Successfully logged in!\n", 0), done
    assert "ENCORE_AUTH_KEY is set: signing in with it" in done.stderr
    agent.good("as", "encore", "auth", "logout")
    assert agent.good("as", "encore", "auth", "whoami", environ=own).startswith("logged in as app ")


def test_a_login_by_browser_is_followed_to_its_end(agent: Agent, platforms: Platforms) -> None:
    """The client opens the browser; whoever signed in that way reads text, not JSON."""
    email = platforms.accounts["nrepo"]["email"]
    done = agent.run("as", "nrepo", "login", environ={"BROWSER": platforms.browser()})
    assert (done.stdout, done.returncode) == (f"Logged in as {email}\n", 0), done
    assert not agent.good("as", "nrepo", "whoami").startswith("{")
    assert agent.good("as", "nrepo", "whoami", "--json").startswith("{")


def test_an_account_is_chosen_by_option_or_by_variable(agent: Agent, key: str) -> None:
    """Our own options stand before the tool."""
    words = ("nrepo", "login", "--api-key")
    agent.good("as", "--account", "work", *words, text=key + "\n")
    assert "work" in agent.good("account", "list", "nrepo")
    chosen = {"TOOL_AGENT_ACCOUNT_NREPO": "work"}
    assert agent.good("as", "nrepo", "whoami", environ=chosen)
    assert agent.good("as", "--account", "work", "nrepo", "logout", "--human") == "Logged out."
    assert agent.run("as", "nrepo", "whoami", environ=chosen).returncode == 1


def test_an_action_is_done_in_the_tools_words(agent: Agent, platforms: Platforms) -> None:
    """Its questions are answered by lines of stdin; nobody signed in is said by the tool."""
    done = agent.run("as", "libretto", "cloud", "auth", "invite", "mate@example.com")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("Not authenticated.")
    email = platforms.accounts["libretto"]["email"]
    asked = agent.run("as", "libretto", "cloud", "auth", "forgot-password", text=email + "\n")
    assert asked.returncode == 0, asked
    assert asked.stdout


def test_a_key_is_typed_at_the_tools_own_prompt(agent: Agent, key: str) -> None:
    """The prompt is the page's, and what is typed does not show."""
    with agent.terminal("as", "nrepo", "login", "--api-key") as terminal:
        terminal.expect(re.escape("Paste your API key (nrp_<64-hex-chars>): "))
        terminal.type(key + "\n")
        terminal.expect("Logged in as ")
        assert terminal.wait() == 0
        assert key not in terminal.shown
