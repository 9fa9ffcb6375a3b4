"""Whatever arrives on the socket: a typed error or a hang-up, and the agent goes on."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.real.agent import Agent
from tool_agent import wire

QUICK = settings(
    max_examples=150,
    deadline=None,  # a machine under load
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WORDS = st.sampled_from(
    [
        *(b"GET", b"POST", b"DELETE", b"HEAD", b"PRI", b" ", b"\r\n", b"\n", b"\r", b"\0", b"\t"),
        *(b"/v1/agent", b"/v1/tools/nrepo/identity", b"/v1/env", b"/v1/logins/x", b"*", b"/", b"?"),
        *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b" HTTP/2\r\n", b"Host: localhost"),
        *(b"Host: tool-agent\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b": "),
        *(b"Expect: 100-continue\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"5\r\n"),
        *(
            b"Content-Encoding: gzip\r\n",
            b"Accept: ",
            wire.REPLY.encode(),
            b"\xff",
            b"\x16\x03\x01",
        ),
    ]
)
BYTES = st.lists(st.one_of(WORDS, st.binary(max_size=40)), max_size=30).map(b"".join)
TOKEN = st.text(st.sampled_from("abcXYZ019-_%.~/?&=+;,: \"'\\{}éß\x7f"), max_size=40)


def typed(said: bytes) -> None:
    """Check that what the agent said, if anything, begins with an HTTP answer of its own."""
    if not said:
        return
    head, _, rest = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    assert first.startswith("HTTP/1."), said
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", "0"))
    if status >= 400 and headers.get("content-type", "").startswith(wire.PROBLEM) and rest:
        problem = json.loads(rest[:length])
        assert problem["code"] in wire.ERRORS
        assert problem["detail"]
        assert "Traceback" not in problem["detail"]
    else:
        assert status in {100, 200, 400} or not rest or headers["content-type"] != "text/html", said


@given(data=BYTES)
@QUICK
def test_any_bytes(serving: Agent, data: bytes) -> None:
    """Any bytes, and then the end of them."""
    with serving.wire() as wire_:
        typed(wire_.send(data).finish().rest())
    assert serving.http("GET", "/v1/agent").status == 200


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "HEAD", "get", "X"]),
    path=st.lists(TOKEN, max_size=6).map("/".join),
    names=st.lists(st.tuples(TOKEN, TOKEN), max_size=4),
)
@QUICK
def test_any_request(serving: Agent, method: str, path: str, names: list[tuple[str, str]]) -> None:
    """Anything in the form of a request is answered, in the form of an answer."""
    lines = [f"{method} /v1/{path} HTTP/1.1", "Host: tool-agent", "Connection: close"]
    lines += [f"X-{name}: {value}" for name, value in names]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    with serving.wire() as wire_:
        said = wire_.send(head).rest()
    assert said, "an answer, whatever it is"
    typed(said)


@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["account", "method", "inputs", "lifetime", "credential", "x"]),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=8,
    )
)
@QUICK
def test_any_login(serving: Agent, value: object) -> None:
    """Any JSON where a login is asked for: a login that can be cancelled, or a typed error."""
    body = json.dumps(value).encode()
    reply = serving.http("POST", "/v1/tools/nrepo/logins", body=body)
    if reply.status in {200, 201}:
        if reply.json["id"]:
            serving.http("DELETE", f"/v1/logins/{reply.json['id']}")
        return
    assert reply.json["code"] in wire.ERRORS
    assert reply.json["code"] != "internal", reply
