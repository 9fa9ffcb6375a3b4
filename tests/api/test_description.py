"""What the agent says of its routes is what they do, and whatever they are sent is answered."""

import json
from typing import Any

import pytest

from tests.real.agent import Agent
from tool_agent import wire

Json = dict[str, Any]

NAMES = {"tool": "nrepo", "account": "x", "id": "x", "action": "x", "command": "x"}

HOSTILE = {
    "1,100 levels": b'{"inputs":' + b"[" * 1_100 + b"]" * 1_100 + b"}",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "NaN": b'{"account":NaN}',
    "Infinity": b'{"lifetime":-Infinity}',
    "1e400": b'{"account":1e400}',
    "a huge integer": b'{"account":' + b"9" * 10_000 + b"}",
    "a lone surrogate": b'{"account":"\\ud800"}',
    "a surrogate in UTF-8": b'{"account":"\xed\xa0\x80"}',
    "invalid UTF-8": b'{"account":"\xff\xfe"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"account":"x"}'.encode("utf-16"),
    "NUL": b'{"account":"\\u0000"}\x00',
    "two values": b"{}{}",
    "an array": b"[]",
    "a key twice": b'{"zz":1,"zz":2}',
}


def operations(agent: Agent) -> list[tuple[str, str, Json]]:
    """Return each route's method, path and description."""
    paths: Json = agent.http("GET", wire.OPENAPI).json["paths"]
    return [
        (method.upper(), path.format(**NAMES), described)
        for path, methods in paths.items()
        for method, described in methods.items()
    ]


def test_every_parameter_is_described(serving: Agent) -> None:
    """Each route names, to one that it does not know, exactly the parameters of its description."""
    for method, path, described in operations(serving):
        told = serving.http(method, f"{path}?no-such-thing=1")
        assert (told.status, told.json["code"]) == (400, "invalid_request"), (method, path)
        known = [one["name"] for one in described.get("parameters", []) if one["in"] == "query"]
        assert told.json["hint"] == f"it may have: {', '.join(known) or 'nothing'}", (method, path)


def test_every_body_is_described(serving: Agent) -> None:
    """Each route reads a body where it has described one, and refuses a field that is not there."""
    document = serving.http("GET", wire.OPENAPI).json
    reads = 0
    for method, path, described in operations(serving):
        if "requestBody" not in described:
            continue
        reads += 1
        told = serving.http(method, path, body=b'{"no-such-thing":1}')
        assert "unknown field" in told.json["detail"], (method, path, told)
        reference = described["requestBody"]["content"][wire.JSON]["schema"]["$ref"]
        shape = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert shape["additionalProperties"] is False
        for name in shape["properties"]:
            told = serving.http(method, path, body=json.dumps({name: [[1]]}).encode())
            assert "unknown field" not in told.json["detail"], (method, path, name)
    assert reads >= 10


def test_a_key_given_twice_is_refused_by_its_name(serving: Agent) -> None:
    """Two readers of one body must not see two different requests in it; within objects too."""
    for body in (b'{"account":"a","account":"b"}', b'{"inputs":{"account":"a","account":"b"}}'):
        told = serving.http("POST", "/v1/tools/nrepo/logins", body=body)
        assert (told.status, told.json["code"]) == (400, "invalid_request")
        assert told.json["detail"] == "the body has 'account' twice"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies(name: str, serving: Agent) -> None:
    """Every route that reads a body says what is wrong with it, and the next request is served."""
    bodies = [one for one in operations(serving) if "requestBody" in one[2]]
    for method, path, _ in [*bodies, ("POST", "/v1/tools/check", {}), ("GET", "/v1/agent", {})]:
        told = serving.http(method, path, body=HOSTILE[name])
        if path == "/v1/agent":
            assert told.status == 200, "it reads none"
            continue
        code = "configuration" if path == "/v1/tools/check" else "invalid_request"
        assert told.json["code"] in {code, "invalid_request"}, (method, path, told)
