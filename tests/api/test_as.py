"""The route `as`: its kinds of reply, what it refuses, and what it asks the client to look at."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.unix_http import Reply
from tool_agent import wire
from tool_agentd.api.credentials import fingerprint

pytestmark = pytest.mark.fixed_port

Define = Callable[..., None]


def say(agent: Agent, tool: str, line: str, accept: str = wire.JSON, **more: Any) -> Reply:  # noqa: ANN401 - any JSON values
    """Send a tool's words; `unset` is the header about variables."""
    headers = {"Accept": accept, "Content-Type": wire.JSON}
    if "unset" in more:
        headers[wire.UNSET_HEADER] = more.pop("unset")
    body = json.dumps({"words": line.split(), **more}).encode()
    return agent.http("POST", f"/v1/tools/{tool}/as", headers=headers, body=body)


def test_an_answer_at_once_in_each_kind_of_reply(serving: Agent) -> None:
    """stdout, stderr and exit status: as fields, as a reply for pipes, or bare."""
    reply = say(serving, "nrepo", "whoami --human")
    assert reply.status == 200
    assert (reply.json["schema"], reply.json["exit"], reply.json["stderr"]) == (1, 0, "")
    piped = say(serving, "nrepo", "whoami --human", wire.REPLY)
    assert piped.headers[wire.EXIT_HEADER.lower()] == "0"
    assert piped.body.decode() == reply.json["stdout"]
    bare = say(serving, "nrepo", "whoami --human", wire.TEXT)
    assert bare.body.decode() == reply.json["stdout"]


def test_an_error_in_each_kind_of_reply(serving: Agent) -> None:
    """The status is that of its code; the words are the tool's, and bare text has none."""
    reply = say(serving, "cre", "whoami")
    assert (reply.status, reply.json["exit"], reply.json["code"]) == (401, 1, "login_required")
    assert reply.json["stderr"].endswith("try running cre login\n")
    piped = say(serving, "cre", "whoami", wire.REPLY)
    assert (piped.status, piped.body) == (401, b"")
    assert piped.headers[wire.CODE_HEADER.lower()] == "login_required"
    assert unquote(piped.headers[wire.STDERR_HEADER.lower()]) == reply.json["stderr"]
    assert say(serving, "cre", "whoami", wire.TEXT).body == b""


@pytest.fixture
def define(serving: Agent) -> Iterator[Define]:
    """Put definitions in force for one test."""
    made: list[Path] = []

    def put(**texts: str) -> None:
        made.extend(serving.home.define(name, text) for name, text in texts.items())
        serving.good("reload")

    yield put
    for file in made:
        file.unlink()
    serving.good("reload")


@pytest.mark.parametrize("accept", [wire.JSON, wire.REPLY, wire.TEXT])
def test_what_takes_a_while_is_a_login_to_follow(serving: Agent, accept: str) -> None:
    """202 with the login's view, whatever the client accepts: it is not yet to print."""
    reply = say(serving, "encore", "auth login --auth-key - --json", accept)
    assert reply.status == 202
    assert reply.headers["content-type"] == wire.JSON
    view = json.loads(reply.body)
    try:
        assert (view["method"], view["form"], view["printed"]) == ("auth-key", "json", None)
        joined = say(serving, "encore", "auth login --auth-key -").json
        assert (joined["id"], joined["joined"], joined["form"]) == (view["id"], True, "human")
    finally:
        over = serving.http("DELETE", f"/v1/logins/{view['id']}").json
    assert over["state"] == "cancelled"
    assert over["printed"]["human"]["exit"] == 1
    assert "cancelled" in over["printed"]["json"]["stderr"]


def test_words_that_are_not_the_tools_are_not_found(serving: Agent) -> None:
    """404 and `not_found`, so that a shim runs the real tool; nothing of them is repeated."""
    reply = say(serving, "nrepo", "push nrp_secret")
    assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert "nrp_secret" not in reply.body.decode()
    assert "nrepo key create" in reply.json["hint"]


@pytest.mark.parametrize(
    ("tool", "line"),
    [("nrepo", "login --what"), ("nrepo", "key revoke"), ("nrepo", "logout --account ghost x")],
)
def test_a_slip_is_no_not_found(serving: Agent, tool: str, line: str) -> None:
    """Auth words with a mistake in them are never for the real tool."""
    reply = say(serving, tool, line)
    assert reply.status == 400
    assert "usage: nrepo " in reply.json["stderr"]


def test_a_key_that_only_the_site_issues_is_no_not_found(serving: Agent, define: Define) -> None:
    """What the platform does not offer is an error of the command, not of its words."""
    define(byhand=BY_HAND)
    own = {"variable": "BYHAND_KEY", "value": "k"}
    reply = say(serving, "byhand", "key issue ci", credential=own)
    assert (reply.status, reply.json["code"]) == (400, "not_found")
    assert "https://byhand.example/keys" in reply.json["stderr"]


BY_HAND = """
schema = 1
name = "byhand"
title = "By Hand"
origins = ["https://byhand.example"]
[[credential]]
id = "key"
source = { env = ["BYHAND_KEY"] }
headers = { Authorization = "Bearer {secret}" }
[api_keys]
accepts = ["key"]
create_url = "https://byhand.example/keys"
steps = ["Open the page"]
[face]
command = "byhand"
[[face.word]]
words = "key issue"
do = "issue-key"
arguments = ["label"]
"""

PASTED = """
schema = 1
name = "pasted"
title = "Pasted"
origins = ["https://pasted.example"]
[[credential]]
id = "key"
source = "stored"
headers = { Authorization = "Bearer {secret}" }
[login.api-key]
flow = "paste"
credential = "key"
prompt = "Key: "
[face]
command = "pasted"
[[face.word]]
words = "login"
do = "login"
options = { --key = "secret", --profile = "account" }
text = "In by {method} as {account}"
[[face.word]]
words = "logout"
do = "logout"
"""


def test_the_client_is_asked_to_look_at_its_variables_first(
    serving: Agent, platforms: Platforms
) -> None:
    """428 before anything is done; a logout does not depend on them."""
    first = say(serving, "cre", "whoami", unset="")
    assert first.status == 428
    assert "CRE_API_KEY" in first.headers[wire.ENV_HEADER.lower()]
    assert say(serving, "cre", "whoami", unset="CRE_API_KEY").status == 401
    own = {"variable": "CRE_API_KEY", "value": platforms.accounts["cre"]["api_key"]}
    assert say(serving, "cre", "whoami", credential=own, unset="").status == 200
    assert say(serving, "cre", "logout", unset="").status == 200
    assert say(serving, "encore", "auth login", unset="").status == 428


def test_a_variable_that_the_tool_does_not_read_is_refused(serving: Agent) -> None:
    """Its value is not repeated."""
    own = {"variable": "OTHER", "value": "secret-of-another"}
    reply = say(serving, "cre", "whoami", credential=own)
    assert reply.json["exit"] == 1
    assert "secret-of-another" not in reply.body.decode()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"words": "login"}', b'{"words": [1]}', b'{"words": [], "x": 1}', b"[]"],
)
def test_a_body_that_makes_no_sense_is_refused(serving: Agent, body: bytes) -> None:
    """As on every other route."""
    reply = serving.http("POST", "/v1/tools/nrepo/as", body=body)
    assert (reply.status, reply.json["code"]) == (400, "invalid_request")


def test_a_tool_without_words_of_its_own_has_none(serving: Agent) -> None:
    """And a tool that there is not is another error."""
    assert say(serving, "workflows", "login").json["code"] == "not_found"
    assert say(serving, "ghost", "login").json["code"] == "unknown_tool"


def test_a_command_names_its_tool(serving: Agent) -> None:
    """One look from the name on PATH to the tool; `GET /v1/tools/{tool}` says the name."""
    reply = serving.http("GET", f"{wire.COMMANDS}/nrepo")
    assert {name: reply.json[name] for name in ("schema", "command", "tool")} == {
        "schema": 1,
        "command": "nrepo",
        "tool": "nrepo",
    }
    assert {"login", "key create"} <= set(reply.json["words"]), "what is for the agent"
    assert serving.http("GET", "/v1/tools/nrepo").json["command"] == "nrepo"
    assert serving.http("GET", "/v1/tools/workflows").json["command"] is None
    unknown = serving.http("GET", f"{wire.COMMANDS}/ghost")
    assert (unknown.status, unknown.json["code"]) == (404, "not_found")


def test_a_command_of_two_tools_is_neithers(serving: Agent, define: Define) -> None:
    """The agent does not guess; `as` says which one is meant."""
    twin = BY_HAND.replace('command = "byhand"', 'command = "twin"')
    define(**{name: twin.replace('"byhand"', f'"{name}"', 1) for name in ("twin-a", "twin-b")})
    reply = serving.http("GET", f"{wire.COMMANDS}/twin")
    assert reply.status == 400
    assert "twin-a and twin-b both have a command called twin" in reply.json["detail"]


def test_whoami_has_the_form_of_the_login(serving: Agent) -> None:
    """Without `output`, what is printed goes by the login's method; the JSON reply is the same."""
    piped = {"Accept": wire.REPLY}
    default = serving.http("GET", "/v1/tools/nrepo/identity", headers=piped)
    assert json.loads(default.body)["tool"] == "nrepo"
    human = serving.http("GET", "/v1/tools/nrepo/identity?output=human", headers=piped)
    assert not human.body.startswith(b"{")
    other = serving.http("GET", "/v1/tools/workflows/identity", headers=piped)
    assert not other.body.startswith(b"{")


def test_a_key_and_an_account_are_given_as_options(serving: Agent, define: Define) -> None:
    """They mean what our own would; a logout without a text of the tool's is in our words."""
    define(pasted=PASTED)
    reply = say(serving, "pasted", "login --key k-of-the-person --profile work", wire.REPLY)
    assert reply.status == 202
    assert unquote(reply.headers[wire.STDERR_HEADER.lower()]).startswith("warning: a key among")
    view = json.loads(reply.body)
    assert (view["account"], view["method"]) == ("work", "api-key")
    over = serving.http("GET", f"/v1/logins/{view['id']}?wait=20&since={view['state']}").json
    while over["printed"] is None:
        over = serving.http("GET", f"/v1/logins/{view['id']}?wait=20&since={over['state']}").json
    assert over["printed"]["human"]["stdout"] == "In by api-key as work\n"
    assert json.loads(over["printed"]["json"]["stdout"])["account"] == "work"
    assert "k-of-the-person" not in json.dumps(over)
    assert say(serving, "pasted", "logout", account="work").json["stdout"].startswith("Logged out")
    gone = say(serving, "pasted", "logout", account="work")
    assert (gone.json["exit"], gone.json["code"]) == (1, "unknown_account")


def test_the_persons_variables_are_sent_together(serving: Agent, platforms: Platforms) -> None:
    """Of those that the definition names the first that counts is used; the rest is ignored."""
    key = platforms.accounts["cre"]["api_key"]
    env = {"CRE_API_KEY": key, "HOME": "/nowhere", "OTHER": "x"}
    reply = say(serving, "cre", "whoami", env=env, unset="")
    assert (reply.status, reply.json["exit"]) == (200, 0)
    without = say(serving, "cre", "whoami", env={"OTHER": key, "CRE_API_KEY": ""}, unset="")
    assert (without.status, without.json["code"]) == (401, "login_required")
    wrong = say(serving, "cre", "whoami", env={"CRE_API_KEY": "cre-wrong-one"}, unset="")
    assert wrong.json["code"] == "provider_error"
    assert "cre-wrong-one" not in wrong.body.decode()
    mark = {"TOOL_AGENT_SET_CRE_API_KEY": fingerprint(key)}
    exported = say(serving, "cre", "whoami", env=env | mark, unset="")
    assert exported.json["code"] == "login_required"
    own = {"variable": "CRE_API_KEY", "value": key}
    assert say(serving, "cre", "whoami", env=env, credential=own).status == 400


def test_a_variable_that_a_login_takes_is_sent_with_the_others(
    serving: Agent, platforms: Platforms
) -> None:
    """The login by it begins; a method that the words choose comes first."""
    env = {"ENCORE_AUTH_KEY": platforms.accounts["encore"]["auth_key"]}
    reply = say(serving, "encore", "auth login", env=env)
    assert (reply.status, reply.json["method"]) == (202, "auth-key")
    view = reply.json
    while not view.get("printed"):
        path = f"/v1/logins/{view['id']}?wait=20&since={view['state']}"
        view = serving.http("GET", path).json
    assert view["state"] == "done", view["error"]
    whoami = say(serving, "encore", "auth whoami", env=env)
    assert whoami.json["exit"] == 0
    assert say(serving, "encore", "auth logout", env=env).json["exit"] == 0
