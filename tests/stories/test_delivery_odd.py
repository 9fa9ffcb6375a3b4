"""Stories of a command that does odd things with the directory, or the file, that it was given."""

from pathlib import Path

import pytest

from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories.test_delivery import MOVED, reads_a_file

pytestmark = pytest.mark.fixed_port


@pytest.fixture
def config(home: Home, platforms: Platforms, furnished: None) -> Path:
    """Where the tool's configuration is; a variable moves it."""
    home.define("workflows", reads_a_file(platforms, MOVED))
    return Path(home.environ.get("XDG_CONFIG_HOME") or home.path / "home/.config")


def test_a_link_in_the_place_of_the_directory(config: Path, agent: Agent, tmp_path: Path) -> None:
    """What it points at is as it was, and nothing is left to see to."""
    agent.good("login", "workflows")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo").write_text("p")
    (precious / "workflows").mkdir()
    (precious / "workflows/auth.json").write_text("mine")
    before = sorted(config.rglob("*"))
    swap = f'rm -rf "$XDG_CONFIG_HOME" && ln -s {precious} "$XDG_CONFIG_HOME" && echo swapped'
    done = agent.run("exec", "workflows", "--", "sh", "-c", swap)
    assert (done.returncode, done.stdout) == (0, "swapped\n")
    until(lambda: not list(agent.home.path.rglob("exec/*")), "the link is unlinked")
    assert (precious / "photo").read_text() == "p"
    assert (precious / "workflows/auth.json").read_text() == "mine"
    assert sorted(config.rglob("*")) == before


def test_an_override_between_the_login_and_the_command(
    config: Path, agent: Agent, home: Home, platforms: Platforms
) -> None:
    """The login is not delivered beside the address of another place."""
    text = reads_a_file(platforms, MOVED).replace('left = "', 'api = "{api}"\nleft = "')
    text += f'\n[vars]\napi = {{ default = "{platforms.urls["cre"]}", env = "WORKFLOWS_URL" }}\n'
    home.define("workflows", text)
    agent.stop()
    agent.start()
    agent.good("login", "workflows")
    show = ("exec", "workflows", "--", "sh", "-c", 'cat "$XDG_CONFIG_HOME/workflows/auth.json"')
    assert platforms.urls["cre"] in agent.good(*show)
    agent.stop()
    agent.start(environ={"WORKFLOWS_URL": "http://127.0.0.1:45999"})
    refused = agent.run(*show)
    assert (refused.returncode, refused.stdout) == (125, "")
    assert "http://127.0.0.1:45999" in refused.stderr
    assert "tool-agent login workflows" in refused.stderr
    assert not config.joinpath("workflows").exists()
