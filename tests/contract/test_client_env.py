"""`env` and `exec`: what a shell or a command gets, and from whom."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.contract.fake_agent import Request, document, gated, http, problem, reply
from tests.contract.typed import LIMIT, PROGRAM, Typist, typist
from tests.real.presence import requires
from tool_agent import shell, wire
from tool_agent.variables import fingerprint

ENTRIES = {
    "cre": "CRE_API_KEY; before=session; tool=cre",
    "nrepo": "NREPO_API_KEY; before=session; tool=nrepo",
    "encore": "ENCORE_AUTH_KEY; after=session; tool=encore",
}
VALUE = "t"
BASE = {"TOOL_AGENT_SOCK": "/run/a b.sock", "TOOL_AGENT_PID": "42"}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody who types commands at a fake agent that answers `env`."""
    with typist(tmp_path) as someone:
        someone.agent.on("GET", "/v1/env", environment)
        yield someone


def environment(request: Request) -> bytes:
    """Answer as the agent does: the person's variables first, then each tool's own."""
    tools = [value for name, value in request.query if name == "tool"]
    entries = ", ".join(ENTRIES[tool] for tool in tools)
    before = ", ".join(ENTRIES[tool] for tool in tools if "before" in ENTRIES[tool])
    unset = {name.strip() for name in request.headers["tool-agent-unset"].split(",")}
    if "encore" in tools and "no-login" in (request.last("account") or ""):
        return reply("", 4, "encore: log in\n", status=401, env=entries)
    names = BASE | {f"{tool.upper()}_TOKEN": f"{tool} * token" for tool in tools}
    if request.headers["accept"] == wire.JSON:
        answer = document({"schema": 1, "env": names}, env=entries)
    else:
        syntax = str(request.last("shell"))
        text = "".join(shell.export(name, value, syntax) for name, value in names.items())
        if syntax == shell.GITHUB:
            text = "".join(map(shell.mask, names.values())) + text
        answer = reply(text, env=entries)
    return gated(before, answer)(request) if before and unset else answer


def evaluated(person: Typist, line: str, *command: str, **environ: str) -> dict[str, str]:
    """Return the environment that a real shell has after `line`."""
    requires(command[0])
    done = subprocess.run(
        [*command, "-c", f"{line}\nexec /usr/bin/env -0"],
        env=person.environ | environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"},
        cwd=person.home,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if "=" in pair)


@pytest.mark.parametrize(
    ("line", "command", "login_shell"),
    [
        ('eval "$(tool-agent env cre nrepo)"', ["dash"], "/bin/dash"),
        ("eval $(tool-agent env cre nrepo)", ["dash"], "/bin/dash"),
        ('eval "$(tool-agent env cre nrepo)"', ["bash", "--norc"], "/bin/bash"),
        ("eval $(tool-agent env cre nrepo)", ["bash", "-O", "failglob"], "/bin/bash"),
        ("eval $(tool-agent env cre nrepo)", ["zsh", "-f"], "/bin/zsh"),
        ("tool-agent env cre nrepo | source", ["fish", "--no-config"], "/usr/bin/fish"),
        ("eval (tool-agent env cre nrepo)", ["fish", "--no-config"], "/usr/bin/fish"),
        ("eval `tool-agent env cre nrepo`", ["tcsh", "-f"], "/bin/tcsh"),
        ('eval "`tool-agent env -c cre nrepo`"', ["tcsh", "-f"], "/bin/bash"),
        ("eval $(tool-agent env -s cre nrepo)", ["dash"], "/bin/tcsh"),
    ],
)
def test_a_real_shell_evaluates_what_env_prints(
    person: Typist, line: str, command: list[str], login_shell: str
) -> None:
    """The agent's values and the person's own arrive in the environment as they are."""
    own = 'it\'s * my; "own" $key'
    seen = evaluated(person, line, *command, SHELL=login_shell, NREPO_API_KEY=own)
    assert {name: seen[name] for name in BASE} == BASE
    assert (seen["TOOL_AGENT_PID"], seen["CRE_TOKEN"]) == ("42", "cre * token")
    assert seen["NREPO_API_KEY"] == own
    assert "NREPO_TOKEN" not in seen
    assert "TOOL_AGENT_SET_NREPO_API_KEY" not in seen


def test_env_without_tools_asks_for_the_socket_alone(person: Typist) -> None:
    """The agent's text is printed as it is."""
    done = person.type("env", "--shell", "fish")
    assert done.stdout == "".join(shell.export(n, v, "fish") for n, v in BASE.items())
    assert person.agent.requests[0].query == (("shell", "fish"),)


def test_the_own_values_are_asked_for_no_more(person: Typist) -> None:
    """A tool with a variable of the person's leaves the question; nobody is sent the value."""
    done = person.type("env", "cre", "nrepo", CRE_API_KEY="k1", NREPO_API_KEY="k2")
    assert done.returncode == 0
    assert [r.query for r in person.agent.requests][-1] == (("shell", "sh"),)
    assert "CRE_API_KEY='k1'; export CRE_API_KEY;\n" in done.stdout
    assert "k1" not in repr(person.agent.requests)


def test_a_variable_after_the_session_serves_where_there_is_none(person: Typist) -> None:
    """Its tool gets the person's value, the others are asked for again."""
    account = {"TOOL_AGENT_ACCOUNT": "no-login", "ENCORE_AUTH_KEY": "auth"}
    done = person.type("env", "encore", "cre", **account)
    assert "ENCORE_AUTH_KEY='auth'; export ENCORE_AUTH_KEY;\n" in done.stdout
    assert "CRE_TOKEN=" in done.stdout
    assert "ENCORE_TOKEN" not in done.stdout
    assert "ENCORE_TOKEN=" in person.type("env", "encore", ENCORE_AUTH_KEY="auth").stdout


def test_an_error_prints_nothing_on_stdout(person: Typist) -> None:
    """What one tool lacks is said; a shell that evaluates the output runs nothing."""
    done = person.type("env", "cre", "encore", TOOL_AGENT_ACCOUNT_ENCORE="no-login")
    assert (done.stdout, done.stderr, done.returncode) == ("", "encore: log in\n", 4)


def test_each_account_is_asked_for_its_tools(person: Typist) -> None:
    """Tools whose accounts differ are asked for apart, on one connection."""
    person.type("env", "cre", "encore", "nrepo", TOOL_AGENT_ACCOUNT_CRE="work")
    asked = [
        (r.last("account"), [value for name, value in r.query if name == "tool"])
        for r in person.agent.requests
    ]
    assert asked[-1] == (None, ["encore", "nrepo"])
    assert asked[0] == ("work", ["cre"])
    assert person.agent.connections == 1


def test_a_value_that_the_shell_cannot_hold_is_refused(person: Typist) -> None:
    """The variable is named, its value is not."""
    done = person.type("env", "-c", "cre", CRE_API_KEY="line\nbreak")
    assert (done.stdout, done.returncode) == ("", 78)
    assert done.stderr.startswith("tool-agent: CRE_API_KEY holds a line break")
    assert "break\n" not in done.stderr.replace("line break", "")


def test_env_as_json(person: Typist) -> None:
    """One document, the person's own values included."""
    done = person.type("env", "cre", "nrepo", "--json", NREPO_API_KEY="own")
    assert json.loads(done.stdout) == {
        "schema": 1,
        "env": BASE | {"CRE_TOKEN": "cre * token", "NREPO_API_KEY": "own"},
    }


def test_github_gets_the_masks_on_stdout_and_the_values_in_its_file(person: Typist) -> None:
    """The file is appended to, and every value is masked before it is written."""
    file = person.home / "github_env"
    file.write_text("BEFORE=1\n")
    done = person.type(
        *("env", "cre", "nrepo", "--shell", "github"), GITHUB_ENV=str(file), NREPO_API_KEY="a\nb%"
    )
    values = [*BASE.values(), "cre * token", "a", "b%25"]
    assert done.stdout == "".join(f"::add-mask::{value}\n" for value in values)
    text = file.read_text()
    assert text.startswith("BEFORE=1\nTOOL_AGENT_SOCK<<")
    assert "NREPO_API_KEY<<TOOL_AGENT_END\na\nb%\nTOOL_AGENT_END\n" in text
    assert "::add-mask::" not in text


def test_github_without_its_file(person: Typist) -> None:
    """Outside a workflow nothing is printed, and the hint says what to use."""
    done = person.type("env", "--shell", "github")
    assert (done.stdout, done.returncode) == ("", 78)
    assert "hint: use --shell sh" in done.stderr


def test_env_k_stops_the_agent_and_forgets_what_it_exported(person: Typist) -> None:
    """The person's own variables stay; those with the agent's mark go, and so do the marks."""
    person.agent.on("POST", "/v1/agent/stop", reply("stopped\n", stderr="units: see x\n"))
    marks = {"TOOL_AGENT_SET_CRE_TOKEN": fingerprint(VALUE), "TOOL_AGENT_SET_OLD": "0" * 16}
    seen = evaluated(
        person,
        'eval "$(tool-agent env -k 2>/dev/null)"',
        "dash",
        CRE_TOKEN=VALUE,
        OLD="mine",
        **marks,
    )
    assert {n for n in seen if n.startswith(("TOOL_AGENT", "CRE"))} == set()
    assert seen["OLD"] == "mine"
    assert person.type("env", "-k").stderr == "units: see x\n"
    person.agent.close()
    done = person.type("env", "-k", "-c")
    assert done.stdout == "unsetenv TOOL_AGENT_SOCK;\nunsetenv TOOL_AGENT_PID;\n"
    assert (done.returncode, done.stderr.startswith("tool-agent: no agent runs")) == (0, True)


def test_env_k_that_is_refused_forgets_nothing(person: Typist) -> None:
    """An agent that goes on is not forgotten."""
    person.agent.on("POST", "/v1/agent/stop", reply("", 77, "denied\n", status=403))
    done = person.type("env", "-k")
    assert (done.stdout, done.stderr, done.returncode) == ("", "denied\n", 77)


class TestExec:
    """A command in the client's place."""

    ROUTE = "/v1/tools/cre/deliveries"
    DELIVERY: ClassVar[dict[str, Any]] = {
        "env": {"CRE_TOKEN": "t", "CRE_HOME": "/run/x"},
        "variables": ["CRE_TOKEN"],
        "files": ["/run/x/cre.yaml"],
        "notes": ["look here"],
    }

    @pytest.fixture(autouse=True)
    def _credential(self, person: Typist) -> None:
        """Let the agent have a credential with a variable."""
        answer = document(self.DELIVERY)
        person.agent.on("POST", self.ROUTE, gated(ENTRIES["cre"], answer))

    def test_the_command_gets_variables_and_marks(self, person: Typist) -> None:
        """The value and the mark that says whose it is; and the agent was told what for."""
        done = person.type("exec", "cre", "--min-ttl", "4h", "--", "env", "-0", HOME="/h")
        seen = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
        assert (seen["CRE_TOKEN"], seen["TOOL_AGENT_SET_CRE_TOKEN"]) == ("t", fingerprint(VALUE))
        assert seen["CRE_HOME"] == "/run/x"
        assert "TOOL_AGENT_SET_CRE_HOME" not in seen
        assert done.stderr == "tool-agent: look here\n"
        (*_, request) = person.agent.requests
        assert request.json == {
            "account": None,
            "min_ttl": "4h",
            "directories": request.json["directories"],
        }
        assert request.json["directories"]["HOME"] == "/h"

    def test_a_tool_looks_where_another_one_was_moved_to(self, person: Typist) -> None:
        """The second tool's directories are those that the first one's variables name."""
        moved = {**self.DELIVERY, "env": {"XDG_CONFIG_HOME": "/run/y"}, "variables": []}
        person.agent.on("POST", self.ROUTE, gated(ENTRIES["cre"], document(moved)))
        person.agent.on("POST", "/v1/tools/deploy/deliveries", document(self.DELIVERY))
        person.type("exec", "cre", "deploy", "--", "true")
        (*_, request) = person.agent.requests
        assert request.json["directories"]["XDG_CONFIG_HOME"] == "/run/y"

    def test_without_a_login_nothing_runs(self, person: Typist) -> None:
        """Status 125, as for every failure of `exec` itself."""
        refused = problem("login_required", "no session", env=ENTRIES["cre"])
        person.agent.on("POST", self.ROUTE, gated(ENTRIES["cre"], refused))
        done = person.type("exec", "cre", "--", "echo", "ran")
        assert (done.stdout, done.returncode) == ("", 125)

    def test_the_persons_own_variable_stays(self, person: Typist) -> None:
        """It is inherited as it is, without a mark."""
        done = person.type("exec", "cre", "--", "env", "-0", CRE_API_KEY="own")
        seen = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
        assert seen["CRE_API_KEY"] == "own"
        assert not {"CRE_TOKEN", "TOOL_AGENT_SET_CRE_API_KEY"} & seen.keys()

    def test_words_options_and_status_are_the_commands(self, person: Typist) -> None:
        """Whatever stands after the first `--` is passed on, stdin too."""
        script = 'printf "%s|" "$@"; cat; exit 7'
        done = person.type(
            *("exec", "cre", "--", "sh", "-c", script, "x", "--", "--help", "a b", ""), stdin="in"
        )
        assert (done.stdout, done.returncode) == ("--|--help|a b||in", 7)

    def test_signals_are_the_commands(self, person: Typist) -> None:
        """The command has the client's process id, and dies by its signal."""
        command = ["sh", "-c", "echo $$; exec sleep 60"]
        with person.start("exec", "cre", "--", *command) as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == process.pid
            process.terminate()
            assert process.wait(LIMIT) == -signal.SIGTERM
            process.communicate()

    def test_the_command_dies_by_a_broken_pipe(self, person: Typist) -> None:
        """Python ignores SIGPIPE; the command must not inherit that."""
        done = person.type(*("exec", "cre", "--", "sh", "-c", 'kill -PIPE $$; echo "still there"'))
        assert (done.stdout, done.returncode) == ("", -signal.SIGPIPE)

    def test_no_descriptor_leaks_into_the_command(self, person: Typist) -> None:
        """The connection to the agent stays behind."""
        done = person.type("exec", "cre", "--", "ls", "/proc/self/fd")
        assert done.stdout.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads

    def test_execs_own_failures(self, person: Typist) -> None:
        """125: no credential or no command; 126: not executable; 127: not found."""
        plain = person.home / "plain"
        plain.write_text("#!/bin/sh\n")
        assert not plain.stat().st_mode & stat.S_IXUSR
        status = {
            "missing": person.type("exec", "cre", "--", "no-such-command").returncode,
            "plain": person.type("exec", "cre", "--", str(plain)).returncode,
            "folder": person.type("exec", "cre", "--", str(person.home)).returncode,
            "no command": person.type("exec", "cre").returncode,
            "empty": person.type("exec", "cre", "--").returncode,
            "no tool": person.type("exec", "--", "true").returncode,
        }
        assert status == {
            "missing": 127,
            "plain": 126,
            "folder": 126,
            "no command": 125,
            "empty": 125,
            "no tool": 125,
        }

    def test_without_a_credential_nothing_runs(self, person: Typist) -> None:
        """The agent's reason is said, and the command is not started."""
        person.agent.on("POST", self.ROUTE, problem("login_required", "no session", "log in"))
        done = person.type("exec", "cre", "--", "echo", "ran")
        assert (done.stdout, done.returncode) == ("", 125)
        assert done.stderr == "tool-agent: no session\nhint: log in\n"
        person.agent.on("POST", self.ROUTE, http(200, b"[]", wire.JSON))
        assert person.type("exec", "cre", "--", "echo", "ran").returncode == 125
        person.agent.close()
        assert person.type("exec", "cre", "--no-start", "--", "echo", "ran").returncode == 125
