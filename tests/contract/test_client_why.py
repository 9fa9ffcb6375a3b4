"""`tool-agent why`: the client sends names of variables that are set, and never a value."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.fake_agent import http, problem, reply
from tests.contract.typed import Typist, typist
from tool_agent import wire

ENV = (
    "CRE_API_KEY CRE_KEY; before=session; header=Authorization%3A%20Apikey%20%7B%7D,"
    " ACME_ID+ACME_SECRET; after=session"
)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent that knows cre."""
    with typist(tmp_path) as someone:
        described = http(200, b"{}", wire.JSON, (wire.ENV_HEADER, ENV))
        someone.agent.on("GET", "/v1/tools/cre", described)
        yield someone


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, ""),
        ({"CRE_KEY": "s3cret"}, "CRE_KEY"),
        ({"CRE_KEY": "s3cret", "ACME_ID": "s3cret"}, "CRE_KEY"),
        ({"ACME_SECRET": "s3cret", "ACME_ID": "s3cret"}, "ACME_ID,ACME_SECRET"),
    ],
)
def test_names_are_sent_and_no_value(person: Typist, environ: dict[str, str], said: str) -> None:
    """Those that count: a variable without the others it counts with is none."""
    person.agent.on("GET", "/v1/why/cre", reply("because\n"))
    done = person.type("why", "cre", "--account", "work", **environ)
    assert (done.stdout, done.returncode) == ("because\n", 0)
    described, asked = person.agent.requests
    assert asked.query == (("account", "work"), ("set", said))
    assert "s3cret" not in repr([(r.path, r.query, r.headers, r.body) for r in (described, asked)])


def test_json_is_the_agents_own(person: Typist) -> None:
    """The document as it is."""
    person.agent.on("GET", "/v1/why/cre", http(200, b'{"schema": 1}', wire.JSON))
    assert person.type("why", "cre", "--json").stdout == '{"schema": 1}\n'
    assert person.agent.requests[-1].headers["accept"] == wire.JSON


def test_an_unknown_tool_is_said(person: Typist) -> None:
    """The agent's own error, and its exit status."""
    person.agent.on("GET", "/v1/tools/ghost", problem("unknown_tool", "no ghost", "look"))
    done = person.type("why", "ghost")
    assert (done.stdout, done.returncode) == ("", 2)
    assert "no ghost" in done.stderr
