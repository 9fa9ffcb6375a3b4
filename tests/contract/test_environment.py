"""The agent's environment: what steers an interpreter, a loader or OpenSSL does not reach it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.agent import Agent, AgentOptions
from tests.real.home import BIN, Home
from tool_agentd.adapters.environment import STEERING, cleaned

STAYS = {
    "SSL_CERT_FILE": "/etc/ssl/private-ca.pem",
    "SSL_CERT_DIR": "/etc/ssl/certs",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "HOME": "/home/ada",
    "LANG": "de_CH.UTF-8",
    "TMPDIR": "/tmp/ada",  # noqa: S108 - a value, and no file
    "TOOL_AGENT_SOCK": "/run/user/1000/agent.sock",
    "CREDENTIALS_DIRECTORY": "/run/credentials",
}
GOES = {
    "PYTHONPATH": "elsewhere",
    "PYTHONWARNINGS": "error",
    "PYTHONBREAKPOINT": "evil.hook",
    "PYTHON_KEYRING_BACKEND": "evil.Keyring",
    "KEYRING_PROPERTY_SCHEME": "KeePassXC",
    "LD_LIBRARY_PATH": "/elsewhere",
    "SSLKEYLOGFILE": "/elsewhere/keys",
    "OPENSSL_CONF": "/dev/null",
    "OPENSSL_MODULES": "/elsewhere",
    "GCONV_PATH": "/elsewhere",
    "HOSTALIASES": "/elsewhere/hosts",
    "SQLITE_TMPDIR": "/elsewhere",
}


def test_what_steers_goes_and_the_rest_stays() -> None:
    """Every entry of the list is taken away, a prefix with whatever follows it; the rest is not."""
    listed = {name.replace("*", "ANYTHING"): "x" for name in STEERING}
    assert cleaned({**STAYS, **GOES, **listed}) == STAYS


def test_each_has_a_reason() -> None:
    """Nothing is taken away without a word on why."""
    assert all(len(reason.split()) > 1 for reason in STEERING.values())


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone reads the environment of the agent")
def test_the_agent_runs_isolated_and_without_them(home: Home) -> None:
    """What the running process began with: `-I`, none of the variables, and what is to stay."""
    agent = Agent(home, AgentOptions(store="memory"))
    try:
        agent.start(environ={**GOES, "SSL_CERT_DIR": STAYS["SSL_CERT_DIR"]})
        process = Path("/proc") / str(agent.pid)
        began = process.joinpath("environ").read_bytes().split(b"\0")
        names = {entry.partition(b"=")[0].decode() for entry in began if entry}
        assert names & set(GOES) == set()
        assert {"HOME", "SSL_CERT_DIR"} <= names
        assert process.joinpath("cmdline").read_bytes().split(b"\0")[1] == b"-I"
    finally:
        agent.kill()


def test_a_wrapper_that_sets_one_again_ends(tmp_path: Path) -> None:
    """Where the interpreter brings a variable itself, the agent begins again once, not for ever."""
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f"#!/bin/sh\necho x >>'{tmp_path}/starts'\nexport LD_LIBRARY_PATH=/elsewhere\n"
        f"exec '{sys.executable}' \"$@\"\n"
    )
    wrapper.chmod(0o700)
    code = (
        "import sys; from tool_agentd.adapters.environment import begin_clean\n"
        f"sys.executable = {str(wrapper)!r}\nbegin_clean()\nprint('begun')\n"
    )
    done = subprocess.run([wrapper, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "begun\n"
    assert tmp_path.joinpath("starts").read_text() == "x\n" * 2


@pytest.mark.parametrize("module", ["click", "tool_agentd", "tool_agent", "msgspec", "aiohttp"])
def test_no_module_comes_from_elsewhere(tmp_path: Path, module: str) -> None:
    """Neither PYTHONPATH, the current directory, nor the user's site-packages are imported from."""
    site = tmp_path / f"home/.local/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    for place in (tmp_path, site / "site-packages"):
        place.mkdir(parents=True, exist_ok=True)
        place.joinpath(f"{module}.py").write_text("print('STEERED'); raise SystemExit(99)")
    done = subprocess.run(
        [BIN / "tool-agentd", "check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (
        0,
        "the configuration and every definition are good\n",
    )
