"""Each route in the three kinds of reply: JSON, bare text, and the reply for pipes."""

import json
import urllib.parse
from dataclasses import dataclass

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.presence import requires
from tests.real.unix_http import Reply
from tool_agent import wire

pytestmark = pytest.mark.fixed_port

JSON_BODY = {"Content-Type": wire.JSON}


@dataclass(frozen=True)
class Route:
    """A request that succeeds on the shared agent and changes nothing."""

    method: str
    target: str
    body: bytes | None = None
    fields: tuple[str, ...] = ()
    """Of the JSON reply, besides `schema`."""
    secret: bool = False


ROUTES = [
    Route("GET", "/v1/agent", fields=("version", "protocol", "pid", "uptime", "store", "state")),
    Route("POST", "/v1/agent/reload", b"", fields=("tools", "problems")),
    Route("GET", "/v1/tools", fields=("tools", "problems")),
    Route("GET", "/v1/tools/cre", fields=("name", "title", "methods", "variables", "origins")),
    Route("GET", "/v1/accounts", fields=("accounts",)),
    Route("GET", "/v1/accounts?tool=nrepo", fields=("accounts",)),
    Route(
        "GET",
        "/v1/tools/nrepo/token",
        fields=("access_token", "token_type", "expires_at", "account", "headers", "env", "files"),
        secret=True,
    ),
    Route(
        "GET",
        "/v1/tools/workflows/token?format=header",
        fields=("access_token", "token_type", "expires_at", "account", "headers", "env", "files"),
        secret=True,
    ),
    Route("GET", "/v1/env?shell=sh", fields=("env",)),
    Route("GET", "/v1/env?tool=nrepo&tool=workflows&shell=fish", fields=("env",), secret=True),
    Route("GET", "/v1/tools/nrepo/identity", fields=("tool", "account", "name", "subject")),
    Route("GET", "/v1/tools/workflows/identity", fields=("tool", "account", "name", "subject")),
    Route("POST", "/v1/tools/nrepo/accounts/default/choose", b"", fields=("tool", "account")),
    Route(
        "POST",
        "/v1/tools/check?file=example.toml",
        b'schema = 1\nname = "example"\ntitle = "Example"\norigins = ["https://x.example"]\n'
        b'[[credential]]\nid = "key"\nsource = { env = ["EXAMPLE_KEY"] }\n',
        fields=("file", "tool", "problems"),
    ),
]


def ask(agent: Agent, route: Route, accept: str | None) -> Reply:
    """Ask with an Accept header, or without one."""
    headers = {} if accept is None else {"Accept": accept}
    return agent.http(route.method, route.target, headers=headers, body=route.body)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.target}")
class TestSuccess:
    """What every route answers when all is well."""

    @pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html, */*;q=0.1"])
    def test_json(self, serving: Agent, platforms: Platforms, route: Route, accept: str) -> None:
        """JSON is what comes unless something else is asked for, with a schema."""
        reply = ask(serving, route, accept)
        assert reply.status == 200, reply
        assert reply.headers["content-type"] == wire.JSON
        assert reply.json.get("schema") == 1
        assert set(route.fields) <= reply.json.keys()
        assert (reply.headers.get("cache-control") == "no-store") is route.secret

    def test_text(self, serving: Agent, platforms: Platforms, route: Route) -> None:
        """As text the success is the bare answer."""
        reply = ask(serving, route, wire.TEXT)
        assert reply.status == 200
        assert reply.headers["content-type"].startswith(wire.TEXT)
        assert not reply.body.startswith(b"{")
        assert (reply.headers.get("cache-control") == "no-store") is route.secret

    def test_pipe(self, serving: Agent, platforms: Platforms, route: Route) -> None:
        """For a pipe the body is stdout, and exit status and stderr stand in headers."""
        reply = ask(serving, route, wire.REPLY)
        assert reply.status == 200
        assert reply.headers["content-type"] == wire.REPLY
        assert reply.headers[wire.EXIT_HEADER.lower()] == "0"
        err = urllib.parse.unquote(reply.headers.get(wire.STDERR_HEADER.lower(), ""))
        assert not err or err.endswith("\n")
        assert not reply.body or reply.body.endswith(b"\n")
        assert (reply.headers.get("cache-control") == "no-store") is route.secret


@dataclass(frozen=True)
class Wrong:
    """A request that is refused, with the code it is refused by."""

    code: str
    method: str
    target: str
    body: bytes | None = None


WRONG = [
    Wrong("login_required", "GET", "/v1/tools/cre/token"),
    Wrong("login_required", "GET", "/v1/tools/cre/identity"),
    Wrong("login_required", "GET", "/v1/env?tool=cre"),
    Wrong("unknown_tool", "GET", "/v1/tools/crf/token"),
    Wrong("unknown_tool", "GET", "/v1/tools/crf"),
    Wrong("unknown_tool", "POST", "/v1/tools/crf/logins", b"{}"),
    Wrong("unknown_tool", "GET", "/v1/accounts?tool=crf"),
    Wrong("unknown_account", "DELETE", "/v1/tools/cre/accounts/-"),
    Wrong("unknown_account", "DELETE", "/v1/tools/nrepo/accounts/nobody"),
    Wrong("unknown_account", "POST", "/v1/tools/nrepo/accounts/nobody/choose", b""),
    Wrong("unknown_login", "GET", "/v1/logins/0123"),
    Wrong("unknown_login", "DELETE", "/v1/logins/0123"),
    Wrong("unknown_login", "POST", "/v1/logins/0123/input", b'{"inputs": {"secret": "x"}}'),
    Wrong("not_found", "GET", "/v1/nothing"),
    Wrong("not_found", "GET", "/"),
    Wrong("invalid_request", "PUT", "/v1/agent"),
    Wrong("invalid_request", "GET", "/v1/tools/nrepo/token?min_ttl=soon"),
    Wrong("invalid_request", "GET", "/v1/tools/nrepo/token?format=xml"),
    Wrong("invalid_request", "GET", "/v1/tools/nrepo/token?scope=everything"),
    Wrong("invalid_request", "GET", "/v1/tools/nrepo/identity?output=xml"),
    Wrong("invalid_request", "GET", "/v1/env?shell=tcl"),
    Wrong("invalid_request", "GET", "/v1/tools/nrepo/token?account=-x"),
    Wrong("invalid_request", "POST", "/v1/tools/nrepo/logins", b'{"method": "magic"}'),
    Wrong("invalid_request", "POST", "/v1/tools/nrepo/logins", b'{"methid": "api-key"}'),
    Wrong("invalid_request", "POST", "/v1/tools/nrepo/logins", b'{"account": 7}'),
    Wrong("configuration", "GET", "/v1/env?tool=workflows&tool=extra-broken"),
    Wrong("configuration", "GET", "/v1/tools/extra-broken/token"),
    Wrong("configuration", "POST", "/v1/tools/check?file=x.toml", b"schema = 1\n"),
    Wrong("invalid_request", "POST", "/v1/tools/check?file=x.toml", b"\xff"),
    Wrong("invalid_request", "POST", "/v1/agent/unlock", b'{"passphrase": "in memory"}'),
    Wrong("invalid_request", "POST", "/v1/agent/unlock", b"{}"),
]


@pytest.fixture
def broken(serving: Agent) -> None:
    """A definition that is broken."""
    if not (serving.home.config / "tools.d" / "extra-broken.toml").exists():
        serving.home.define("extra-broken", "schema = 1\n")
        serving.good("reload")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.code} {w.method} {w.target}")
@pytest.mark.usefixtures("broken")
class TestErrors:
    """What every refusal looks like."""

    def test_json(self, serving: Agent, wrong: Wrong) -> None:
        """RFC 9457: code, detail, hint and exit, with the status that the contract has for it."""
        reply = serving.http(wrong.method, wrong.target, body=wrong.body)
        status, leave = wire.ERRORS[wrong.code]
        assert reply.status == status, reply
        assert reply.headers["content-type"] == wire.PROBLEM
        problem = reply.json
        assert {"type", "status", "code", "detail", "hint", "exit"} <= problem.keys()
        assert (problem["code"], problem["status"], problem["exit"]) == (wrong.code, status, leave)
        assert problem["detail"]
        assert reply.headers["cache-control"] == "no-store"
        assert ("www-authenticate" in reply.headers) is (status == 401)

    def test_text(self, serving: Agent, wrong: Wrong) -> None:
        """As text the body is empty, so that no error ever becomes a token."""
        headers = {"Accept": wire.TEXT}
        reply = serving.http(wrong.method, wrong.target, headers=headers, body=wrong.body)
        status, leave = wire.ERRORS[wrong.code]
        assert (reply.status, reply.body) == (status, b"")
        assert reply.headers[wire.EXIT_HEADER.lower()] == str(leave)

    def test_pipe(self, serving: Agent, wrong: Wrong) -> None:
        """For a pipe stdout is empty, stderr says what happened, and the exit status is right."""
        headers = {"Accept": wire.REPLY}
        reply = serving.http(wrong.method, wrong.target, headers=headers, body=wrong.body)
        status, leave = wire.ERRORS[wrong.code]
        assert (reply.status, reply.body) == (status, b"")
        assert reply.headers[wire.EXIT_HEADER.lower()] == str(leave)
        err = urllib.parse.unquote(reply.headers[wire.STDERR_HEADER.lower()])
        assert err.startswith("tool-agent: ")
        assert err.endswith("\n")


def test_variables_with_every_reply(serving: Agent) -> None:
    """Replies for a tool name the person's variables, errors too; others do not."""
    for target in ("/v1/tools/cre/token", "/v1/tools/cre", "/v1/tools/cre/token?format=xml"):
        header = serving.http("GET", target).headers[wire.ENV_HEADER.lower()]
        assert header.startswith("CRE_API_KEY; before=session; header=Authorization%3A%20Apikey")
    assert wire.ENV_HEADER.lower() not in serving.http("GET", "/v1/tools/nrepo/token").headers
    env = serving.http("GET", "/v1/env?tool=cre&tool=nrepo").headers[wire.ENV_HEADER.lower()]
    assert env.endswith("; tool=cre")


def test_unset_header(serving: Agent) -> None:
    """A client that looks at variables is asked to look before anything is touched."""
    headers = {wire.UNSET_HEADER: ""}
    reply = serving.http("GET", "/v1/tools/cre/token", headers=headers)
    assert (reply.status, reply.json["code"]) == (428, "check_env")
    headers = {wire.UNSET_HEADER: "CRE_API_KEY"}
    reply = serving.http("GET", "/v1/tools/cre/token", headers=headers)
    assert reply.json["code"] == "login_required"


def test_own_credential(serving: Agent, platforms: Platforms) -> None:
    """The person's own value is used for one request; an unknown variable is refused."""
    key = platforms.accounts["cre"]["api_key"]
    body = json.dumps({"credential": {"variable": "CRE_API_KEY", "value": key}}).encode()
    reply = serving.http("POST", "/v1/tools/cre/identity", headers=JSON_BODY, body=body)
    assert reply.status == 200
    assert reply.json["fields"]["organization"] == "Example Organization"
    assert key not in reply.body.decode()
    other = body.replace(b"CRE_API_KEY", b"HOME")
    reply = serving.http("POST", "/v1/tools/cre/identity", headers=JSON_BODY, body=other)
    assert reply.json["code"] == "invalid_request"
    assert serving.http("GET", "/v1/tools/cre/token").status == 401


def test_formats(serving: Agent, platforms: Platforms) -> None:
    """Each format of a token, as text."""
    key = platforms.accounts["nrepo"]["api_key"]
    expected = {
        "raw": key,
        "header": f"X-API-Key: {key}",
        "curl": f'header = "X-API-Key: {key}"',
        "netrc": f"machine neuralrepo.com login tool-agent password {key}",
    }
    for form, text in expected.items():
        headers = {"Accept": wire.TEXT}
        reply = serving.http("GET", f"/v1/tools/nrepo/token?format={form}", headers=headers)
        if form == "netrc":
            assert reply.body.decode().endswith(f" login tool-agent password {key}")
        else:
            assert reply.body.decode() == text


def test_no_refresh_token(serving: Agent, platforms: Platforms) -> None:
    """No route returns a refresh token."""
    secrets = platforms.refresh_tokens()
    assert secrets
    for route in ROUTES:
        for accept in (wire.JSON, wire.TEXT, wire.REPLY):
            reply = ask(serving, route, accept)
            text = reply.body.decode() + str(reply.headers)
            assert not any(secret in text for secret in secrets), route


def test_description(serving: Agent) -> None:
    """/v1/openapi.json is OpenAPI 3.1 and names every route."""
    document = serving.http("GET", "/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    known = {
        (method.upper(), len(path.split("/")))
        for path, methods in document["paths"].items()
        for method in methods
    }
    for route in ROUTES:
        path = route.target.partition("?")[0]
        assert (route.method, len(path.split("/"))) in known, route


def test_curl(serving: Agent, platforms: Platforms) -> None:
    """Ask with curl over the socket, as people type it; without -f a failure prints nothing."""
    requires("curl")
    address = "http://tool-agent/v1/tools/{}/token"
    key = platforms.accounts["nrepo"]["api_key"]
    text = ("--header", "Accept: text/plain")
    assert serving.curl(*text, address.format("nrepo")).stdout == key
    refused = serving.curl(*text, address.format("cre"))
    assert (refused.returncode, refused.stdout) == (0, "")
    assert serving.curl("--fail", *text, address.format("cre")).returncode == 22
    assert json.loads(serving.curl(address.format("nrepo")).stdout)["access_token"] == key


class TestLogins:
    """A login as a resource."""

    def start(self, agent: Agent, tool: str, **fields: object) -> Reply:
        """Start one."""
        body = json.dumps(fields).encode()
        return agent.http("POST", f"/v1/tools/{tool}/logins", headers=JSON_BODY, body=body)

    def test_browser(self, serving: Agent, platforms: Platforms) -> None:
        """Started (201), joined (200), watched with a long poll, cancelled, and over."""
        started = self.start(serving, "workflows", account="api")
        assert started.status == 201
        view = started.json
        assert {"id", "state", "method", "url", "prompts", "expires_at"} <= view.keys()
        where = f"/v1/logins/{view['id']}"
        waiting = serving.http("GET", f"{where}?wait=20&since=starting").json
        assert waiting["state"] == "awaiting_browser"
        assert waiting["url"].startswith(platforms.urls["cre"])
        joined = self.start(serving, "workflows", account="api")
        assert (joined.status, joined.json["id"], joined.json["joined"]) == (200, view["id"], True)
        with serving.wire() as wire_:
            wire_.request("GET", f"{where}?wait=20&since=awaiting_browser")
            assert serving.http("DELETE", where).json["state"] == "cancelled"
            assert wire_.reply().json["state"] == "cancelled"
        ended = serving.http("GET", f"{where}?wait=20").json
        assert (ended["state"], ended["error"]["code"]) == ("cancelled", "cancelled")
        assert ended["url"] is None
        assert serving.http("GET", "/v1/tools/workflows/token?account=api").status == 401

    def test_pasted_nonsense(self, serving: Agent) -> None:
        """A pasted text that is no callback is said to be wrong, and the login goes on."""
        view = self.start(serving, "workflows", account="paste").json
        where = f"/v1/logins/{view['id']}"
        serving.http("GET", f"{where}?wait=20&since=starting")
        body = json.dumps({"inputs": {"redirect_url": "what?"}}).encode()
        serving.http("POST", f"{where}/input", headers=JSON_BODY, body=body)
        after = serving.http("GET", where).json
        assert after["state"] in {"awaiting_browser", "working"}
        wrong = json.dumps({"inputs": {"otp": "1"}}).encode()
        refused = serving.http("POST", f"{where}/input", headers=JSON_BODY, body=wrong)
        assert refused.json["code"] == "invalid_request"
        assert serving.http("DELETE", where).json["state"] == "cancelled"

    def test_key(self, serving: Agent, platforms: Platforms) -> None:
        """A key is an answer to a prompt; what the platform does not know is not stored."""
        view = self.start(serving, "nrepo", account="api", method="api-key").json
        where = f"/v1/logins/{view['id']}"
        asked = serving.http("GET", f"{where}?wait=20&since=starting").json
        assert asked["prompts"][0]["secret"] is True
        body = json.dumps({"inputs": {"secret": "nrp_" + "0" * 64}}).encode()
        serving.http("POST", f"{where}/input", headers=JSON_BODY, body=body)
        while not (ended := serving.http("GET", f"{where}?wait=20&since=working").json)["error"]:
            pass
        assert ended["state"] == "failed"
        assert ended["error"]["code"] == "provider_error"
        assert "0" * 64 not in json.dumps(ended)

    def test_other_method(self, serving: Agent) -> None:
        """A login by another method of the same account takes the place of the one that runs."""
        view = self.start(serving, "cre", account="api", method="browser").json
        other = self.start(serving, "cre", account="api", method="api-key")
        assert (other.status, other.json["joined"]) == (201, False)
        assert serving.http("GET", f"/v1/logins/{view['id']}").json["state"] == "cancelled"
        serving.http("DELETE", f"/v1/logins/{other.json['id']}")
