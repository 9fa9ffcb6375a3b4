"""Attacks on the callback of a login that waits: what becomes of each, against the whole agent."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.canary import Canary
from tests.real.agent import Agent, AgentOptions, running_agent
from tests.real.child import DEADLINE
from tests.real.home import new_home
from tests.real.plain_user import PYTHON, PlainUser
from tests.real.platforms import Platforms
from tests.stories import practice


@dataclass(frozen=True)
class Waiting:
    """A login that waits for its browser."""

    id: str
    url: str

    @property
    def asked(self) -> dict[str, str]:
        """What its address asks the provider for."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}

    @property
    def issuer(self) -> str:
        """Who is asked."""
        return self.url.partition("authorize")[0]


@dataclass(frozen=True)
class Attack:
    """One request to the listener; `{state}` and `{issuer}` are the true ones."""

    target: str
    status: int
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


TURNED_AWAY: dict[str, Attack] = {
    "DNS rebinding": Attack("?code=c&state={state}", 421, headers={"Host": "rebound.example"}),
    "another Origin": Attack(
        "?code=c&state={state}", 403, headers={"Origin": "https://evil.example"}
    ),
    "wrong state": Attack("?code=c&state=forged", 400),
    "no state": Attack("?code=c", 400),
    "an empty state": Attack("?code=c&state=", 400),
    "two states": Attack("?code=c&state={state}&state=forged", 400),
    "the state of another login": Attack("?code=c&state={old}", 400),
    "an error with a wrong state": Attack("?error=access_denied&state=forged", 400),
    "an error without a state": Attack("?error=access_denied", 400),
    "form_post": Attack("", 405, "POST", body="code=c&state={state}"),
    "POST with a query": Attack("?code=c&state={state}", 405, "POST"),
    "HEAD": Attack("?code=c&state={state}", 405, "HEAD"),
    "a longer path": Attack("/?code=c&state={state}", 404),
    "a path with a parameter": Attack(";x?code=c&state={state}", 404),
    "a path that comes back": Attack("/../callback?code=c&state={state}", 404),
    "a query of 100 KiB": Attack("?code=" + "c" * 100_000 + "&state={state}", 400),
}
"""They store nothing, end nothing, and the true callback works afterwards."""

ENDING: dict[str, Attack] = {
    "another issuer": Attack("?code=c&state={state}&iss=https%3A%2F%2Fevil.example", 303),
    "no issuer": Attack("?code=c&state={state}", 303),
    "another issuer's error": Attack("?error=x&state={state}&iss=https%3A%2F%2Fevil.example", 303),
    "an error without an issuer": Attack("?error=access_denied&state={state}", 303),
    "two issuers": Attack("?code=c&state={state}&iss={issuer}&iss=https%3A%2F%2Fe.example", 400),
    "a code that is none": Attack("?code=forged&state={state}&iss={issuer}", 303),
}
"""They know the state, so they come from the provider or through the browser: mix-up (RFC 9207)."""


@pytest.fixture(scope="module")
def attacked(running_platforms: object) -> Iterator[tuple[Agent, Platforms]]:
    """An agent whose provider says at its discovery that every callback names its issuer."""
    platforms = Platforms(running_platforms)  # type: ignore[arg-type]  # the fixture's own
    platforms.reset()
    url = platforms.urls["cre"]
    text = practice.workflows(url)
    endpoints = f'authorize = "{url}/authorize"\ntoken = "{url}/oauth/token"\n'
    assert endpoints in text
    with new_home() as home:
        home.define("workflows", text.replace(endpoints, f'issuer = "{url}/"\n'))
        canary = Canary()
        with running_agent(home, AgentOptions(environ=platforms.env), canary) as agent:
            yield agent, platforms


def begun(agent: Agent) -> Waiting:
    """Begin a login."""
    reply = agent.http("POST", "/v1/tools/workflows/logins", body=b"{}").json
    while reply["url"] is None:
        assert reply["error"] is None, reply
        reply = agent.http("GET", f"/v1/logins/{reply['id']}?wait=20&since=starting").json
    return Waiting(reply["id"], reply["url"])


def state_of(agent: Agent, login: Waiting) -> str:
    """Return the state of a login, after what has come in is worked off."""
    reply = agent.http("GET", f"/v1/logins/{login.id}").json
    while reply["state"] == "working":
        reply = agent.http("GET", f"/v1/logins/{login.id}?wait=20&since=working").json
    return str(reply["state"])


def knock(login: Waiting, attack: Attack, old: str = "") -> int:
    """Send an attack; return the status of the answer."""
    there = urlsplit(login.asked["redirect_uri"])
    known = {"state": login.asked["state"], "issuer": quote(login.issuer, safe=""), "old": old}
    body = attack.body.format(**known)
    headers = {"Host": there.netloc, "Content-Length": str(len(body))} | attack.headers
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    lines = [f"{attack.method} {there.path}{attack.target.format(**known)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", there.port or 0), DEADLINE) as made:
        made.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        with made.makefile("rb") as said:
            return int(said.readline().split()[1])


def stored(agent: Agent) -> list[object]:
    """Return the accounts."""
    return list(agent.http("GET", "/v1/accounts").json["accounts"])


def test_what_is_turned_away_uses_nothing_up(attacked: tuple[Agent, Platforms]) -> None:
    """After all of them the login waits still, its person reads of it, and the true one works."""
    agent, platforms = attacked
    before = begun(agent)
    agent.http("DELETE", f"/v1/logins/{before.id}")
    login = begun(agent)
    statuses = {}
    for name, attack in TURNED_AWAY.items():
        statuses[name] = knock(login, attack, before.asked["state"])
        assert state_of(agent, login) == "awaiting_browser", name
    assert statuses == {name: attack.status for name, attack in TURNED_AWAY.items()}
    said = agent.http("GET", f"/v1/logins/{login.id}").json["said"]
    assert len(said) == 1
    assert "turned away" in said[0]
    assert platforms.counters()["token_requests"] == 0
    true = platforms.person(login.url, PERSON_STOP="before-callback").stdout.strip()
    query = urlsplit(true).query
    assert knock(login, Attack("?" + query.replace("{", "{{"), 303)) == 303
    assert state_of(agent, login) == "done"
    assert knock(login, Attack("?" + query, 410)) == 410, "a second callback after success"
    assert platforms.counters()["code_exchanges"] == 1
    assert len(stored(agent)) == 1
    agent.good("logout", "workflows")


@pytest.mark.parametrize("name", ENDING)
def test_mix_up_ends_the_login(name: str, attacked: tuple[Agent, Platforms]) -> None:
    """With the true state and a wrong issuer nothing is exchanged, and nothing is stored."""
    agent, platforms = attacked
    platforms.reset()
    login = begun(agent)
    assert knock(login, ENDING[name]) == ENDING[name].status
    ends = ENDING[name].status == 303
    assert state_of(agent, login) == ("failed" if ends else "awaiting_browser")
    if not ends:
        agent.http("DELETE", f"/v1/logins/{login.id}")
    assert platforms.counters()["code_exchanges"] == 0
    assert stored(agent) == []


STRANGER = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1])
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_another_user_ends_nothing(
    attacked: tuple[Agent, Platforms], plain_user: PlainUser
) -> None:
    """A process of another user reaches the port, as any does; it knows no state."""
    agent, _ = attacked
    login = begun(agent)
    target = login.asked["redirect_uri"] + "?error=access_denied&state=guessed"
    assert plain_user.run(PYTHON, "-c", STRANGER, target).stdout == "400\n"
    assert state_of(agent, login) == "awaiting_browser"
    agent.http("DELETE", f"/v1/logins/{login.id}")
