"""A variable that a login takes: where there is no session, it is signed in with, unasked."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tool_agent
from tests.contract.fake_agent import Request, document, problem, reply
from tests.contract.typed import LIMIT, Typist, typist
from tests.house.test_client_imports import loaded
from tool_agent import exchange
from tool_agent.variables import Own, fingerprint

ENTRY = "ENC_KEY; after=session; login=auth-key"
KEY = {"ENC_KEY": "ena_sesame"}
ROUTE = "/v1/tools/enc/token"
LOGINS = "/v1/tools/enc/logins"
PROMPT = {"name": "key", "label": "Auth key: ", "secret": True}
TOKEN = {"access_token": "session's", "token_type": "Bearer", "headers": {}, "env": {"T": "s"}}


class Enc:
    """An agent with a tool whose login takes a variable; `fails` is what the login ends with."""

    def __init__(self, person: Typist, *, fails: dict[str, Any] | None = None) -> None:
        """Answer every route of the tool."""
        self.signed_in = False
        self.fails = fails
        self.joined = False
        self.changed = threading.Condition()
        self.polled = threading.Event()
        self.view: dict[str, Any] = {}
        self.agent = agent = person.agent
        agent.on("GET", ROUTE, self._token)
        agent.on("POST", "/v1/tools/enc/deliveries", self._delivery)
        agent.on("GET", "/v1/env", self._env)
        agent.on("GET", "/v1/tools/enc/identity", self._identity)
        agent.on("POST", LOGINS, self._start)
        agent.on("POST", "/v1/logins/l1/input", self._input)
        agent.on("GET", "/v1/logins/l1", self._poll)
        agent.on("DELETE", "/v1/logins/l1", self._cancel)

    @property
    def started(self) -> list[Any]:
        """The bodies that started logins."""
        return [each.json for each in self.agent.asked("POST", LOGINS)]

    @property
    def inputs(self) -> list[Any]:
        """What the logins were answered."""
        return [each.json["inputs"] for each in self.agent.asked("POST", "/v1/logins/l1/input")]

    def become(self, **fields: object) -> None:
        """Change the login, and wake who polls."""
        with self.changed:
            self.view |= fields
            self.changed.notify_all()

    def _none(self, request: Request) -> bytes:
        if request.headers["accept"] == "application/json":
            return problem("login_required", "enc is not signed in", env=ENTRY)
        return reply("", 4, "enc: log in\n", status=401, env=ENTRY)

    def _token(self, request: Request) -> bytes:
        if not self.signed_in:
            return self._none(request)
        if request.headers["accept"] == "application/json":
            return document(TOKEN, env=ENTRY)
        return reply("session's\n", env=ENTRY)

    def _delivery(self, request: Request) -> bytes:
        done = {"env": {"ENC_TOKEN": "session's"}, "variables": ["ENC_TOKEN"], "notes": []}
        return document(done, env=ENTRY) if self.signed_in else self._none(request)

    def _identity(self, request: Request) -> bytes:
        return reply("alice\n", env=ENTRY) if self.signed_in else self._none(request)

    def _env(self, request: Request) -> bytes:
        tools = [value for name, value in request.query if name == "tool"]
        if "enc" in tools and not self.signed_in:
            return reply("", 4, "enc: log in\n", status=401, env=ENTRY + "; tool=enc")
        text = "".join(
            f"{tool.upper()}_TOKEN='t'; export {tool.upper()}_TOKEN;\n" for tool in tools
        )
        return reply(text, env=ENTRY + "; tool=enc" if "enc" in tools else "")

    def _start(self, request: Request) -> bytes:
        method = request.json.get("method")
        unset = request.headers["tool-agent-unset"]
        if method is None and "ENC_KEY" not in unset:
            return problem("check_env", "look first", env=ENTRY)
        self.view = {"id": "l1", "tool": "enc", "method": method or "browser", "error": None}
        self.view |= {"state": "starting", "prompts": [], "expires_at": 2e9, "joined": self.joined}
        return document(self.view, 201, env=ENTRY)

    def _poll(self, request: Request) -> bytes:
        if self.view["method"] == "auth-key" and self.view["state"] == "starting":
            self.view |= {"state": "awaiting_input", "prompts": [PROMPT]}
        self.polled.set()
        with self.changed:
            self.changed.wait_for(lambda: self.view["state"] != request.last("since"), LIMIT)
        return document(self.view)

    def _input(self, _: Request) -> bytes:
        if self.fails is None:
            self.signed_in = True
            self.view |= {"state": "done", "text": "logged in as app enc", "prompts": []}
        else:
            self.view |= self.fails
        return document(self.view)

    def _cancel(self, _: Request) -> bytes:
        self.become(state="cancelled")
        return document(self.view)


REFUSED = {
    "state": "failed",
    "error": {"code": "provider_error", "detail": "the key is used up", "hint": "h", "exit": 1},
}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["token", "enc"], "session's\n"),
        (["token", "enc", "--format", "header"], "session's\n"),
        (["whoami", "enc"], "alice\n"),
        (["env", "enc", "-s"], "ENC_TOKEN='t'; export ENC_TOKEN;\n"),
        (["exec", "enc", "--", "printenv", "ENC_TOKEN"], "session's\n"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_request_signs_in_with_it_once(person: Typist, words: list[str], printed: str) -> None:
    """The value answers the login's question and is in no other request, which is then repeated."""
    enc = Enc(person)
    done = person.type(*words, **KEY)
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)
    assert enc.started == [{"method": "auth-key", "unattended": True}]
    assert enc.inputs == [{"key": "ena_sesame"}]
    others = [each for each in person.agent.requests if not each.path.endswith("/input")]
    assert "ena_sesame" not in repr(others)
    assert person.type(*words, **KEY).stdout == printed
    assert len(enc.started) == 1, "the session answers from now on"


def test_the_value_is_never_a_token(person: Typist) -> None:
    """Not even where the login fails: the reason is said, and the value is in no text."""
    enc = Enc(person, fails=REFUSED)
    for words in (["token", "enc"], ["env", "enc", "-s"], ["whoami", "enc"]):
        done = person.type(*words, **KEY)
        assert (done.stdout, done.returncode) == ("", 1)
        assert done.stderr == (
            "tool-agent: ENC_KEY is set, and the login by auth-key with it failed:"
            " the key is used up\nhint: h\n"
        )
    assert person.type("exec", "enc", "--", "true", **KEY).returncode == 125
    assert len(enc.started) == 4, "each command tried once"


@pytest.mark.parametrize(
    "environ",
    [{}, {"ENC_KEY": ""}, KEY | {"TOOL_AGENT_SET_ENC_KEY": fingerprint("ena_sesame")}],
    ids=["unset", "empty", "exported by the agent"],
)
def test_without_it_the_person_is_told_to_log_in(person: Typist, environ: dict[str, str]) -> None:
    """No login begins."""
    enc = Enc(person)
    assert person.type("token", "enc", **environ).returncode == 4
    assert enc.started == []


def test_a_session_comes_before_it(person: Typist) -> None:
    """With a session nothing is exchanged."""
    enc = Enc(person)
    enc.signed_in = True
    assert person.type("token", "enc", **KEY).stdout == "session's\n"
    assert enc.started == []


def test_the_account_is_that_of_the_request(person: Typist) -> None:
    """By option or variable, in the query or in the body of what is asked."""
    enc = Enc(person)
    person.type("token", "enc", "--account", "a b", **KEY)
    enc.signed_in = False
    person.type("exec", "enc", "--account", "c", "--", "true", **KEY)
    enc.signed_in = False
    person.type("env", "enc", "-s", TOOL_AGENT_ACCOUNT="d", **KEY)
    assert [each.get("account") for each in enc.started] == ["a b", "c", "d"]


def test_a_login_that_asks_for_more_is_cancelled(person: Typist) -> None:
    """A second question, or the same again with a notice: nobody is there to answer."""
    notice = {"number": 1, "detail": "that is no auth key", "hint": ""}
    enc = Enc(person, fails={"state": "awaiting_input", "prompts": [PROMPT], "notice": notice})
    done = person.type("token", "enc", **KEY)
    assert (done.returncode, done.stdout) == (2, "")
    assert "failed: that is no auth key" in done.stderr
    assert len(enc.inputs) == 1
    assert enc.view["state"] == "cancelled"


@pytest.mark.parametrize(
    "prompts", [[], [PROMPT | {"secret": False}], [PROMPT, PROMPT | {"name": "other"}]]
)
def test_only_one_secret_question_is_answered(
    person: Typist, prompts: list[dict[str, Any]]
) -> None:
    """The value goes into no field that might be shown."""
    enc = Enc(person)
    person.agent.on(
        "GET",
        "/v1/logins/l1",
        lambda _: document(enc.view | {"state": "awaiting_input", "prompts": prompts}),
    )
    done = person.type("token", "enc", **KEY)
    assert (done.returncode, enc.inputs) == (78, [])
    assert len(person.agent.asked("DELETE", "/v1/logins/l1")) == 1


def test_a_login_under_way_is_awaited_and_left_alone(person: Typist) -> None:
    """Two commands at once: the second one waits for the first one's, and answers nothing."""
    enc = Enc(person)
    enc.joined = True

    def poll(request: Request) -> bytes:
        enc.signed_in = True
        enc.view |= {"state": "done"}
        return document(enc.view)

    person.agent.on("GET", "/v1/logins/l1", poll)
    assert person.type("token", "enc", **KEY).stdout == "session's\n"
    assert enc.inputs == []


def test_where_another_s_login_fails_ours_is_tried(person: Typist) -> None:
    """The other one may have had another key."""
    enc = Enc(person)
    enc.joined = True

    def poll(request: Request) -> bytes:
        if enc.joined:
            enc.joined = False
            return document(enc.view | {"state": "failed"})
        return document(enc.view | {"state": "awaiting_input", "prompts": [PROMPT]})

    person.agent.on("GET", "/v1/logins/l1", poll)
    assert person.type("token", "enc", **KEY).stdout == "session's\n"
    assert enc.inputs == [{"key": "ena_sesame"}]


def test_a_key_that_another_command_has_used_up(person: Typist) -> None:
    """Our login fails, and the other's session is there: that is what was wanted."""
    enc = Enc(person, fails=REFUSED)

    def used_up(request: Request) -> bytes:
        enc.signed_in = True
        enc.view |= REFUSED
        return document(enc.view)

    person.agent.on("POST", "/v1/logins/l1/input", used_up)
    done = person.type("token", "enc", **KEY)
    assert (done.stdout, done.returncode) == ("session's\n", 0)


def test_a_person_who_is_signing_in_is_not_disturbed(person: Typist) -> None:
    """The agent refuses to break another login off; that is said."""
    enc = Enc(person)
    person.agent.on("POST", LOGINS, problem("conflict", "another login is under way", "wait"))
    done = person.type("token", "enc", **KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "another login is under way" in done.stderr
    assert enc.inputs == []


def test_of_several_tools_only_the_one_without_a_session(person: Typist) -> None:
    """`env` asks one by one when one of them lacks a session, and signs in for that one."""
    enc = Enc(person)
    done = person.type("env", "other", "enc", "-s", **KEY)
    assert done.returncode == 0
    assert "OTHER_TOKEN=" in done.stdout
    assert "ENC_TOKEN=" in done.stdout
    assert len(enc.started) == 1


def test_python_signs_in_as_well(person: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules."""
    enc = Enc(person)
    monkeypatch.setenv("TOOL_AGENT_SOCK", str(person.agent.path))
    with pytest.raises(tool_agent.LoginRequiredError):
        tool_agent.token("enc")
    monkeypatch.setenv("ENC_KEY", "ena_sesame")
    assert tool_agent.token("enc") == "session's"
    assert enc.inputs == [{"key": "ena_sesame"}]


def test_a_login_that_never_ends_is_given_up(
    person: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the agent too; a hook that asks for a token does not hang."""
    enc = Enc(person)
    times = iter([0.0, 30.0, 61.0])
    monkeypatch.setattr(exchange, "monotonic", lambda: next(times))
    monkeypatch.setenv("TOOL_AGENT_SOCK", str(person.agent.path))
    monkeypatch.setenv("ENC_KEY", "ena_sesame")
    person.agent.on(
        "GET", "/v1/logins/l1", lambda _: document(enc.view | {"state": "working", "prompts": []})
    )
    with pytest.raises(tool_agent.ToolAgentError, match="did not end within 60 s"):
        tool_agent.token("enc")
    assert len(person.agent.asked("DELETE", "/v1/logins/l1")) == 1


# -- login -------------------------------------------------------------------------------------


def test_login_takes_the_variable(person: Typist) -> None:
    """Without a method the one that takes it is chosen, and nothing is asked."""
    enc = Enc(person)
    done = person.type("login", "enc", **KEY)
    assert (done.returncode, done.stdout) == (0, "logged in as app enc\n")
    assert "ENC_KEY is set: signing in with it\n" in done.stderr
    assert enc.started == [{}, {"method": "auth-key"}]
    assert enc.inputs == [{"key": "ena_sesame"}]


def test_login_by_that_method_takes_it_too(person: Typist) -> None:
    """`--method` alone answers nothing, so the variable does."""
    enc = Enc(person)
    assert person.type("login", "enc", "--method", "auth-key", **KEY).returncode == 0
    assert enc.inputs == [{"key": "ena_sesame"}]


def test_a_key_that_is_given_comes_before_the_variable(person: Typist) -> None:
    """`--auth-key` is the person's word."""
    enc = Enc(person)
    done = person.type("login", "enc", "--auth-key", "-", stdin="ena_given\n", **KEY)
    assert done.returncode == 0
    assert enc.inputs == [{"key": "ena_given"}]
    assert "signing in with it" not in done.stderr


def test_login_without_the_variable_is_the_tools_first(person: Typist) -> None:
    """The second request says that the variable is unset, and names no method."""
    enc = Enc(person)
    with person.start("login", "enc", "--no-browser") as process:
        assert enc.polled.wait(LIMIT)
        enc.become(state="done", text="ok")
        process.communicate(timeout=LIMIT)
    assert enc.started == [{}, {}]
    assert person.agent.asked("POST", LOGINS)[-1].headers["tool-agent-unset"] == "ENC_KEY"


# -- the parts ---------------------------------------------------------------------------------


def test_json_is_loaded_only_for_the_exchange(person: Typist) -> None:
    """A prompt that has a session, or no variable, stays fast."""
    enc = Enc(person)
    enc.signed_in = True
    assert "json" not in loaded(person.agent, ["token", "enc"], KEY)[1]
    enc.signed_in = False
    assert "json" not in loaded(person.agent, ["token", "enc"], {})[1]
    status, modules = loaded(person.agent, ["token", "enc"], KEY)
    assert (status, "json" in modules) == (0, True)
    assert not {name for name in modules if name.startswith("tool_agent.commands")}
    assert not {"click", "argparse", "subprocess", "socket"} & modules


def test_tool_and_account_of_a_request() -> None:
    """As the target has them, decoded."""
    read = exchange.tool_and_account
    assert read("/v1/tools/a%2Fb/token?format=raw&account=x%20y") == ("a/b", "x y")
    assert read("/v1/tools/a/token") == ("a", None)
    with pytest.raises(ValueError, match="/v1/env"):
        read("/v1/env?tool=a")


def test_the_value_is_in_no_repr() -> None:
    """Where an error shows its parts, the value is none of them."""
    assert "ena" not in repr(Own({"ENC_KEY": "ena_sesame"}, (), login="auth-key"))
