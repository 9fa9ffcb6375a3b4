"""Stories of tool definitions that change while the agent runs."""

import json

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories import practice
from tests.stories.status import status_of


def tools(agent: Agent) -> set[str]:
    """Return the tools in force."""
    return {tool["name"] for tool in json.loads(agent.good("tool", "list", "--json"))["tools"]}


def test_broken_definition(agent: Agent, platforms: Platforms) -> None:
    """A broken definition leaves the last good one in force and shows in status, until mended."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    good = practice.workflows(platforms.urls["cre"])
    agent.home.define("workflows", good.replace('flow = "oauth_code"', 'flow = "oauth_cod"'))
    agent.good("reload")
    assert agent.token("workflows") == token
    assert platforms.userinfo(agent.token("workflows", "--min-ttl", "0s")) == 200
    assert agent.good("whoami", "workflows") == "Workflows knows you as ada@example.com"
    status = status_of(agent)
    assert status["state"] == "degraded"
    reason = " ".join(status["reasons"])
    assert "workflows.toml" in reason
    assert "flow" in reason
    assert "oauth_cod" in reason
    agent.home.define("workflows", good)
    agent.good("reload")
    assert status_of(agent)["state"] == "ready"


def test_hot_reload(agent: Agent) -> None:
    """Files that are saved are in force without a command, and one that is removed is gone."""
    agent.home.define(
        "extra",
        'schema = 1\nname = "extra"\ntitle = "Extra"\norigins = ["https://extra.example"]\n'
        '[[credential]]\nid = "key"\nsource = { env = ["EXTRA_KEY"] }\n',
    )
    (agent.home.config / "tools.d" / "workflows.toml").unlink()
    there = {"cre", "encore", "extra", "libretto", "nrepo"}
    until(lambda: tools(agent) == there, "the change is in force")


def test_definition_removed(agent: Agent) -> None:
    """A tool whose definition is gone is unknown; its login rests until the definition is back."""
    agent.good("login", "workflows")
    file = agent.home.config / "tools.d" / "workflows.toml"
    text = file.read_text()
    file.unlink()
    agent.good("reload")
    unknown = agent.run("token", "workflows")
    assert unknown.returncode == 2, unknown
    agent.home.define("workflows", text)
    agent.good("reload")
    agent.token("workflows")


def test_definition_removed_over_a_restart(agent: Agent, platforms: Platforms) -> None:
    """Without its definition a login can still be erased, by `logout --all`."""
    agent.good("login", "workflows")
    (agent.home.config / "tools.d" / "workflows.toml").unlink()
    agent.restart()
    ended = agent.run("logout", "--all")
    assert ended.returncode == 0, ended
    agent.home.define("workflows", practice.workflows(platforms.urls["cre"]))
    agent.good("reload")
    assert agent.run("token", "workflows").returncode == 4


def test_check(agent: Agent, platforms: Platforms) -> None:
    """`tool check` names file, key, what was found, what is allowed and the nearest; exit 78."""
    good = agent.home.path / "good.toml"
    good.write_text(practice.workflows(platforms.urls["cre"]).replace('workflows"', 'good"', 1))
    assert agent.run("tool", "check", str(good)).returncode == 0
    bad = agent.home.path / "bad.toml"
    bad.write_text(good.read_text().replace("[login.browser]", "[logn.browser]"))
    refused = agent.run("tool", "check", str(bad))
    assert refused.returncode == 78, refused
    assert "bad.toml" in refused.stderr
    assert "logn" in refused.stderr
    assert "login" in refused.stderr


def test_origin_added_later(agent: Agent, platforms: Platforms) -> None:
    """A login is never sent to an origin that its definition did not list when it was issued."""
    url = platforms.urls["cre"]
    elsewhere = platforms.urls["encore"]
    agent.good("login", "workflows")
    moved = practice.workflows(url).replace(f"{url}/oauth/token", f"{elsewhere}/oauth/token")
    moved = moved.replace(f'origins = ["{url}"]', f'origins = ["{url}", "{elsewhere}"]')
    agent.home.define("workflows", moved)
    agent.restart()
    before = platforms.counters()["platforms"]["encore"]
    refused = agent.run("token", "workflows")
    assert refused.returncode not in {0, 4}, refused
    assert elsewhere in refused.stderr
    assert platforms.counters()["platforms"]["encore"] == before
    agent.home.define("workflows", practice.workflows(url))
    agent.good("reload")
    assert platforms.userinfo(agent.token("workflows")) == 200


def test_removed_login(agent: Agent) -> None:
    """A definition without the login that was used: an error about the definition, login kept."""
    agent.good("login", "workflows")
    file = agent.home.config / "tools.d" / "workflows.toml"
    text = file.read_text()
    agent.home.define("workflows", text.replace("[login.browser]", "[login.other]"))
    agent.restart()
    refused = agent.run("token", "workflows")
    assert refused.returncode == 78, refused
    agent.home.define("workflows", text)
    agent.good("reload")
    agent.token("workflows")
