"""Whose value counts: before and after a session, alternatives, pairs, the agent's own exports."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tool_agent
from tests.contract.fake_agent import Request, document, gated, problem, reply
from tests.contract.typed import Typist, typist
from tests.house.test_client_imports import loaded
from tool_agent.errors import BadReplyError, ToolAgentError
from tool_agent.variables import Entry, Own, fingerprint

ROUTE = "/v1/tools/acme/token"
DELIVERIES = "/v1/tools/acme/deliveries"
ALTERNATIVES = "GH_TOKEN GITHUB_TOKEN; before=session"
PAIR = (
    "ACME_ID+ACME_SECRET; before=session; header=X-Id%3A%20%7BACME_ID%7D"
    "; header=Authorization%3A%20Secret%20%7B%7D"
)
AFTER = "ACME_KEY; after=session"
BOTH = {"ACME_ID": "id", "ACME_SECRET": "shh"}
TOKEN = {"access_token": "session's", "token_type": "Bearer", "headers": {}, "env": {}}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent."""
    with typist(tmp_path) as someone:
        yield someone


def exported(variable: str, value: str) -> dict[str, str]:
    """Return what the agent exports: a value with its mark."""
    return {variable: value, f"TOOL_AGENT_SET_{variable}": fingerprint(value)}


SESSION, NONE, ERROR = "a session", "no session", "another error"

TABLE = [
    # what the agent says, what it has, what is set -> what is printed, the exit status
    (ALTERNATIVES, SESSION, {}, "session's", 0),
    (ALTERNATIVES, SESSION, {"GITHUB_TOKEN": "2"}, "2", 0),
    (ALTERNATIVES, SESSION, {"GH_TOKEN": "1", "GITHUB_TOKEN": "2"}, "1", 0),
    (ALTERNATIVES, SESSION, {"GH_TOKEN": "", "GITHUB_TOKEN": "2"}, "2", 0),
    (ALTERNATIVES, SESSION, exported("GH_TOKEN", "1") | {"GITHUB_TOKEN": "2"}, "2", 0),
    (ALTERNATIVES, SESSION, exported("GH_TOKEN", "1"), "session's", 0),
    (ALTERNATIVES, SESSION, exported("GH_TOKEN", "1") | {"GH_TOKEN": "new"}, "new", 0),
    (ALTERNATIVES, NONE, {"GH_TOKEN": "1"}, "1", 0),
    (ALTERNATIVES, NONE, {}, "", 4),
    (ALTERNATIVES, ERROR, {"GH_TOKEN": "1"}, "1", 0),
    (PAIR, SESSION, BOTH, "shh", 0),
    (PAIR, SESSION, {"ACME_ID": "id"}, "session's", 0),
    (PAIR, SESSION, {"ACME_SECRET": "shh"}, "session's", 0),
    (PAIR, SESSION, BOTH | {"ACME_ID": ""}, "session's", 0),
    (PAIR, SESSION, BOTH | exported("ACME_SECRET", "shh"), "session's", 0),
    (PAIR, NONE, {"ACME_ID": "id"}, "", 4),
    (f"{PAIR}, {ALTERNATIVES}", SESSION, BOTH | {"GH_TOKEN": "1"}, "shh", 0),
    (f"{PAIR}, {ALTERNATIVES}", SESSION, {"ACME_ID": "id", "GH_TOKEN": "1"}, "1", 0),
    (f"{ALTERNATIVES}, {PAIR}", SESSION, BOTH | {"GH_TOKEN": "1"}, "1", 0),
    (AFTER, SESSION, {"ACME_KEY": "k"}, "session's", 0),
    (AFTER, NONE, {"ACME_KEY": "k"}, "k", 0),
    (AFTER, NONE, exported("ACME_KEY", "k"), "", 4),
    (AFTER, ERROR, {"ACME_KEY": "k"}, "", 75),
    (f"{AFTER}, {ALTERNATIVES}", NONE, {"ACME_KEY": "k", "GITHUB_TOKEN": "2"}, "2", 0),
    (f"{AFTER}, {ALTERNATIVES}", NONE, {"ACME_KEY": "k"}, "k", 0),
]


def agent(entries: str, state: str, *, json_too: bool = False) -> Callable[[Request], bytes]:
    """Answer as an agent does that looks for the variables before anything else."""
    before = ", ".join(entry for entry in entries.split(", ") if "before=session" in entry)
    outcome = {
        SESSION: reply("session's\n", env=entries),
        NONE: reply("", 4, "log in\n", status=401, env=entries),
        ERROR: reply("", 75, "no network\n", status=503, env=entries),
    }[state]
    if json_too and state == SESSION:
        outcome = document(TOKEN | {"env": {"ACME_TOKEN": "session's"}}, env=entries)
    elif json_too:
        code = "login_required" if state == NONE else "temporarily_unavailable"
        outcome = problem(code, "no", env=entries)
    return gated(before, outcome) if before else lambda _: outcome


@pytest.mark.parametrize(("entries", "state", "environ", "printed", "status"), TABLE)
def test_the_precedence(  # noqa: PLR0913 - the columns of the table
    person: Typist, entries: str, state: str, environ: dict[str, str], printed: str, status: int
) -> None:
    """`token`: the person's before, then the session, then the person's after."""
    person.agent.on("GET", ROUTE, agent(entries, state))
    done = person.type("token", "acme", **environ)
    assert (done.stdout.rstrip("\n"), done.returncode) == (printed, status)
    sent = repr(person.agent.requests)
    assert not any(f"'{value}'" in sent for value in environ.values() if value)


@pytest.mark.parametrize(("entries", "state", "environ", "printed", "status"), TABLE)
def test_the_precedence_in_python(  # noqa: PLR0913 - the columns of the table
    person: Typist,
    monkeypatch: pytest.MonkeyPatch,
    entries: str,
    state: str,
    environ: dict[str, str],
    printed: str,
    status: int,
) -> None:
    """The Python API follows the same rules."""
    person.agent.on("GET", ROUTE, agent(entries, state, json_too=True))
    monkeypatch.setenv("TOOL_AGENT_SOCK", str(person.agent.path))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, leaves = tool_agent.token("acme"), 0
        except ToolAgentError as error:
            found, leaves = "", error.exit
    assert (found, leaves) == (printed, status)


def test_no_store_is_asked_while_the_variable_is_set(person: Typist) -> None:
    """`token`, `env` and `exec` end with the refusal that precedes any store or provider."""

    def never(request: Request) -> bytes:
        raise AssertionError(request)

    person.agent.on("GET", ROUTE, gated(PAIR, never))
    asks = gated(PAIR + "; tool=acme", never)
    text = reply("A='b'; export A;\n")
    person.agent.on("GET", "/v1/env", lambda each: asks(each) if each.last("tool") else text)
    assert person.type("token", "acme", **BOTH).stdout == "shh\n"
    assert "ACME_SECRET='shh'" in person.type("env", "acme", "-s", **BOTH).stdout
    person.agent.on("POST", DELIVERIES, gated(PAIR, never))
    assert person.type("exec", "acme", "--", "true", **BOTH).returncode == 0
    unset = [each.headers["tool-agent-unset"] for each in person.agent.requests]
    assert unset == ["", "", "", ""], "nobody was told to go on without them"


# -- pairs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("raw", "shh"),
        ("header", "X-Id: id\nAuthorization: Secret shh"),
        ("curl", 'header = "X-Id: id"\nheader = "Authorization: Secret shh"'),
    ],
)
def test_a_pair_in_each_form(person: Typist, form: str, printed: str) -> None:
    """The secret alone, or every header."""
    person.agent.on("GET", ROUTE, gated(PAIR, reply()))
    assert person.type("token", "acme", "--format", form, **BOTH).stdout == printed + "\n"


def test_a_pair_as_json(person: Typist) -> None:
    """All of it."""
    person.agent.on("GET", ROUTE, gated(PAIR, reply()))
    shown = json.loads(person.type("token", "acme", "--format", "json", **BOTH).stdout)
    assert [shown[name] for name in ("access_token", "token_type")] == ["shh", "Secret"]
    assert shown["headers"] == {"X-Id": "id", "Authorization": "Secret shh"}
    assert shown["env"] == BOTH


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        ({"ACME_ID": "i"}, "ACME_ID is set and ACME_SECRET is not"),
        ({"ACME_SECRET": "i"}, "ACME_SECRET is set and ACME_ID is not"),
        ({}, ""),
        (BOTH, ""),
    ],
)
def test_half_a_pair_is_said(person: Typist, environ: dict[str, str], note: str) -> None:
    """One line names the one that is missing; both count as unset for the agent."""
    person.agent.on("GET", ROUTE, gated(PAIR, reply("session's\n")))
    done = person.type("token", "acme", **environ)
    assert done.stderr == (
        f"tool-agent: {note}: they count only together, and are not used\n" if note else ""
    )
    if note:
        asked = person.agent.requests[-1].headers["tool-agent-unset"]
        assert (done.stdout, asked) == ("session's\n", "ACME_ID, ACME_SECRET")
        assert person.type("token", "acme", "--quiet", **environ).stderr == ""


def test_half_a_pair_warns_a_program(person: Typist, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command says on stderr, a program gets as a warning."""
    person.agent.on("GET", ROUTE, gated(PAIR, document(TOKEN)))
    monkeypatch.setenv("TOOL_AGENT_SOCK", str(person.agent.path))
    monkeypatch.setenv("ACME_ID", "id")
    with pytest.warns(UserWarning, match="ACME_ID is set and ACME_SECRET is not"):
        assert tool_agent.token("acme") == "session's"


def test_a_pair_goes_whole_into_the_one_request(person: Typist) -> None:
    """`whoami` and `login` send every value in the body, for that request."""
    path = "/v1/tools/acme/identity"
    person.agent.on("GET", path, gated(PAIR, reply("alice\n")))
    person.agent.on("POST", path, reply("the pair's owner\n"))
    assert person.type("whoami", "acme", **BOTH).stdout == "the pair's owner\n"
    logins = "/v1/tools/acme/logins"
    over = document({"id": None, "state": "done", "text": "it works"})
    person.agent.on("POST", logins, gated(PAIR, b""), over)
    assert person.type("login", "acme", **BOTH).stdout == "it works\n"
    credential = {"variable": "ACME_SECRET", "value": "shh", "values": BOTH}
    assert person.agent.asked("POST", path)[-1].json == {"credential": credential}
    assert person.agent.asked("POST", logins)[-1].json == {"credential": credential}


def test_env_exports_a_pair_whole(person: Typist) -> None:
    """Both, without the mark of the agent's; `exec` leaves them to the environment."""
    asks = gated(PAIR + "; tool=acme", b"")
    text = reply("A='b'; export A;\n")
    person.agent.on("GET", "/v1/env", lambda each: asks(each) if each.last("tool") else text)
    shown = person.type("env", "acme", "-s", **BOTH).stdout
    assert shown.endswith("ACME_ID='id'; export ACME_ID;\nACME_SECRET='shh'; export ACME_SECRET;\n")
    person.agent.on(
        "GET", "/v1/env", lambda each: asks(each) if each.last("tool") else document({})
    )
    assert json.loads(person.type("env", "acme", "--json", **BOTH).stdout)["env"] == BOTH
    person.agent.on("POST", DELIVERIES, gated(PAIR, b""))
    seen = person.type("exec", "acme", "--", "/usr/bin/env", **BOTH).stdout.splitlines()
    assert {"ACME_ID=id", "ACME_SECRET=shh"} <= set(seen)
    assert not any(line.startswith("TOOL_AGENT_SET_") for line in seen)


def test_a_value_is_never_read_as_a_placeholder() -> None:
    """What the person has set stands in the header as it is."""
    values = {"ACME_ID": "{ACME_SECRET}{}", "ACME_SECRET": "{ACME_ID}"}
    own = Own(values, ("X: a {ACME_ID} b", "Y: {}", "no header", "Z: plain"))
    assert own.headers() == {"X": "a {ACME_SECRET}{} b", "Y": "{ACME_ID}", "Z": "plain"}
    assert own.token_type == "Y"  # noqa: S105 - the name of a header
    assert "SECRET" not in repr(own)


def test_a_header_that_names_another_variable_is_refused() -> None:
    """An agent of another version, or none: never a header with a hole in it."""
    for template in ("X: {OTHER}", "X: {unclosed"):
        with pytest.raises(BadReplyError):
            Own({"A": "v"}, (template,)).headers()


def test_a_control_character_names_its_variable() -> None:
    """The one that has it, and not its value."""
    own = Own({"A": "x\r\ny", "B": "z"}, ("X: {A}", "Y: {}"))
    with pytest.raises(ToolAgentError, match=r"^A holds a control character"):
        own.headers()


def test_the_entry_of_a_pair() -> None:
    """The grammar of wire.ENV_HEADER."""
    entry = Entry(PAIR + "; dotenv=NO%2CDOTENV; tool=acme")
    assert entry.choices == (("ACME_ID", "ACME_SECRET"),)
    assert entry.headers == ("X-Id: {ACME_ID}", "Authorization: Secret {}")
    assert (entry.before, entry.dotenv, entry.tool) == (True, "NO,DOTENV", "acme")
    assert Entry("A B+C; after=session").choices == (("A",), ("B", "C"))
    assert Entry("A; before=session; login=key").before is False


def test_a_pair_imports_next_to_nothing(person: Typist) -> None:
    """It is on the way of every prompt and hook."""
    person.agent.on("GET", ROUTE, gated(PAIR, reply("x\n")))
    for environ in ({}, BOTH, {"ACME_ID": "id"}):
        status, modules = loaded(person.agent, ["token", "acme", "--format", "header"], environ)
        outside = {name for name in modules if name.partition(".")[0] != "tool_agent"}
        assert (status, outside) == (0, {"_socket", "errno"})
        assert not {"tool_agent.dotenv", "tool_agent.exchange"} & modules
