"""What the agent refuses before it looks any further: pages, floods, and requests that are odd."""

import json
from urllib.parse import quote

import pytest

from tests.real.agent import Agent
from tests.real.unix_http import Reply
from tool_agent import wire

LIMIT = 256 * 1024


def refused(reply: Reply, code: str) -> None:
    """Check that this is a typed refusal."""
    assert reply.status == wire.ERRORS[code][0], reply
    assert reply.headers["content-type"] == wire.PROBLEM
    assert (reply.json["code"], reply.json["exit"]) == (code, wire.ERRORS[code][1])
    assert reply.json["detail"]


@pytest.mark.parametrize(
    "host",
    ["example.com", "tool-agent.example.com", "127.0.0.1", "", "tool-agent@evil", "TOOL-AGENT."],
)
def test_foreign_host(serving: Agent, host: str) -> None:
    """A Host that is not the agent's is a page that was rebound to the socket."""
    refused(serving.http("GET", "/v1/agent", headers={"Host": host}), "denied")


@pytest.mark.parametrize("host", ["tool-agent", "localhost", "localhost:80", "tool-agent:1"])
def test_own_host(serving: Agent, host: str) -> None:
    """Its own names are let through, with a port or without."""
    assert serving.http("GET", "/v1/agent", headers={"Host": host}).status == 200


@pytest.mark.parametrize("name", ["Origin", "Referer", "origin", "REFERER"])
@pytest.mark.parametrize("value", ["http://tool-agent", "null", ""])
def test_from_a_page(serving: Agent, name: str, value: str) -> None:
    """A request with Origin or Referer comes from a web page, whatever its value."""
    reply = serving.http("GET", "/v1/tools/nrepo/token", headers={name: value})
    refused(reply, "denied")


def test_no_host(serving: Agent) -> None:
    """A request without a Host is refused too."""
    with serving.wire() as wire_:
        reply = wire_.send(b"GET /v1/agent HTTP/1.1\r\n\r\n").reply()
    assert reply.status in {400, 403}
    assert reply.json["code"] in {"denied", "invalid_request"}


def test_absolute_target(serving: Agent) -> None:
    """A target that names another host is no way around the check."""
    with serving.wire() as wire_:
        head = b"GET http://evil.example/v1/tools/nrepo/token HTTP/1.1\r\nHost: tool-agent\r\n\r\n"
        try:
            reply = wire_.send(head).reply()
        except EOFError:
            return
    assert reply.status >= 400
    assert b"nrp_" not in reply.body


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "BREW"])
def test_other_methods(serving: Agent, method: str) -> None:
    """Methods that no route has are refused, and never answered with a secret."""
    with serving.wire() as wire_:
        reply = wire_.request(method, "/v1/tools/nrepo/token").reply(bodyless=method == "HEAD")
    assert reply.status == 400
    assert "access-control-allow-origin" not in reply.headers
    assert b"nrp_" not in reply.body


@pytest.mark.parametrize(
    "target",
    [
        "/v1/tools/nrepo/token?acount=default",
        "/v1/tools/nrepo/token?min_ttl=1&min_ttl=2",
        "/v1/tools/nrepo/token?account=default&account=work",
        "/v1/agent?verbose=1",
        "/v1/tools?x",
        "/v1/accounts?tool=cre&tool=nrepo",
        "/v1/env?shel=sh",
        "/v1/env?shell=sh&shell=fish",
        "/v1/tools/nrepo/token?format=raw&format=json",
    ],
)
def test_unknown_and_repeated_queries(serving: Agent, target: str) -> None:
    """A name that is misspelt or given twice is an error, never half an answer."""
    refused(serving.http("GET", target), "invalid_request")


@pytest.mark.parametrize(
    "target",
    ["/v1/tools/%6e%72epo/token", "/v1/tools/nrepo/token?account=%64efault"],
)
def test_percent_encoding(serving: Agent, target: str) -> None:
    """A part of a path or query may be percent-encoded."""
    assert serving.http("GET", target).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/v1/tools/..%2f..%2fnrepo/token",
        "/v1/tools/%00/token",
        "/v1/tools/nrepo%2ftoken",
        "/v1/tools/%ff%fe/token",
        "/v1/tools/nrepo%0d%0aX-Injected:%201/token",
        "/v1/tools/../tools/nrepo/token",
        "/v1//tools/nrepo/token",
        "/v1/tools/nrepo/token%3Fformat=raw",
        "/v1/tools/" + "x" * 4000 + "/token",
    ],
)
def test_odd_paths(serving: Agent, target: str) -> None:
    """No other spelling of a path leads to a route, and no value gets into a header."""
    reply = serving.http("GET", target)
    assert reply.status == 404, reply
    assert reply.json["code"] in {"unknown_tool", "not_found"}
    assert "x-injected" not in reply.headers


def test_long_header(serving: Agent) -> None:
    """A header or target that is longer than any honest one is refused, not waited for."""
    for head in (
        b"GET /v1/agent HTTP/1.1\r\nHost: tool-agent\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/agent?" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: tool-agent\r\n\r\n",
    ):
        with serving.wire() as wire_:
            reply = wire_.send(head).reply()
            assert 400 <= reply.status < 500
            assert reply.json["code"] == "invalid_request"


def test_many_headers(serving: Agent) -> None:
    """A head without end is cut off: typed, or hung up."""
    with serving.wire() as wire_:
        wire_.send(b"GET /v1/agent HTTP/1.1\r\nHost: tool-agent\r\n")
        for number in range(2000):
            wire_.send(b"X-%d: %s\r\n" % (number, b"y" * 1000))
        said = wire_.finish().rest()
    assert said == b"" or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))


def test_large_body(serving: Agent) -> None:
    """256 KiB and no more, by what the head says."""
    good = b'{"account": "' + b"x" * 1000 + b'"}'
    reply = serving.http("POST", "/v1/tools/nrepo/logins", body=good)
    assert reply.json["code"] == "invalid_request", "read, and found to name no account"
    refused(serving.http("POST", "/v1/tools/nrepo/logins", body=b" " * (LIMIT + 1)), "too_large")


def test_length_that_is_only_claimed(serving: Agent) -> None:
    """A length that is too large is refused by the head alone; nothing more need be sent."""
    headers = {"Content-Length": str(10**15)}
    reply = serving.http("POST", "/v1/tools/nrepo/logins", headers=headers)
    refused(reply, "too_large")


def test_large_chunked_body(serving: Agent) -> None:
    """256 KiB and no more, counted where the head does not say."""
    with serving.wire() as wire_:
        wire_.request("POST", "/v1/tools/nrepo/logins", headers={"Transfer-Encoding": "chunked"})
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        for _ in range(LIMIT // 0x4000 + 1):
            wire_.send(chunk)
        refused(wire_.reply(), "too_large")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "7, 8", " ", "\uff19"])
def test_wrong_length(serving: Agent, length: str) -> None:
    """A length that is no number is no request."""
    head = f"POST /v1/agent/reload HTTP/1.1\r\nHost: tool-agent\r\nContent-Length: {length}\r\n\r\n"
    with serving.wire() as wire_:
        reply = wire_.send(head.encode()).reply()
    assert (reply.status, reply.json["code"]) == (400, "invalid_request")


def test_length_and_chunks(serving: Agent) -> None:
    """Both a length and chunks: a smuggled request is not answered (RFC 9112 section 6.3)."""
    with serving.wire() as wire_:
        wire_.send(
            b"POST /v1/agent/reload HTTP/1.1\r\nHost: tool-agent\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            b"GET /v1/tools/nrepo/token HTTP/1.1\r\nHost: tool-agent\r\n\r\n"
        )
        said = wire_.finish().rest()
    assert b"nrp_" not in said


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"account": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"\xff\xfe\x00",
        b'{"account": 1e400}',
        b'{"account": NaN}',
        b"nonsense",
        b'{"account": "x", "account": 7}',
        b"7",
        b"null",
    ],
)
def test_odd_json(serving: Agent, body: bytes) -> None:
    """Deep nesting, wrong encodings and numbers beyond reason are typed errors."""
    reply = serving.http("POST", "/v1/tools/nrepo/logins", body=body)
    refused(reply, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"nobody-asked": "x"}},
        {"account": "../../etc"},
        {"account": ""},
        {"account": "x" * 65},
        {"lifetime": "never"},
        {"method": "device"},
    ],
)
def test_odd_logins(serving: Agent, body: dict[str, object]) -> None:
    """A login that is asked for wrongly is refused, or taken for what it says, and never stuck."""
    reply = serving.http("POST", "/v1/tools/cre/logins", body=json.dumps(body).encode())
    if reply.status == 201:
        serving.http("DELETE", f"/v1/logins/{reply.json['id']}")
    else:
        refused(reply, "invalid_request")


def test_pipelined(serving: Agent) -> None:
    """Requests that are sent ahead are answered in order, on one kept connection."""
    with serving.wire() as wire_:
        for name in ("agent", "nothing", "tools", "accounts"):
            wire_.request("GET", f"/v1/{name}")
        statuses = [wire_.reply().status for _ in range(4)]
        assert statuses == [200, 404, 200, 200]
        assert wire_.request("GET", "/v1/agent").reply().status == 200


def test_body_of_the_one_before(serving: Agent) -> None:
    """A body that no route reads does not become the next request."""
    with serving.wire() as wire_:
        body = b"GET /v1/tools/nrepo/token HTTP/1.1\r\nHost: tool-agent\r\n\r\n"
        first = wire_.request("GET", "/v1/agent", body=body).reply()
        assert first.status == 200
        try:
            second = wire_.request("GET", "/v1/nothing").reply()
        except EOFError:
            return  # hung up instead: as good
        assert second.status == 404


@pytest.mark.parametrize("name", ["since", "wait"])
@pytest.mark.parametrize("value", ["9" * 5000, "9" * 16, "-", "--1", "1.5", "\u0661", " ", "1e3"])
def test_approvals_take_whole_numbers_alone(serving: Agent, name: str, value: str) -> None:
    """However many digits there are, they are the caller's mistake and nothing else."""
    target = f"{wire.APPROVALS}?{name}={quote(value)}"
    refused(serving.http("GET", target), "invalid_request")


def test_approvals_wait_for_no_negative_time(serving: Agent) -> None:
    """`since` may be -1, which nothing has shown; `wait` is a time."""
    assert serving.http("GET", f"{wire.APPROVALS}?since=-1").status == 200
    refused(serving.http("GET", f"{wire.APPROVALS}?wait=-1"), "invalid_request")


def test_a_slash_more_is_the_same_route(serving: Agent) -> None:
    """And it is about the same tool: its rules count, and its variables are named."""
    plain = serving.http("GET", "/v1/tools/cre/token")
    assert plain.headers["tool-agent-env"]
    for target in ("//v1/tools/cre/token", "/v1/tools/cre/token/"):
        again = serving.http("GET", target)
        assert (again.status, again.headers["tool-agent-env"]) == (
            plain.status,
            plain.headers["tool-agent-env"],
        )


@pytest.mark.parametrize(
    "wrong",
    [{"scope": " "}, {"scope": ""}, {"path": "/srv/a\0b"}, {"path": "/srv/a\nb"}]
    + [{"uid": uid} for uid in (-1, 2**32 - 1, 2**70)],
)
def test_a_socket_that_nobody_means(serving: Agent, wrong: dict[str, object]) -> None:
    """An empty scope would be no limit; a path and a uid that cannot be are not recorded."""
    body = json.dumps({"tool": "workflows", **wrong}).encode()
    refused(serving.http("POST", "/v1/sockets", body=body), "invalid_request")
    assert serving.http("GET", "/v1/sockets").json["sockets"] == []


@pytest.mark.parametrize("wrong", ["scope=%1b%5b31m", "scope=caf%C3%A9", "audience=a%0Ab"])
def test_what_is_no_scope_goes_nowhere(serving: Agent, wrong: str) -> None:
    """Control characters and the like are refused: no provider, log or terminal sees them."""
    refused(serving.http("GET", f"/v1/tools/workflows/token?{wrong}"), "invalid_request")
