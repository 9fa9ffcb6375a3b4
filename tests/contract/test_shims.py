"""Shims: the tools' own commands on PATH, their auth words for the agent, others for the tool."""

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.fake_agent import document, problem, reply
from tests.contract.typed import PROGRAM, Typist, typist
from tests.real.agent import Agent, Done, Home
from tests.real.platforms import Platforms
from tests.real.presence import requires

pytestmark = pytest.mark.fixed_port

REAL = """#!/bin/sh
echo "real $(basename "$0"): $*"
echo "key: ${NEURALREPO_API_KEY:+there} ${CRE_API_KEY:+there}"
[ "$1" = cat ] && cat
[ "$1" = fail ] && exit 42
[ "$1" = hang ] && { echo ready; exec sleep 60; }
exit 0
"""
"""A tool that says what it was given, but for the secrets."""

EVAL = 'eval "$(tool-agent env --shims)"; '


@pytest.fixture
def tools(home: Home) -> Path:
    """A folder with the real programs, on PATH."""
    folder = home.path / "tools"
    folder.mkdir()
    for name in ("nrepo", "cre"):
        (folder / name).write_text(REAL)
        (folder / name).chmod(0o755)
    home.environ["PATH"] = f"{folder}:{home.environ['PATH']}"
    return folder


@pytest.fixture
def folder(home: Home) -> Path:
    """Where shims are."""
    return home.path / "data" / "tool-agent" / "shims"


@pytest.fixture
def nrepo(agent: Agent, tools: Path) -> Agent:
    """An agent with a shim for nrepo, and the real program behind it."""
    assert tools.is_dir()
    agent.good("shim", "install", "nrepo")
    return agent


def typed(agent: Agent, script: str, **environ: str) -> Done:
    """Type a line in a shell that has evaluated `env --shims`."""
    return agent.shell(EVAL + script, environ=environ)


def test_the_commands_of_the_page_run_as_they_stand(nrepo: Agent, platforms: Platforms) -> None:
    """`nrepo login --api-key <<< "$KEY"; nrepo push ...`: login here, push by the real tool."""
    account = platforms.accounts["nrepo"]
    done = nrepo.shell(  # noqa: S604 - the name of a shell, no switch
        EVAL
        + 'nrepo login --api-key <<< "$KEY"\n'
        + 'nrepo push "Automated idea" --body "From CI pipeline"\n'
        + "nrepo whoami --human",
        environ={"KEY": account["api_key"]},
        shell="bash",
    )
    login, real, variable, *who = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert login == f"Logged in as {account['email']}"
    assert real == "real nrepo: push Automated idea --body From CI pipeline"
    assert variable.split() == ["key:", "there"]
    assert account["email"] in "".join(who)


def test_the_real_tool_passes_everything_on(nrepo: Agent) -> None:
    """stdin, the exit status, and options that look like ours; with nobody signed in, too."""
    done = typed(nrepo, "printf 'a\\nb\\n' | nrepo cat --json --account x; nrepo fail; echo $?")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        *("real nrepo: cat --json --account x", "key:  ", "a", "b"),
        *("real nrepo: fail", "key:  ", "42"),
    ]


def test_a_signal_reaches_the_real_tool(nrepo: Agent, folder: Path) -> None:
    """The shim becomes the real tool: whoever ends the one ends the other."""
    with subprocess.Popen(
        [folder / "nrepo", "hang"], stdout=subprocess.PIPE, env=nrepo.environ(), text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)][-1] == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


def test_without_a_real_tool_it_is_not_found(nrepo: Agent, tools: Path) -> None:
    """127, and what to do; the auth words work all the same."""
    (tools / "nrepo").unlink()
    done = typed(nrepo, "nrepo push idea")
    assert (done.stdout, done.returncode) == ("", 127)
    assert "nrepo: not found on PATH" in done.stderr
    assert typed(nrepo, "nrepo whoami").stderr.startswith("Not logged in.")


def test_a_shim_never_runs_itself(nrepo: Agent, tools: Path, folder: Path) -> None:
    """Neither by a second link to us, nor by a second way to its folder."""
    (tools / "nrepo").unlink()
    (tools / "nrepo").symlink_to((folder / "nrepo").readlink())
    other = tools.parent / "other"
    other.symlink_to(folder)
    path = f"{other}:{folder}/.:{tools}:{nrepo.environ()['PATH']}"
    done = nrepo.shell("nrepo push", environ={"PATH": path})
    assert done.returncode == 127, done


def test_auth_words_have_the_tools_exit_statuses(nrepo: Agent) -> None:
    """As through `as`: one and the same answer."""
    done = typed(nrepo, "nrepo whoami --json")
    assert done.returncode == 1
    assert json.loads(done.stderr)["code"] == "auth_required"
    assert typed(nrepo, "nrepo login --wrong").returncode == 1
    assert typed(nrepo, "nrepo login --help").stdout.startswith("usage: nrepo login")


def test_the_persons_variable_works_through_a_shim(
    agent: Agent, tools: Path, platforms: Platforms
) -> None:
    """`export CRE_API_KEY=...; cre whoami`, and the real tool gets the person's own value."""
    assert tools.is_dir()
    agent.good("shim", "install", "cre")
    key = platforms.accounts["cre"]["api_key"]
    done = typed(agent, "cre whoami && cre workflow deploy", CRE_API_KEY=key)
    assert done.returncode == 0, done
    assert done.stdout.startswith("Account details retrieved:\n\n")
    assert done.stdout.endswith("real cre: workflow deploy\nkey:  there\n")


# -- installing ------------------------------------------------------------------------------------


def test_a_shim_is_a_link_in_a_folder_of_ours(nrepo: Agent, folder: Path) -> None:
    """0700; installing again changes nothing; list and remove say what there is."""
    link = folder / "nrepo"
    assert link.is_symlink()
    assert link.readlink().name == "tool-agent"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    again = nrepo.run("shim", "install", "nrepo")
    assert (again.stdout, again.returncode) == (f"{link}\n", 0)
    assert "nrepo was there already" in again.stderr
    assert "tool-agent env --shims" in again.stderr
    listed = json.loads(nrepo.good("shim", "list", "--json"))
    (only,) = listed["shims"]
    assert (only["command"], only["path"]) == ("nrepo", str(link))
    assert only["program"].endswith("/tools/nrepo")
    assert nrepo.good("shim", "list").split() == ["nrepo", only["program"]]
    assert nrepo.run("shim", "remove", "nrepo").stderr == "nrepo is removed\n"
    assert not link.exists()
    assert nrepo.run("shim", "remove", "nrepo").stderr == "there is no shim nrepo\n"
    assert nrepo.good("shim", "list") == ""


def test_a_link_to_an_older_place_is_put_right(nrepo: Agent, folder: Path) -> None:
    """After an upgrade that moved us, installing again is enough."""
    link = folder / "nrepo"
    link.unlink()
    link.symlink_to("/nowhere/bin/tool-agent")
    nrepo.good("shim", "install", "nrepo")
    assert link.exists()


def test_a_file_of_somebody_elses_is_left_as_it_is(nrepo: Agent, folder: Path) -> None:
    """Neither overwritten nor removed."""
    (folder / "nrepo").unlink()
    (folder / "nrepo").write_text("#!/bin/sh\n")
    for word in ("install", "remove"):
        done = nrepo.run("shim", word, "nrepo")
        assert done.returncode == 1
        assert "no shim of ours" in done.stderr
    assert (folder / "nrepo").read_text() == "#!/bin/sh\n"
    (folder / "nrepo").unlink()
    (folder / "nrepo").symlink_to("/bin/ls")
    assert nrepo.run("shim", "install", "nrepo").returncode == 1


@pytest.mark.parametrize("words", [("shim", "install", "nrepo"), ("env", "--shims")])
def test_a_folder_that_others_can_write_is_refused(
    agent: Agent, folder: Path, words: tuple[str, ...]
) -> None:
    """Whoever can write there decides what the person's commands run."""
    folder.mkdir(parents=True)
    folder.chmod(0o770)
    done = agent.run(*words)
    assert done.returncode == 78
    assert done.stdout == ""
    assert f"others can write to {folder}" in done.stderr


def test_a_folder_that_is_a_link_is_refused(agent: Agent, folder: Path) -> None:
    """It is our own folder or none."""
    folder.parent.mkdir(parents=True, mode=0o700)
    folder.symlink_to(agent.home.path)
    done = agent.run("shim", "install", "nrepo")
    assert done.returncode == 78
    assert "is no folder" in done.stderr


def test_a_tool_without_words_has_no_shim(agent: Agent) -> None:
    """The definition says what the tool's command is called; without that there is none."""
    agent.home.define(
        "plain",
        'schema = 1\nname = "plain"\ntitle = "Plain"\norigins = ["https://x.example"]\n'
        '[[credential]]\nid = "key"\nsource = { env = ["PLAIN_KEY"] }\n',
    )
    agent.good("reload")
    done = agent.run("shim", "install", "plain")
    assert done.returncode == 78
    assert "no commands of the tool's own" in done.stderr
    refused = agent.run("as", "plain", "login")
    assert refused.returncode == 1
    assert "no commands of the tool's own" in refused.stderr


def test_a_shim_of_a_tool_that_is_gone_says_so(nrepo: Agent, folder: Path) -> None:
    """And it can be removed by its command's name."""
    (folder / "nrepo").rename(folder / "ghost")
    done = typed(nrepo, "ghost push")
    assert done.returncode == 1
    assert "no tool has a command called 'ghost'" in done.stderr
    assert nrepo.run("shim", "remove", "ghost").stderr == "ghost is removed\n"


# -- PATH ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shell"),
    [
        ('eval "$(tool-agent env --shims)"', "dash"),
        ("eval $(tool-agent env --shims)", "dash"),
        ('eval "$(tool-agent env --shims)"', "bash"),
        ("eval $(tool-agent env --shims)", "bash"),
        ('eval "$(tool-agent env --shims)"', "zsh"),
        ("eval $(tool-agent env --shims)", "zsh"),
        ("tool-agent env --shims --shell fish | source", "fish"),
        ("eval `tool-agent env --shims -c`", "tcsh"),
    ],
)
def test_every_shell_finds_the_shims_first(
    nrepo: Agent, folder: Path, line: str, shell: str
) -> None:
    """Quoted or not; a second time changes nothing, and the rest of PATH stays."""
    requires(shell)
    script = f"{line}\n{line}\nexec /usr/bin/env"
    done = nrepo.shell(script, shell=shell)
    (path,) = [row for row in done.stdout.splitlines() if row.startswith("PATH=")]
    assert path == f"PATH={folder}:{nrepo.environ()['PATH']}", done


def test_a_path_with_blanks_and_signs_survives(agent: Agent, home: Home) -> None:
    """The folder is quoted as every other value."""
    odd = home.path / "my data $HOME * ' x"
    done = agent.shell(
        'eval $(tool-agent env --shims); echo "$PATH"', environ={"XDG_DATA_HOME": str(odd)}
    )
    assert done.stdout.startswith(f"{odd}/tool-agent/shims:"), done


def test_json_and_github_have_the_folder_too(nrepo: Agent, folder: Path, home: Home) -> None:
    """A script gets PATH as a value; GitHub's runner a line in its own file."""
    told = json.loads(nrepo.good("env", "--shims", "--json"))
    assert told["env"]["PATH"] == f"{folder}:{nrepo.environ()['PATH']}"
    files = {name: str(home.path / name) for name in ("GITHUB_ENV", "GITHUB_PATH")}
    nrepo.good("env", "--shims", "--shell", "github", environ=files)
    assert Path(files["GITHUB_PATH"]).read_text() == f"{folder}\n"
    assert "PATH" not in Path(files["GITHUB_ENV"]).read_text().replace("GITHUB_PATH", "")


# -- exchanges -------------------------------------------------------------------------------------


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody with a shim `acme` of the tool `acme-cli`, a real program, and a fake agent."""
    with typist(tmp_path) as someone:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "acme").write_text('#!/bin/sh\necho "real $ACME_KEY $*"\n')
        (tmp_path / "bin" / "acme").chmod(0o755)
        (tmp_path / "acme").symlink_to(PROGRAM)
        someone.environ["PATH"] = f"{tmp_path / 'bin'}:{someone.environ['PATH']}"
        known = {"schema": 1, "tool": "acme-cli", "words": ["auth", "login"]}
        someone.agent.on("GET", "/v1/commands/acme", document(known))
        yield someone


def called(person: Typist, *words: str) -> Done:
    """Call the shim."""
    return subprocess.run(
        [person.home / "acme", *words],
        env=person.environ,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=30,
    )


def test_a_word_of_the_agents_costs_two_exchanges(person: Typist) -> None:
    """Whose command it is, and the words; both on one connection."""
    person.agent.on("POST", "/v1/tools/acme-cli/as", reply("said\n", 3, "remark\n"))
    done = called(person, "auth", "--x", "-h")
    assert (done.stdout, done.stderr, done.returncode) == ("said\n", "remark\n", 3)
    assert person.agent.requests[-1].json == {"words": ["auth", "--x", "-h"]}
    assert (len(person.agent.requests), person.agent.connections) == (2, 1)


def test_a_word_of_the_tools_costs_two(person: Typist) -> None:
    """Whose command it is, and what the tool gets; then the tool runs in the shim's place."""
    given = {"schema": 1, "env": {"ACME_KEY": "k"}, "variables": ["ACME_KEY"], "notes": []}
    person.agent.on("POST", "/v1/tools/acme-cli/deliveries", document(given))
    done = called(person, "push", "--", "a b")
    assert (done.stdout, done.stderr, done.returncode) == ("real k push -- a b\n", "", 0)
    assert (len(person.agent.requests), person.agent.connections) == (2, 1)


def test_words_that_are_no_text_or_too_long_for_the_agent(person: Typist) -> None:
    """They are the real tool's, and go to it as they are."""
    given = {"schema": 1, "env": {}, "variables": [], "notes": []}
    person.agent.on("POST", "/v1/tools/acme-cli/deliveries", document(given))
    done = called(person, "push", "caf\udce9.txt", *(["x" * 1000] * 300))
    assert done.returncode == 0
    assert done.stdout.startswith("real  push ")
    assert len(done.stdout) > 300_000


def test_a_program_that_leads_back_to_its_shim_is_no_circle(person: Typist) -> None:
    """A wrapper that only calls the shim again is named, and nothing runs for ever."""
    real = Path(person.environ["PATH"].partition(":")[0], "acme")
    real.write_text(f'#!/bin/sh\nexec {person.home / "acme"} "$@"\n')
    given = {"schema": 1, "env": {}, "variables": [], "notes": []}
    person.agent.on("POST", "/v1/tools/acme-cli/deliveries", document(given))
    done = called(person, "push")
    assert (done.stdout, done.returncode) == ("", 78)
    assert "leads back to the shim" in done.stderr


def test_a_tool_that_cannot_be_given_its_credential_does_not_run(person: Typist) -> None:
    """Only that nobody is signed in is left to the tool to say."""
    person.agent.on("POST", "/v1/tools/acme-cli/deliveries", problem("denied", "no"))
    done = called(person, "push")
    assert (done.stdout, done.stderr, done.returncode) == ("", "tool-agent: no\n", 125)
    person.agent.on("POST", "/v1/tools/acme-cli/deliveries", problem("login_required", "log in"))
    assert called(person, "push").stdout == "real  push\n"


@pytest.mark.parametrize("printed", [{}, {"human": {"stdout": 1}}, {"human": None}])
def test_a_login_without_its_words_is_a_bad_reply(person: Typist, printed: object) -> None:
    """What the agent does not say, the client does not make up."""
    view = {"id": "l1", "state": "done", "form": "human", "printed": printed}
    person.agent.on("POST", "/v1/tools/acme-cli/as", document(view, 202))
    done = called(person, "login")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "nothing to print" in done.stderr
