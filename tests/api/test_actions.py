"""The routes of actions and API keys: what they answer, and how what is wrong is refused."""

import json
from typing import Any

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.unix_http import Reply
from tool_agent import wire

ACTIONS = "/v1/tools/libretto/actions"
KEYS = "/v1/tools/nrepo/api-keys"


def send(agent: Agent, method: str, target: str, accept: str = wire.JSON, **body: Any) -> Reply:  # noqa: ANN401 - a JSON body
    """Send a request with a JSON body."""
    headers = {"Content-Type": wire.JSON, "Accept": accept}
    raw = json.dumps(body).encode() if body else None
    return agent.http(method, target, headers=headers, body=raw)


def followed(agent: Agent, view: dict[str, Any]) -> dict[str, Any]:
    """Follow an action until it asks something or is over."""
    while view["state"] not in {"awaiting_input", "done", "failed", "cancelled"}:
        target = f"/v1/logins/{view['id']}?wait=20&since={view['revision']}"
        view = agent.http("GET", target).json
    return view


def test_list(serving: Agent) -> None:
    """The actions of a tool, with what each asks; as text they are a table."""
    found = serving.http("GET", ACTIONS).json
    assert found["tool"] == "libretto"
    invite = next(one for one in found["actions"] if one["name"] == "invite")
    asks = {ask["name"]: ask for ask in invite["asks"]}
    assert asks["email"]["argument"] is True
    assert (asks["role"]["option"], asks["role"]["default"]) == ("--role", "member")
    assert asks["role"]["secret"] is False
    text = send(serving, "GET", ACTIONS, wire.TEXT).body.decode()
    assert text.startswith("ACTION")
    none = send(serving, "GET", "/v1/tools/nrepo/actions", wire.TEXT)
    assert "nothing besides" in none.body.decode()


def test_an_action_to_its_end(serving: Agent, platforms: Platforms) -> None:
    """What is given in advance is not asked; the outcome has a text and values."""
    email = platforms.accounts["libretto"]["email"]
    begun = send(serving, "POST", f"{ACTIONS}/forgot-password", inputs={"email": email})
    assert begun.status == 201
    view = begun.json
    assert (view["purpose"], view["method"], view["tool"]) == (
        "action",
        "forgot-password",
        "libretto",
    )
    done = followed(serving, view)
    assert done["state"] == "done", done
    assert done["values"] == {"email": email, "status": "sent"}
    assert email in done["text"]


def test_questions(serving: Agent) -> None:
    """It asks one thing at a time, and is answered and broken off as a login is."""
    view = followed(serving, send(serving, "POST", f"{ACTIONS}/signup").json)
    assert [prompt["name"] for prompt in view["prompts"]] == ["name"]
    assert view["said"][0].startswith("Heads up")
    where = f"/v1/logins/{view['id']}"
    wrong = send(serving, "POST", f"{where}/input", inputs={"slug": "x"})
    assert wrong.json["code"] == "invalid_request"
    after = send(serving, "POST", f"{where}/input", inputs={"name": "Nova"}).json
    assert [p["name"] for p in followed(serving, after)["prompts"]] == ["email"]
    ended = serving.http("DELETE", where).json
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "cancelled")
    assert "signup" in ended["error"]["detail"]


def test_login_required(serving: Agent) -> None:
    """An action that needs a session ends with login_required."""
    inputs = {"email": "a@example.com", "role": "member"}
    view = send(serving, "POST", f"{ACTIONS}/invite", inputs=inputs).json
    ended = followed(serving, view)
    assert ended["state"] == "failed"
    assert (ended["error"]["code"], ended["error"]["exit"]) == ("login_required", 4)


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        (f"{ACTIONS}/dance", {}, "invalid_request"),
        (f"{ACTIONS}/signup", {"inputs": {"colour": "red"}}, "invalid_request"),
        (f"{ACTIONS}/signup", {"inputs": ["a"]}, "invalid_request"),
        (f"{ACTIONS}/signup", {"account": "-x"}, "invalid_request"),
        (f"{ACTIONS}/signup?x=1", {}, "invalid_request"),
        ("/v1/tools/nothing/actions/signup", {}, "unknown_tool"),
        (KEYS, {}, "invalid_request"),
        (KEYS, {"label": ""}, "invalid_request"),
        ("/v1/tools/cre/api-keys", {"label": "x"}, "not_found"),
    ],
)
def test_refusals(serving: Agent, target: str, body: dict[str, Any], code: str) -> None:
    """What makes no sense is refused before anything is asked or sent."""
    assert send(serving, "POST", target, **body).json["code"] == code


def test_check_env(serving: Agent) -> None:
    """A client that has not looked for the person's variable is asked to, where one may count."""
    headers = {"Content-Type": wire.JSON, wire.UNSET_HEADER: ""}
    reply = serving.http("POST", f"{ACTIONS}/invite", headers=headers, body=b"{}")
    assert reply.status == 428
    assert reply.headers[wire.ENV_HEADER.lower()].startswith("LIBRETTO_API_KEY")


def test_keys(serving: Agent, platforms: Platforms) -> None:
    """Issued once, listed without its secret, revoked; nothing on the way may keep the key."""
    issued = send(serving, "POST", KEYS, label="by the api")
    assert issued.status == 201
    assert issued.headers["cache-control"] == "no-store"
    key = issued.json
    assert key["key"].startswith("nrp_")
    listed = serving.http("GET", KEYS)
    assert key["key"] not in listed.body.decode()
    mine = [one for one in listed.json["api_keys"] if one["id"] == key["id"]]
    assert [one["label"] for one in mine] == ["by the api"]
    assert "by the api" in send(serving, "GET", KEYS, wire.TEXT).body.decode()
    gone = serving.http("DELETE", f"{KEYS}/{key['id']}")
    assert (gone.status, gone.json["revoked"]) == (200, True)
    again = serving.http("DELETE", f"{KEYS}/{key['id']}").json
    assert (again["code"], again["detail"]) == ("provider_error", "API key not found")
    raw = send(serving, "POST", KEYS, wire.TEXT, label="bare")
    assert raw.body.decode().startswith("nrp_")
    assert raw.headers["cache-control"] == "no-store"


def test_keys_of_the_persons_own(serving: Agent, platforms: Platforms) -> None:
    """With the person's variable in the body the keys are managed, and nobody is signed in."""
    keys = "/v1/tools/libretto/api-keys"
    own = {"variable": "LIBRETTO_API_KEY", "value": platforms.accounts["libretto"]["api_key"]}
    assert serving.http("GET", keys).json["code"] == "login_required"
    issued = send(serving, "POST", keys, label="own", credential=own).json
    assert issued["variable"] == "LIBRETTO_API_KEY"
    labels = [one["label"] for one in send(serving, "GET", keys, credential=own).json["api_keys"]]
    assert "own" in labels
    assert send(serving, "DELETE", f"{keys}/{issued['id']}", credential=own).json["revoked"]
    own["value"] = issued["key"]
    assert send(serving, "GET", keys, credential=own).json["code"] == "login_required"
    own["variable"] = "OTHER"
    assert send(serving, "GET", keys, credential=own).json["code"] == "invalid_request"
    assert serving.http("GET", keys).json["code"] == "login_required"


def test_description(serving: Agent) -> None:
    """The routes are described."""
    paths = serving.http("GET", "/v1/openapi.json").json["paths"]
    assert paths["/v1/tools/{tool}/actions/{action}"].keys() == {"post"}
    assert paths["/v1/tools/{tool}/api-keys"].keys() == {"get", "post"}
    assert paths["/v1/tools/{tool}/api-keys/{id}"].keys() == {"delete"}
