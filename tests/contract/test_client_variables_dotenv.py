"""A project's `.env`: how it is read, whose it is, and how one line is written into it."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.fake_agent import gated, reply
from tests.contract.typed import Typist, typist
from tests.house.test_client_imports import loaded
from tool_agent import dotenv, shell
from tool_agent.errors import ToolAgentError
from tool_agent.variables import fingerprint

ENTRY = "LIB_KEY; before=session; header=x-api-key%3A%20%7B%7D; dotenv=LIB_NO_DOTENV"
ROUTE = "/v1/tools/lib/token"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Typist]:
    """Somebody in a project's folder, with an agent that has a session of the tool `lib`."""
    with typist(tmp_path) as someone:
        someone.agent.on("GET", ROUTE, gated(ENTRY, reply("session's\n")))
        yield someone


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("K=v", "v"),
        ("K=v\r\n", "v"),
        ("\ufeffK=v", "v"),
        ("  K = v  ", "v"),
        ("export K=v", "v"),
        ("export\tK='v'", "v"),
        ("K=a=b==", "a=b=="),
        ("K=a#b", "a#b"),
        ("K=a #b", "a"),
        ("K=a\t# b", "a"),
        ("K= # b", ""),
        ("K=", ""),
        ("K='a # b' # c", "a # b"),
        ("K='a\\nb'", "a\\nb"),
        ('K="a\\nb\\t\\"c\\" \\\\ \\x"', 'a\nb\t"c" \\ \\x'),
        ("K=`it's`", "it's"),
        ('K="a\nb=c\n#d"\nL=x', "a\nb=c\n#d"),
        ("K='a\r\nb'", "a\nb"),
        ("K='never closed", "'never closed"),
        ("K=1\nL=x\nK=2", "2"),
        ("L='\nK=inside\n'\n", None),
        ("# K=v", None),
        ("K v", None),
        ("KK=v", None),
        ("=v", None),
        ("two words K=v", None),
        ("", None),
    ],
)
def test_the_format(text: str, value: str | None) -> None:
    """Quotes, comments, line endings, several lines; the last one of a name counts."""
    assert dotenv.parse(text).get("K") == value


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    """A value means the same in the file and in the environment."""
    path = tmp_path / ".env"
    path.write_bytes(b"K=a\xff\xe9b\n")
    assert os.fsencode(dotenv.read(str(path))["K"]) == b"a\xff\xe9b"


def test_a_value_in_the_project_counts_as_the_persons(person: Typist) -> None:
    """It is printed, with its source, and it is sent nowhere."""
    (person.home / ".env").write_text("OTHER=x\nexport LIB_KEY='from the file' # mine\n")
    assert person.type("token", "lib").stdout == "from the file\n"
    assert person.type("token", "lib", "--format", "header").stdout == "x-api-key: from the file\n"
    shown = json.loads(person.type("token", "lib", "--format", "json").stdout)
    assert (shown["source"], shown["env"]) == ("dotenv", {"LIB_KEY": "from the file"})
    assert "from the file" not in repr(person.agent.requests)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "file"),
        ({"LIB_KEY": "environment"}, "environment"),
        ({"LIB_KEY": ""}, "session's"),
        ({"LIB_NO_DOTENV": "1"}, "session's"),
        ({"LIB_NO_DOTENV": "0"}, "file"),
        ({"LIB_NO_DOTENV": ""}, "file"),
        ({"LIB_NO_DOTENV": "1", "LIB_KEY": "environment"}, "environment"),
        ({"LIB_KEY": "agent's", "TOOL_AGENT_SET_LIB_KEY": fingerprint("agent's")}, "file"),
        ({"LIB_KEY": "changed", "TOOL_AGENT_SET_LIB_KEY": fingerprint("agent's")}, "changed"),
    ],
)
def test_the_environment_comes_before_the_file(
    person: Typist, environ: dict[str, str], expected: str
) -> None:
    """Set there, even to nothing, the file is not looked into; what the agent exported is not."""
    (person.home / ".env").write_text("LIB_KEY=file\n")
    assert person.type("token", "lib", **environ).stdout == expected + "\n"


def test_a_tool_that_reads_no_file_is_not_given_one(person: Typist) -> None:
    """Without the parameter of the entry the file says nothing."""
    (person.home / ".env").write_text("LIB_KEY=file\n")
    person.agent.on("GET", ROUTE, gated("LIB_KEY; before=session", reply("session's\n")))
    assert person.type("token", "lib").stdout == "session's\n"


def test_the_root_of_the_repository_counts_too(tmp_path: Path) -> None:
    """The folder's own file first, then that of the repository's root; none between or above."""
    (tmp_path / ".env").write_text("K=above\n")
    root = tmp_path / "project"
    deep = root / "a" / "b"
    deep.mkdir(parents=True)
    (root / "a" / ".env").write_text("K=between\n")
    assert dotenv.project_files(str(deep)) == [str(deep / ".env")]
    (root / ".git").mkdir()
    assert dotenv.project_files(str(deep)) == [str(deep / ".env"), str(root / ".env")]
    assert dotenv.project_files(str(root)) == [str(root / ".env")]


def test_the_nearest_file_that_sets_it_counts(person: Typist) -> None:
    """A file that sets other variables hides none of the root's."""
    (person.home / ".git").mkdir()
    (person.home / ".env").write_text("LIB_KEY=root\n")
    (person.home / "deep").mkdir()
    with person.start("token", "lib", cwd=person.home / "deep") as process:
        assert process.communicate()[0] == b"root\n"
    (person.home / "deep" / ".env").write_text("OTHER=x\n")
    with person.start("token", "lib", cwd=person.home / "deep") as process:
        assert process.communicate()[0] == b"root\n"
    (person.home / "deep" / ".env").write_text("LIB_KEY=deep\n")
    with person.start("token", "lib", cwd=person.home / "deep") as process:
        assert process.communicate()[0] == b"deep\n"


@pytest.mark.parametrize("kind", ["folder", "pipe", "large", "loop"])
def test_a_file_that_cannot_be_read_is_a_note(person: Typist, kind: str) -> None:
    """What is wrong is said, the session answers, and nothing waits for a pipe's writer."""
    path = person.home / ".env"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"LIB_KEY=secret\n" + b"#" * dotenv.SIZE_MAX)
    else:
        path.symlink_to(path)
    done = person.type("token", "lib")
    assert (done.stdout, done.returncode) == ("session's\n", 0)
    assert done.stderr.startswith(f"tool-agent: {path} was not read: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
    assert person.type("token", "lib", "--quiet").stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_in_a_shared_folder_is_not_read(tmp_path: Path) -> None:
    """Somebody else's key would make the person work in somebody else's account."""
    path = tmp_path / ".env"
    path.write_text("K=theirs\n")
    os.chown(path, 12345, -1)
    with pytest.raises(ToolAgentError, match="another user's"):
        dotenv.read(str(path))
    os.chown(tmp_path, 12345, -1)
    assert dotenv.read(str(path)) == {"K": "theirs"}, "the whole project is that user's"


def test_env_marks_what_the_file_holds(person: Typist) -> None:
    """Exported by the agent, it is not the person's own in another folder, where no file has it."""
    asks = gated(ENTRY + "; tool=lib", b"")
    text = reply("A='b'; export A;\n")
    person.agent.on("GET", "/v1/env", lambda each: asks(each) if each.last("tool") else text)
    (person.home / ".env").write_text("LIB_KEY=file\n")
    done = person.type("env", "lib", "-s")
    mark = shell.export("TOOL_AGENT_SET_LIB_KEY", fingerprint("file"), "sh")
    assert done.stdout.endswith("LIB_KEY='file'; export LIB_KEY;\n" + mark)
    assert "TOOL_AGENT_SET_LIB_KEY" not in person.type("env", "lib", "-s", LIB_KEY="own").stdout
    elsewhere = {"LIB_KEY": "file", "TOOL_AGENT_SET_LIB_KEY": fingerprint("file")}
    (person.home / ".env").unlink()
    assert person.type("token", "lib", **elsewhere).stdout == "session's\n"


def test_exec_gives_nothing_extra(person: Typist) -> None:
    """The command reads its own file."""
    person.agent.on("POST", "/v1/tools/lib/deliveries", gated(ENTRY, b""))
    (person.home / ".env").write_text("LIB_KEY=file\n")
    done = person.type("exec", "lib", "--", "/usr/bin/env")
    assert done.returncode == 0
    assert "LIB_KEY" not in done.stdout


def test_whoami_says_which_file_it_was(person: Typist) -> None:
    """The value goes into the one request, and the person learns where it comes from."""
    path = "/v1/tools/lib/identity"
    person.agent.on("GET", path, gated(ENTRY, reply("alice\n")))
    person.agent.on("POST", path, reply("the key's owner\n"))
    (person.home / ".env").write_text("LIB_KEY=file\n")
    done = person.type("whoami", "lib")
    assert done.stdout == "the key's owner\n"
    assert done.stderr == f"tool-agent: LIB_KEY is the one in {person.home / '.env'}\n"
    (request,) = person.agent.asked("POST", path)
    assert request.json == {"credential": {"variable": "LIB_KEY", "value": "file"}}


def test_reading_it_imports_next_to_nothing(
    person: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the way of every prompt and hook."""
    (person.home / ".env").write_text("LIB_KEY=file\n")
    monkeypatch.chdir(person.home)
    status, modules = loaded(person.agent, ["token", "lib"], {})
    outside = {name for name in modules if name.partition(".")[0] != "tool_agent"}
    assert (status, outside) == (0, {"_socket", "errno"})
    assert "tool_agent.dotenv" in modules


# -- writing -----------------------------------------------------------------------------------


def test_a_new_file_is_the_persons_alone(tmp_path: Path) -> None:
    """0600 whatever the umask, and one line."""
    path = tmp_path / ".env"
    before = os.umask(0)
    try:
        told = dotenv.write(str(path), "K", "v1")
    finally:
        os.umask(before)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"K=v1\n", 0o600)
    assert told == f"K is in {path}"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"A=1\n", b"A=1\nK=new\n"),
        (b"A=1", b"A=1\nK=new\n"),
        (b"A=1\r\n", b"A=1\r\nK=new\r\n"),
        (b"A=1\r\nK=old\r\nB=2\r\n", b"A=1\r\nK=new\r\nB=2\r\n"),
        (b"# K=x\nA='\nK=inside\n'\nK=old # mine\nB=2", b"# K=x\nA='\nK=inside\n'\nK=new\nB=2"),
        (b"  export K='ab'\n\n\nB=2\n", b"  export K=new\n\n\nB=2\n"),
        (b"K=1\nB=\xff\xfe\nK=2\n", b"K=new\nB=\xff\xfe\nK=new\n"),
        (b"\xef\xbb\xbfK=1\n", b"\xef\xbb\xbfK=new\n"),
        (b"KK=1\n", b"KK=1\nK=new\n"),
        (b"K=", b"K=new"),
    ],
)
def test_everything_else_stays_byte_for_byte(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Line endings, comments, bytes that are no text."""
    path = tmp_path / ".env"
    path.write_bytes(before)
    path.chmod(0o640)
    told = dotenv.write(str(path), "K", "new")
    assert path.read_bytes() == after
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "other users can read" in told
    assert dotenv.read(str(path))["K"] == "new"


@pytest.mark.parametrize("value", ["a/b+c==", "a b", "a#b", "a $HOME `x`", 'a"b', "é", "~x", ""])
def test_what_is_written_is_read_again(tmp_path: Path, value: str) -> None:
    """Here, and by a shell that sources the file."""
    path = tmp_path / ".env"
    dotenv.write(str(path), "K", value)
    assert dotenv.read(str(path)) == {"K": value}
    script = f'. "{path}"; printf %s "$K"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == value


@pytest.mark.parametrize("value", ["a\nb", "it's", "a\0b"])
def test_a_value_that_readers_disagree_on_is_refused(tmp_path: Path, value: str) -> None:
    """The file stays as it was, and the text does not show the value."""
    path = tmp_path / ".env"
    path.write_text("K=1\n")
    with pytest.raises(ToolAgentError) as caught:
        dotenv.write(str(path), "K", value)
    assert path.read_text() == "K=1\n"
    assert value not in caught.value.detail + caught.value.hint


def test_a_quote_that_is_not_closed_costs_no_other_line(tmp_path: Path) -> None:
    """The value that is there runs on to the next quote: nothing is changed, and it is said."""
    path = tmp_path / ".env"
    path.write_text('K="abc\nDB="x"\nTHIRD=1\n')
    with pytest.raises(ToolAgentError, match="several lines"):
        dotenv.write(str(path), "K", "new")
    assert path.read_text() == 'K="abc\nDB="x"\nTHIRD=1\n'


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    """A link to a file of one's own is a way to share it."""
    real = tmp_path / "shared"
    real.write_text("A=1\n")
    path = tmp_path / ".env"
    path.symlink_to("shared")
    dotenv.write(str(path), "K", "v")
    assert path.is_symlink()
    assert real.read_text() == "A=1\nK=v\n"


@pytest.mark.parametrize("kind", ["folder", "pipe", "hard link", "large", "nowhere"])
def test_what_is_no_plain_file_is_not_written(tmp_path: Path, kind: str) -> None:
    """Each with its reason, and nothing is left behind."""
    path = tmp_path / ".env"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "hard link":
        path.write_text("A=1\n")
        os.link(path, tmp_path / "other")
    elif kind == "large":
        path.write_bytes(b"#" * (dotenv.SIZE_MAX + 1))
    else:
        path = tmp_path / "no" / ".env"
    there = sorted(tmp_path.iterdir())
    with pytest.raises(ToolAgentError, match="was not changed") as caught:
        dotenv.write(str(path), "K", "sesame")
    assert "sesame" not in caught.value.detail
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_not_written(tmp_path: Path) -> None:
    """Who owns it could read the key."""
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    os.chown(path, 12345, -1)
    with pytest.raises(ToolAgentError, match="another user's"):
        dotenv.write(str(path), "K", "v")
    assert path.read_text() == "A=1\n"


def test_git_would_take_it_along(tmp_path: Path) -> None:
    """A warning where the file is not ignored, or is tracked; none where it is ignored."""
    path = tmp_path / ".env"

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    git("init")
    assert "not ignored by git" in dotenv.write(str(path), "K", "v")
    (tmp_path / ".gitignore").write_text(".env\n")
    assert "git" not in dotenv.write(str(path), "K", "v").removeprefix(f"K is in {path}")
    git("add", "--force", ".env")
    assert "tracked by git" in dotenv.write(str(path), "K", "v")
