"""`token`, `whoami` and the Python API: what is asked, what comes out, whose value wins."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tool_agent
from tests.contract.fake_agent import CRE, document, gated, http, problem, reply
from tests.contract.typed import LIMIT, PROGRAM, Typist, typist
from tool_agent import wire
from tool_agent.variables import Entry, fingerprint

ROUTE = "/v1/tools/cre/token"
AFTER = "ENCORE_AUTH_KEY; after=session; header=Authorization%3A%20Bearer%20%7B%7D"
KEY = 'own "k\\y'
"""A key with what curl's quoting must escape."""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


def test_the_reply_is_relayed_as_it_is(person: Typist) -> None:
    """Body, stderr and exit status are the agent's, byte for byte."""
    person.agent.on("GET", ROUTE, reply("tök\nen\n", 7, "100% warned\nhint: é\n"))
    done = person.type("token", "cre")
    assert (done.stdout, done.stderr, done.returncode) == ("tök\nen\n", "100% warned\nhint: é\n", 7)


def test_every_option_reaches_the_agent(person: Typist) -> None:
    """Options are sent as they were typed, and only those that were."""
    person.agent.on("GET", ROUTE, reply("x\n"))
    person.type("token", "cre")
    person.type(
        *(
            "token",
            "--account",
            "a b",
            "cre",
            "--min-ttl=4h",
            "--scope",
            "r w",
            "--audience",
            "u&v",
        ),
        *("--format", "netrc"),
    )
    assert [request.query for request in person.agent.requests] == [
        (("format", "raw"),),
        (
            *(("account", "a b"), ("min_ttl", "4h"), ("scope", "r w"), ("audience", "u&v")),
            ("format", "netrc"),
        ),
    ]
    assert {request.headers["accept"] for request in person.agent.requests} == {wire.REPLY}


def test_the_account_is_chosen_by_option_then_variable(person: Typist) -> None:
    """--account, else the tool's variable, else the general one, else none."""
    person.agent.on("GET", "/v1/tools/my.tool/token", reply("x\n"))
    general = {"TOOL_AGENT_ACCOUNT": "general"}
    of_tool = general | {"TOOL_AGENT_ACCOUNT_MY_TOOL": "own"}
    person.type("token", "my.tool", "--account", "opt", **of_tool)
    person.type("token", "my.tool", **of_tool)
    person.type("token", "my.tool", **general)
    person.type("token", "my.tool")
    accounts = [request.last("account") for request in person.agent.requests]
    assert accounts == ["opt", "own", "general", None]


def test_a_tools_name_stays_in_its_place(person: Typist) -> None:
    """A name with slashes or a query in it is one segment of the path."""
    person.type("token", "../agent?x=1")
    assert person.agent.requests[0].path == "/v1/tools/../agent?x=1/token"
    assert person.agent.requests[0].query == (("format", "raw"),)
    assert person.type("token", "").returncode == 2


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("raw", KEY),
        ("header", f"Authorization: Apikey {KEY}"),
        ("curl", 'header = "Authorization: Apikey own \\"k\\\\y"'),
    ],
)
def test_the_persons_own_variable_wins(person: Typist, form: str, expected: str) -> None:
    """It is printed, and it is sent nowhere."""
    person.agent.on("GET", ROUTE, gated(CRE, reply("the agent's\n")))
    done = person.type("token", "cre", "--format", form, CRE_API_KEY=KEY)
    assert (done.stdout, done.returncode) == (expected + "\n", 0)
    (request,) = person.agent.requests
    assert request.headers["tool-agent-unset"] == ""
    assert "own" not in repr(request)


def test_the_own_value_as_json(person: Typist) -> None:
    """The fields are those of an agent's credential, and the source is said."""
    person.agent.on("GET", ROUTE, gated(CRE, reply("the agent's\n")))
    done = person.type("token", "cre", "--format", "json", CRE_API_KEY="own")
    assert json.loads(done.stdout) == {
        "schema": 1,
        "access_token": "own",
        "token_type": "Apikey",
        "expires_at": None,
        "account": None,
        "headers": {"Authorization": "Apikey own"},
        "env": {"CRE_API_KEY": "own"},
        "files": [],
        "source": "environment",
    }


def test_the_own_value_has_no_netrc(person: Typist) -> None:
    """A netrc line needs what only the agent knows; the person is told so."""
    person.agent.on("GET", ROUTE, gated(CRE, reply("the agent's\n")))
    done = person.type("token", "cre", "--format", "netrc", CRE_API_KEY="own")
    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: unset CRE_API_KEY" in done.stderr


def test_an_own_value_that_breaks_a_header_is_refused(person: Typist) -> None:
    """A line break in a key would begin another header."""
    person.agent.on("GET", ROUTE, gated(CRE, reply()))
    done = person.type("token", "cre", "--format", "header", CRE_API_KEY="own\r\nX: y")
    assert (done.returncode, done.stdout) == (78, "")
    assert "own" not in done.stderr.replace("your own", "")


@pytest.mark.parametrize("value", ["", None])
def test_an_unset_or_empty_variable_does_not_count(person: Typist, value: str | None) -> None:
    """The request is repeated on the same connection, with the names that are unset."""
    person.agent.on(
        "GET", ROUTE, gated("GH_TOKEN GITHUB_TOKEN; before=session", reply("agent's\n"))
    )
    done = person.type("token", "cre", **({} if value is None else {"GH_TOKEN": value}))
    assert (done.stdout, done.returncode) == ("agent's\n", 0)
    unset = [request.headers["tool-agent-unset"] for request in person.agent.requests]
    assert (unset, person.agent.connections) == (["", "GH_TOKEN, GITHUB_TOKEN"], 1)


def test_the_first_alternative_that_is_set_counts(person: Typist) -> None:
    """Alternatives are tried in the order of the entry."""
    person.agent.on("GET", ROUTE, gated("GH_TOKEN GITHUB_TOKEN; before=session", reply()))
    second = {"GITHUB_TOKEN": "second"}
    assert person.type("token", "cre", **second).stdout == "second\n"
    assert person.type("token", "cre", **(second | {"GH_TOKEN": "first"})).stdout == "first\n"


def test_what_the_agent_exported_is_not_the_persons(person: Typist) -> None:
    """A marked value counts as unset; the same mark with another value does not."""
    person.agent.on("GET", ROUTE, gated(CRE, reply("agent's\n")))
    mark = {"TOOL_AGENT_SET_CRE_API_KEY": fingerprint("exported")}
    assert person.type("token", "cre", CRE_API_KEY="exported", **mark).stdout == "agent's\n"
    assert person.type("token", "cre", CRE_API_KEY="changed", **mark).stdout == "changed\n"


def test_the_mark_is_what_the_contract_says() -> None:
    """BLAKE2s, 8 bytes, personalised: whoever exports a value can compute it."""
    assert fingerprint("value") == "23aa0ef02c949e42"
    assert fingerprint("value") != fingerprint("value ")


def test_the_variable_wins_over_an_answer_without_a_question(person: Typist) -> None:
    """An agent that answers at once, with a token or an error, does not change the precedence."""
    person.agent.on("GET", ROUTE, reply("agent's\n", env=CRE))
    assert person.type("token", "cre", CRE_API_KEY="own").stdout == "own\n"
    person.agent.on("GET", ROUTE, reply("", 75, "no network\n", status=503, env=CRE))
    done = person.type("token", "cre", CRE_API_KEY="own")
    assert (done.stdout, done.stderr, done.returncode) == ("own\n", "", 0)


def test_a_variable_after_the_session_serves_only_without_one(person: Typist) -> None:
    """With a session it is not used; where a login is needed it is; other errors stay errors."""
    person.agent.on("GET", ROUTE, reply("session's\n", env=AFTER))
    assert person.type("token", "cre", ENCORE_AUTH_KEY="own").stdout == "session's\n"
    person.agent.on("GET", ROUTE, reply("", 4, "log in\n", status=401, env=AFTER))
    assert person.type("token", "cre", ENCORE_AUTH_KEY="own").stdout == "own\n"
    assert person.type("token", "cre").returncode == 4
    person.agent.on("GET", ROUTE, reply("", 75, "no network\n", status=503, env=AFTER))
    assert person.type("token", "cre", ENCORE_AUTH_KEY="own").returncode == 75


def test_an_agent_that_keeps_asking_is_not_served_for_ever(person: Typist) -> None:
    """The question is answered once."""
    person.agent.on("GET", ROUTE, http(428, b"", wire.REPLY, (wire.ENV_HEADER, CRE)))
    done = person.type("token", "cre")
    assert (done.returncode, len(person.agent.requests)) == (1, 2)


@pytest.mark.parametrize(
    "raw",
    [
        http(200, b"secret", "text/html"),
        http(200, b"secret", wire.REPLY, (wire.EXIT_HEADER, "many")),
        http(500, b"Traceback", "text/plain"),
    ],
)
def test_an_answer_of_another_kind_prints_nothing(person: Typist, raw: bytes) -> None:
    """What is no reply for pipes never reaches stdout, and is said in one line with a hint."""
    person.agent.on("GET", ROUTE, raw)
    done = person.type("token", "cre")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tool-agent: ")
    assert "Traceback" not in done.stderr


def test_a_problem_document_is_said_as_such(person: Typist) -> None:
    """An agent that answers a pipe with JSON is understood all the same."""
    person.agent.on("GET", ROUTE, problem("locked", "the agent is locked", "run 'x'"))
    done = person.type("token", "cre")
    assert (done.returncode, done.stderr) == (5, "tool-agent: the agent is locked\nhint: run 'x'\n")


def test_nobody_reads_the_answer(person: Typist) -> None:
    """A closed pipe ends the command as SIGPIPE would, and says nothing."""
    person.agent.on("GET", ROUTE, reply("x\n"))
    reader, writer = os.pipe()
    os.close(reader)
    with person.start("token", "cre", stdout=writer) as process:
        os.close(writer)
        _, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, stderr) == (141, b"")


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_an_answer_that_cannot_be_written_is_an_error(person: Typist, redirection: str) -> None:
    """A token that went nowhere is no success, and it does not go into the socket either."""
    person.agent.on("GET", ROUTE, reply("secret\n"))
    command = f'"$0" token cre {redirection}'
    done = subprocess.run(
        ["/bin/sh", "-c", command, PROGRAM],
        env=person.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tool-agent: cannot write the answer to stdout: ")
    assert len(person.agent.requests) == 1


def test_ctrl_c_is_130(person: Typist) -> None:
    """An interrupted question ends at once and says nothing."""
    asked, over = threading.Event(), threading.Event()

    def wait(_: object) -> bytes:
        asked.set()
        over.wait(LIMIT)
        return b""

    person.agent.on("GET", ROUTE, wait)
    with person.start("token", "cre") as process:
        assert asked.wait(LIMIT)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=LIMIT)
    over.set()
    assert (process.returncode, stdout, stderr) == (130, b"", b"")


def test_whoami_sends_the_one_value_for_one_question(person: Typist) -> None:
    """Without the variable a GET; with it, the refused GET and a POST that carries it."""
    path = "/v1/tools/cre/identity"
    person.agent.on("GET", path, gated(CRE, reply("alice\n")))
    person.agent.on("POST", path, reply("key's owner\n"))
    assert person.type("whoami", "cre", "--json").stdout == "alice\n"
    assert person.agent.asked("GET", path)[-1].query == (("output", "json"),)
    done = person.type("whoami", "cre", "--human", CRE_API_KEY="own")
    assert done.stdout == "key's owner\n"
    (request,) = person.agent.asked("POST", path)
    assert request.json == {"credential": {"variable": "CRE_API_KEY", "value": "own"}}
    assert request.query == (("output", "human"),)


def test_an_entry_is_read_as_the_contract_has_it() -> None:
    """Parameters may be in any order, unknown ones are passed over."""
    entry = Entry(" A  B ;tool=my%2Ctool; x=y; header=X-Key%3A%20%7B%7D;before=session")
    assert (entry.variables, entry.tool, entry.before) == (("A", "B"), "my,tool", True)
    assert entry.headers == ("X-Key: {}",)
    assert Entry("A; after=session").before is False


FIELDS = {
    "access_token": "sesame",
    "token_type": "Bearer",
    "expires_at": 1e9,
    "account": "default",
    "headers": {"Authorization": "Bearer sesame"},
    "env": {"CRE_TOKEN": "sesame"},
    "files": [],
}
"""What the agent says of a credential."""


class TestApi:
    """The Python API, against the same agent."""

    @pytest.fixture(autouse=True)
    def _socket(self, person: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process see what the typist's commands see."""
        monkeypatch.setenv("TOOL_AGENT_SOCK", str(person.agent.path))
        monkeypatch.delenv("CRE_API_KEY", raising=False)

    def test_a_token_and_its_headers(self, person: Typist) -> None:
        """token() is the secret, headers() what a request needs."""
        person.agent.on("GET", ROUTE, gated(CRE, document(FIELDS, env=CRE)))
        assert tool_agent.token("cre", account="a", min_ttl=60) == "sesame"
        assert tool_agent.headers("cre") == {"Authorization": "Bearer sesame"}
        assert person.agent.requests[0].query == (("account", "a"), ("min_ttl", "60s"))
        assert person.agent.requests[0].headers["accept"] == wire.JSON

    def test_one_connection_for_many_questions(self, person: Typist) -> None:
        """Agent keeps its connection, and a token's repr has no secret in it."""
        person.agent.on("GET", ROUTE, gated(CRE, document(FIELDS)))
        person.agent.on("GET", "/v1/accounts", document({"accounts": [{"tool": "cre"}]}))
        person.agent.on("GET", "/v1/agent", document({"state": "ready"}))
        with tool_agent.Agent() as agent:
            token = agent.token("cre")
            assert agent.accounts("cre") == [{"tool": "cre"}]
            assert agent.status() == {"state": "ready"}
            assert agent.token("cre").expires_at == 1e9
        assert person.agent.connections == 1
        assert "sesame" not in repr(token)
        assert (token.env, token.account) == ({"CRE_TOKEN": "sesame"}, "default")

    def test_the_own_variable_wins_here_too(
        self, person: Typist, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The person's value comes back with its header, and was sent nowhere."""
        person.agent.on("GET", ROUTE, gated(CRE, document(FIELDS)))
        monkeypatch.setenv("CRE_API_KEY", "own")
        assert tool_agent.token("cre") == "own"
        assert tool_agent.headers("cre") == {"Authorization": "Apikey own"}
        assert "own" not in repr(person.agent.requests)

    def test_errors_have_their_classes(self, person: Typist) -> None:
        """Each code has its class; all of them are ToolAgentError."""
        person.agent.on("GET", ROUTE, problem("login_required", "no session", "log in"))
        with pytest.raises(tool_agent.LoginRequiredError):
            tool_agent.token("cre")
        person.agent.on("GET", ROUTE, problem("store_unavailable", "locked keychain"))
        with pytest.raises(tool_agent.UnavailableError):
            tool_agent.token("cre")
        person.agent.on("GET", ROUTE, document({"nothing": 1}))
        with pytest.raises(tool_agent.BadReplyError):
            tool_agent.token("cre")
        with pytest.raises(tool_agent.NoAgentError):
            tool_agent.Agent(str(person.home / "none"), start=False).token("cre")
        assert issubclass(tool_agent.NoAgentError, tool_agent.ToolAgentError)

    def test_every_exported_name_is_there(self) -> None:
        """`__all__` holds, and nothing else is found."""
        assert all(getattr(tool_agent, name) for name in tool_agent.__all__)
        with pytest.raises(AttributeError):
            tool_agent.__getattr__("nothing")
