"""Stories of two command-line tools that share one provider's login."""

import base64
import json
from typing import Any

import pytest

from tests.platforms.clients import REPORTS_AUDIENCE, WORKFLOWS_AUDIENCE
from tests.real.agent import Agent
from tests.real.platforms import Platforms

pytestmark = pytest.mark.usefixtures("sharing")


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unverified."""
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def test_one_login_for_two(agent: Agent, platforms: Platforms) -> None:
    """One login serves both, each with its own scope, audience and variable."""
    agent.good("login", "workflows")
    ours, theirs = agent.token("workflows"), agent.token("reports")
    assert claims(ours)["aud"] == WORKFLOWS_AUDIENCE
    assert "workflows:read" in claims(ours)["scope"].split()
    assert "reports:read" not in claims(ours)["scope"].split(), "each gets its own, no more"
    assert claims(theirs)["aud"] == REPORTS_AUDIENCE
    assert claims(theirs)["scope"] == "reports:read"
    exported = agent.good("env", "workflows", "reports", "-s")
    assert f"WORKFLOWS_TOKEN={ours}" in exported.replace("'", "")
    assert f"REPORTS_TOKEN={theirs}" in exported.replace("'", "")
    both = agent.run(
        "exec", "workflows", "reports", "--", "sh", "-c", 'echo "$WORKFLOWS_TOKEN $REPORTS_TOKEN"'
    )
    assert both.stdout == f"{ours} {theirs}\n"
    counters = platforms.counters()
    assert (counters["code_exchanges"], counters["refreshes"], counters["replays"]) == (1, 2, 0)


def test_login_by_the_other(agent: Agent, platforms: Platforms) -> None:
    """A login of either tool is the login of both, and so is a logout."""
    assert "Logged in to Workflows" in agent.good("login", "reports")
    assert claims(agent.token("reports"))["scope"] == "reports:read"
    assert platforms.userinfo(agent.token("workflows")) == 200
    agent.good("logout", "workflows")
    assert agent.run("token", "reports").returncode == 4
    assert agent.run("token", "workflows").returncode == 4


def test_whoami_of_the_other(agent: Agent) -> None:
    """`whoami` of a tool that brings no identity of its own is answered by its provider."""
    agent.good("login", "workflows")
    shown = agent.run("whoami", "reports")
    assert (shown.returncode, shown.stdout) == (0, "Workflows knows you as ada@example.com\n"), (
        shown
    )


def test_both_at_once(agent: Agent, platforms: Platforms) -> None:
    """Refreshes of one grant run one after another: no two post the same refresh token."""
    agent.good("login", "workflows")
    agent.restart()
    platforms.faults(token_delay=0.1)
    crowd = [agent.begin("token", tool) for tool in ("workflows", "reports") * 10]
    told = [process.communicate() for process in crowd]
    assert {process.returncode for process in crowd} == {0}, told
    assert len({out for out, _ in told}) == 2
    counters = platforms.counters()
    assert (counters["refreshes"], counters["replays"]) == (2, 0)
