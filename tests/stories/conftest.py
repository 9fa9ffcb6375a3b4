"""What every story has: the practice tools, a browser with somebody at it, secrets under watch."""

from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.home import Home, new_home
from tests.real.platforms import Platforms
from tests.stories import practice
from tests.stories.lodging import Lodging


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """Whether the module's stories share an agent; a module overrides it."""
    return False


@pytest.fixture(scope="module")
def lodging() -> Iterator[Lodging]:
    """The agents that the stories of a module share."""
    made = Lodging()
    yield made
    made.close()


@pytest.fixture
def home(shares_agent: bool, store: str, lodging: Lodging) -> Iterator[Home]:  # noqa: FBT001 - a fixture
    """A home for this story alone, or that of the agent which is shared."""
    if shares_agent:
        yield lodging.home(store)
        return
    with new_home() as made:
        yield made


@pytest.fixture(autouse=True)
def furnished(home: Home, platforms: Platforms) -> None:
    """Put a practice tool into the home, and a person in front of its browser."""
    home.define("workflows", practice.workflows(platforms.urls["cre"]))
    home.environ["BROWSER"] = platforms.browser()
    home.environ.update(platforms.env)


@pytest.fixture
def sharing(home: Home, platforms: Platforms) -> None:
    """A second tool, which shares the logins of the first; named before `agent` in a story."""
    home.define("reports", practice.reports(platforms.urls["cre"]))


@pytest.fixture
def store() -> str:
    """Return where secrets rest; a story overrides it by a parameter of this name."""
    return "vault:credential"


@pytest.fixture
def agent_options(store: str) -> AgentOptions:
    """Return what the story's agent is started with."""
    return AgentOptions(store=store)


@pytest.fixture
def agent(  # noqa: PLR0913 - a fixture names what it stands on
    home: Home,
    agent_options: AgentOptions,
    platforms: Platforms,
    furnished: None,
    canary: Canary,
    shares_agent: bool,  # noqa: FBT001 - a fixture
    lodging: Lodging,
) -> Iterator[Agent]:
    """An agent for this story; at its end the platforms' secrets are searched for everywhere."""
    if shares_agent:
        shared = lodging.agent(agent_options, canary)
        canary.home(home.path)
        try:
            yield shared
            shared.put_back()
            platforms.watch(canary)
            canary.assert_all_clean()
        finally:
            lodging.tidy(agent_options.store)
        return
    with running_agent(home, agent_options, canary) as running:
        yield running
        running.put_back()
        platforms.watch(canary)


@pytest.fixture
def watched(home: Home, platforms: Platforms, furnished: None, canary: Canary) -> Iterator[None]:
    """Search for the platforms' secrets at the end of a story that starts its agent itself."""
    canary.home(home.path)
    yield
    platforms.watch(canary)
    canary.assert_all_clean()
