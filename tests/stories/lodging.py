"""Agents that the stories of one module share: a start takes longer than most stories."""

from contextlib import ExitStack

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions
from tests.real.home import Home, new_home

OK = 200


class Lodging:
    """One agent for each kind of store, in a home that is tidied between two stories."""

    def __init__(self) -> None:
        self._homes: dict[str, Home] = {}
        self._agents: dict[str, Agent] = {}
        self._stack = ExitStack()

    def home(self, store: str) -> Home:
        """Return the home of the agent with this store."""
        if store not in self._homes:
            self._homes[store] = self._stack.enter_context(new_home())
        return self._homes[store]

    def agent(self, options: AgentOptions, canary: Canary) -> Agent:
        """Return the agent, running, with the definitions that its home has now."""
        agent = self._agents.get(options.store)
        if agent is None:
            agent = Agent(self.home(options.store), options, canary)
            agent.start()
            self._agents[options.store] = agent
        else:
            agent.canary = canary
            assert agent.http("POST", "/v1/agent/reload", body=b"").status == OK
        return agent

    def tidy(self, store: str) -> None:
        """Take away what a story left; one that cannot be tidied is given up, home and all."""
        agent = self._agents[store]
        if not (agent.usual and self._emptied(agent)):
            agent.kill()
            del self._agents[store]
            del self._homes[store]

    def close(self) -> None:
        """End them all."""
        for agent in self._agents.values():
            agent.kill()
        self._stack.close()

    @staticmethod
    def _emptied(agent: Agent) -> bool:
        for file in (agent.home.config / "tools.d").iterdir():
            file.unlink()
        (agent.home.config / "config.toml").unlink(missing_ok=True)
        return agent.http("DELETE", "/v1/accounts?forget=1").status == OK
