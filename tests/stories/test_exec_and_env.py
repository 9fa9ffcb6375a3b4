"""Stories of what reaches a command and a shell: variables, exit statuses, nothing else."""

import signal
import subprocess
import sys

import pytest

from tests.canary import Canary
from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.presence import requires

pytestmark = pytest.mark.fixed_port

IN_SHELLS = {
    "dash": 'eval "$(tool-agent env workflows -s)"; echo $WORKFLOWS_TOKEN',
    "sh": "eval $(tool-agent env workflows -s); echo $WORKFLOWS_TOKEN",
    "bash": 'eval "$(tool-agent env workflows -s)"; echo $WORKFLOWS_TOKEN',
    "zsh": "eval $(tool-agent env workflows -s); echo $WORKFLOWS_TOKEN",
    "fish": "tool-agent env workflows --shell fish | source; echo $WORKFLOWS_TOKEN",
    "csh": "eval `tool-agent env workflows -c`; echo $WORKFLOWS_TOKEN",
}


@pytest.fixture(scope="module")
def shares_agent() -> bool:
    """One agent serves every story here."""
    return True


def test_shells(agent: Agent) -> None:
    """Every shell that evaluates what `env` prints for it has the token in its variable."""
    requires(*IN_SHELLS)
    agent.good("login", "workflows")
    token = agent.token("workflows")
    for shell, script in IN_SHELLS.items():
        done = agent.shell(script, shell=shell)
        assert (done.returncode, done.stdout, done.stderr) == (0, token + "\n", ""), shell


def test_not_signed_in(agent: Agent, platforms: Platforms) -> None:
    """Without a session nothing is printed, nobody is asked and no browser opens: exit 4."""
    for words in (("token", "workflows"), ("env", "workflows"), ("whoami", "workflows")):
        refused = agent.run(*words)
        assert (refused.returncode, refused.stdout) == (4, ""), words
        assert "hint: run 'tool-agent login workflows'" in refused.stderr
    refused = agent.run("exec", "workflows", "--", "touch", str(agent.home.path / "ran"))
    assert refused.returncode == 125
    assert not (agent.home.path / "ran").exists()
    assert agent.shell('eval "$(tool-agent env workflows -s)"; echo "[$?]"').stdout == "[0]\n"
    assert platforms.counters()["authorize_requests"] == 0


def test_all_or_nothing(agent: Agent, platforms: Platforms) -> None:
    """`env` for two tools of which one is not signed in prints nothing at all."""
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    refused = agent.run("env", "nrepo", "workflows")
    assert (refused.returncode, refused.stdout) == (4, "")


def test_exit_statuses(agent: Agent, platforms: Platforms) -> None:
    """The command's exit status is passed on; not found is 127, not executable is 126."""
    key = platforms.accounts["nrepo"]["api_key"]
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    assert agent.run("exec", "nrepo", "--", "sh", "-c", "exit 7").returncode == 7
    assert agent.run("exec", "nrepo", "--", "no-such-command-here").returncode == 127
    assert agent.run("exec", "nrepo", "--", str(agent.home.path)).returncode == 126
    killed = agent.run("exec", "nrepo", "--", "sh", "-c", "kill -TERM $$")
    assert killed.returncode == -signal.SIGTERM
    assert agent.run("exec", "nrepo", "--", "cat", text="stdin goes through").stdout == (
        "stdin goes through"
    )
    assert agent.run("exec", "nrepo").returncode == 125


def test_handed_to_the_command_alone(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """While the command runs, its environment and its tool's own file have the value alone."""
    key = platforms.accounts["nrepo"]["api_key"]
    canary.watch(key, "the key")
    agent.good("login", "nrepo", "--api-key", text=key + "\n")
    with agent.terminal("exec", "nrepo", "--", "sh", "-c", "echo ready; read line") as terminal:
        terminal.expect("ready")
        pid = terminal.process.pid
        leaks = canary.scan(home=agent.home.path)
        assert {leak.place.split(" ")[0] for leak in leaks} == {
            f"/proc/{pid}/environ",
            "~/home/.config/neuralrepo/config.json",
        }, leaks
        terminal.type("\n")
        assert terminal.wait() == 0


def test_planted_leak_is_found(agent: Agent, platforms: Platforms, canary: Canary) -> None:
    """What a story's scan would find: a token in a file of the home, and in a command line."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    planted = agent.home.path / "home" / "notes.txt"
    planted.write_text(f"my token is {token}\n")
    assert {leak.place for leak in canary.scan(home=agent.home.path)} == {"~/home/notes.txt"}
    planted.unlink()
    with subprocess.Popen(
        ["sh", "-c", "echo; read line", token], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as told:
        assert told.stdout is not None
        told.stdout.readline()  # the kernel shows a command line once its program runs
        places = [leak.place for leak in canary.scan()]
        told.communicate()
    assert f"/proc/{told.pid}/cmdline (sh)" in places
    assert canary.scan(home=agent.home.path) == []
    platforms.watch(canary)
    assert canary.scan(home=agent.home.path) == []


def test_python(agent: Agent, platforms: Platforms) -> None:
    """The Python API gives the token that the command gives."""
    agent.good("login", "workflows")
    script = (
        "import tool_agent\n"
        "print(tool_agent.token('workflows'))\n"
        "print(tool_agent.headers('workflows')['Authorization'])\n"
        "try:\n    tool_agent.token('cre')\n"
        "except tool_agent.LoginRequiredError as error:\n    print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=agent.environ(),
        check=True,
    )
    token = agent.token("workflows")
    first, second, third = done.stdout.splitlines()
    assert token in first
    assert second == f"Bearer {token}"
    assert third == "run 'tool-agent login cre'"
