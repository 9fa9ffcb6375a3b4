"""Stories of what a tool offers besides: signing up, inviting, passwords forgotten, API keys."""

import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.canary import Canary
from tests.platforms.far import call
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.terminal import CTRL_C
from tests.stories.status import state_of


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


class Newcomer:
    """Somebody whom Libretto does not know yet."""

    def __init__(self, platforms: Platforms, canary: Canary) -> None:
        self.mark = secrets.token_hex(4)
        self.email = f"{self.mark}@example.com"
        self.password = canary.make("a password that is chosen")
        self.organization = f"Org {self.mark}"
        self._url = platforms.urls["libretto"]

    def mail(self) -> list[dict[str, Any]]:
        """Return her messages, oldest first."""
        found: list[dict[str, Any]] = call("GET", f"{self._url}/_/mail?to={quote(self.email)}").json
        return found

    def confirm(self) -> None:
        """Follow the link of the last message."""
        assert call("GET", self.mail()[-1]["link"]).status in {200, 302}

    def answers(self, slug: str = "") -> str:
        """Return the lines that answer a signup."""
        return f"Nova\n{self.email}\n{self.password}\n{self.organization}\n{slug}\n\n"


@pytest.fixture
def newcomer(platforms: Platforms, canary: Canary) -> Newcomer:
    """Somebody new for each story."""
    return Newcomer(platforms, canary)


def grace(agent: Agent, platforms: Platforms) -> dict[str, str]:
    """Sign in as the owner of an organization, by password."""
    account = platforms.accounts["libretto"]
    text = f"{account['email']}\n{account['password']}\n"
    said = agent.good("login", "libretto", "--method", "password", text=text)
    assert said == "Logged in to Libretto Cloud as grace@example.com."
    return account


def test_signup_at_a_terminal(agent: Agent, newcomer: Newcomer) -> None:
    """A taken slug is asked again, alone; the session is there while the mail is awaited."""
    with agent.terminal("action", "libretto", "signup") as terminal:
        terminal.expect("one organization at a time")
        terminal.expect("Your name: ")
        terminal.type("Nova\n")
        terminal.expect("Your email: ")
        terminal.type(newcomer.email + "\n")
        terminal.expect("Choose a password")
        terminal.type(newcomer.password + "\n")
        terminal.expect("Organization name: ")
        terminal.type(newcomer.organization + "\n")
        terminal.expect(rf"Organization slug \[org-{newcomer.mark}\]: ")
        terminal.type("example-org\n")
        terminal.expect(r"Alert email .*\[" + newcomer.email)
        terminal.type("\n")
        terminal.expect("taken")
        terminal.expect("Organization slug")
        terminal.type("\n")
        terminal.expect("Account created. Verification email sent to")
        terminal.expect(r"Waiting for the confirmation of .*, 9:\d\d min left")
        assert state_of(agent, "libretto") == "active"
        newcomer.confirm()
        terminal.expect("Email verified")
        assert terminal.wait() == 0
    who = json.loads(agent.good("whoami", "libretto", "--json"))
    assert who["name"] == newcomer.email
    assert agent.run("logout", "libretto").returncode == 0


def test_a_wait_that_is_left(agent: Agent, newcomer: Newcomer) -> None:
    """Ctrl-C while the confirmation is awaited ends the action and keeps the session."""
    with agent.terminal("action", "libretto", "signup") as terminal:
        for answer in newcomer.answers().split("\n")[:6]:
            terminal.expect(r": $|\]: $")
            terminal.type(answer + "\n")
        terminal.expect("Waiting for the confirmation")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
    assert state_of(agent, "libretto") == "active"
    assert agent.run("logout", "libretto").returncode == 0


def test_signup_with_a_known_email(agent: Agent, platforms: Platforms, newcomer: Newcomer) -> None:
    """An email that has an account already is said, with what to do instead."""
    newcomer.email = platforms.accounts["libretto"]["email"]
    done = agent.run("action", "libretto", "signup", text=newcomer.answers())
    assert done.returncode == 1, done
    assert "log in to that account" in done.stderr
    assert state_of(agent, "libretto") == "none"


def test_answers_that_end(agent: Agent) -> None:
    """Where stdin has no further line the question is named, and the option that answers it."""
    done = agent.run("action", "libretto", "forgot-password", text="")
    assert done.returncode == 2
    assert "'Email'" in done.stderr
    assert "--email" in done.stderr
    asked = agent.run("action", "libretto", "forgot-password", "--no-input", text="a@b\n")
    assert asked.returncode == 2
    assert "--email" in asked.stderr


def test_forgot_password(agent: Agent, platforms: Platforms) -> None:
    """The mail is sent; an address without an account is said."""
    email = platforms.accounts["libretto"]["email"]
    said = agent.good("action", "libretto", "forgot-password", "--email", email)
    assert f"Password reset email sent to {email}" in said
    done = agent.run("action", "libretto", "forgot-password", "--email=nobody@example.com")
    assert done.returncode == 1
    assert "There is no Libretto Cloud account" in done.stderr


def test_actions_are_listed(agent: Agent) -> None:
    """Without a name there is a list of what the tool offers and what each takes."""
    said = agent.good("action", "libretto")
    assert "accept-invite" in said
    assert "TENANT-SLUG INVITATION-ID" in said
    actions = json.loads(agent.good("action", "libretto", "--json"))["actions"]
    assert [one["name"] for one in actions][:2] == ["signup", "forgot-password"]
    done = agent.run("action", "libretto", "dance")
    assert done.returncode == 2
    assert "signup" in done.stderr


def test_invite_and_accept(agent: Agent, platforms: Platforms, newcomer: Newcomer) -> None:
    """An invitation names what accepting needs; the account is made and signed in."""
    assert agent.run("action", "libretto", "invite", newcomer.email).returncode == 4
    grace(agent, platforms)
    wrong = agent.run("action", "libretto", "invite", newcomer.email, "--role", "boss", text="")
    assert wrong.returncode == 2
    assert "member, admin, owner" in wrong.stderr
    asked = ["action", "libretto", "invite", newcomer.email, "--role", "member"]
    done = agent.good(*asked, "--json")
    values = json.loads(done)["values"]
    assert values["slug"] == "example-org"
    own = ["action", "libretto", "accept-invite", values["slug"], values["invitation_id"]]
    member = agent.run(*own)
    assert member.returncode == 1
    assert "already a member" in member.stderr
    assert agent.run("logout", "libretto").returncode == 0
    other = agent.run(
        "action", "libretto", "accept-invite", "other-org", values["invitation_id"],
        text=f"Nova\n{newcomer.password}\n",
    )  # fmt: skip
    assert other.returncode == 1
    assert "doesn't match" in other.stderr
    with agent.terminal(*own) as terminal:
        terminal.expect("Your name: ")
        terminal.type("Nova\n")
        terminal.expect("Choose a password")
        terminal.type(newcomer.password + "\n")
        terminal.expect("Waiting for the confirmation")
        newcomer.confirm()
        terminal.expect("a member of the organization")
        assert terminal.wait() == 0
    assert json.loads(agent.good("whoami", "libretto", "--json"))["name"] == newcomer.email
    refused = agent.run("action", "libretto", "invite", "x@example.com")
    assert refused.returncode == 1
    assert "account that can manage members" in refused.stderr
    assert agent.run("logout", "libretto").returncode == 0


def test_an_unverified_account_signs_in(
    agent: Agent, platforms: Platforms, newcomer: Newcomer
) -> None:
    """The verification mail is sent again, and the login succeeds."""
    body = {
        "name": "Nova",
        "email": newcomer.email,
        "password": newcomer.password,
        "organizationName": newcomer.organization,
        "organizationSlug": f"org-{newcomer.mark}",
        "debugNotificationEmail": newcomer.email,
    }
    url = platforms.urls["libretto"]
    made = call(
        "POST",
        f"{url}/v1/auth/signupAndCreateOrg",
        json_body={"json": body},
        headers={"Origin": url},
    )
    assert made.status == 200, made.body
    before = len(newcomer.mail())
    text = f"{newcomer.email}\n{newcomer.password}\n"
    done = agent.run("login", "libretto", "--method", "password", text=text)
    assert done.returncode == 0, done
    assert "verification email is being sent again" in done.stderr
    assert len(newcomer.mail()) == before + 1
    assert agent.run("logout", "libretto").returncode == 0


def test_a_wrong_password(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """The platform's refusal is told; nothing is stored and nothing is sent elsewhere."""
    wrong = canary.make("a wrong password")
    email = platforms.accounts["libretto"]["email"]
    done = agent.run("login", "libretto", "--method", "password", text=f"{email}\n{wrong}\n")
    assert done.returncode == 1, done
    assert "Invalid email or password" in done.stderr
    assert state_of(agent, "libretto") == "none"


def test_login_by_browser(agent: Agent, platforms: Platforms) -> None:
    """A page is opened and asked about until its person has answered there."""
    said = agent.good("login", "libretto")
    assert said == "Logged in to Libretto Cloud as grace@example.com."
    cookie = agent.token("libretto")
    assert "better-auth.session_token=" in cookie
    assert agent.run("logout", "libretto").returncode == 0
    assert platforms.counters()["revocations"] == 1


def test_api_keys(agent: Agent, platforms: Platforms, tmp_path: Path) -> None:
    """A key is printed once and written where it is asked for; it serves, and is revoked."""
    grace(agent, platforms)
    env = tmp_path / ".env"
    env.write_text("OTHER=1\n")
    done = agent.run("api-key", "issue", "libretto", "--label", "laptop", "--write-env", str(env))
    assert done.returncode == 0, done
    key = done.stdout.strip()
    assert env.read_text() == f"OTHER=1\nLIBRETTO_API_KEY={key}\n"
    assert key not in done.stderr
    listed = json.loads(agent.good("api-key", "list", "libretto", "--json"))["api_keys"]
    mine = next(one for one in listed if one["label"] == "laptop")
    assert "key" not in mine
    assert mine["id"] in agent.good("api-key", "list", "libretto")
    assert agent.run("logout", "libretto").returncode == 0
    assert agent.run("api-key", "list", "libretto").returncode == 4
    with_key = {"LIBRETTO_API_KEY": key}
    assert "laptop" in agent.good("api-key", "list", "libretto", environ=with_key)
    said = agent.good("api-key", "revoke", "libretto", mine["id"], environ=with_key)
    assert mine["id"] in said
    again = agent.run("api-key", "list", "libretto", environ=with_key)
    assert again.returncode == 4, again


def test_keys_of_a_site_only(agent: Agent) -> None:
    """Where keys are made by hand the page's steps are told, and nothing goes to stdout."""
    done = agent.run("api-key", "issue", "cre", "--label", "x")
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "1. " in done.stderr


def test_an_auth_key(agent: Agent, platforms: Platforms) -> None:
    """A key is exchanged for a session; used up, unknown or misshapen it is refused."""
    account = platforms.accounts["encore"]
    once = account["one_time_auth_key"]
    agent.good("login", "encore", "--auth-key", "-", text=once + "\n")
    assert state_of(agent, "encore") == "active"
    assert agent.run("logout", "encore").returncode == 0
    again = agent.run("login", "encore", "--auth-key", "-", text=once + "\n")
    assert again.returncode == 1
    assert "works once" in again.stderr
    counted = platforms.counters()
    wrong = agent.run("login", "encore", "--auth-key", "-", text="ghp_1\n")
    assert wrong.returncode == 2
    assert platforms.counters() == counted


def test_the_network_fails(agent: Agent, platforms: Platforms) -> None:
    """A network failure is called one, and asks to try again."""
    platforms.faults(platform="libretto", login_drop="before")
    done = agent.run("action", "libretto", "forgot-password", "--email", "a@example.com")
    assert done.returncode == 75, done
