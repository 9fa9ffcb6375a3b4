"""kill -9 between the steps of a refresh, over the real store: it works, or one honest word."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.contract.refresh_child import STEPS, FileProvider, agent
from tests.contract.store_places import SERVICE, Place, credential_place, keychain_place
from tests.core.fakes import KEY, ME, ORIGIN
from tests.real.child import Child
from tests.real.keychain import Keychain
from tool_agentd.adapters.store import DiskStore
from tool_agentd.broker import TokenAsk
from tool_agentd.errors import LoginRequiredError, StoreUnavailableError
from tool_agentd.model import Grant, GrantKind
from tool_agentd.secret import Secret

ROOT = Path(__file__).parents[2]
ASK = TokenAsk("acme")


@pytest.fixture(params=["vault", pytest.param("keychain", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A store of either box with one login, of a provider that rotates without grace."""
    if request.param == "keychain":
        request.getfixturevalue("keychain_here")
    return begun({"vault": credential_place, "keychain": keychain_place}[request.param](tmp_path))


def begun(made: Place) -> Place:
    """Return the place with one login."""
    grant = Grant(
        KEY,
        GrantKind.REFRESH_TOKEN,
        "browser",
        "session",
        (ORIGIN,),
        obtained_at=1_000_000.0,
        scopes=("read", "write"),
    )
    made.run(lambda store: store.write(grant, Secret("refresh-0"), expected=0))
    return made


def killed(place: Place, step: str) -> None:
    """Have an agent refresh, and be killed at the step."""
    module = "tests.contract.refresh_child"
    provider = str(place.state.parent / "provider.json")
    argv = [sys.executable, "-m", module, str(place.state), place.kind, provider, step]
    log = place.state.parent / "child.log"
    child = Child(argv, log=log, cwd=ROOT, environ=dict(os.environ) | place.environ)
    status = child.process.wait(30)
    child.stop()
    assert status == -signal.SIGKILL, child.log.read_text()


def survived(place: Place) -> tuple[str, FileProvider, list[str]]:
    """Ask a new agent twice; return what it said, the provider, and the history."""
    provider = FileProvider(place.state.parent / "provider.json")

    async def use(store: DiskStore) -> tuple[str, list[str]]:
        broker = agent(store, provider)
        said = []
        for _ in range(2):
            try:
                said.append((await broker.token(ASK, ME)).value.reveal())
            except LoginRequiredError as error:
                said.append(error.detail)
        assert said[0] == said[1]
        history = [entry.event.value for entry in await broker.journal.history(KEY)]
        await broker.close()
        return said[0], history

    said, history = place.run(use)
    return said, provider, history


@pytest.mark.parametrize("step", STEPS)
def test_one_kill_costs_a_login_only_where_its_rotation_was_lost(place: Place, step: str) -> None:
    """At every step: the next agent goes on, or the provider's own refusal of one replay."""
    killed(place, step)
    said, provider, history = survived(place)
    if step in {"acted", "answered"}:
        assert "invalid_grant" in said
        assert provider.known["replays"] == 1
        assert history == ["intent", "replayed", "refused", "ended"]
    else:
        assert said.startswith("access-")
        assert provider.known["replays"] == 0
        assert ("replayed" in history) is (step in {"intended", "arrived"})


@pytest.mark.parametrize(
    "step",
    [
        "verified",
        *(pytest.param(s, marks=pytest.mark.long) for s in ("noted", "written", "committed")),
    ],
)
def test_a_token_that_the_keychain_has_is_not_lost(
    keychain_here: Keychain, tmp_path: Path, step: str
) -> None:
    """Killed between the item and its row: the item is adopted, and nothing is replayed."""
    place = begun(keychain_place(tmp_path))
    killed(place, step)
    said, provider, history = survived(place)
    there = step != "noted"
    assert said.startswith("access-") is there
    assert provider.known["replays"] == (0 if there else 1)
    assert ("adopted" in history) is (step in {"written", "verified"})
    left = [item.secret for item in keychain_here.search(SERVICE)]
    assert left == ([provider.known["living"]] if there else [])


def test_a_vault_passes_no_step_between_token_and_row(tmp_path: Path) -> None:
    """Its rotation is one write: there is nothing to adopt."""
    place = begun(credential_place(tmp_path))
    steps: list[str] = []
    passing = replace(place, means=replace(place.means, failpoint=steps.append))
    said, provider, history = survived(passing)
    assert (said, steps) == ("access-1", [])
    assert (provider.known["replays"], "adopted" in history) == (0, False)


def test_a_logout_after_such_a_kill_revokes_the_living_token(
    keychain_here: Keychain, tmp_path: Path
) -> None:
    """What the provider takes is what it is told to forget, and the keychain is empty."""
    place = begun(keychain_place(tmp_path))
    killed(place, "verified")
    provider = FileProvider(tmp_path / "provider.json")

    async def use(store: DiskStore) -> list[str]:
        broker = agent(store, provider)
        await broker.load()
        await broker.logout("acme", None)
        history = [entry.event.value for entry in await broker.journal.history(KEY)]
        await broker.close()
        return history

    history = place.run(use)
    assert provider.known["revoked"][0] == provider.known["living"] == "refresh-1"
    assert [event for event in history if event in {"adopted", "logout"}] == ["adopted", "logout"]
    assert keychain_here.search(SERVICE) == []


@pytest.mark.long
def test_a_locked_keychain_puts_the_decision_off(keychain_here: Keychain, tmp_path: Path) -> None:
    """Nothing is presented and nothing erased; unlocked, the item is adopted."""
    place = begun(keychain_place(tmp_path))
    killed(place, "verified")
    provider = FileProvider(tmp_path / "provider.json")
    keychain_here.lock()

    async def ask(store: DiskStore) -> None:
        broker = agent(store, provider)
        with pytest.raises(StoreUnavailableError, match="is locked"):
            await broker.token(ASK, ME)
        await broker.close()

    place.run(ask)
    keychain_here.unlock()
    assert len(keychain_here.search(SERVICE)) == 2
    said, provider, history = survived(place)
    assert said.startswith("access-")
    assert (provider.known["replays"], history.count("adopted")) == (0, 1)


def test_a_third_agent_presents_nothing(place: Place) -> None:
    """Two kills before the answer: the next agent asks nobody, says why, and revokes."""
    killed(place, "arrived")
    killed(place, "arrived")
    said, provider, history = survived(place)
    assert "interrupted twice" in said
    assert (provider.known["posts"], provider.known["revoked"]) == (0, ["refresh-0"])
    assert history[:3] == ["intent", "replayed", "ended"]


def test_a_kill_in_the_middle_of_a_replay_is_the_last(place: Place) -> None:
    """The first kill lost the rotation, the second the answer: one replay is all there ever is."""
    killed(place, "acted")
    killed(place, "acted")
    said, provider, _ = survived(place)
    assert "interrupted twice" in said
    assert cast("int", provider.known["replays"]) == 1


@pytest.mark.long
def test_many_kills_with_life_between_cost_nothing(place: Place) -> None:
    """A refresh that comes through begins the count anew."""
    for step in ("intended", "arrived", "intended"):
        killed(place, step)
        said, provider, _ = survived(place)
        assert said.startswith("access-")
        assert provider.known["replays"] == 0
