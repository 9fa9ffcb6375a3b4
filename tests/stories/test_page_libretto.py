"""What Libretto's page says and its transcript does not show: the prompts, the mails, the no's."""

import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.canary import Canary
from tests.platforms.far import Far, call, running
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.spoken import Spoken
from tests.stories.status import state_of

HOUR = 3600


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


@pytest.fixture(scope="module")
def running_platforms() -> Iterator[Far]:
    """Platforms of this module alone: a password is changed."""
    with running() as far:
        yield far


@pytest.fixture
def libretto(agent: Agent, platforms: Platforms) -> Spoken:
    """The command `libretto`; the person is quicker than the platform, so nobody waits long."""
    platforms.faults(platform="libretto", login_delay_after=0.2, device_delay=0.4)
    return Spoken(agent, "libretto")


class Newcomer:
    """Somebody with a mail box."""

    def __init__(self, platforms: Platforms, canary: Canary) -> None:
        self.mark = secrets.token_hex(4)
        self.email = f"{self.mark}@example.com"
        self.password = canary.make("a password that is chosen")
        self._url = platforms.urls["libretto"]

    def mail(self) -> list[dict[str, Any]]:
        """Return her messages, oldest first."""
        found: list[dict[str, Any]] = call("GET", f"{self._url}/_/mail?to={quote(self.email)}").json
        return found

    def exists(self) -> None:
        """Have an account that belongs to no organization, and was not verified."""
        body = {"name": "Nova", "email": self.email, "password": self.password}
        url = f"{self._url}/api/auth/sign-up/email"
        assert call("POST", url, json_body=body, headers={"Origin": self._url}).status == 200

    def signs_in(self, libretto: Spoken) -> str:
        """Sign in by password; return what is said besides."""
        line = 'libretto cloud auth login --method password <<< "$WHO"$\'\\n\'"$PASSWORD"'
        done = libretto.types(line, {"WHO": self.email, "PASSWORD": self.password})
        assert (done.returncode, done.stdout) == (0, f"Logged in as {self.email}.\n"), done
        return done.stderr


@pytest.fixture
def newcomer(platforms: Platforms, canary: Canary) -> Newcomer:
    """Somebody new for each story."""
    return Newcomer(platforms, canary)


def grace(libretto: Spoken, platforms: Platforms) -> None:
    """Sign in as the owner of an organization."""
    account = platforms.accounts["libretto"]
    line = 'libretto cloud auth login --method password <<< "$WHO"$\'\\n\'"$PASSWORD"'
    own = {"WHO": account["email"], "PASSWORD": account["password"]}
    assert libretto.types(line, own).returncode == 0


def invitation(libretto: Spoken, email: str) -> str:
    """Invite somebody; return the id that is printed, whose slug is that of Grace's."""
    said = libretto.types(f"libretto cloud auth invite {email} --role member")
    found = re.search(
        r"^ +libretto cloud auth accept-invite example-org (\w+)$", said.stdout, re.MULTILINE
    )
    assert found, said
    assert libretto.types("libretto cloud auth logout").stdout == "Logged out.\n"
    return found[1]


def test_signup_at_a_terminal(libretto: Spoken, agent: Agent, newcomer: Newcomer) -> None:
    """Each prompt of the page; a taken slug is asked again, alone; then the mail is awaited."""
    with libretto.at_a_terminal("cloud auth signup") as terminal:
        for prompt, answer in (
            ("Your name: ", "Nova"),
            ("Your email: ", newcomer.email),
            ("Choose a password", newcomer.password),
            ("Organization name: ", f"Org {newcomer.mark}"),
            (rf"Organization slug \[org-{newcomer.mark}\]: ", "example-org"),
            (rf"Alert email \(for hosted workflow failures\): .*{newcomer.email}|Alert email", ""),
        ):
            terminal.expect(prompt)
            terminal.type(answer + "\n")
        terminal.expect('"example-org" is already taken')
        terminal.expect("Organization slug")
        terminal.type("\n")
        terminal.expect("Waiting for the confirmation of .*min left")
        assert state_of(agent, "libretto") == "active", "the session is saved before the wait"
        [message] = newcomer.mail()
        assert message["subject"] == "Verify your email"
        assert call("GET", message["link"]).status == 200
        assert call("GET", message["link"]).status == 400, "the link works once"
        terminal.expect(r"Email verified\. You're logged in\.")
        assert terminal.wait() == 0
        rest = terminal.shown.partition("already taken")[2].partition("Account created")[0]
        assert "Your name" not in rest
        assert "Alert email" not in rest
        assert newcomer.password not in terminal.shown
    assert newcomer.email in libretto.types("libretto cloud auth whoami").stdout


def test_signup_with_an_email_that_exists(libretto: Spoken, platforms: Platforms) -> None:
    """The page's two ways out are told; nothing is stored."""
    own = {"WHO": platforms.accounts["libretto"]["email"], "PASSWORD": secrets.token_hex(16)}
    line = 'printf "%s\\n" Nova "$WHO" "$PASSWORD" "Other Works" "" "" | libretto cloud auth signup'
    done = libretto.types(line, own)
    assert done.returncode == 1, done
    assert "already exists" in done.stderr
    assert "log in to that account" in done.stderr
    assert "delete the existing Libretto Cloud account" in done.stderr
    assert "Not authenticated" in libretto.types("libretto cloud auth whoami").stdout


def test_an_account_that_is_not_verified(
    libretto: Spoken, platforms: Platforms, newcomer: Newcomer
) -> None:
    """By password and by browser alike: the mail is sent again, and the login goes on."""
    newcomer.exists()
    assert len(newcomer.mail()) == 1
    assert "verification email is being sent again" in newcomer.signs_in(libretto)
    assert len(newcomer.mail()) == 2
    browser = platforms.browser(PERSON_EMAIL=newcomer.email, PERSON_PASSWORD=newcomer.password)
    done = libretto.types("libretto cloud auth login", {"BROWSER": browser})
    assert (done.returncode, done.stdout) == (0, f"Logged in as {newcomer.email}.\n"), done
    assert "verification email is being sent again" in done.stderr
    assert len(newcomer.mail()) == 3


def test_a_verification_link_that_has_expired(
    libretto: Spoken, platforms: Platforms, running_platforms: Far, newcomer: Newcomer
) -> None:
    """After its hour the page says so and what to do; `auth login` sends a link that works."""
    newcomer.exists()
    [message] = newcomer.mail()
    running_platforms.advance(HOUR + 1)
    try:
        old = platforms.person(message["link"])
        assert old.returncode == 1
        assert "This link has expired" in old.stdout
        assert "Sign in from the command line" in old.stdout
        browser = platforms.browser(PERSON_EMAIL=newcomer.email, PERSON_PASSWORD=newcomer.password)
        done = libretto.types("libretto cloud auth login", {"BROWSER": browser})
        assert (done.returncode, done.stdout) == (0, f"Logged in as {newcomer.email}.\n"), done
        assert "verification email is being sent again" in done.stderr
        again = newcomer.mail()[-1]
        assert again["link"] != message["link"]
        assert "E-mail address verified" in platforms.person(again["link"]).stdout
        assert "verification email" not in newcomer.signs_in(libretto)
    finally:
        running_platforms.advance(-HOUR - 1)


def test_a_new_password_from_the_link(
    libretto: Spoken, agent: Agent, platforms: Platforms, newcomer: Newcomer, canary: Canary
) -> None:
    """The link of the mail, the new password there, and `auth login` again with it."""
    newcomer.exists()
    newcomer.signs_in(libretto)
    assert libretto.types(f"libretto cloud auth forgot-password --email {newcomer.email}").stdout
    message = newcomer.mail()[-1]
    assert message["subject"] == "Reset your password"
    old, newcomer.password = newcomer.password, canary.make("the new password")
    done = platforms.person(message["link"], PERSON_PASSWORD=newcomer.password)
    assert "Password saved" in done.stdout
    said = libretto.types("libretto cloud auth invite x@example.com")
    assert said.returncode == 1, "the old session is over"
    newcomer.signs_in(libretto)
    line = 'libretto cloud auth login --method password <<< "$WHO"$\'\\n\'"$PASSWORD"'
    done = libretto.types(line, {"WHO": newcomer.email, "PASSWORD": old})
    assert done.returncode == 1
    assert "Invalid email or password" in done.stderr
    assert "forgot-password" in done.stderr
    assert state_of(agent, "libretto") == "active", "what was there stays"


def test_only_managers_invite(libretto: Spoken, newcomer: Newcomer) -> None:
    """Who belongs to no organization is told so; nobody signed in is told to log in."""
    done = libretto.types("libretto cloud auth invite x@example.com --role member")
    assert done.returncode == 1
    assert done.stderr.startswith("Not authenticated.\n")
    newcomer.exists()
    newcomer.signs_in(libretto)
    done = libretto.types("libretto cloud auth invite x@example.com --role member")
    assert done.returncode == 1
    assert "No organization on this account." in done.stderr


def test_an_invitation_at_a_terminal(
    libretto: Spoken, platforms: Platforms, newcomer: Newcomer
) -> None:
    """Nobody is signed in: the account is made, its mail awaited, its session saved."""
    grace(libretto, platforms)
    id_ = invitation(libretto, newcomer.email)
    assert any(id_ in one["text"] and "example-org" in one["text"] for one in newcomer.mail())
    with libretto.at_a_terminal(f"cloud auth accept-invite example-org {id_}") as terminal:
        terminal.expect("Your name: ")
        terminal.type("Nova\n")
        terminal.expect("Choose a password")
        terminal.type(newcomer.password + "\n")
        until(lambda: len(newcomer.mail()) == 2, "the mail is sent")
        assert call("GET", newcomer.mail()[-1]["link"]).status == 200
        terminal.expect("You're logged in and a member of the organization")
        assert terminal.wait() == 0
    assert newcomer.email in libretto.types("libretto cloud auth whoami").stdout
    done = libretto.types(f"libretto cloud auth accept-invite example-org {id_}")
    assert done.returncode == 1
    assert "already a member of an organization (Example Organization)" in done.stderr


def test_an_invitation_for_an_account(
    libretto: Spoken, platforms: Platforms, newcomer: Newcomer, canary: Canary
) -> None:
    """Signed in: with the right slug, for the right person, and once."""
    grace(libretto, platforms)
    id_ = invitation(libretto, newcomer.email)
    accept = "libretto cloud auth accept-invite"
    other = Newcomer(platforms, canary)
    other.exists()
    other.signs_in(libretto)
    done = libretto.types(f"{accept} example-org {id_}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "You are not the recipient of the invitation" in done.stderr
    assert "the invitation is for another email address" in done.stderr
    newcomer.exists()
    newcomer.signs_in(libretto)
    done = libretto.types(f"{accept} other-org {id_}")
    assert done.returncode == 1
    assert "Organization slug doesn't match this invitation." in done.stderr
    done = libretto.types(f"{accept} example-org {id_}")
    assert done.returncode == 0, done
    assert "You're now a member of Example Organization." in done.stdout + done.stderr
    other.signs_in(libretto)
    done = libretto.types(f"{accept} example-org {id_}")
    assert done.returncode == 1
    assert "Invitation not found" in done.stderr
    assert "it was used already, is too old, or is wrong" in done.stderr


def test_a_key_is_preferred_to_the_session(
    libretto: Spoken, agent: Agent, platforms: Platforms, newcomer: Newcomer
) -> None:
    """The session of one account and the key of another: it is the key's that whoami shows."""
    newcomer.exists()
    newcomer.signs_in(libretto)
    own = {"LIBRETTO_API_KEY": platforms.accounts["libretto"]["api_key"]}
    said = libretto.types("libretto cloud auth whoami", own).stdout
    assert "Account email:    grace@example.com" in said
    assert "grace@example.com" in agent.good("whoami", "libretto", environ=own)
    assert newcomer.email in libretto.types("libretto cloud auth whoami").stdout


def test_a_sign_in_that_is_refused(libretto: Spoken, agent: Agent, platforms: Platforms) -> None:
    """No in the browser is the end of the login, and the reason is told."""
    browser = platforms.browser(PERSON_ANSWER="deny")
    done = libretto.types("libretto cloud auth login", {"BROWSER": browser})
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "refused in the browser" in done.stderr
    assert state_of(agent, "libretto") == "none"
