"""What a hot command imports: nothing that costs more than the exchange with the agent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.fake_agent import CRE, FakeAgent, Request, gated, reply
from tests.house.tree import CLIENT
from tool_agent.variables import fingerprint

ALLOWED = {"_blake2", "_socket", "errno"}
"""The only modules outside our own package, beyond what the bare interpreter has loaded."""

SCRIPT = """
import os, sys  # what `site` loads in every interpreter
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from tool_agent.__main__ import main
status = main(sys.argv[2:])
sys.stderr.write("LOADED " + " ".join(sorted(set(sys.modules) - before)))
sys.exit(status)
"""

OWN = {"CRE_API_KEY": "own-key"}
MARKED = OWN | {"TOOL_AGENT_SET_CRE_API_KEY": fingerprint("own-key")}


def exports(request: Request) -> bytes:
    """Answer `env`: only a request about a tool is about the variable of one."""
    text = reply("A='b'; export A;\n")
    return gated(CRE + "; tool=cre", text)(request) if request.last("tool") else text


def loaded(agent: FakeAgent, words: list[str], environ: dict[str, str]) -> tuple[int, set[str]]:
    """Run a command in a fresh interpreter; return its status and the modules that it loaded."""
    done = subprocess.run(
        # -I and -S: no module of the environment's, so none of them hides one of ours
        [sys.executable, "-I", "-S", "-c", SCRIPT, str(CLIENT.parent), *words],
        env={"PATH": os.defpath, "HOME": os.sep, "TOOL_AGENT_SOCK": str(agent.path)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    _, marker, modules = done.stderr.rpartition("LOADED ")
    assert marker, done.stderr
    return done.returncode, set(modules.split())


@pytest.mark.parametrize("environ", [{}, OWN, MARKED], ids=["agent", "own", "marked"])
@pytest.mark.parametrize(
    "words",
    [
        ["token", "cre"],
        ["token", "cre", "--account", "a", "--min-ttl=60s", "--scope", "s", "--audience", "a"],
        ["token", "cre", "--format", "header"],
        ["token", "cre", "--format", "curl", "--no-start", "--quiet"],
        ["env"],
        ["env", "cre", "-s"],
        ["env", "cre", "-c"],
        ["env", "cre", "--shell", "fish"],
        ["env", "--shims"],
        ["env", "-k"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_a_hot_command_imports_next_to_nothing(
    words: list[str], environ: dict[str, str], tmp_path: Path
) -> None:
    """No click, argparse, json, re, socket, typing: our own modules and three builtins."""
    with FakeAgent(tmp_path / "a.sock") as agent:
        agent.on("GET", "/v1/tools/cre/token", gated(CRE, reply("token\n")))
        agent.on("GET", "/v1/env", exports)
        agent.on("POST", "/v1/agent/stop", reply())
        status, modules = loaded(agent, words, environ)
    outside = {name for name in modules if name.partition(".")[0] != "tool_agent"}
    assert (status, outside - ALLOWED) == (0, set())
    assert not {name for name in modules if name.startswith("tool_agent.commands")}


def test_an_error_of_a_hot_command_imports_next_to_nothing(tmp_path: Path) -> None:
    """A prompt that asks for a login it has not got stays fast."""
    with FakeAgent(tmp_path / "a.sock") as agent:
        agent.on("GET", "/v1/tools/cre/token", reply(code=4, stderr="no session\n", status=401))
        status, modules = loaded(agent, ["token", "cre"], {})
    assert status == 4
    assert {name for name in modules if not name.startswith("tool_agent")} <= ALLOWED


def test_the_guard_sees_a_module_that_is_too_much(tmp_path: Path) -> None:
    """A command that is not hot is caught by the guard above."""
    with FakeAgent(tmp_path / "a.sock") as agent:
        agent.on("GET", "/v1/tools/cre/token", reply("x"))
        _, modules = loaded(agent, ["token", "cre", "--format", "json"], {})
        assert "json" not in modules
        agent.on("GET", "/v1/tools/cre/token", gated(CRE, reply("x")))
        _, modules = loaded(agent, ["token", "cre", "--format", "json"], OWN)
    assert "json" in modules


def test_importing_the_package_is_nearly_free() -> None:
    """`import tool_agent` loads nothing; the first use of a name does."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import tool_agent; print(sorted(set(sys.modules) - before))\n"
        "tool_agent.NoAgentError; print('json' in sys.modules)\n"
        "tool_agent.token; print('json' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(CLIENT.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["['tool_agent']", "False", "True"]
