"""The pages about containers and SSH: their commands, run as they stand there.

The tool is a practice tool. `docker run` is played by a mount and a pid namespace of its own, and
the other machine is an sshd of this one.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.real.agent import Agent
from tests.real.home import BIN, Home
from tests.real.loopback import answers, free_on_both
from tests.real.presence import requires
from tests.real.waiting import until

DOCKER = """#!/bin/sh
# docker run --rm -v SOURCE:TARGET -e NAME=VALUE IMAGE COMMAND...: in namespaces of its own
set -eu
test "$1 $2 $3" = "run --rm -v"; volume=$4; test "$5" = -e; variable=$6; test "$7" = image; shift 7
mkdir -p "$PLACE"
exec env "$variable" unshare --mount --pid --fork --mount-proc sh -c '
  mount --bind "$0" "$PLACE"; export TOOL_AGENT_SOCK="$PLACE/agent.sock"; exec "$@"
' "${volume%:*}" "$@"
"""
"""The target of the mount is $PLACE instead, so that nothing is made below /run."""


def commands(page: str) -> list[str]:
    """Return the commands of a page, with the practice tool in the place of `cre`."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\bcre\b(?!\.sock|/agent)", "workflows", line) for line in lines]


def script(home: Home, name: str, text: str) -> None:
    """Put a program in front of PATH."""
    folder = home.path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o700)
    home.environ["PATH"] = f"{folder}{os.pathsep}{home.environ['PATH']}"


@pytest.fixture
def container(home: Home) -> None:
    """Have a `docker run`."""
    requires("root", "unshare")
    home.environ["PLACE"] = str(home.path / "inside")
    script(home, "docker", DOCKER)


@pytest.mark.usefixtures("container")
def test_containers(agent: Agent, home: Home) -> None:
    """Every command of the page about containers does what it says there."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    make, run, make_uid, folder, make_path, show, revoke = commands("dev-containers.md")
    done = agent.shell(f"{make}\n{run}")
    assert (done.returncode, done.stdout.strip()) == (0, token), done
    done = agent.shell(f"{make_uid}\n{folder}\n{make_path}\n{show}\n{revoke}\n{show}")
    assert done.returncode == 0, done
    before, _, after = done.stdout.partition("Revoked the socket")
    assert f"{home.path}/run/cre/agent.sock" in before
    assert "uid 65534, foreign" in after
    assert f"{home.path}/run/cre/agent.sock" not in after.partition("\n")[2]


@pytest.mark.usefixtures("container")
def test_containers_get_nothing_else(agent: Agent, home: Home) -> None:
    """Without --foreign, and on the agent's own socket, a container is denied, and told how."""
    agent.good("login", "workflows")
    make, run, *_ = commands("dev-containers.md")
    done = agent.shell(f"{make.replace('--foreign', '')}\n{run}")
    assert (done.returncode, done.stdout) == (77, "")
    assert "namespace" in done.stderr
    own = agent.shell(f"sock={home.socket}\n{run}")
    assert (own.returncode, own.stdout) == (77, "")
    assert "foreign = true" in own.stderr
    assert "socket create --foreign" in own.stderr


@pytest.fixture
def build_machine(home: Home) -> Iterator[None]:
    """Have an sshd, and an `ssh` that finds it as build.example."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    requires("root", sshd, "ssh", "ssh-keygen", "curl")
    place = home.path / "ssh"
    place.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True
        )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
    port = free_on_both()
    (place / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {place}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {place}/user.pub\nStrictModes no\nPermitRootLogin yes\n"
        f"StreamLocalBindUnlink yes\nSetEnv PATH={BIN}:/usr/bin:/bin\n"
    )
    (place / "config").write_text(
        f"Host build.example\n  HostName 127.0.0.1\n  Port {port}\n  User root\n"
        f"  IdentityFile {place}/user\n  StrictHostKeyChecking no\n"
        f"  UserKnownHostsFile {place}/known\n  ExitOnForwardFailure yes\n  LogLevel ERROR\n"
    )
    real = shutil.which("ssh")
    script(home, "ssh", f'#!/bin/sh\nexec {real} -F {place}/config "$@"\n')
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(place / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: answers(port) or process.poll() is not None, "sshd listens")
        assert process.poll() is None, (place / "log").read_text()
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("build_machine")
def test_over_ssh(agent: Agent, home: Home) -> None:
    """Every command of the page about SSH does what it says there, over a real sshd."""
    agent.good("login", "workflows")
    token = agent.token("workflows")
    make, by_client, by_curl = (
        line.replace("/tmp/cre.sock", str(home.path / "there.sock"))  # noqa: S108 - the page's
        for line in commands("ssh.md")
    )
    done = agent.shell(f"{make}\n{by_client}\n{by_curl}")
    assert (done.returncode, done.stdout.split()) == (0, [token, token]), done
    elsewhere = by_client.replace("token workflows", "status")
    refused = agent.shell(f"{make}\n{elsewhere}")
    assert (refused.returncode, refused.stdout) == (77, "")
