"""One agent for every test of the API: signed in to two tools, its socket spoken to by hand."""

from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.platforms.far import Far
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.home import new_home
from tests.real.platforms import Platforms
from tests.stories import practice


@pytest.fixture(scope="session")
def serving(running_platforms: Far) -> Iterator[Agent]:
    """The agent. No test may stop it, log it out, or leave a login behind.

    At its end nothing of what was sent to it may have made it stumble, or its log tell a secret.
    """
    platforms = Platforms(running_platforms)
    with new_home() as home:
        home.define("workflows", practice.workflows(platforms.urls["cre"]))
        home.define("reports", practice.reports(platforms.urls["cre"]))
        home.environ["BROWSER"] = platforms.browser()
        with running_agent(home, AgentOptions(environ=platforms.env)) as agent:
            key = platforms.accounts["nrepo"]["api_key"]
            agent.good("login", "nrepo", "--api-key", text=key + "\n")
            agent.good("login", "workflows")
            canary = Canary()
            canary.watch(agent.token("workflows"), "a token of workflows")
            yield agent
            platforms.watch(canary)
            canary.assert_clean(home=home.path)
        _, *stumbles = home.log.read_text().partition("Traceback")
        assert not "".join(stumbles), "a traceback in the agent's log"
        assert (home.path / "agent.stderr").read_text() == ""
