"""Slow and silent clients: cut off in time, and never in anybody's way."""

import contextlib
import resource
from collections.abc import Iterator

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms

pytestmark = pytest.mark.fixed_port

IDLE = 500
SLOW = 200
CROWD = 200


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for a thousand sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_head(serving: Agent) -> None:
    """A head that is not complete 2 s after its first byte is answered 408, and hung up on."""
    with serving.wire() as wire_:
        reply = wire_.send(b"GET /v1/agent HTTP/1.1\r\nHost: tool-ag").reply()
        assert reply.status == 408
        assert reply.json["code"] == "invalid_request"
        assert "2 s" in reply.json["detail"]
        assert wire_.rest() == b""


def test_slow_body(serving: Agent) -> None:
    """A body that is not complete after 2 s is a typed error, and the connection ends."""
    with serving.wire() as wire_:
        headers = {"Content-Length": "100"}
        wire_.request("POST", "/v1/tools/nrepo/logins", headers=headers, body=b'{"acc')
        reply = wire_.reply()
        assert (reply.status, reply.json["code"]) == (400, "invalid_request")
        assert "2 s" in reply.json["detail"]
        assert wire_.rest() == b"", "what comes later is no request"


def test_silent_clients(serving: Agent, descriptors: None) -> None:
    """500 clients that say nothing and 200 that stop half-way do not keep a good one waiting."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(serving.wire()) for _ in range(IDLE)]
        slow = [stack.enter_context(serving.wire()) for _ in range(SLOW)]
        for number, wire_ in enumerate(slow):
            if number % 2:
                wire_.send(b"GET /v1/agent HTTP/1.1\r\nHost: tool-ag")
            else:
                wire_.request(
                    "POST", "/v1/tools/cre/logins", headers={"Content-Length": "9"}, body=b"{"
                )
        assert serving.http("GET", "/v1/tools/nrepo/token").status == 200
        assert serving.good("token", "nrepo").startswith("nrp_")
        # They hang still: the good ones were not answered after them.
        assert not any(wire_.has_said() for wire_ in [*idle, *slow])
        assert idle[0].request("GET", "/v1/agent").reply().status == 200, "and may speak up late"


def test_hundreds_at_once(serving: Agent, descriptors: None) -> None:
    """Hundreds of connections at one moment are all answered: the backlog holds them."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(serving.wire()) for _ in range(CROWD * 4)]
        for wire_ in crowd:
            wire_.request("GET", "/v1/tools/nrepo/token")
        assert {wire_.reply().status for wire_ in crowd} == {200}


def test_one_refresh_for_hundreds(serving: Agent, platforms: Platforms, descriptors: None) -> None:
    """200 clients that wait for the same token cause one refresh; none hears of another's error."""
    platforms.faults(token_delay=0.5, token_times=1)
    scope = "openid%20workflows:read"  # one that no test before has asked for
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(serving.wire()) for _ in range(CROWD)]
        for wire_ in crowd:
            wire_.request("GET", f"/v1/tools/workflows/token?scope={scope}")
        for wire_ in crowd[: CROWD // 4]:
            wire_.close()  # a caller that goes away cancels nothing
        replies = [wire_.reply() for wire_ in crowd[CROWD // 4 :]]
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["access_token"] for reply in replies}) == 1
    counters = platforms.counters()
    assert (counters["token_requests"], counters["refreshes"], counters["replays"]) == (1, 1, 0)


def test_five_scopes_at_once(serving: Agent, platforms: Platforms) -> None:
    """50 clients with five scopes on one grant: five refreshes, one after another, no replay."""
    scopes = ["openid", "email", "profile", "workflows:read", "openid email"]
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(serving.wire()) for _ in range(50)]
        for number, wire_ in enumerate(crowd):
            scope = scopes[number % 5].replace(" ", "%20")
            wire_.request("GET", f"/v1/tools/workflows/token?scope={scope}")
        assert {wire_.reply().status for wire_ in crowd} == {200}
    counters = platforms.counters()
    assert (counters["token_requests"], counters["refreshes"], counters["replays"]) == (5, 5, 0)


def test_slow_provider_delays_nobody(serving: Agent, platforms: Platforms) -> None:
    """While one provider hangs, other accounts and cached tokens are served."""
    platforms.faults(token_delay=1, token_times=1)
    with serving.wire() as waiting:
        waiting.request("GET", "/v1/tools/workflows/token?scope=email%20profile")
        platforms.waiting_at("cre", "token")
        assert serving.http("GET", "/v1/tools/workflows/token").status == 200
        assert serving.http("GET", "/v1/tools/nrepo/token").status == 200
        assert serving.http("GET", "/v1/agent").status == 200
        assert not waiting.has_said(), "it waits still"
        assert waiting.reply().status == 200


def test_reader_that_never_reads(serving: Agent) -> None:
    """A client that asks and does not read its answers holds only itself up."""
    with serving.wire() as wire_:
        asked = b"GET /v1/openapi.json HTTP/1.1\r\nHost: tool-agent\r\n\r\n"
        sent = wire_.flood(asked * 100)
        assert sent > 0
        assert serving.http("GET", "/v1/agent").status == 200
