"""A stage for steps: a walk with everything around it, and somebody who types."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.core.fakes import ORIGIN, FakeClock, catalogue
from tests.core.scripted import HEAD, LOGIN, Script, Typist, new_login
from tool_agentd.broker.login import Login
from tool_agentd.broker.procedure import Sign, Walk
from tool_agentd.broker.values import Values
from tool_agentd.definition.steps import Step
from tool_agentd.errors import AgentError, TemporarilyUnavailableError
from tool_agentd.secret import Secret

DOWN = TemporarilyUnavailableError("acme.example does not answer")


class Stage:
    """A walk with everything around it."""

    def __init__(self, **given: str | Secret) -> None:
        """Begin with these values."""
        self.clock = FakeClock()
        self.http = Script(self.clock)
        self.login: Login = new_login()
        self.values = Values(given)
        self.sign: Sign | None = None
        self.preset: dict[str, str] = {}

    async def walk(self, *steps: dict[str, Any]) -> None:
        """Do these steps."""
        tool = catalogue(acme=HEAD + LOGIN).get("acme")
        walk = Walk(
            self.http,
            self.clock,
            tool,
            self.login,
            allowed=tool.origins,
            preset=self.preset,
            sign=self.sign,
        )
        for step in steps:
            await walk.run(msgspec.convert(step, Step), self.values)

    def run(self, *steps: dict[str, Any], answers: tuple[str, ...] = ()) -> Typist:
        """Do these steps while somebody types `answers`."""
        typist = Typist(self.login, *answers)

        async def both() -> None:
            typing = asyncio.ensure_future(typist.run())
            try:
                await asyncio.wait_for(self.walk(*steps), 5)
            finally:
                typing.cancel()

        asyncio.run(both())
        return typist

    def fails(self, *steps: dict[str, Any]) -> AgentError:
        """Do these steps, which end with an error."""
        with pytest.raises(AgentError) as caught:
            self.run(*steps)
        return caught.value


def post(path: str = "/do", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of a request
    """Return a request."""
    return {"post": ORIGIN + path, **more}
