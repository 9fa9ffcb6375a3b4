"""The person's files: who may write config.toml, and what a broken one changes."""

import os
from pathlib import Path

import pytest

from tests.real.presence import requires
from tool_agentd.errors import ConfigurationError
from tool_agentd.files import Files, problems


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
        ("[store]\nkind = 'keyring'", "config.toml: Invalid enum value 'keyring'"),
        ("[store]\nknd = 'vault'", "unknown field knd"),
        ("[store", "config.toml: "),
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


def test_another_users_file_decides_nothing(home: Path) -> None:
    """Whoever owns it could change it at any time."""
    requires("root")
    os.chown(config(home, ""), 4242, 4242)
    with pytest.raises(ConfigurationError, match="4242"):
        files(home).read()


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
