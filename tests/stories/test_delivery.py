"""Stories of a tool that reads only a file of its own: given to it, put back, and moved out of it.

The tool is a shell that prints its file: what it prints is what any tool would have read.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.canary import Canary
from tests.real.agent import Agent
from tests.real.home import Home
from tests.real.platforms import Platforms
from tests.real.waiting import until
from tests.stories import practice

pytestmark = pytest.mark.fixed_port

IN_PLACE = """
[file.session]
credential = "session"
path = "~/.workflows/auth.json"
in_place = true
min_ttl = "10s"
"""

MOVED = """
[file.session]
credential = "session"
path = "{config}/workflows/auth.json"
directory_env = "XDG_CONFIG_HOME"
"""

CONTENT = """
[file.session.content]
token = "{access_token}"
left = "{expires_in}"
refresh = ""

[file.session.read]
refresh_token = "refresh"
access_token = "token"
"""

READ = "cat ~/.workflows/auth.json"
HELD = "cat ~/.workflows/auth.json; echo; echo here; read line"


def reads_a_file(platforms: Platforms, where: str) -> str:
    """Return a definition whose session is carried by no variable."""
    text = practice.workflows(platforms.urls["cre"])
    return text.replace('[env]\nWORKFLOWS_TOKEN = "session"\n', where + CONTENT)


@pytest.fixture
def file(home: Home, platforms: Platforms, furnished: None) -> Path:
    """Where the tool looks; it is defined before the agent starts."""
    home.define("workflows", reads_a_file(platforms, IN_PLACE))
    return home.path / "home/.workflows/auth.json"


def stand(file: Path, text: str) -> None:
    """Let the tool have written its file itself."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def test_a_tool_reads_its_file(file: Path, agent: Agent, platforms: Platforms) -> None:
    """The token in it is the agent's, the platform takes it, and then nothing is left."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    shown = agent.run("exec", "workflows", "--", "sh", "-c", READ)
    assert (shown.returncode, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert (found["token"], found["refresh"]) == (token, "")
    assert 0 < found["left"] <= 3600
    assert platforms.userinfo(token) == 200
    until(lambda: not file.parent.exists(), "the file is taken away")


def test_two_commands_and_what_was_there_before(file: Path, agent: Agent) -> None:
    """Both read it; what the person had is back once the second has ended."""
    agent.good("login", "workflows")
    stand(file, '{"mine": true}')
    with (
        agent.terminal("exec", "workflows", "--", "sh", "-c", HELD) as first,
        agent.terminal("exec", "workflows", "--", "sh", "-c", HELD) as second,
    ):
        first.expect("here")
        second.expect("here")
        first.type("\n")
        assert first.wait() == 0
        assert "token" in json.loads(file.read_text())
        second.type("\n")
        assert second.wait() == 0
    until(lambda: file.read_text() == '{"mine": true}', "the file is put back")
    assert [path.name for path in file.parent.iterdir()] == ["auth.json"]


@pytest.mark.parametrize("lives", [True, False])
def test_kill_9_and_the_next_start(file: Path, agent: Agent, *, lives: bool) -> None:
    """A command that lives on keeps its file; without one it is put back at once."""
    agent.good("login", "workflows")
    stand(file, '{"mine": true}')
    with agent.terminal("exec", "workflows", "--", "sh", "-c", HELD) as command:
        command.expect("here")
        agent.kill()
        if not lives:
            os.kill(command.process.pid, signal.SIGKILL)
            command.process.wait()
        agent.start()
        if lives:
            agent.good("status")
            assert "token" in json.loads(file.read_text())
            command.type("\n")
            assert command.wait() == 0
    until(lambda: file.read_text() == '{"mine": true}', "the file is put back")


def test_what_lives_too_short_is_refused_before_the_start(
    file: Path, agent: Agent, home: Home, platforms: Platforms
) -> None:
    """Status 125, the command does not run, and no file is written."""
    agent.good("login", "workflows")
    refused = agent.run(
        *("exec", "workflows", "--min-ttl", "9d", "--", "touch", str(home.path / "ran"))
    )
    assert refused.returncode == 125
    assert "less than the 777600 s" in refused.stderr
    assert not (home.path / "ran").exists()
    assert not file.parent.exists()


def test_a_private_directory(
    home: Home, platforms: Platforms, furnished: None, agent: Agent, canary: Canary
) -> None:
    """The variable names it, other programs' configuration is in it, and it goes with the command.

    What the command adds to its configuration is where it meant it.
    """
    home.define("workflows", reads_a_file(platforms, MOVED))
    agent.good("reload")
    agent.good("login", "workflows")
    config = home.path / "config"
    (config / "other").write_text("settings")
    script = (
        'cat "$XDG_CONFIG_HOME/other"; echo; echo "$XDG_CONFIG_HOME";'
        ' cat "$XDG_CONFIG_HOME/workflows/auth.json"; echo; echo h >"$XDG_CONFIG_HOME/history"'
    )
    shown = agent.run("exec", "workflows", "--", "sh", "-c", script)
    assert shown.returncode == 0, shown.stderr
    settings, private, *rest = shown.stdout.splitlines()
    assert settings == "settings"
    assert private.startswith(str(home.path / "run/tool-agent/exec/"))
    assert json.loads("".join(rest))["token"] == agent.token("workflows")
    until(lambda: not Path(private).exists(), "the private directory is taken away")
    assert (config / "history").read_text() == "h\n"
    assert not (config / "workflows").exists()


def test_a_logout_takes_the_file_away(file: Path, agent: Agent) -> None:
    """From a command that still runs."""
    agent.good("login", "workflows")
    with agent.terminal("exec", "workflows", "--", "sh", "-c", HELD) as command:
        command.expect("here")
        agent.good("logout", "workflows")
        assert not file.exists()
        command.type("\n")
        assert command.wait() == 0


def test_a_login_moves_out_of_the_tools_file(
    file: Path, agent: Agent, platforms: Platforms
) -> None:
    """Persisted, renewed once, erased; what stood in the file is worth nothing any more."""
    others = set(platforms.refresh_tokens())
    agent.good("login", "workflows")
    (theirs,) = set(platforms.refresh_tokens()) - others
    agent.good("logout", "workflows", "--forget")
    stand(file, json.dumps({"refresh": theirs, "token": "old"}))

    refused = agent.run("import", "workflows", "--keep")
    assert refused.returncode == 2
    assert "--keep is for API keys" in refused.stderr
    planned = agent.good("import", "workflows", "--dry-run")
    assert planned == (
        f"Would import the login of Workflows in {file} as the account 'default'"
        " and erase the file."
    )
    assert file.exists()

    before = platforms.counters()
    done = agent.good("import", "workflows")
    assert "Imported the login of Workflows" in done
    assert "The file is erased" in done
    assert not file.exists()
    assert platforms.userinfo(agent.token("workflows")) == 200
    after = platforms.counters()
    assert (after["refreshes"] - before["refreshes"], after["replays"]) == (1, before["replays"])

    stand(file, json.dumps({"refresh": "another"}))
    refused = agent.run("import", "workflows")
    assert refused.returncode == 1
    assert "signed in already" in refused.stderr
    assert "--account NAME" in refused.stderr
    file.unlink()


def test_the_key_of_neuralrepo(agent: Agent, home: Home, platforms: Platforms) -> None:
    """The tool reads its configuration file alone; the method is named as the pages name it.

    A key that the tool has stored itself is moved, or stays where its person wants it kept.
    """
    account = platforms.accounts["nrepo"]
    file = home.path / "home/.config/neuralrepo/config.json"
    agent.good("login", "nrepo", "--api-key", text=account["api_key"] + "\n")
    shown = agent.run("exec", "nrepo", "--", "sh", "-c", "cat ~/.config/neuralrepo/config.json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["api_url"] == platforms.env["NREPO_API_URL"]
    assert (found["api_key"], found["auth_method"]) == (account["api_key"], "api_key")
    assert found["user_id"].startswith("usr_")
    until(lambda: not file.exists(), "the file is taken away")
    agent.good("logout", "nrepo")

    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    stand(file, json.dumps({**found, "auth_method": "browser"}))
    assert "The file is kept." in agent.good("import", "nrepo", "--keep")
    agent.good("logout", "nrepo")
    assert f"as {account['email']}" in agent.good("import", "nrepo")
    assert not file.exists()
    assert agent.token("nrepo") == account["api_key"]


def test_a_file_for_another_platform(agent: Agent, home: Home) -> None:
    """A key that was issued elsewhere is not sent to the platform of the definition."""
    file = home.path / "home/.config/neuralrepo/config.json"
    file.parent.mkdir(parents=True, mode=0o700)
    stand(file, json.dumps({"api_url": "https://staging.example/v1", "api_key": "nrp_" + "0" * 64}))
    refused = agent.run("import", "nrepo")
    assert refused.returncode == 2
    assert "https://staging.example/v1, which is no origin of nrepo" in refused.stderr
    assert file.exists()


def test_the_session_of_encore(agent: Agent, home: Home, platforms: Platforms) -> None:
    """The session in the shape of the tool's own file, in the directory that its variable names."""
    account = platforms.accounts["encore"]
    agent.good("login", "encore", "--auth-key", "-", text=account["auth_key"] + "\n")
    script = 'cat "$ENCORE_CONFIG_DIR/.auth_token"; ls ~/.config 2>&1; echo "$XDG_CONFIG_HOME"'
    shown = agent.run("exec", "encore", "--", "sh", "-c", script)
    assert shown.returncode == 0, shown.stderr
    text, _, _ = shown.stdout.partition("}")
    found = json.loads(text + "}")
    assert found["access_token"] == agent.token("encore")
    assert found["refresh_token"] == ""
    assert found["expiry"].endswith("Z")
    assert found["app_slug"]
    assert not (home.path / "config/encore").exists()


def test_the_session_of_cre_and_its_tenant(agent: Agent, home: Home, platforms: Platforms) -> None:
    """Both files of the tool's, side by side in their place, and gone with the command."""
    agent.good("login", "cre")
    folder = home.path / "home/.cre"
    script = "stat -c %a ~/.cre ~/.cre/*; cat ~/.cre/cre.yaml; echo ---; cat ~/.cre/context.yaml"
    shown = agent.run("exec", "cre", "--", "sh", "-c", script)
    assert (shown.returncode, shown.stderr) == (0, "")
    modes, _, rest = shown.stdout.partition("AccessToken: ")
    assert modes.split() == ["700", "600", "600"]
    session, _, context = rest.partition("---")
    token, _, others = session.partition("\n")
    assert token == agent.token("cre")
    assert "RefreshToken: ''" in others
    assert "tenant_id:" in context
    until(lambda: not folder.exists(), "both files are taken away")


def test_a_key_of_cre_and_its_tenant(agent: Agent, home: Home, platforms: Platforms) -> None:
    """The key goes by variable; the tenant context is fetched anew and stands in its place."""
    agent.good("login", "cre", "--api-key", text=platforms.accounts["cre"]["api_key"] + "\n")
    folder = home.path / "home/.cre"
    script = 'echo "$CRE_API_KEY"; stat -c %a ~/.cre/*; cat ~/.cre/*'
    for _ in range(2):
        shown = agent.run("exec", "cre", "--", "sh", "-c", script)
        assert (shown.returncode, shown.stderr) == (0, "")
        key, mode, *rest = shown.stdout.splitlines()
        assert (key, mode) == (platforms.accounts["cre"]["api_key"], "600")
        assert any("tenant_id:" in line for line in rest)
        until(lambda: not folder.exists(), "the context is taken away")


def test_a_login_of_cre_says_where_it_belongs(
    agent: Agent, home: Home, platforms: Platforms
) -> None:
    """Its file names no place; its access token does, and an override gets no other's login."""
    others = set(platforms.refresh_tokens())
    agent.good("login", "cre")
    token = agent.token("cre")
    (theirs,) = set(platforms.refresh_tokens()) - others
    agent.good("logout", "cre", "--forget")
    file = home.path / "home/.cre/cre.yaml"
    stand(file, f"RefreshToken: {theirs}\nAccessToken: not.a.token\n")
    refused = agent.run("import", "cre")
    assert refused.returncode == 2
    assert "does not say where its login was issued" in refused.stderr
    assert f"--origin {platforms.urls['cre']}" in refused.stderr
    assert file.exists()
    stand(file, f"RefreshToken: {theirs}\nAccessToken: {token}\n")
    assert "The file is erased" in agent.good("import", "cre")


def test_a_login_of_encore_whose_place_the_person_says(
    agent: Agent, home: Home, platforms: Platforms
) -> None:
    """Its tokens say nothing: without the person's word it is not sent to an override."""
    file = home.path / "config/encore/.auth_token"
    file.parent.mkdir(mode=0o700)
    file.write_text(json.dumps({"refresh_token": "enr_made_up", "access_token": "opaque"}))
    file.chmod(0o600)
    refused = agent.run("import", "encore")
    assert refused.returncode == 2
    assert "its login is not sent there" in refused.stderr
    origin = platforms.env["ENCORE_PLATFORM_API_URL"]
    elsewhere = agent.run("import", "encore", "--origin", "https://other.example")
    assert "which is no origin of encore" in elsewhere.stderr
    planned = agent.good("import", "encore", "--origin", origin, "--dry-run")
    assert "Would import the login of Encore" in planned
    assert file.exists()
