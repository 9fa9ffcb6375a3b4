"""The person's files: who may write config.toml, what a broken one changes, who hears of it."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.real.presence import requires
from tool_agentd.adapters import watch
from tool_agentd.errors import ConfigurationError
from tool_agentd.files import SETTLE, Files, Given, problems
from tool_agentd.policy import Ask

LIMIT_S = 30.0
"""A test fails after this; it never waits for it to pass."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a configuration directory."""
    (tmp_path / ".config/tool-agent/tools.d").mkdir(parents=True, mode=0o700)
    return tmp_path


def config(home: Path, text: str) -> Path:
    """Write config.toml."""
    path = home / ".config/tool-agent/config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def files(home: Path, **environ: str) -> Files:
    """Return the files of this home."""
    return Files({"HOME": str(home), **environ})


def test_without_a_file_the_defaults_hold(home: Path) -> None:
    """Nothing has to be configured."""
    found = files(home)
    found.read()
    assert found.settings.store.kind is None
    assert "cre" in found.catalogue.tools


def test_what_the_file_says_is_in_force(home: Path) -> None:
    """Store, log level, and overrides of a definition's variables."""
    config(home, '[store]\nkind = "vault"\n[vars.cre]\nauth = "https://login.example.com"\n')
    found = files(home)
    found.read()
    assert found.settings.store.kind == "vault"
    assert "https://login.example.com" in found.catalogue.tools["cre"].origins


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[store]\nkind = 'keyring'", "config.toml: store.kind: Invalid enum value 'keyring'"),
        ("[policy.cre]\nconfirm = 'maybe'", "config.toml: policy.cre.confirm: Invalid enum value"),
        ("[session.cre]\nidel = '1h'", "config.toml: session.cre: "),
        ("policy = 1", "config.toml: policy: Expected object"),
        ("[store]\nknd = 'vault'", "unknown field knd"),
        ("[store", "config.toml: "),
        ("[policy.cre]\nallow = []", "policy.cre.allow names no program"),
        ("[policy.cre]\ndeny = ['~/bin/x']", "'~/bin/x' fits no program"),
        ("[policy.cre]\nallow = ['make', ' ']", "' ' fits no program"),
    ],
)
def test_a_broken_file_is_an_error_at_the_start_and_a_problem_later(
    home: Path, text: str, said: str
) -> None:
    """At the start nothing was in force; afterwards what was, stays."""
    found = files(home)
    found.read()
    path = config(home, text)
    with pytest.raises(ConfigurationError) as caught:
        files(home).read()
    assert said in caught.value.detail
    before = found.settings
    found.read_again()
    assert found.settings is before
    assert said in found.catalogue.problems[-1].detail
    assert said in problems({"HOME": str(home)})[-1]
    path.unlink()
    found.read_again()
    assert found.catalogue.problems == ()


@pytest.mark.parametrize("what", ["file", "folder", "pipe"])
def test_a_file_that_others_can_write_decides_nothing(home: Path, what: str) -> None:
    """It says where secrets go, so it is read by the rule of the definitions."""
    path = config(home, "")
    match what:
        case "file":
            path.chmod(0o666)
        case "folder":
            path.parent.chmod(0o777)
        case _:
            path.unlink()
            os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError):
        files(home).read()


def test_a_file_that_others_could_take_away_is_missed(home: Path) -> None:
    """Without it no rule would hold: what was in force stays, and a start is refused."""
    path = config(home, '[policy.cre]\nconfirm = "always"\n')
    found = files(home)
    found.read()
    path.parent.chmod(0o777)
    path.unlink()
    found.read_again()
    assert found.policy.of("cre").confirm == "always"
    assert "writable by others" in found.catalogue.problems[-1].detail
    with pytest.raises(ConfigurationError, match="writable by others"):
        files(home).read()


def test_another_users_file_decides_nothing(home: Path) -> None:
    """Whoever owns it could change it at any time."""
    requires("root")
    os.chown(config(home, ""), 4242, 4242)
    with pytest.raises(ConfigurationError, match="4242"):
        files(home).read()


CLOSED = '[policy.cre]\nconfirm = "always"\n'


@pytest.mark.parametrize(
    "less",
    [None, "", "# nothing\n", "[policy.cre]\n", '[policy.nrepo]\nconfirm = "always"\n'],
    ids=["gone", "empty", "a comment", "cut short", "another"],
)
def test_what_opens_has_to_last(home: Path, less: str | None) -> None:
    """Promise 16: an editor's moment opens nothing; after two seconds, or when asked, it counts."""
    path = config(home, CLOSED)
    found = files(home)
    found.read()
    closed = found.policy

    def write() -> None:
        path.unlink()
        if less is not None:
            config(home, less)

    write()
    found.read_again(100.0)
    found.read_again(100.0 + SETTLE - 0.1)
    assert (found.policy, found.settling) == (closed, True), "still a moment"
    config(home, CLOSED)
    found.read_again(102.0)
    assert (found.policy, found.settling) == (closed, False), "the editor was done"
    write()
    found.read_again(103.0)
    config(home, "[policy")
    found.read_again(104.0)
    write()
    found.read_again(105.5)
    assert found.policy == closed, "it was something else in between"
    found.read_again(105.5 + SETTLE)
    assert found.settling is False
    assert found.policy != closed
    config(home, CLOSED)
    found.read_again()
    assert found.policy == closed
    write()
    found.read_again()
    assert found.policy != closed, "the person has said so"


def test_a_rule_that_is_added_counts_at_once(home: Path) -> None:
    """And a file that said nothing of who may have what changes at once, but for being emptied."""
    path = config(home, level("error"))
    found = files(home)
    found.read()
    config(home, level("debug"))
    found.read_again(1.0)
    assert found.settings.log.level == "debug"
    path.write_text(CLOSED)
    found.read_again(1.1)
    assert found.policy.of("cre").confirm is Ask.ALWAYS
    path.write_text(CLOSED + '[policy."*"]\ndeny = ["curl"]\n')
    found.read_again(1.2)
    assert found.policy.of("nrepo").deny == ("curl",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[policy.cre]\nconfirm = "often"\n', "Invalid enum value 'often'"),
        ('[policy.cre]\nconfrim = "always"\n', "unknown field confrim"),
        ('[policy.cre]\ndeny = "curl"\n', "Expected array, got str"),
        ('[policy.cre]\nmax_scope = " "\n', "policy.cre.max_scope names no scope"),
        ('[policy.cre]\nforeign = "yes"\n', "Expected bool, got str"),
        ('[prompt]\nprogram = "askpass"\n', "prompt.program is no absolute path"),
        ('[prompt]\nprograms = "/bin/true"\n', "unknown field programs"),
    ],
)
def test_a_wrong_rule_changes_nothing(home: Path, text: str, said: str) -> None:
    """Promise 16: the old policy stays, and the problem says which key; none at a start."""
    config(home, CLOSED)
    found = files(home)
    found.read()
    config(home, text)
    found.read_again()
    assert found.policy.of("cre").confirm is Ask.ALWAYS
    assert said in found.catalogue.problems[-1].detail
    with pytest.raises(ConfigurationError):
        files(home).read()


def test_a_rule_about_no_tool_is_a_problem(home: Path) -> None:
    """It may be misspelt; it keeps nothing else from being in force."""
    config(home, CLOSED + '[policy.cer]\nconfirm = "always"\n')
    found = files(home)
    found.read()
    (problem,) = found.catalogue.problems
    assert problem.detail.startswith('config.toml: policy.cer: there is no tool "cer"')
    assert problem.hint == "did you mean 'cre'?"
    assert found.policy.of("cre").confirm is Ask.ALWAYS


def test_credentials_of_the_start_environment_are_known(home: Path) -> None:
    """The person's own, and what an agent exported before; addresses are no credentials."""
    found = files(
        home,
        CRE_API_KEY="mine",
        NEURALREPO_API_KEY="exported",
        TOOL_AGENT_SET_NEURALREPO_API_KEY="mark",
        CRE_CLI_CLIENT_ID="client",
    )
    found.read()
    assert found.own_credentials() == [
        "CRE_API_KEY",
        "NEURALREPO_API_KEY",
        "TOOL_AGENT_SET_NEURALREPO_API_KEY",
    ]


def test_where_secrets_rest_is_read_at_the_start_alone(home: Path) -> None:
    """Another [store] is a note until the agent starts anew, or until it is taken back."""
    found = files(home)
    found.read()
    path = config(home, '[store]\nkind = "vault"\n')
    found.read_again()
    (note,) = found.catalogue.problems
    assert note.note
    assert (
        note.detail
        == "config.toml: [store] has changed; that takes effect when the agent starts anew"
    )
    path.write_text("[store")
    found.read_again()
    assert note in found.catalogue.problems, "what was read last stays"
    path.unlink()
    found.read_again()
    assert found.catalogue.problems == ()


def test_a_variable_decides_where_secrets_rest_before_the_file(home: Path) -> None:
    """With TOOL_AGENT_STORE another [store] changes nothing, and nothing is said of it."""
    found = files(home, TOOL_AGENT_STORE="memory")
    found.read()
    config(home, '[store]\nkind = "vault"\n')
    found.read_again()
    assert found.catalogue.problems == ()


def test_the_command_line_decides_the_log_level_before_the_file(home: Path) -> None:
    """`--log-level` was typed for this agent; the file is for all of them."""
    config(home, '[log]\nlevel = "error"\n')
    for given, level in ((None, "error"), ("debug", "debug")):
        found = Files({"HOME": str(home)}, Given(given))
        found.read()
        assert found.log_level == level


class View:
    """What an agent knows that reads its files after each change and at no other time."""

    def __init__(self, found: Files, changes: AsyncGenerator[None, None]) -> None:
        """Read nothing yet."""
        self.files = found
        self._changes = changes

    @property
    def level(self) -> str:
        """What config.toml said last."""
        return self.files.settings.log.level

    @property
    def problems(self) -> str:
        """Everything that is wrong."""
        return " ".join(problem.detail for problem in self.files.catalogue.problems)

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for changes until `done` holds of what was read after one."""
        while not done():
            await anext(self._changes)
            self.files.read_again()


def story(home: Path, tell: Callable[[View], Awaitable[None]], *, tick: float = LIMIT_S) -> None:
    """Run `tell` with a watch of the files that stands already."""

    async def run() -> None:
        found = files(home)
        found.read()
        async with asyncio.timeout(LIMIT_S), aclosing(found.watch(tick)) as changes:
            await anext(changes)
            await tell(View(found, changes))

    asyncio.run(run())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look twenty times a second instead of once, so that the tests need not be patient."""
    monkeypatch.setattr(watch, "STEP_MS", 50)


def level(name: str) -> str:
    """Return a config.toml that says one thing."""
    return f'[log]\nlevel = "{name}"\n'


@pytest.mark.usefixtures("quick")
def test_a_changed_config_is_heard_of(home: Path) -> None:
    """Made, written in place, cut short, broken, renamed over, made unsafe, removed: each alone."""

    async def tell(view: View) -> None:
        path = config(home, level("error"))
        await view.until(lambda: view.level == "error")
        path.write_text(level("debug"))
        await view.until(lambda: view.level == "debug")
        for broken in (level("error")[:-4], "[log]\nlevel = 5\n", "\0" * 100):
            path.write_text(broken)
            await view.until(lambda: "config.toml" in view.problems)
            assert view.level == "debug"
            path.write_text(level("debug"))
            await view.until(lambda: not view.problems)
        new = path.with_name(".config.toml.new")
        new.write_text(level("warning"))
        new.chmod(0o600)
        new.rename(path)
        await view.until(lambda: view.level == "warning")
        path.chmod(0o666)
        await view.until(lambda: "writable by others" in view.problems)
        assert view.level == "warning"
        path.unlink()
        await view.until(lambda: view.level == "info" and not view.problems)

    story(home, tell)


@pytest.mark.usefixtures("quick")
def test_a_config_is_heard_of_whatever_becomes_of_the_folders(home: Path) -> None:
    """Without `tools.d`, without the folder above it, and when both come back."""
    above = home / ".config/tool-agent"

    async def tell(view: View) -> None:
        config(home, level("error"))
        await view.until(lambda: view.level == "error")
        (above / "tools.d").rmdir()
        config(home, level("debug"))
        await view.until(lambda: view.level == "debug")
        shutil.rmtree(above)
        await view.until(lambda: view.level == "info")
        above.mkdir(mode=0o700)
        config(home, level("warning"))
        await view.until(lambda: view.level == "warning")
        (above / "tools.d").mkdir(mode=0o700)
        (above / "tools.d" / "acme.toml").write_text("[")
        await view.until(lambda: "acme.toml" in view.problems)
        config(home, level("error"))
        await view.until(lambda: view.level == "error")

    story(home, tell)


@pytest.mark.usefixtures("quick")
def test_a_config_behind_a_link_is_read_on_the_tick(home: Path, tmp_path: Path) -> None:
    """The system reports nothing about a link's far end, so the tick compares."""
    far = tmp_path / "dotfiles.toml"
    far.write_text(level("error"))
    far.chmod(0o600)
    (home / ".config/tool-agent/config.toml").symlink_to(far)

    async def tell(view: View) -> None:
        assert view.level == "error"
        far.write_text(level("debug"))
        await view.until(lambda: view.level == "debug")

    story(home, tell, tick=0.05)


@pytest.mark.usefixtures("quick")
def test_other_files_beside_it_are_no_change(home: Path) -> None:
    """An editor's own files in the same folder wake nobody up; what comes after them does."""
    seen: list[str] = []

    async def tell(view: View) -> None:
        for name in (".config.toml.swp", "config.toml~", "notes.toml"):
            (home / ".config/tool-agent" / name).write_text("x")
        new = config(home, level("error")).rename(home / ".config/tool-agent/.new")
        new.rename(new.with_name("config.toml"))  # one change, at one moment
        read_again = view.files.read_again

        def counted(now: float | None = None) -> None:
            read_again(now)
            seen.append(view.level)

        view.files.read_again = counted  # type: ignore[method-assign]  # it counts
        await view.until(lambda: view.level == "error")

    story(home, tell)
    assert seen == ["error"]
