"""Stories of files that break, vanish and come back while clients ask without a pause."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.real.agent import Agent
from tests.real.platforms import Platforms
from tests.real.unix_http import Reply
from tests.real.waiting import until
from tests.stories import practice
from tests.stories.status import status_of

CLIENTS = 4


@dataclass
class Load:
    """Clients that ask for a token in a loop, and what they were answered."""

    agent: Agent
    tool: str = "workflows"
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        """Ask until told to stop."""
        while not self._stop.is_set():
            try:
                reply = self.agent.http("GET", f"/v1/tools/{self.tool}/token")
            except OSError as error:
                self.broken.append(repr(error))
                continue
            self.answers[reply.status, _what(reply)] += 1

    def more(self, count: int = 40) -> None:
        """Return once so many more were answered."""
        wanted = self.answers.total() + count
        until(lambda: self.answers.total() >= wanted or bool(self.broken), "more answers")

    @contextmanager
    def going(self) -> Iterator["Load"]:
        """Let the clients ask for the length of a block."""
        threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            self.more()
            yield self
            self.more()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def _what(reply: Reply) -> str:
    """Return what an answer was: the token, or the error's code."""
    found = reply.json
    return str(found.get("access_token") or found.get("code"))


@pytest.fixture
def tokened(agent: Agent) -> str:
    """Return the cached token of a session."""
    agent.good("login", "workflows")
    return agent.token("workflows")


def test_files_that_break_drop_no_request(agent: Agent, platforms: Platforms, tokened: str) -> None:
    """Broken, half-written and renamed files: every request gets the same token."""
    good = practice.workflows(platforms.urls["cre"])
    settings = '[log]\nlevel = "debug"\n[session.workflows]\nidle = "9h"\n'
    config = agent.home.configure(settings)
    config.chmod(0o600)
    file = agent.home.define("workflows", good)
    with Load(agent).going() as load:
        for text in ("", good[: len(good) // 2], "[[[", "\0" * 5000, good + 'more = "x"\n'):
            agent.home.define("workflows", text)  # as an editor does
            agent.good("reload")
            load.more()
            file.write_text(text)  # and as a careless program does, in place
            agent.good("reload")
            load.more()
            assert any("workflows.toml" in reason for reason in status_of(agent)["reasons"])
        for text in ("[log", "[store]\nkind = 5\n", '[session.workflows]\nidle = "soon"\n'):
            config.write_text(text)
            agent.good("reload")
            load.more()
            assert any("config.toml" in reason for reason in status_of(agent)["reasons"])
        new = config.with_suffix(".new")
        for text in (settings[:-4], settings, "\0" * 5000, "", settings):
            new.write_text(text)
            new.chmod(0o600)
            new.rename(config)
            load.more()  # nobody says `reload`: the agent hears of it, or of the next one
        config.rename(config.with_suffix(".old"))
        agent.good("reload")
        load.more()
        file.write_bytes(b"\xff\xfe")
        file.chmod(0o666)
        agent.good("reload")
        load.more()
        file.chmod(0o600)
        agent.home.define("workflows", good)
        agent.good("reload")
        load.more()
    assert load.broken == []
    assert set(load.answers) == {(200, tokened)}
    assert platforms.counters()["token_requests"] == 1


def test_a_definition_that_vanishes_is_an_honest_answer(
    agent: Agent, platforms: Platforms, tokened: str
) -> None:
    """Deleted, it takes its tool along and says so; put back, the same session goes on."""
    file = agent.home.config / "tools.d" / "workflows.toml"
    aside = file.with_suffix(".aside")
    with Load(agent).going() as load:
        for _ in range(5):
            file.rename(aside)
            agent.good("reload")
            load.more()
            aside.rename(file)
            agent.good("reload")
            load.more()
    assert load.broken == []
    assert set(load.answers) == {(200, tokened), (404, "unknown_tool")}
    assert platforms.counters()["token_requests"] == 1


def test_an_endpoint_that_changes_never_gets_an_old_secret(
    agent: Agent, platforms: Platforms, tokened: str
) -> None:
    """The definition lists another origin: the session's secrets go to the one of its login."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        there = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        agent.home.define("workflows", practice.workflows(there))
        with Load(agent).going() as load:
            agent.good("reload")
            load.more()
            renewed = agent.run("token", "workflows", "--min-ttl", "50h")
            assert renewed.returncode not in {0, 4}, renewed
            assert "origin" in renewed.stderr
            assert agent.run("whoami", "workflows").returncode != 0
        assert load.broken == []
        assert set(load.answers) == {(200, tokened)}
        agent.run("logout", "workflows")
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert platforms.counters()["token_requests"] == 1


def test_a_limit_that_is_configured_holds_for_the_session_that_is_there(
    agent: Agent, platforms: Platforms, tokened: str
) -> None:
    """`[session.TOOL]` in config.toml, as soon as it is written: it ends with its reason."""
    config = agent.home.configure('[session.workflows]\nabsolute = "1s"\n')
    config.chmod(0o600)
    until(lambda: agent.run("token", "workflows").returncode == 4, "the session's end")
    refused = agent.run("token", "workflows")
    assert "its login is 1 s old" in refused.stderr
    until(lambda: platforms.userinfo(tokened) == 401, "its revocation")
    agent.restart()
    assert "its login is 1 s old" in agent.run("token", "workflows").stderr


def test_what_a_config_cannot_change_now_is_said(agent: Agent, tokened: str) -> None:
    """[store] is for the next start: `reload` and `status` say so, and nothing is worse for it."""
    config = agent.home.configure('[store]\nservice = "elsewhere"\n')
    config.chmod(0o600)
    said = "[store] has changed; that takes effect when the agent starts anew"
    assert said in agent.run("reload").stderr
    found = status_of(agent)
    assert (found["state"], found["notes"]) == ("ready", [f"config.toml: {said}"])
    assert f"note: config.toml: {said}" in agent.run("status").stdout
    assert agent.token("workflows") == tokened
    config.unlink()
    agent.good("reload")
    assert status_of(agent)["notes"] == []
