"""Requests made from the agent's own description, good ones and bad ones, and what they get."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.child import DEADLINE
from tests.real.home import Home, new_home
from tests.real.platforms import Platforms
from tool_agent import wire

SHORT, LONG = 15, 500
"""Examples for each route."""
LEFT_OUT = {"/v1/agent/stop"}
"""Fuzzing ends where it works."""


class _Unix(HTTPConnection):
    """A connection to the agent's socket, whatever the address says."""

    path = ""

    def _new_conn(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(DEADLINE)
        made.connect(self.path)
        return made


class OverUnix(HTTPAdapter):
    """Sends what requests would send over TCP to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = HTTPConnectionPool("tool-agent")
        self._pool.ConnectionCls = type("Bound", (_Unix,), {"path": path})

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001 - the library's signature
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        """Return the one pool."""
        return self._pool

    def close(self) -> None:
        """Close what is kept."""
        self._pool.close()
        super().close()


@pytest.fixture(scope="module")
def fuzzed(running_platforms: object) -> Iterator[Agent]:
    """An agent with one login, which the fuzzing may end."""
    platforms = Platforms(running_platforms)  # type: ignore[arg-type]  # the fixture's own
    with new_home() as home:
        with running_agent(home, AgentOptions(environ=platforms.env)) as agent:
            key = platforms.accounts["nrepo"]["api_key"]
            agent.good("login", "nrepo", "--api-key", text=key + "\n")
            yield agent
        assert quiet(home)


def quiet(home: Home) -> bool:
    """Tell whether the agent stumbled over nothing."""
    return "Traceback" not in home.log.read_text()


@pytest.mark.parametrize("examples", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_the_description_is_kept(examples: int, fuzzed: Agent) -> None:
    """Each answer is of a status, a type and a shape that are described; no error is `internal`."""
    document = fuzzed.http("GET", wire.OPENAPI).json
    schema = schemathesis.openapi.from_dict(document)
    known = {"tool": "nrepo"}
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://tool-agent", OverUnix(str(fuzzed.home.socket)))
        seen = 0
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            if operation.path in LEFT_OUT:
                continue
            seen += 1
            cases = [operation.as_strategy(generation_mode=mode) for mode in _modes(operation)]
            if "{tool}" in operation.path:
                cases += [operation.as_strategy(path_parameters=known)]

            @settings(
                max_examples=examples,
                deadline=None,  # a machine under load
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=st.one_of(cases))
            def fuzz(case: schemathesis.Case[Any]) -> None:
                answer = case.call(base_url="http://tool-agent", session=session)
                case.validate_response(
                    answer,
                    checks=[
                        status_code_conformance,
                        content_type_conformance,
                        response_schema_conformance,
                    ],
                )
                if answer.status_code >= 400:
                    assert answer.json()["code"] in set(wire.ERRORS) - {"internal"}

            fuzz()
    assert seen + len(LEFT_OUT) == sum(map(len, document["paths"].values()))
    assert fuzzed.http("GET", "/v1/agent").status == 200


def _modes(
    operation: schemathesis.APIOperation[Any, Any, Any, Any],
) -> list[schemathesis.GenerationMode]:
    """Return whether bad requests can be made, besides good ones: not where nothing is read."""
    modes = [schemathesis.GenerationMode.POSITIVE]
    if operation.query or operation.body:
        modes.append(schemathesis.GenerationMode.NEGATIVE)
    return modes
