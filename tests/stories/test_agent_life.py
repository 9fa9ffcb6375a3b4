"""Stories of the agent itself: started by hand or by any command, stopped, killed, one a socket."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.real.agent import Agent, AgentOptions
from tests.real.home import BIN, Home

STARTS = 8
"""Each of them starts an agent, of which all but one end: twenty take a small machine 5 s."""


@pytest.fixture
def stopped(home: Home, furnished: None, watched: None) -> Iterator[Agent]:
    """An agent that does not run yet."""
    agent = Agent(home, AgentOptions(store="memory"))
    yield agent
    agent.kill()


def test_any_command_starts_it(stopped: Agent) -> None:
    """Where no agent runs, any command that needs one starts it; the next one finds it."""
    assert stopped.home.agent_pid() is None
    assert stopped.run("token", "cre").returncode == 4
    pid = stopped.home.agent_pid()
    assert pid is not None
    assert json.loads(stopped.good("status", "--json"))["pid"] == pid
    assert "cre" in stopped.good("tool", "list")
    assert stopped.home.agent_pid() == pid


def test_status_and_stop_do_not(stopped: Agent) -> None:
    """`status`, `stop` and --no-start never start one: 69, 0 and 69."""
    assert stopped.run("status").returncode == 69
    shown = stopped.run("status", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["state"]) == (69, "stopped")
    assert stopped.run("stop").returncode == 0
    refused = stopped.run("token", "cre", "--no-start")
    assert refused.returncode == 69
    assert "hint: run 'tool-agent start'" in refused.stderr
    assert stopped.run("env", "-k", "-s").returncode == 0
    assert stopped.home.agent_pid() is None


def test_start_and_stop(stopped: Agent) -> None:
    """`start` starts, twice is no error, `stop` ends it and takes the socket away."""
    stopped.good("start")
    pid = stopped.home.agent_pid()
    assert pid is not None
    again = stopped.run("start")
    assert (again.returncode, again.stdout) == (0, "")
    assert stopped.home.agent_pid() == pid
    descriptor = os.pidfd_open(pid)
    try:
        assert stopped.run("stop").returncode == 0
        assert stopped.home.agent_pid() is None
        await_end(descriptor)
    finally:
        os.close(descriptor)
    assert not stopped.home.socket.exists()


def test_stop_and_start_at_once(stopped: Agent) -> None:
    """Whoever comes after `stop` has answered gets a new agent, not the one that is ending."""
    stopped.good("start")
    first = stopped.home.agent_pid()
    done = stopped.shell("tool-agent stop --quiet && tool-agent start --quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert stopped.home.agent_pid() not in {first, None}
    stopped.good("status")


def await_end(descriptor: int) -> None:
    """Wait until the process behind a pidfd has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(30_000), "the agent did not end"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(stopped: Agent, number: int) -> None:
    """SIGTERM and SIGINT end it in order: status 0, no socket, no traceback, nothing in stderr."""
    stopped.start()
    stopped.good("status")
    assert stopped.stop(number) == 0
    assert not stopped.home.socket.exists()
    assert (stopped.home.path / "agent.stderr").read_text() == ""
    assert "Traceback" not in stopped.home.log.read_text()


def test_stop_while_clients_wait(stopped: Agent) -> None:
    """A client in a long poll does not hold the end up, and hears something."""
    stopped.start()
    with stopped.terminal("login", "workflows", environ={"BROWSER": None}) as terminal:
        terminal.expect("paste the address")
        assert stopped.run("stop").returncode == 0
        assert stopped.ended() == 0
        assert terminal.wait() not in {0, 130}
        assert "Traceback" not in terminal.shown


def test_second_agent(stopped: Agent) -> None:
    """A second agent on the same socket says that there is one, and leaves it alone."""
    stopped.start()
    second = subprocess.run(
        [str(BIN / "tool-agentd"), "run"],
        env=stopped.environ(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "another agent serves" in second.stderr
    assert "Traceback" not in second.stderr
    assert stopped.home.agent_pid() == stopped.pid
    stopped.good("status")


def test_many_starts_at_once(stopped: Agent) -> None:
    """Many commands at once start one agent, and all are answered by it."""
    crowd = [stopped.begin("tool", "list") for _ in range(STARTS)]
    told = [process.communicate() for process in crowd]
    assert {process.returncode for process in crowd} == {0}, told
    serving = stopped.home.agent_pid()
    assert stopped.home.log.read_text().count("serving ") == 1
    assert json.loads(stopped.good("status", "--json"))["pid"] == serving


def test_stale_socket(stopped: Agent) -> None:
    """The socket of an agent that was killed is replaced."""
    stopped.start()
    stopped.kill()
    assert stopped.home.socket.exists()
    stopped.start()
    stopped.good("status")


def test_foreign_listener(stopped: Agent) -> None:
    """A socket at which somebody else answers is not taken away from them."""
    stopped.home.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(stopped.home.socket))
        other.listen()
        second = subprocess.run(
            [str(BIN / "tool-agentd"), "run"],
            env=stopped.environ(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert second.returncode == 1
    assert "another agent serves" in second.stderr


def test_socket_and_folder_modes(stopped: Agent) -> None:
    """The socket is 0600 in a folder of 0700, whatever the umask; so is what rests on the disk."""
    old = os.umask(0)
    try:
        stopped.start()
    finally:
        os.umask(old)
    home = stopped.home
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o700
    for file in home.state.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_loose_folder(stopped: Agent) -> None:
    """A folder that others may write to is refused by name, with the command that helps."""
    stopped.home.socket.parent.mkdir()
    stopped.home.socket.parent.chmod(0o777)
    refused = stopped.run("start")
    assert refused.returncode == 78, refused
    assert f"hint: run 'chmod 700 {stopped.home.socket.parent}'" in refused.stderr


def test_long_socket_path(stopped: Agent) -> None:
    """A path that the kernel cannot hold is refused with its length, by agent and client alike."""
    path = str(stopped.home.path / ("x" * 120) / "agent.sock")
    environ = {"TOOL_AGENT_SOCK": path}
    refused = stopped.run("token", "cre", environ=environ)
    assert refused.returncode == 78, refused
    assert "107" in refused.stderr
    assert "hint: set TOOL_AGENT_SOCK to a shorter path" in refused.stderr
    agent = subprocess.run(
        [str(BIN / "tool-agentd"), "run"],
        env=stopped.environ(environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert agent.returncode == 78
    assert "107" in agent.stderr


def test_broken_config(stopped: Agent) -> None:
    """A config.toml with a mistake stops the start, names the mistake, and no traceback is seen."""
    stopped.home.configure('[store]\nkind = "keychian"\n')
    refused = stopped.run("token", "cre")
    assert refused.returncode == 78, refused
    assert "config.toml" in refused.stderr
    assert "keychian" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_env_in_a_shell(stopped: Agent) -> None:
    """`eval "$(tool-agent env)"` starts the agent and exports its socket and pid; -k takes them."""
    script = (
        'eval "$(tool-agent env -s)"; echo "$TOOL_AGENT_SOCK $TOOL_AGENT_PID";'
        ' eval $(tool-agent env -k -s); echo "[$TOOL_AGENT_SOCK$TOOL_AGENT_PID]"'
    )
    done = stopped.shell(script)
    first, second = done.stdout.splitlines()
    path, pid = first.split()
    assert path == str(stopped.home.socket)
    assert pid.isdecimal()
    assert second == "[]"
    assert stopped.home.agent_pid() is None


def test_reload(stopped: Agent) -> None:
    """`reload` and SIGHUP read the definitions again, and say what is wrong."""
    stopped.start()
    stopped.home.define("broken", "schema = 1\nname = 7\n")
    said = stopped.run("reload")
    assert said.returncode == 0
    assert "broken.toml" in said.stderr
    stopped.process.send_signal(signal.SIGHUP)
    assert "workflows" in stopped.good("tool", "list")
