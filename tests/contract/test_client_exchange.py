"""The client's one exchange: whole answers however they arrive, and typed errors for the rest."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.fake_agent import FakeAgent, document, http, problem, reply
from tests.contract.typed import typist
from tests.real.plain_user import PYTHON, another_user
from tool_agent import agent, paths, wire
from tool_agent.agent import Connection, percent_decode, percent_encode, target
from tool_agent.errors import (
    BadReplyError,
    ForeignSocketError,
    LoginRequiredError,
    NoAgentError,
    TimedOutError,
    ToolAgentError,
)

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def serving(path: Path, *pieces: bytes) -> Iterator[threading.Event]:
    """Send `pieces` one by one to the first who connects and asks, then wait to be let go."""
    over = threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            if pieces and pieces[-1].endswith(b"..."):
                over.wait(30)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join(30)
        listener.close()


def ask(path: Path, limit: float = 10.0) -> tuple[int, bytes]:
    """Send one GET and return status and body."""
    with Connection(str(path)) as connection:
        answer = connection.request("GET", "/v1/agent", limit=limit)
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([HEAD + b"Content-Length: 5\r\n\r\nhello"], b"hello"),
        ([HEAD[:7], HEAD[7:] + b"content-length:5\r", b"\n\r\nhe", b"llo"], b"hello"),
        (
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: x\r\n\r\n"],
            b"hello",
        ),
        (
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe", b"\r\n3\r\nllo\r\n0\r\n\r\n"],
            b"hello",
        ),
        ([HEAD + b"\r\nhel", b"lo"], b"hello"),
        (
            [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n"],
            b"",
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.0 200 OK\r\n\r\nold"], b"old"),
    ],
    ids=[
        "plain",
        "in pieces",
        "chunked",
        "chunks in pieces",
        "to the end",
        "interim",
        "204",
        "1.0",
    ],
)
def test_a_whole_answer_is_read_however_it_arrives(
    pieces: list[bytes], expected: bytes, tmp_path: Path
) -> None:
    """Framing and packets do not matter."""
    with serving(tmp_path / "s", *pieces):
        assert ask(tmp_path / "s")[1] == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"no colon here\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        HEAD + b"X: " + b"y" * (agent.HEAD_MAX + 10),
        HEAD + b"\r\n" + b"y" * (agent.BODY_MAX + 10),
    ],
)
def test_nonsense_is_refused(raw: bytes, tmp_path: Path) -> None:
    """What is no answer of an agent's, or too large for one, is an error and no traceback."""
    with serving(tmp_path / "s", raw + b"..."), pytest.raises(BadReplyError):
        ask(tmp_path / "s")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD + b"Content-Length: 5\r\n\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_half_an_answer_is_none(raw: bytes, tmp_path: Path) -> None:
    """An agent that breaks off is reported; half a token is never taken for one."""
    with serving(tmp_path / "s", raw), pytest.raises(TimedOutError, match="closed") as caught:
        ask(tmp_path / "s")
    assert caught.value.exit == wire.EXIT_TRY_AGAIN


@pytest.mark.parametrize("raw", [b"...", HEAD + b"Content-Length: 50\r\n\r\n..."])
def test_a_silent_agent_is_not_waited_for_longer_than_the_limit(raw: bytes, tmp_path: Path) -> None:
    """The limit is for the whole answer, not for each piece of it."""
    with serving(tmp_path / "s", raw), pytest.raises(TimedOutError, match="within"):
        ask(tmp_path / "s", limit=0.05)


def test_a_kept_connection_serves_many_requests(tmp_path: Path) -> None:
    """One connection carries request after request."""
    with FakeAgent(tmp_path / "s") as fake, Connection(str(tmp_path / "s")) as connection:
        fake.on("GET", "/v1/agent", reply("a"), reply("b" * 100_000), reply("c"))
        bodies = [connection.request("GET", "/v1/agent").body[:1] for _ in range(3)]
        assert (bodies, fake.connections) == ([b"a", b"b", b"c"], 1)


def test_a_kept_connection_that_was_closed_is_replaced_for_a_get_only(tmp_path: Path) -> None:
    """The agent closes idle connections; a GET does not notice, a POST is never sent twice."""
    with FakeAgent(tmp_path / "s") as fake, Connection(str(tmp_path / "s")) as connection:
        fake.on("GET", "/v1/agent", reply("a"), b"", reply("b"))
        fake.on("POST", "/v1/agent/stop", b"", reply("twice"))
        assert connection.request("GET", "/v1/agent").body == b"a"
        assert connection.request("GET", "/v1/agent").body == b"b"
        assert fake.connections == 2
        with pytest.raises(TimedOutError):
            connection.request("POST", "/v1/agent/stop", body=b"")
        assert len(fake.asked("POST", "/v1/agent/stop")) == 1


def test_a_first_request_is_not_repeated(tmp_path: Path) -> None:
    """An agent that drops a new connection is not asked again."""
    with FakeAgent(tmp_path / "s") as fake, Connection(str(tmp_path / "s")) as connection:
        fake.on("GET", "/v1/agent", b"", reply("b"))
        with pytest.raises(TimedOutError):
            connection.request("GET", "/v1/agent")


def test_an_answer_before_the_whole_request_is_read(tmp_path: Path) -> None:
    """A refusal that comes while we still send is read, not lost in a broken pipe."""
    refusal = http(413, b'{"code": "too_large", "detail": "too large"}', wire.PROBLEM)
    with serving(tmp_path / "s", refusal), Connection(str(tmp_path / "s")) as connection:
        answer = connection.request("POST", "/v1/tools/check", body=b"x" * 4_000_000)
    assert answer.status == 413


def test_the_request_is_what_the_agent_demands(tmp_path: Path) -> None:
    """Host, Accept and length are there; Origin and Referer are not."""
    with FakeAgent(tmp_path / "s") as fake, Connection(str(tmp_path / "s")) as connection:
        fake.on("POST", "/v1/agent/stop", reply())
        connection.request("POST", "/v1/agent/stop", body=b"")
        assert fake.requests[0].headers == {
            "host": "tool-agent",
            "accept": wire.REPLY,
            "tool-agent-interim": "102",
            "content-length": "0",
        }


@pytest.mark.parametrize("kind", ["nothing", "a file", "a dead socket", "below a file"])
def test_no_agent_is_said_as_such(kind: str, tmp_path: Path) -> None:
    """Whatever is left at the path, an agent may be started there."""
    path = tmp_path / "s"
    if kind == "a dead socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(path))
    elif kind != "nothing":
        path.touch()
    if kind == "below a file":
        path /= "s"
    with pytest.raises(NoAgentError) as caught:
        ask(path)
    assert (caught.value.exit, caught.value.startable) == (69, True)


def test_a_path_too_long_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The system's limit is named, and what to do."""
    long = tmp_path / ("x" * paths.SOCKET_PATH_MAX)
    with pytest.raises(ToolAgentError, match="longer than") as caught:
        ask(long)
    assert (caught.value.code, caught.value.exit) == ("configuration", 78)
    with typist(tmp_path) as person:
        done = person.type("token", "cre", TOOL_AGENT_SOCK=str(long))
    assert (done.returncode, done.stdout) == (78, "")
    assert "hint: set TOOL_AGENT_SOCK" in done.stderr


def test_another_users_socket_gets_no_request(tmp_path: Path) -> None:
    """A socket that somebody else serves is refused before a byte is sent."""
    server = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777)\n"
        "s.listen(); print('ready', flush=True)\n"
        "c, _ = s.accept(); print(len(c.recv(100)), flush=True)\n"
    )
    with another_user() as squatter:
        path = squatter.home / "s"
        child = squatter.start(PYTHON, "-c", server, str(path))
        try:
            assert child.line() == "ready"
            with pytest.raises(ForeignSocketError, match=f"uid {squatter.uid}") as caught:
                ask(path)
            assert (caught.value.exit, child.line()) == (77, "0")
        finally:
            child.stop()
        with typist(tmp_path) as person:
            child = squatter.start(PYTHON, "-c", server, str(squatter.home / "t"))
            try:
                assert child.line() == "ready"
                done = person.type("token", "cre", TOOL_AGENT_SOCK=str(squatter.home / "t"))
            finally:
                child.stop()
    assert (done.returncode, done.stdout) == (77, "")
    assert "nothing was sent" in done.stderr


def test_an_error_of_the_agents_is_typed(tmp_path: Path) -> None:
    """A problem document becomes the error of its code, with its hint and exit status."""
    with FakeAgent(tmp_path / "s") as fake, Connection(str(tmp_path / "s")) as connection:
        fake.on("GET", "/v1/agent", problem("login_required", "no session", "log in"))
        answer = connection.request("GET", "/v1/agent", accept=wire.JSON)
        with pytest.raises(LoginRequiredError) as caught:
            answer.raise_for_error()
        error = caught.value
        assert (error.detail, error.hint, error.exit) == ("no session", "log in", 4)
        fake.on("GET", "/v1/agent", http(500, b"<html>", "text/html"))
        with pytest.raises(BadReplyError, match="500"):
            connection.request("GET", "/v1/agent").raise_for_error()
        fake.on("GET", "/v1/agent", document(["no", "object"], 400))
        with pytest.raises(BadReplyError, match="400"):
            connection.request("GET", "/v1/agent").raise_for_error()


def test_percent_encoding_there_and_back() -> None:
    """What is encoded decodes to itself; an escape that is none stays."""
    for text in ("plain", "a b/c?d=e&f;g,h%", "é漢🔑", "\n\0", ""):
        assert percent_decode(percent_encode(text)) == text
        assert set(percent_encode(text)) <= set(map(chr, agent._SAFE)) | {"%"}
    assert percent_decode("100%, %zz %4") == "100%, %zz %4"
    assert target("/p", ("a", "b c"), ("n", None), ("e", "")) == "/p?a=b%20c&e="


def test_an_interim_answer_makes_the_client_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent asks its person for longer than any other answer takes; a cap holds."""
    interim = b"HTTP/1.1 102 Processing\r\nTool-Agent-Wait: 30\r\n\r\n"
    monkeypatch.setattr(agent, "monotonic", iter(range(0, 10_000, 6)).__next__)
    whole = HEAD + b"Content-Length: 0\r\n\r\n"
    with serving(tmp_path / "s", interim, whole[:5], whole[5:]):
        assert ask(tmp_path / "s")[0] == 200
